"""A pass forward that keeps what the pass back needs."""

from typing import Any, Literal, Self, overload

from xpbptt._arrays import check
from xpbptt._arrays.types import Array, ArrayT, Seed, StateT, TraceT, WeightsT
from xpbptt.bptt import KeepAll, Run, Strategy
from xpbptt.bptt.layers.memory import Sizes
from xpbptt.bptt.layers.states import apart
from xpbptt.kernels import Form
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack import door
from xpbptt.nets.stack.memory import Memory
from xpbptt.nets.stack.side import beside
from xpbptt.nets.stack.signature import Cache


class Forward(Base[WeightsT, StateT, TraceT]):
    """A net that runs over a sequence and keeps what `backward` needs."""

    @overload
    def forward(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        bptt: Strategy = ...,
        dropout_seed: Seed = None,
        states: Literal[False] = False,
    ) -> tuple[ArrayT, tuple[StateT, ...], Cache[Self, ArrayT]]: ...

    @overload
    def forward(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        bptt: Strategy = ...,
        dropout_seed: Seed = None,
        states: Literal[True],
    ) -> tuple[ArrayT, tuple[StateT, ...], Cache[Self, ArrayT], tuple[StateT, ...]]: ...

    @overload
    def forward(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        bptt: Strategy = ...,
        dropout_seed: Seed = None,
        states: bool,
    ) -> Any: ...

    def forward(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        dt: Array | None = None,
        reset: Array | None = None,
        initial: tuple[StateT, ...] | None = None,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
        dropout_seed: Seed = None,
        states: bool = False,
    ) -> Any:
        """Run over a sequence and keep what `backward` needs.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x : array (T, B, I)
            The input. T or B may be 0.
        state : tree of arrays (B, H), optional
            The initial state. Default: zeros.
        mask : array (T, B), optional
            Boolean, in any pattern. Where it is False, the state passes the step unchanged, the
            output is zero, and the input, NaN or not, leaves no trace. Default: all True.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one, as the time since the step before.
        reset : array (T, B), optional
            Boolean. Before a step where it is True, the state is the initial one again: the
            sequence is cut there, and each part is as if it were run alone, in both directions.
            Default: all False.
        initial : tree of arrays (B, H), optional
            The state that `reset` restores. Default: `state`. Pass it where `state` is carried on
            from the chunk before.
        bptt : KeepAll, KeepStates, Segments, Binomial, Budget or Truncated
            How `backward` pays for memory. Default: it keeps everything.
        dropout_seed : int, SeedSequence or numpy.random.Generator, optional
            What dropout, recurrent dropout and zoneout follow from, on every library alike. Needed
            by a net that has one of them.
        states : bool
            Whether to return the states after all steps, too.

        Returns
        -------
        y : array (T, B, D·H)
            The hidden states of the last layer, the forward direction's first. It may share
            memory with `cache`: do not write into it before `backward`.
        state : tree of arrays (B, H)
            The state after the last step of each direction, to be passed on with the next chunk.
        cache : Cache
            For `backward`.
        states : tree of arrays (T, B, H), only with ``states=True``
            Every part of the state of every layer and direction after each step; where the mask is
            False, what it was before. In both directions the states at t belong to ``x[t]``. They
            may share memory with `cache`, as `y`.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.GRU(3, 5, num_layers=2)
        >>> y, state, cache = net.forward(net.init(0), np.ones((7, 2, 3), dtype=np.float32))
        >>> y.shape, len(state), state[0].h.shape
        ((7, 2, 5), 2, (2, 5))
        """
        check.true_or_false("states", states)
        xp, params, start, key = self._door.forward(
            params, x, state, mask, reset, initial, bptt, dropout_seed
        )
        given = x
        if dt is not None or self.recurrence.side:
            x = beside(self, x, dt, xp=xp)
        size = door.itemsize(x.dtype, xp=xp)
        form = Form(masked=mask is not None, resets=reset is not None, states=states)
        memory = self._memory(x.shape[0], x.shape[1], size, form, xp=xp)
        run = Run(mask, bptt.plan(x.shape[0], memory), key, reset, states)
        y, final, layers = self._layer.forward(params, x, start, run, xp=xp)
        y, final = door.in_order((y, final), given)
        cache = Cache(self, given, layers, initial is not None, dt is None or len(dt.shape) == 2)  # noqa: PLR2004 - (T, B)
        if not states:
            return y, final, cache
        final, every = apart(final)
        return y, final, cache, every

    def _memory(self, steps: int, batch: int, size: int, form: Form, *, xp: Any) -> Memory:
        """Return what strategies ask about memory, with elements of `size` bytes."""
        given = {"masked": form.masked, "resets": form.resets, "every": form.states}
        sizes = Sizes(steps, batch, self.input_size, self.sizes, size, **given, xp=xp)
        return Memory(self._layer, sizes, self)
