"""Law 9: a reset begins a sequence anew."""

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.bptt import Binomial, KeepStates, Segments, Strategy, Truncated
from xpbptt.testing.checks.gradients import check_gradients
from xpbptt.testing.laws.compare import same
from xpbptt.testing.laws.derivative import EXACT
from xpbptt.testing.laws.sample import Sample, as_net, draw

PLANS: tuple[Strategy, ...] = (KeepStates(), Segments(2), Binomial(2))


def resets(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
    smooth: Callable[..., Any] | None = None,
) -> None:
    """Check that a sequence with resets equals its parts, each run alone from the initial state.

    That is outputs, states and all gradients, in both directions, with a mask and without. What the
    state is before a reset, NaN too, changes nothing after it. Every strategy gives the same, and a
    net of one direction also step by step. A reset of every step is one of no length but 1.

    Parameters
    ----------
    net : Net, Cell or Recurrence
        What is checked; a cell as a net of one layer.
    xp : namespace, optional
        The array library. Default: NumPy.
    seed : int
        Where all numbers come from.
    steps, batch : int, optional
        The sizes T and B. Default: small, and different from all others.
    smooth : callable, optional
        The forward step that a surrogate gradient is the derivative of; see `check_gradients`.

    Raises
    ------
    AssertionError
        Where the law does not hold; the message names the array and the difference.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.resets(xpbptt.LSTM(3, 5, bidirectional=True))
    """
    net = as_net(net)
    for masked in (False, True):
        of = draw(net, xp=xp, seed=seed, steps=steps, batch=batch, masked=masked, reset=True)
        whole = of.train()
        _parts_alone(of, whole)
        for bptt in PLANS:
            same(f"resets, {bptt!r}", of.train(bptt), whole, xp=of.xp)
        outputs = {name: whole[name] for name in ("y", "state")}
        same("resets, without backward", of.infer(), outputs, 0, xp=of.xp)
        _of_the_first_state(of)
    if of.x.shape[0]:
        _whatever_was_before(of._replace(mask=None))
    one = draw(as_net(net, one_way=True), xp=xp, seed=seed, steps=steps, batch=batch, reset=True)
    if one.x.shape[0]:
        same("resets, step by step", one.stream(), one.infer(), xp=one.xp)
    cut = one.train(Truncated(1))
    outputs = {name: cut[name] for name in ("y", "state")}
    same("resets, truncated", outputs, one.infer(), 0, xp=one.xp)
    more = {"reset": one.reset, "smooth": smooth} | one.options()
    found = check_gradients(one.net, one.params, one.x, one.state, seed=seed, **more)
    if not found.error < EXACT[found.method]:
        message = f"resets: the derivative is off by {found.error:.1e} by {found.method}"
        raise AssertionError(message)


def _parts_alone(of: Sample, whole: dict[str, Tree]) -> None:
    """Compare each sequence with its parts, cut where it is reset."""
    xp, length = of.xp, of.x.shape[0]
    total: Tree = map_leaves(xp.zeros_like, whole["grads"].params)
    for b in range(of.x.shape[1]):
        column = slice(b, b + 1)
        cuts = [t for t in range(1, length) if bool(of.reset[t, b])]  # type: ignore[index]
        first_is_reset = length > 0 and bool(of.reset[0, b])  # type: ignore[index]
        parts = []
        for start, stop in pairwise((0, *cuts, length)):
            rows = slice(start, stop)
            at_start, at_end = start == 0, stop == length
            carried = at_start and not first_is_reset
            begin = _each(of, of.initial, of.state, b, forward=carried, backward=at_end)
            zeros = map_leaves(xp.zeros_like, of.dstate)
            end = _each(of, zeros, of.dstate, b, forward=at_end, backward=at_start)
            mask = None if of.mask is None else of.mask[rows, column]
            part = of._replace(
                x=of.x[rows, column, :],
                dy=of.dy[rows, column, :],
                state=begin,
                dstate=end,
                mask=mask,
                reset=None,
                initial=None,
            )
            parts.append(part.train())
            total = map_leaves(lambda a, d: a + d, total, parts[-1]["grads"].params)
        expected = {
            "y": xp.concat([part["y"] for part in parts], axis=0),
            "grads.x": xp.concat([part["grads"].x for part in parts], axis=0),
        }
        found = {"y": whole["y"][:, column, :], "grads.x": whole["grads"].x[:, column, :]}
        last = _each(of, parts[-1]["state"], parts[-1]["state"], 0)
        early = _each(of, parts[0]["state"], parts[0]["state"], 0)
        expected["state"] = _each(of, early, last, 0, forward=True, backward=False)
        found["state"] = map_leaves(lambda a: a[column, :], whole["state"])  # noqa: B023
        same(f"resets, sequence {b} in parts", found, expected, xp=xp)
        _initial(of, whole["grads"], parts, b, first_is_reset=first_is_reset)
    params = {"grads.params": whole["grads"].params}
    total = map_leaves(xp.asarray, total)
    same("resets, all parts", params, {"grads.params": total}, xp=xp)


