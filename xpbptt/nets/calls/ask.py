"""What a call would take: its engine, and its cost."""

from types import ModuleType
from typing import Any

from xpbptt._arrays import check
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.types import Array, StateT, TraceT, WeightsT
from xpbptt.bptt import KeepAll, Strategy
from xpbptt.bptt.layers.heads import whole
from xpbptt.bptt.loop import Engines, engines
from xpbptt.kernels import Form
from xpbptt.nets.calls.forward import Forward
from xpbptt.nets.stack import door
from xpbptt.nets.stack.cost import Cost, cost, dtype_bytes
from xpbptt.nets.stack.side import beside


class Ask(Forward[WeightsT, StateT, TraceT]):
    """A net that tells what a call would take, without running anything."""

    def engine(
        self,
        params: tuple[WeightsT, ...],
        x: Array,
        mask: Array | None = None,
        *,
        reset: Array | None = None,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
    ) -> Engines:
        """Return which engine runs the time steps of a call, and why it is not a faster one.

        The environment variable ``XPBPTT_ENGINE`` chooses one by hand: ``sequence``, ``stepwise``,
        ``eager`` or, on CuPy, ``graph``. There `backward` with `clip_step` goes step by step
        whatever is said here.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x : array (T, B, I)
            The input.
        mask : array (T, B), optional
            The mask.
        reset : array (T, B), optional
            The resets.
        bptt : KeepAll, KeepStates, Segments, Binomial, Budget or Truncated
            What `forward` is to keep.

        Returns
        -------
        engines : Engines
            The name and the reason, for ``engines.forward``, ``engines.backward`` and
            ``engines.infer``, of the first layer; those above differ at most in the size of their
            input.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.GRU(3, 5, reset_after=False)
        >>> net.engine(net.init(0), np.ones((7, 2, 3), dtype=np.float32)).forward
        Answer(name='eager', reason='a Recurrence is not compiled')
        """
        xp, params, _ = self._door.infer(params, x, None, mask, reset, None)
        if self.recurrence.side:
            x = beside(self, x, xp.zeros_like(x[..., : self.recurrence.side]), xp=xp)
        door.check_strategy(bptt)
        size = door.itemsize(x.dtype, xp=xp)
        drops, zoned = bool(self.recurrent_dropout), tuple(rate > 0 for rate in self.zones)
        form = Form(mask is not None, reset is not None, drops=drops, zoned=zoned)
        memory = self._memory(x.shape[0], x.shape[1], size, form, xp=xp)
        first: Any = params[0]
        one = first[0] if self.bidirectional else first
        plan = bptt.plan(x.shape[0], memory)
        one = whole(one, self.heads, xp=xp)
        return engines(self.one_head, one, x, plan, form=form, xp=xp)

    def cost(
        self,
        steps: int,
        batch: int,
        dtype: Any = "float32",
        *,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
        masked: bool = False,
        reset: bool = False,
        states: bool = False,
        xp: ModuleType | None = None,
    ) -> Cost:
        """Say what a strategy will cost, without running anything.

        Parameters
        ----------
        steps, batch : int
            The sizes T and B.
        dtype : dtype or str
            Of the arrays, of any library.
        bptt : KeepAll, KeepStates, Segments, Binomial, Budget or Truncated
            The strategy.
        masked, reset, states : bool
            Whether there is a mask, whether there are resets, and whether the states of all steps
            are returned and have gradients.
        xp : namespace, optional
            The array library, as CuPy: both directions are run at once there, and a kernel takes
            memory of its own, for the device at hand; kernels may be compiled to know it. Default:
            any library that runs one direction after the other, as NumPy, torch and JAX.

        Returns
        -------
        cost : Cost
            The bytes kept, the most bytes at any time, and the steps run forward.

        Raises
        ------
        TypeError, ValueError
            Where an argument is none, or no strategy fits into a `Budget`.

        Examples
        --------
        >>> import xpbptt
        >>> net = xpbptt.LSTM(64, 64)
        >>> everything = net.cost(1000, 8, bptt=xpbptt.KeepAll())
        >>> segments = net.cost(1000, 8, bptt=xpbptt.Segments())
        >>> segments.steps // everything.steps
        2
        >>> segments.bytes < everything.bytes // 20
        True
        """
        check.whole("steps", steps, at_least=0)
        check.whole("batch", batch, at_least=0)
        door.check_strategy(bptt)
        check.true_or_false("masked", masked)
        check.true_or_false("reset", reset)
        check.true_or_false("states", states)
        form = Form(masked, reset, states)
        on = None if xp is None else standard(xp)
        return cost(self._memory(int(steps), int(batch), dtype_bytes(dtype), form, xp=on), bptt)
