"""What a net's arguments must look like, and the checks of its public calls."""

from collections.abc import Callable
from functools import lru_cache, partial
from numbers import Real
from typing import Any, Generic, NamedTuple

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.check import Expected
from xpbptt._arrays.draw import generator
from xpbptt._arrays.tree import map_leaves, map_shapes
from xpbptt._arrays.types import AnyArray, ArrayT, Namespace, NetT, Seed, Tree
from xpbptt.bptt.layers.layer import Watch
from xpbptt.cells.recurrence import Weights
from xpbptt.nets import contract
from xpbptt.nets.stack import Stack

Fit = Callable[[Tree, AnyArray], bool]


class Cache(NamedTuple, Generic[NetT, ArrayT]):
    """What `Net.forward` keeps for `Net.backward`.

    It can be copied and pickled, as can the net if its cell's functions can, for another process.

    Attributes
    ----------
    net : Net
        The net that made it.
    x : array (T, B, I)
        The input.
    layers : tuple
        What each layer kept.
    """

    net: NetT
    x: ArrayT
    layers: Any


def _every_layer(net: Stack, entry: Callable[[int, str], Tree]) -> Tree:
    """Build a tree from `entry`, which takes the size of a layer's input and its name."""
    sizes = [(net.input_size, "I")]
    sizes += [(net.directions * net.hidden_size, "D·H")] * (net.num_layers - 1)
    return tuple((entry(*size),) * 2 if net.bidirectional else entry(*size) for size in sizes)


@lru_cache
def parameters(net: Stack) -> Tree:
    """Return the tree of the parameters' shapes."""

    def entry(size: int, width: str) -> Tree:
        shapes = net.recurrence.shapes(size, net.hidden_size)
        tree = map_shapes(lambda shape: Expected(shape, f"its shape in {net}"), shapes)
        if not isinstance(shapes, Weights):
            return tree
        axes = Weights(f"(G·H, {width})", "(G·H, H)", "(G·H,)", "(G·H,)")
        named = {
            field: Expected(tuple(getattr(shapes, field)), f"{names} of {net}")
            for field, names in zip(axes._fields[:4], axes, strict=False)
            if getattr(shapes, field) is not None
        }
        return tree._replace(**named)

    return _every_layer(net, entry)


@lru_cache
def states(net: Stack, batch: int) -> Tree:
    """Return the tree of the shapes of a state."""
    state = net.recurrence.state
    part = Expected((batch, net.hidden_size), f"(B, H) of {net}")
    return _every_layer(net, lambda _, __: state(*[part] * len(state._fields)))


