"""A pass forward that keeps nothing."""

from typing import Any, Literal, overload

from xpbptt._arrays import check
from xpbptt._arrays.types import Array, ArrayT, StateT, TraceT, WeightsT
from xpbptt.bptt import Run
from xpbptt.bptt.layers.states import apart
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack import door
from xpbptt.nets.stack.side import beside


class Infer(Base[WeightsT, StateT, TraceT]):
    """A net that runs over a sequence."""

    @overload
    def infer(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        states: Literal[False] = False,
    ) -> tuple[ArrayT, tuple[StateT, ...]]: ...

    @overload
    def infer(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        states: Literal[True],
    ) -> tuple[ArrayT, tuple[StateT, ...], tuple[StateT, ...]]: ...

    @overload
    def infer(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        states: bool,
    ) -> Any: ...

    def infer(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        states: bool = False,
    ) -> Any:
        """Run over a sequence and keep nothing for a backward pass.

        Parameters and returns are those of `forward`, without the cache.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x : array (T, B, I)
            The input.
        state : tree of arrays (B, H), optional
            The initial state. Default: zeros.
        mask : array (T, B), optional
            Boolean, in any pattern. Where it is False, the state passes the step unchanged, the
            output is zero, and the input, NaN or not, leaves no trace. Default: all True.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one, as the time since the step before.
        reset : array (T, B), optional
            Boolean. Where it is True, the step begins with the initial state. Default: all False.
        initial : tree of arrays (B, H), optional
            The state that `reset` restores. Default: `state`.
        states : bool
            Whether to return the states after all steps, too.

        Returns
        -------
        y : array (T, B, D·H)
            The hidden states of the last layer.
        state : tree of arrays (B, H)
            The state after the last step.
        states : tree of arrays (T, B, H), only with ``states=True``
            Every part of the state after each step, as from `forward`.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.LSTM(3, 5, bidirectional=True)
        >>> y, state = net.infer(net.init(0), np.ones((7, 2, 3), dtype=np.float32))
        >>> y.shape
        (7, 2, 10)
        """
        check.true_or_false("states", states)
        xp, params, start = self._door.infer(params, x, state, mask, reset, initial)
        wide = x
        if dt is not None or self.recurrence.side:
            wide = beside(self, x, dt, xp=xp)
        run = Run(mask, reset=reset, states=states)
        y, final = self._layer.infer(params, wide, start, run, xp=xp)
        y, final = door.in_order((y, final), x)
        return (y, *apart(final)) if states else (y, final)
