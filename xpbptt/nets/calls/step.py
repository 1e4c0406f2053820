"""Single steps, and streams of them."""

from typing import Any

from xpbptt._arrays import check
from xpbptt._arrays.types import Array, ArrayT, StateT, TraceT, WeightsT
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack import door
from xpbptt.nets.stack.side import beside
from xpbptt.nets.stack.stream import Stream


class Step(Base[WeightsT, StateT, TraceT]):
    """A net that advances step by step."""

    def step(
        self,
        params: tuple[WeightsT, ...],
        x_t: ArrayT,
        state: tuple[StateT, ...] | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
    ) -> tuple[ArrayT, tuple[StateT, ...]]:
        """Advance by one time step, for streams.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x_t : array (B, I)
            The input of this step.
        state : tree of arrays (B, H), optional
            The state before it. Default: zeros.
        dt : array (B,) or (B, K), optional
            The side input, of a net whose cell has one, as the time since the step before.
        reset : array (B,), optional
            Boolean. Where it is True, the step begins with `initial` instead of `state`.
        initial : tree of arrays (B, H), optional
            The state that `reset` restores. Default: zeros, as the initial state of a sequence is
            by default: a step does not know the one that its sequence began with, which is what
            `forward`, `infer` and a stream restore.

        Returns
        -------
        y_t : array (B, H)
            The hidden state of the last layer, the very array that `state` holds: do not write
            into it where the stream goes on.
        state : tree of arrays (B, H)
            The state after it.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device, or the
            net is bidirectional.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.LSTM(3, 5)
        >>> params, state = net.init(0), None
        >>> for x_t in np.ones((7, 2, 3), dtype=np.float32):
        ...     y_t, state = net.step(params, x_t, state)
        >>> y_t.shape
        (2, 5)
        """
        xp, params, before = self._door.step(params, x_t, state, reset, initial)
        wide = x_t
        if dt is not None or self.recurrence.side:
            wide = beside(self, x_t, dt, xp=xp)
        step: Any = self._layer.step  # the door has refused a net without one
        y_t, after = step(params, wide, before, xp=xp)
        return door.in_order((y_t, after), x_t)  # type: ignore[no-any-return]

    def stream(
        self,
        params: tuple[WeightsT, ...],
        state: tuple[StateT, ...] | None = None,
        batch: int = 1,
        *,
        copy: bool = False,
    ) -> Stream[WeightsT, Any, StateT]:
        """Return a stream, which checks everything once and then costs little for a step.

        Parameters
        ----------
        params : tree of arrays
            The parameters. The stream keeps a copy: later changes do not reach it.
        state : tree of arrays (B, H), optional
            The state before the first step. Default: zeros.
        batch : int
            The number of sequences B.
        copy : bool
            Whether every output is an array of its own. Default: on NumPy, where the net is
            compiled, an output is a read-only view of the stream's memory, which the step after
            the next one overwrites.

        Returns
        -------
        stream : Stream
            ``y_t = stream(x_t)`` advances by one step, ``stream.process(x)`` by a block (T, B, I);
            ``stream.state`` is a copy of the state, ``stream.reset()`` goes back to the first one.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device, or the net
            is bidirectional.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.GRU(3, 5, num_layers=2)
        >>> stream = net.stream(net.init(0))
        >>> for x_t in np.ones((7, 1, 3), dtype=np.float32):
        ...     y_t = stream(x_t)
        >>> y_t.shape
        (1, 5)
        """
        check.whole("batch", batch)
        check.true_or_false("copy", copy)
        xp, params, start = self._door.stream(params, state, int(batch))
        return Stream(self, self._door, self._layer, params, start, copy=bool(copy), xp=xp)
