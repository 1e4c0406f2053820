"""The door of a net: its calls' arguments are checked here, and what the calls share is made."""

from collections.abc import Callable
from functools import lru_cache, partial
from numbers import Real
from typing import Any

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.check import Expected
from xpbptt._arrays.draw import generator
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Seed, Tree
from xpbptt._arrays.wide import wide_dtype
from xpbptt.bptt.layers.layer import Watch
from xpbptt.bptt.layers.states import Every, Start, paired
from xpbptt.nets.stack import contract, signature
from xpbptt.nets.stack.signature import Cache
from xpbptt.nets.stack.stack import Stack

Fit = Callable[[Tree, AnyArray], bool]


def _fitting(net: Stack, batch: int) -> tuple[Fit, Fit, Tree, set[Any]]:
    """Return the quick tests of parameters and of a state, and the tree of the state's shapes.

    The set is of the types and dtypes of arrays for which the cell is known to keep its contract.
    """
    shapes = signature.states(net, batch)
    return check.fitting(signature.parameters(net)), check.fitting(shapes), shapes, set()


class Door:
    """The checks of a net's calls, each entered once, before any work is done.

    Parameters
    ----------
    net : Stack
        The net.
    """

    def __init__(self, net: Stack) -> None:
        self.net = net
        self._fitting = lru_cache(partial(_fitting, net))  # by the number of sequences

    def forward(
        self,
        params: Tree,
        x: AnyArray,
        state: Tree,
        mask: AnyArray | None,
        reset: AnyArray | None,
        initial: Tree,
        bptt: object,
        dropout_seed: Seed,
    ) -> tuple[Namespace, Tree, Tree, int]:
        """Return the namespace, parameters, initial state and the key of dropout."""
        xp, params, start = self.infer(params, x, state, mask, reset, initial)
        check_strategy(bptt)
        return xp, params, start, self.key(dropout_seed)

    def infer(
        self,
        params: Tree,
        x: AnyArray,
        state: Tree,
        mask: AnyArray | None,
        reset: AnyArray | None,
        initial: Tree,
    ) -> tuple[Namespace, Tree, Tree]:
        """Return the namespace, parameters and initial state."""
        xp, params, start = self._arguments(params, x, state, "x", "(T, B, I)")
        if mask is not None:
            check.flags("mask", mask, "x", x, "(T, B)", xp=xp)
        initial = self._reset(x, "x", "(T, B)", reset, initial, xp=xp)
        return xp, params, start if initial is None else paired(Start, start, initial)

    def step(
        self,
        params: Tree,
        x_t: AnyArray,
        state: Tree,
        reset: AnyArray | None = None,
        initial: Tree = None,
    ) -> tuple[Namespace, Tree, Tree]:
        """Return the namespace, parameters and the state that the step starts from."""
        if self.net.bidirectional:
            message = (
                f"`step` cannot run {self.net}: the backward direction starts at the sequence's "
                "end, which a stream does not have yet; use `infer` on whole sequences"
            )
            raise ValueError(message)
        xp, params, before = self._arguments(params, x_t, state, "x_t", "(B, I)")
        return xp, params, self.restarted(before, x_t, reset, initial, xp=xp)

    def restarted(
        self, state: Tree, x_t: AnyArray, reset: AnyArray | None, initial: Tree, *, xp: Namespace
    ) -> Tree:
        """Return the state with the initial one, zeros by default, where it is reset."""
        initial = self._reset(x_t, "x_t", "(B,)", reset, initial, xp=xp)
        if reset is None:
            return state
        column = reset[:, None]
        if initial is None:
            initial = self._zeros(x_t, xp=xp)
        return map_leaves(lambda first, part: xp.where(column, first, part), initial, state)

    def stream(self, params: Tree, state: Tree, batch: int) -> tuple[Namespace, Tree, Tree]:
        """Return the namespace, the parameters and the state before the first step."""
        params, found = check.conform("params", params, signature.parameters(self.net))
        (path, like, _), *_ = found
        xp = check.array_namespace(path, like)
        device = array_api_compat.device(like)
        x_t = xp.zeros((batch, self.net.input_size), dtype=like.dtype, device=device)
        return self.step(params, x_t, state)

    def backward(
        self,
        cache: Any,
        dy: AnyArray,
        dstate: Tree,
        dstates: Tree,
        trace: object,
        clip_step: object,
        per_sample: object,
    ) -> tuple[Namespace, Tree, Watch]:
        """Return the namespace, the gradient of the final state and the options."""
        net = self.net
        if not isinstance(cache, Cache):
            message = f"`cache` must be what `forward` returned, got {type(cache).__name__}"
            raise TypeError(message)
        if cache.net is not net and cache.net != net:
            message = f"`cache` was made by {cache.net}, but this is {net}: pass each net its own"
            if str(cache.net) == str(net):
                message = (
                    f"`cache` was made by {cache.net} of another cell with the name "
                    f"{net.cell.name}, perhaps one that was made anew since: call `forward` again"
                )
            raise ValueError(message)
        x = cache.x
        xp = check.array_namespace("x", x)
        dy, dstate = self.upstream(x, dy, dstate)
        check.true_or_false("trace", trace)
        check.true_or_false("per_sample", per_sample)
        watch = Watch(bool(trace), _limit(clip_step, x.dtype, xp=xp), bool(per_sample))
        if dstates is None:
            return xp, dstate, watch
        return xp, paired(Every, dstate, self.every("dstates", dstates, x)), watch

    def every(self, name: str, dstates: Tree, x: AnyArray) -> Tree:
        """Refuse what are no gradients of the states after all steps; return them."""
        steps, batch, _ = x.shape
        dstates, found = check.conform(name, dstates, signature.states(self.net, batch, steps))
        check.one_namespace([("x", x), *((path, leaf) for path, leaf, _ in found)])
        check.shapes(found)
        return dstates

    def upstream(
        self, x: AnyArray, dy: AnyArray, dstate: Tree, names: tuple[str, str] = ("dy", "dstate")
    ) -> tuple[AnyArray, Tree]:
        """Return the gradients of the outputs and of the final state, by default zeros."""
        net, (steps, batch, _) = self.net, x.shape
        shape = (steps, batch, net.output_size)
        _, state_fits, *_ = self._fitting(batch)
        if not (check.alike(dy, x, shape) and (dstate is None or state_fits(dstate, x))):
            columns = "P" if net.projection else "H"
            found = [(names[0], dy, Expected(shape, f"(T, B, D·{columns}) of {net}"))]
            if dstate is not None:
                dstate, in_state = check.conform(names[1], dstate, signature.states(net, batch))
                found += in_state
            check.one_namespace([("x", x), *((path, leaf) for path, leaf, _ in found)])
            check.shapes(found)
        xp = check.array_namespace("x", x)
        return dy, self._zeros(x, xp=xp) if dstate is None else dstate

    def _arguments(
        self, params: Tree, x: AnyArray, state: Tree, name: str, axes: str
    ) -> tuple[Namespace, Tree, Tree]:
        net = self.net
        xp = check.array_namespace(name, x)
        check.rank(name, x, axes)
        *_, batch, width = x.shape
        params_fit, state_fits, _, known = self._fitting(batch)
        kind = type(x), x.dtype
        if not (
            width == net.input_size
            and params_fit(params, x)
            and (state is None or state_fits(state, x))
            and kind in known
        ):
            params, found = check.conform("params", params, signature.parameters(net))
            if state is not None:
                state, in_state = check.conform("state", state, signature.states(net, batch))
                found += in_state
            named = [(name, x), *((path, leaf) for path, leaf, _ in found)]
            xp = check.one_namespace(named, most=True)
            check.shape(name, x, (*x.shape[:-1], net.input_size), f"{axes} of {net}")
            check.shapes(found)
            for size in dict.fromkeys(net.sizes):
                contract.check(net.cell, net.input_size, size, x)
            known.add(kind)
        return xp, params, self._zeros(x, xp=xp) if state is None else state

    def _reset(
        self,
        x: AnyArray,
        name: str,
        axes: str,
        reset: AnyArray | None,
        initial: Tree,
        *,
        xp: Namespace,
    ) -> Tree:
        """Refuse what is no reset; return the state that it restores, if one is given."""
        if reset is None:
            if initial is not None:
                message = "`initial` is the state that `reset` restores: pass `reset` with it"
                raise ValueError(message)
            return None
        check.flags("reset", reset, name, x, axes, xp=xp)
        if initial is None:
            return None
        initial, found = check.conform("initial", initial, signature.states(self.net, x.shape[-2]))
        check.one_namespace([(name, x), *((path, leaf) for path, leaf, _ in found)])
        check.shapes(found)
        return initial

    def _zeros(self, x: AnyArray, *, xp: Namespace) -> Tree:
        """Return a state of zeros, for an input (T, B, I) or (B, I)."""
        device, (*_, batch, _) = array_api_compat.device(x), x.shape
        _, _, shapes, _ = self._fitting(batch)

        def zeros(entry: Any) -> Tree:
            parts = [xp.zeros(part.shape, dtype=x.dtype, device=device) for part in entry]
            return type(entry)(*parts)

        if not self.net.bidirectional:
            return tuple(map(zeros, shapes))
        return tuple((zeros(first), zeros(second)) for first, second in shapes)

    def key(self, seed: Seed) -> int:
        """Return the number that dropout follows from; an integer of JAX is one already."""
        if not self.net.draws:
            return 0
        if seed is None:
            message = (
                f"`dropout_seed` is needed by {self.net}: pass an int or a "
                "numpy.random.Generator, another one for each step of training; `infer` drops "
                "nothing"
            )
            raise ValueError(message)
        if array_api_compat.is_jax_array(seed):
            return seed  # type: ignore[return-value]
        return int(generator(seed, "dropout_seed").integers(2**31))


