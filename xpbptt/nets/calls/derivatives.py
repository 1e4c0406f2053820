"""Directional derivatives and Hessian-vector products."""

from typing import Any, Literal, overload

from xpbptt._arrays import check
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Array, ArrayT, Seed, StateT, TraceT, WeightsT
from xpbptt.bptt import Gradients, KeepAll, Run
from xpbptt.bptt.layers.states import Every, apart, paired
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack.side import parted
from xpbptt.nets.stack.tangents import begun, lifted


class Derivatives(Base[WeightsT, StateT, TraceT]):
    """A net with derivatives along a direction."""

    @overload
    def jvp(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        tangents: Any,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        dropout_seed: Seed = None,
        states: Literal[False] = False,
    ) -> tuple[tuple[ArrayT, tuple[StateT, ...]], tuple[ArrayT, tuple[StateT, ...]]]: ...

    @overload
    def jvp(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        tangents: Any,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        dropout_seed: Seed = None,
        states: Literal[True],
    ) -> tuple[
        tuple[ArrayT, tuple[StateT, ...], tuple[StateT, ...]],
        tuple[ArrayT, tuple[StateT, ...], tuple[StateT, ...]],
    ]: ...

    @overload
    def jvp(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        tangents: Any,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        dropout_seed: Seed = None,
        states: bool,
    ) -> Any: ...

    def jvp(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        tangents: Any,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        dropout_seed: Seed = None,
        states: bool = False,
    ) -> Any:
        """Return the outputs and their derivative along a direction, in one pass forward.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x : array (T, B, I)
            The input.
        state : tree of arrays (B, H), optional
            The initial state. Default: zeros.
        mask : array (T, B), optional
            As for `forward`.
        tangents : tuple of trees
            The direction: what `params`, `x` and `state` change by, in their structures. Each may
            be None, which stands for zeros. The gradients of a backward pass fit; their fields `dt`
            and `initial` are the direction of these two.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one.
        reset : array (T, B), optional
            As for `forward`.
        initial : tree of arrays (B, H), optional
            As for `forward`.
        dropout_seed : int, SeedSequence or numpy.random.Generator, optional
            As for `forward`.
        states : bool
            Whether to return the states after all steps, too.

        Returns
        -------
        outputs : tuple
            ``y, state``, as `forward` returns them; with ``states=True`` ``y, state, states``.
        tangents : tuple
            What they change by: the Jacobian of the net times the direction.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device.
        NotImplementedError
            Where a cell calls a function of which no derivative is known.

        Notes
        -----
        The net is run step by step on dual numbers [1]_, on any library; nothing is compiled.

        References
        ----------
        .. [1] A. Griewank and A. Walther, "Evaluating derivatives", SIAM 2008, chapter 3.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.GRU(3, 5)
        >>> params, x = net.init(0, dtype="float64"), np.ones((7, 2, 3))
        >>> (y, state), (dy, dstate) = net.jvp(params, x, tangents=(params, None, None))
        >>> dy.shape, dstate[0].h.shape
        ((7, 2, 5), (2, 5))
        """
        check.true_or_false("states", states)
        given = self._door.forward(params, x, state, mask, reset, initial, KeepAll(), dropout_seed)
        run = Run(mask, reset=reset, states=bool(states))
        one = begun(self, self._layer, given, x, run, tangents, dt)
        y, final, _ = one.forward()
        outputs, found = one.separated((y, *apart(final)) if states else (y, final))
        return outputs, found

    def hvp(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        dy: Array,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        tangents: Any,
        dt: Array | None = None,
        dstate: tuple[StateT, ...] | None = None,
        ddy: Array | None = None,
        ddstate: tuple[StateT, ...] | None = None,
        dstates: tuple[StateT, ...] | None = None,
        ddstates: tuple[StateT, ...] | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        dropout_seed: Seed = None,
    ) -> Gradients[tuple[WeightsT, ...], ArrayT, tuple[StateT, ...]]:
        """Return the derivative of the gradients along a direction: a Hessian-vector product.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x : array (T, B, I)
            The input.
        dy : array (T, B, D·H)
            The gradient of the loss by `y`.
        state : tree of arrays (B, H), optional
            The initial state. Default: zeros.
        mask : array (T, B), optional
            As for `forward`.
        tangents : tuple of trees
            The direction, as for `jvp`.
        dstate : tree of arrays (B, H), optional
            The gradient of the loss by the final state. Default: zeros.
        ddy : array (T, B, D·H), optional
            What `dy` changes by in that direction: the second derivative of the loss by `y` times
            what `jvp` says of `y`. Default: zeros, as of a loss that is linear in `y`.
        ddstate : tree of arrays (B, H), optional
            The same for `dstate`.
        dstates, ddstates : tree of arrays (T, B, H), optional
            The gradient of the loss by the states after all steps, as for `backward`, and what it
            changes by in that direction. Default: zeros.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one.
        reset : array (T, B), optional
            As for `forward`.
        initial : tree of arrays (B, H), optional
            As for `forward`.
        dropout_seed : int, SeedSequence or numpy.random.Generator, optional
            As for `forward`.

        Returns
        -------
        products : Gradients
            What the gradients change by, in the fields that those of `backward` have.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device.
        NotImplementedError
            Where a cell calls a function of which no derivative is known.

        Examples
        --------
        Of half the sum of squares, whose gradient is y itself:

        >>> import numpy as np, xpbptt
        >>> net = xpbptt.GRU(3, 5)
        >>> params, x = net.init(0, dtype="float64"), np.ones((7, 2, 3))
        >>> direction = (params, None, None)
        >>> (y, _), (ydot, _) = net.jvp(params, x, tangents=direction)
        >>> net.hvp(params, x, y, tangents=direction, ddy=ydot).params[0].weight_hh.shape
        (15, 5)
        """
        given = self._door.forward(params, x, state, mask, reset, initial, KeepAll(), dropout_seed)
        one = begun(self, self._layer, given, x, Run(mask, reset=reset), tangents, dt)
        _, _, cache = one.forward()
        upstream = self._door.upstream(x, dy, dstate)
        if ddy is None:
            ddy = one.xp.zeros_like(dy)
        change = self._door.upstream(x, ddy, ddstate, ("ddy", "ddstate"))
        dy, dfinal = (lifted(a, b, xp=one.xp) for a, b in zip(upstream, change, strict=True))
        named = {"dstates": dstates, "ddstates": ddstates}
        every = {k: self._door.every(k, v, x) for k, v in named.items() if v is not None}
        if every:
            zeros = map_leaves(one.xp.zeros_like, next(iter(every.values())))
            pair = (every.get(name, zeros) for name in named)
            dfinal = paired(Every, dfinal, lifted(*pair, xp=one.xp))
        _, found = one.separated(one.backward(cache, dy, dfinal))
        flat = dt is None or len(dt.shape) == len(x.shape) - 1
        return parted(self, found, started=initial is not None, flat=flat)  # type: ignore[no-any-return]