def _initial(
    of: Sample, grads: Any, parts: list[dict[str, Tree]], b: int, *, first_is_reset: bool
) -> None:
    """Compare the gradients of the first state and of what resets restore."""
    zeros = map_leaves(of.xp.zeros_like, parts[0]["grads"].state)
    of_state, of_initial = zeros, zeros
    for k, part in enumerate(parts):
        found = part["grads"].state
        first = k == 0 and not first_is_reset
        end = k == len(parts) - 1
        to_state = _each(of, zeros, found, 0, forward=first, backward=end)
        to_initial = _each(of, found, zeros, 0, forward=first, backward=end)
        of_state = map_leaves(lambda a, d: a + d, of_state, to_state)
        of_initial = map_leaves(lambda a, d: a + d, of_initial, to_initial)
    expected = {"grads.state": of_state, "grads.initial": of_initial}
    pairs = {"grads.state": grads.state, "grads.initial": grads.initial}
    got = {name: map_leaves(lambda a: a[b : b + 1, :], tree) for name, tree in pairs.items()}
    same(f"resets, sequence {b}, what it starts from", got, expected, xp=of.xp)


def _each(
    of: Sample, no: Tree, yes: Tree, b: int, *, forward: bool = True, backward: bool = True
) -> Tree:
    """Return sequence `b` of states: of `yes` in the directions that are named, else of `no`."""
    row = slice(b, b + 1)

    def pick(tree: Tree) -> Tree:
        return map_leaves(lambda a: a[row, :], tree)

    no, yes = pick(no), pick(yes)
    if not of.net.bidirectional:
        return yes if forward else no
    pairs = zip(no, yes, strict=True)
    return tuple((y[0] if forward else n[0], y[1] if backward else n[1]) for n, y in pairs)


def _of_the_first_state(of: Sample) -> None:
    """Compare with resets to the first state, whose gradient takes in all of them."""
    implicit = of._replace(initial=None).train()
    explicit = of._replace(initial=of.state).train()
    grads = explicit["grads"]
    both = map_leaves(lambda a, d: of.xp.asarray(a + d), grads.state, grads.initial)
    found = {"y": implicit["y"], "state": implicit["state"], "grads": tuple(implicit["grads"])}
    expected = {"y": explicit["y"], "state": explicit["state"]}
    expected["grads"] = (grads.params, grads.x, both)
    same("resets to the first state", found, expected, xp=of.xp)


def _whatever_was_before(of: Sample) -> None:
    """Compare with a first state of NaN that every sequence leaves at once."""
    xp = of.xp
    everywhere = xp.ones_like(of.reset)
    first = xp.concat((everywhere[:1, :], of.reset[1:, :]), axis=0)  # type: ignore[index]
    if of.net.bidirectional:
        first = everywhere
    clean = of._replace(reset=first)
    nan = map_leaves(lambda a: xp.full_like(a, xp.nan), of.state)
    if of.net.bidirectional:  # the other direction starts there, too
        nan = tuple((n[0], s[1]) for n, s in zip(nan, of.state, strict=True))
    expected, found = clean.train(), clean._replace(state=nan).train()
    same("resets, NaN in the state before", found, expected, 0, xp=xp)