def _fitting(net: Stack, batch: int) -> tuple[Fit, Fit, set[Any]]:
    """Return the quick tests of parameters and of a state.

    The set is of the types and dtypes of arrays for which the cell is known to keep its contract.
    """
    return check.fitting(parameters(net)), check.fitting(states(net, batch)), set()


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
        bptt: object,
        dropout_seed: Seed,
    ) -> tuple[Namespace, Tree, Tree, int]:
        """Return the namespace, parameters, initial state and the key of dropout."""
        xp, params, start = self.infer(params, x, state, mask)
        check_strategy(bptt)
        return xp, params, start, self.key(dropout_seed)

    def infer(
        self, params: Tree, x: AnyArray, state: Tree, mask: AnyArray | None
    ) -> tuple[Namespace, Tree, Tree]:
        """Return the namespace, parameters and initial state."""
        xp, params, start = self._arguments(params, x, state, "x", "(T, B, I)")
        if mask is not None:
            check.beside("mask", mask, "x", x, kind="bool", xp=xp)
            check.shape("mask", mask, tuple(x.shape[:2]), "(T, B)")
        return xp, params, start

    def step(self, params: Tree, x_t: AnyArray, state: Tree) -> tuple[Namespace, Tree, Tree]:
        """Return the namespace, parameters and the state before the step."""
        if self.net.bidirectional:
            message = (
                f"`step` cannot run {self.net}: the backward direction starts at the sequence's "
                "end, which a stream does not have yet; use `infer` on whole sequences"
            )
            raise ValueError(message)
        return self._arguments(params, x_t, state, "x_t", "(B, I)")

    def stream(self, params: Tree, state: Tree, batch: int) -> tuple[Namespace, Tree, Tree]:
        """Return the namespace, the parameters and the state before the first step."""
        params, found = check.conform("params", params, parameters(self.net))
        (path, like, _), *_ = found
        xp = check.array_namespace(path, like)
        device = array_api_compat.device(like)
        x_t = xp.zeros((batch, self.net.input_size), dtype=like.dtype, device=device)
        return self.step(params, x_t, state)

    def backward(
        self, cache: Any, dy: AnyArray, dstate: Tree, trace: object, clip_step: object
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
        steps, batch, _ = x.shape
        shape = (steps, batch, net.directions * net.hidden_size)
        xp = check.array_namespace("x", x)
        _, state_fits, _ = self._fitting(batch)
        if not (check.alike(dy, x, shape) and (dstate is None or state_fits(dstate, x))):
            found = [("dy", dy, Expected(shape, f"(T, B, D·H) of {net}"))]
            if dstate is not None:
                dstate, in_state = check.conform("dstate", dstate, states(net, batch))
                found += in_state
            check.one_namespace([("x", x), *((path, leaf) for path, leaf, _ in found)])
            check.shapes(found)
        check.true_or_false("trace", trace)
        watch = Watch(bool(trace), _limit(clip_step))
        return xp, self._zeros(x, xp=xp) if dstate is None else dstate, watch

    def _arguments(
        self, params: Tree, x: AnyArray, state: Tree, name: str, axes: str
    ) -> tuple[Namespace, Tree, Tree]:
        net = self.net
        xp = check.array_namespace(name, x)
        check.rank(name, x, axes)
        *_, batch, width = x.shape
        params_fit, state_fits, known = self._fitting(batch)
        kind = type(x), x.dtype
        if not (
            width == net.input_size
            and params_fit(params, x)
            and (state is None or state_fits(state, x))
            and kind in known
        ):
            params, found = check.conform("params", params, parameters(net))
            if state is not None:
                state, in_state = check.conform("state", state, states(net, batch))
                found += in_state
            named = [(name, x), *((path, leaf) for path, leaf, _ in found)]
            xp = check.one_namespace(named, most=True)
            check.shape(name, x, (*x.shape[:-1], net.input_size), f"{axes} of {net}")
            check.shapes(found)
            contract.check(net.cell, net.input_size, net.hidden_size, x)
            known.add(kind)
        return xp, params, self._zeros(x, xp=xp) if state is None else state

    def _zeros(self, x: AnyArray, *, xp: Namespace) -> Tree:
        """Return a state of zeros, for an input (T, B, I) or (B, I)."""
        net, device = self.net, array_api_compat.device(x)
        kind, shape = net.recurrence.state, (x.shape[-2], net.hidden_size)
        parts = [
            kind(*[xp.zeros(shape, dtype=x.dtype, device=device) for _ in kind._fields])
            for _ in range(net.num_layers * net.directions)
        ]
        return tuple(zip(parts[::2], parts[1::2], strict=True) if net.bidirectional else parts)

    def key(self, seed: Seed) -> int:
        """Return the number that dropout follows from; an integer of JAX is one already."""
        if not self.net.dropout or self.net.num_layers == 1:
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


def _limit(limit: object) -> float | None:
    """Refuse an invalid `clip_step`."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, Real):
        message = f"`clip_step` must be a number or None, got {limit!r}"
        raise TypeError(message)
    if not 0 < float(limit) < float("inf"):
        message = f"`clip_step` must be finite and above 0, got {limit}"
        raise ValueError(message)
    return float(limit)


def in_order(tree: Tree, x: AnyArray) -> Tree:
    """Return results in the byte order of `x`, which NumPy's operations do not keep."""
    if getattr(x.dtype, "isnative", True):
        return tree
    return map_leaves(lambda leaf: leaf.astype(x.dtype, copy=False), tree)


def itemsize(dtype: Any, *, xp: Any) -> int:
    """Return the bytes of a number of an array's dtype."""
    parts = 2 if xp.isdtype(dtype, "complex floating") else 1
    return int(parts * xp.finfo(dtype).bits) // 8
