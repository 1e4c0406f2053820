"""What a net is: a cell over whole sequences, time first, in layers and directions.

T time steps, B sequences in the batch, I inputs, H hidden units, D directions (1, or 2 for a
bidirectional net), G gates of the cell.
"""

from functools import cached_property
from types import ModuleType
from typing import Any, Generic, Literal, Self, overload

import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.draw import generator, uniform
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Array, ArrayT, Seed, StateT, TraceT, WeightsT
from xpbptt.bptt import (
    Gradients,
    KeepAll,
    Layer,
    Run,
    Strategy,
    bidirectional,
    chain,
    dropout,
    unroll,
)
from xpbptt.bptt.layers.memory import Sizes
from xpbptt.bptt.loop import Engines, engines
from xpbptt.nets import signature
from xpbptt.nets.cost import Cost, cost, dtype_bytes
from xpbptt.nets.memory import Memory
from xpbptt.nets.signature import Cache, Door
from xpbptt.nets.stack import Stack
from xpbptt.nets.stream import Stream


class Net(Stack, Generic[WeightsT, StateT, TraceT]):
    """A recurrent net: its sizes and the functions on sequences that follow from them.

    `LSTM`, `GRU` and `RNN` make the common ones. A net holds no arrays: parameters and states go in
    and come out as trees, tuples with one entry a layer; where the net is bidirectional an entry
    is a pair, forward direction first. In a tree of parameters the entries are `Weights` with the
    fields ``weight_ih (G·H, I)``, ``weight_hh (G·H, H)``, ``bias_ih`` and ``bias_hh (G·H,)``, for
    the layers above the first with D·H in place of I. In a state they are named tuples of arrays
    (B, H): ``(h, c)`` of an LSTM, ``(h,)`` of a GRU or RNN. Tensors of torch that require grad are
    refused, as autograd would record every step: pass ``tensor.detach()``.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step: the elementwise maths of a cell, or the wider contract.
    input_size, hidden_size, num_layers : int
        The sizes I and H, and the number of layers.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    dropout : float
        The share of each layer's output that `forward` drops before the layer above.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, or `dropout` is not from 0 to below 1.

    Warns
    -----
    UserWarning
        Where there is `dropout` and only one layer, so that nothing is dropped.

    Examples
    --------
    >>> import xpbptt
    >>> from xpbptt.cells import RNN_TANH
    >>> xpbptt.Net(RNN_TANH, 3, 5, num_layers=2)
    RNN(3, 5, num_layers=2)
    """

    @cached_property
    def _door(self) -> Door:
        return Door(self)

    @cached_property
    def _layer(self) -> Layer:
        one = unroll(self.cell)
        layer = bidirectional(one) if self.bidirectional else one
        above = [
            dropout(layer, float(self.dropout), k) if self.dropout else layer
            for k in range(1, self.num_layers)
        ]
        return chain([layer, *above])

    def init(
        self,
        seed: Seed = 0,
        *,
        xp: ModuleType | None = None,
        dtype: Any = None,
        device: Any = None,
    ) -> tuple[WeightsT, ...]:
        """Draw parameters from U(-1/√H, 1/√H), as PyTorch does.

        Parameters
        ----------
        seed : int, SeedSequence or numpy.random.Generator
            Where the numbers come from. They are drawn on the host in float64, so the same seed
            gives the same weights, rounded to `dtype`, on every library.
        xp : namespace, optional
            The array library: ``numpy``, ``cupy``, ``torch``, ``jax.numpy`` or any other of the
            standard. Default: NumPy.
        dtype : dtype or str, optional
            A real floating-point dtype of that library, or its name. Default: float32.
        device : device, optional
            Where to put the arrays. Default: the library's default.

        Returns
        -------
        params : tree of arrays
            The parameters.

        Examples
        --------
        >>> import xpbptt
        >>> params = xpbptt.LSTM(12, 64).init(seed=0)
        >>> params[0].weight_ih.shape
        (256, 12)
        """
        namespace = standard(np if xp is None else xp)
        random = generator(seed)
        bound = self.hidden_size**-0.5
        params: tuple[WeightsT, ...] = map_leaves(
            lambda expected: uniform(
                random, expected.shape, bound, xp=namespace, dtype=dtype, device=device
            ),
            signature.parameters(self),
        )
        return params

    def forward(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
        *,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
        dropout_seed: Seed = None,
    ) -> tuple[ArrayT, tuple[StateT, ...], Cache[Self, ArrayT]]:
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
        bptt : KeepAll, KeepStates, Segments, Binomial, Budget or Truncated
            How `backward` pays for memory. Default: it keeps everything.
        dropout_seed : int, SeedSequence or numpy.random.Generator, optional
            What dropout follows from, on every library alike. Needed by a net with dropout.

        Returns
        -------
        y : array (T, B, D·H)
            The hidden states of the last layer, the forward direction's first. It may share
            memory with `cache`: do not write into it before `backward`.
        state : tree of arrays (B, H)
            The state after the last step of each direction, to be passed on with the next chunk.
        cache : Cache
            For `backward`.

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
        xp, params, start, key = self._door.forward(params, x, state, mask, bptt, dropout_seed)
        size = signature.itemsize(x.dtype, xp=xp)
        memory = self._memory(x.shape[0], x.shape[1], size, masked=mask is not None)
        run = Run(mask, bptt.plan(x.shape[0], memory), key)
        y, final, layers = self._layer.forward(params, x, start, run, xp=xp)
        y, final = signature.in_order((y, final), x)
        return y, final, Cache(self, x, layers)

    @overload
    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        trace: Literal[False] = False,
        clip_step: float | None = None,
    ) -> Gradients[tuple[WeightsT, ...], ArrayT, tuple[StateT, ...]]: ...

    @overload
    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        trace: Literal[True],
        clip_step: float | None = None,
    ) -> tuple[Gradients[tuple[WeightsT, ...], ArrayT, tuple[StateT, ...]], tuple[TraceT, ...]]: ...

    @overload
    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        trace: bool,
        clip_step: float | None = None,
    ) -> Any: ...

    def backward(
        self,
        cache: Cache[Self, ArrayT],
        dy: Array,
        dstate: tuple[StateT, ...] | None = None,
        *,
        trace: bool = False,
        clip_step: float | None = None,
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
        trace : bool
            Whether to return the norms of the gradients inside the pass, too.
        clip_step : float, optional
            The largest norm that the gradient of the state of one sequence may have when a step
            hands it back to the step before; a larger one is scaled down. The gradients are then
            no longer those of the loss. Default: no limit.

        Returns
        -------
        grads : Gradients
            The gradients ``grads.params``, ``grads.x`` and ``grads.state``, each in the tree of
            what it belongs to, summed over time and batch.
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
        xp, dfinal, watch = self._door.backward(cache, dy, dstate, trace, clip_step)
        grads, norms = self._layer.backward(cache.layers, dy, dfinal, watch, xp=xp)
        grads, norms = signature.in_order((grads, norms), cache.x)
        return (grads, norms) if trace else grads

    def infer(
        self,
        params: tuple[WeightsT, ...],
        x: ArrayT,
        state: tuple[StateT, ...] | None = None,
        mask: Array | None = None,
    ) -> tuple[ArrayT, tuple[StateT, ...]]:
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

        Returns
        -------
        y : array (T, B, D·H)
            The hidden states of the last layer.
        state : tree of arrays (B, H)
            The state after the last step.

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
        xp, params, start = self._door.infer(params, x, state, mask)
        y, final = self._layer.infer(params, x, start, mask, xp=xp)
        return signature.in_order((y, final), x)  # type: ignore[no-any-return]

    def step(
        self, params: tuple[WeightsT, ...], x_t: ArrayT, state: tuple[StateT, ...] | None = None
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
        xp, params, before = self._door.step(params, x_t, state)
        step: Any = self._layer.step  # the door has refused a net without one
        y_t, after = step(params, x_t, before, xp=xp)
        return signature.in_order((y_t, after), x_t)  # type: ignore[no-any-return]

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

    def engine(
        self,
        params: tuple[WeightsT, ...],
        x: Array,
        mask: Array | None = None,
        *,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
    ) -> Engines:
        """Return which engine runs the time steps of a call, and why it is not a faster one.

        The environment variable ``XPBPTT_ENGINE`` chooses one by hand: ``sequence``, ``stepwise``
        or ``eager``. On CuPy `backward` with `clip_step` goes step by step whatever is said here.

        Parameters
        ----------
        params : tree of arrays
            The parameters.
        x : array (T, B, I)
            The input.
        mask : array (T, B), optional
            The mask.
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
        xp, params, _ = self._door.infer(params, x, None, mask)
        signature.check_strategy(bptt)
        size = signature.itemsize(x.dtype, xp=xp)
        memory = self._memory(x.shape[0], x.shape[1], size, masked=mask is not None)
        first: Any = params[0]
        one = first[0] if self.bidirectional else first
        plan = bptt.plan(x.shape[0], memory)
        return engines(self.cell, one, x, plan, masked=mask is not None, xp=xp)

    def cost(
        self,
        steps: int,
        batch: int,
        dtype: Any = "float32",
        *,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
        masked: bool = False,
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
        masked : bool
            Whether there is a mask.

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
        signature.check_strategy(bptt)
        check.true_or_false("masked", masked)
        return cost(self._memory(int(steps), int(batch), dtype_bytes(dtype), masked=masked), bptt)

    def _memory(self, steps: int, batch: int, size: int, *, masked: bool) -> Memory:
        """Return what strategies ask about memory, with elements of `size` bytes."""
        sizes = Sizes(steps, batch, self.input_size, self.hidden_size, size, masked)
        return Memory(self._layer, sizes, self)