def check_strategy(bptt: object) -> None:
    """Refuse what is no strategy, the class in place of its value too."""
    if isinstance(bptt, type) or not callable(getattr(bptt, "plan", None)):
        message = f"`bptt` must be a strategy, as KeepAll() or Segments(), got {bptt!r}"
        raise TypeError(message)


def _limit(limit: object, dtype: Any, *, xp: Any) -> float | None:
    """Refuse an invalid `clip_step`; return None where no norm of the dtype can exceed it."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, Real):
        message = f"`clip_step` must be a number or None, got {limit!r}"
        raise TypeError(message)
    if not 0 < float(limit) < float("inf"):
        message = f"`clip_step` must be finite and above 0, got {limit}"
        raise ValueError(message)
    largest = xp.finfo(wide_dtype(dtype, xp=xp)).max
    return float(limit) if float(limit) <= float(largest) else None


def in_order(tree: Tree, x: AnyArray) -> Tree:
    """Return results in the byte order of `x`, which NumPy's operations do not keep."""
    if getattr(x.dtype, "isnative", True):
        return tree
    return map_leaves(lambda leaf: leaf.astype(x.dtype, copy=False), tree)


def itemsize(dtype: Any, *, xp: Any) -> int:
    """Return the bytes of a number of an array's dtype."""
    known = getattr(dtype, "itemsize", None)  # beyond the standard, but at hand in most libraries
    if known is not None:
        return int(known)
    parts = 2 if xp.isdtype(dtype, "complex floating") else 1
    return int(parts * xp.finfo(dtype).bits) // 8
