"""Law 5: padding is as if it were not there."""

from types import ModuleType
from typing import Any

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.testing.laws.compare import LawError, same
from xpbptt.testing.laws.sample import Sample, as_net, draw


def padding(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
) -> None:
    """Check that a masked batch equals each of its sequences run alone, without the gaps.

    Whatever stands in a gap, NaN too, changes no bit; outputs and input gradients there are zero; a
    mask that is True throughout is no mask, and one that is False throughout hands the state on.
    A NaN in the gradient of a sequence that is masked throughout stays with that sequence.

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

    Raises
    ------
    AssertionError
        Where the law does not hold; the message names the array and the difference.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.padding(xpbptt.GRU(3, 5, bidirectional=True))
    """
    of = draw(as_net(net), xp=xp, seed=seed, steps=steps, batch=batch, masked=True)
    _each_sequence_alone(of)
    _gaps_leave_no_trace(of)
    _whole_masks(of)
    _spoilt_sequence(of)


def _each_sequence_alone(of: Sample) -> None:
    xp, together, total = of.xp, of.train(), None
    for b in range(of.x.shape[1]):
        column = slice(b, b + 1)
        steps = [t for t in range(of.x.shape[0]) if bool(of.mask[t, b])]  # type: ignore[index]

        def pick(array: Any, column: slice = column, steps: list[int] = steps) -> Any:
            rows = [array[t, column, :] for t in steps]
            return xp.stack(rows, axis=0) if rows else array[:0, column, :]

        def row(array: Any, column: slice = column) -> Any:
            return array[column, :]

        alone = of._replace(
            x=pick(of.x),
            dy=pick(of.dy),
            state=map_leaves(row, of.state),
            dstate=map_leaves(row, of.dstate),
            mask=None,
        ).train()
        grads, found = together["grads"], alone["grads"]
        expected = {
            "y": pick(together["y"]),
            "state": map_leaves(row, together["state"]),
            "grads.x": pick(grads.x),
            "grads.state": map_leaves(row, grads.state),
        }
        got = {"y": alone["y"], "state": alone["state"], "grads.x": found.x}
        got["grads.state"] = found.state
        same(f"padding, sequence {b} alone", got, expected)
        params = found.params
        total = (
            params
            if total is None
            else map_leaves(
                lambda p, q: xp.asarray(p + q),
                total,
                params,  # NumPy adds arrays () to a scalar
            )
        )
    if total is not None:
        together_params = {"grads.params": together["grads"].params}
        same("padding, all sequences", together_params, {"grads.params": total})


def _gaps_leave_no_trace(of: Sample) -> None:
    xp, expected = of.xp, of.train(trace=True)
    keep = of.mask[..., None]  # type: ignore[index]
    for name, number in (("NaN", xp.nan), ("inf", xp.inf), ("-inf", -xp.inf)):
        x, dy = (xp.where(keep, a, xp.full_like(a, number)) for a in (of.x, of.dy))
        for law, spoilt in (("x", of._replace(x=x)), ("dy", of._replace(dy=dy))):
            found = spoilt.train(trace=True)
            same(f"padding, {name} in `{law}`", found, expected, 0)
        found = of._replace(x=x).infer()
        outputs = {key: expected[key] for key in found}
        same(f"padding, {name} in `x`, without backward", found, outputs, 0)
    for key, array in (("y", expected["y"]), ("grads.x", expected["grads"].x)):
        if bool(xp.any(~keep & (array != 0))):
            message = f"padding: `{key}` is not zero at masked steps"
            raise LawError(message)


def _whole_masks(of: Sample) -> None:
    xp = of.xp
    everything = xp.ones_like(of.mask)
    no_mask = of._replace(mask=None).train()
    # To rounding: a compiler may join products and sums in one of the two programs only.
    same("a mask of True", of._replace(mask=everything).train(), no_mask)
    found = of._replace(mask=~everything).train()
    handed_on: dict[str, Tree] = {
        "y": xp.zeros_like(found["y"]),
        "state": of.state,
        "grads": map_leaves(xp.zeros_like, found["grads"])._replace(state=of.dstate),
        "trace": None,
    }
    same("a mask of False", found, handed_on, 0)


def _spoilt_sequence(of: Sample) -> None:
    xp, batch = of.xp, of.x.shape[1]
    if not batch:
        return
    last = xp.arange(batch)[:, None] == batch - 1
    mask = of.mask & ~last[:, 0]
    dstate = map_leaves(lambda d: xp.where(last, xp.full_like(d, xp.nan), d), of.dstate)
    clean = of._replace(mask=mask).train()["grads"]
    spoilt = of._replace(mask=mask, dstate=dstate).train()["grads"]
    others = [map_leaves(lambda a: a[: batch - 1, ...], each.state) for each in (spoilt, clean)]
    found = {"grads.params": spoilt.params, "grads.state": others[0], "grads.x": spoilt.x}
    expected = {"grads.params": clean.params, "grads.state": others[1], "grads.x": clean.x}
    same("padding, NaN in the gradient of a masked sequence", found, expected)
