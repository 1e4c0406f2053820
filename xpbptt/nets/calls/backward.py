"""The pass back."""

from typing import Any, Literal, Self, overload

from xpbptt._arrays.types import Array, ArrayT, StateT, TraceT, WeightsT
from xpbptt.bptt import Gradients
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack import door
from xpbptt.nets.stack.side import parted
from xpbptt.nets.stack.signature import Cache


class Backward(Base[WeightsT, StateT, TraceT]):
    """A net that goes back over what `forward` kept."""

    @overload
    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        dstates: tuple[StateT, ...] | None = None,
        trace: Literal[False] = False,
        clip_step: float | None = None,
        per_sample: bool = False,
    ) -> Gradients[tuple[WeightsT, ...], ArrayT, tuple[StateT, ...]]: ...

    @overload
    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        dstates: tuple[StateT, ...] | None = None,
        trace: Literal[True],
        clip_step: float | None = None,
        per_sample: bool = False,
    ) -> tuple[Gradients[tuple[WeightsT, ...], ArrayT, tuple[StateT, ...]], tuple[TraceT, ...]]: ...

    @overload
    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        dstates: tuple[StateT, ...] | None = None,
        trace: bool,
        clip_step: float | None = None,
        per_sample: bool = False,
    ) -> Any: ...

    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        dstates: tuple[StateT, ...] | None = None,
        trace: bool = False,
        clip_step: float | None = None,
        per_sample: bool = False,
    ) -> Any:
        """Backpropagate through time.

        Parameters
        ----------
        cache : Cache
            What `forward` returned. It may be used more than once.
        dy : array (T, B, D·H)
            The gradient of the loss by `y`.
        dstate : tree of arrays (B, H), optional
            The gradient of the loss by the final state. Default: zeros.
        dstates : tree of arrays (T, B, H), optional
            The gradient of the loss by the states after all steps, which come on top of `dy` and
            `dstate`. Default: zeros.
        trace : bool
            Whether to return the norms of the gradients inside the pass, too.
        clip_step : float, optional
            The largest norm that the gradient of the state of one sequence may have when a step
            hands it back to the step before; a larger one is scaled down. The gradients are then
            no longer those of the loss. Default: no limit.
        per_sample : bool
            Whether the gradients of the parameters are those of each sequence, with a first axis B
            in place of the sum over it, from the same pass. They take B times the memory.

        Returns
        -------
        grads : Gradients
            The gradients ``grads.params``, ``grads.x`` and ``grads.state``, each in the tree of
            what it belongs to, summed over time and batch. That of the initial state takes in what
            every reset hands to it; where `forward` was given `initial`, that is ``grads.initial``.
        trace : tuple of Trace, only with ``trace=True``
            One entry a layer, a pair where the net is bidirectional: ``trace[0].state.h`` and
            ``trace[0].gates.f`` are arrays (T,), step t's gradient at t in both directions.

        Raises
        ------
        TypeError, ValueError
            Where an argument has the wrong shape, structure, dtype, library or device, or the
            cache is another net's.

        Examples
        --------
        >>> import numpy as np, xpbptt
        >>> net = xpbptt.RNN(3, 5)
        >>> y, state, cache = net.forward(net.init(0), np.ones((7, 2, 3), dtype=np.float32))
        >>> grads = net.backward(cache, np.ones_like(y))
        >>> grads.params[0].weight_ih.shape, grads.x.shape, grads.state[0].h.shape
        ((5, 3), (7, 2, 3), (2, 5))
        """
        xp, dfinal, watch = self._door.backward(
            cache, dy, dstate, dstates, trace, clip_step, per_sample
        )
        grads, norms = self._layer.backward(cache.layers, dy, dfinal, watch, xp=xp)
        whole = grads
        if cache.started or self.recurrence.side:
            whole = parted(self, grads, started=cache.started, flat=cache.flat)
        grads, norms = door.in_order((whole, norms), cache.x)
        return (grads, norms) if trace else grads
