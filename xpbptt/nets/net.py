"""What a net is: a cell over whole sequences, time first, in layers and directions.

T time steps, B sequences in the batch, I inputs, H hidden units, D directions (1, or 2 for a
bidirectional net), G gates of the cell.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any, Generic, Literal, Self, overload

import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.draw import generator, placed
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Array, ArrayT, Seed, StateT, TraceT, WeightsT
from xpbptt.bptt import (
    Gradients,
    KeepAll,
    Layer,
    Run,
    StartGradients,
    Strategy,
    chain,
    concatenate,
    dropout,
    reverse,
    unroll,
)
from xpbptt.bptt.layers.memory import Sizes
from xpbptt.bptt.layers.noise import Rates
from xpbptt.bptt.layers.side import carrying
from xpbptt.bptt.layers.states import apart
from xpbptt.bptt.loop import Engines, engines
from xpbptt.kernels import Form
from xpbptt.nets import signature
from xpbptt.nets.cost import Cost, cost, dtype_bytes
from xpbptt.nets.initial import Draw, Rules, draw
from xpbptt.nets.memory import Memory
from xpbptt.nets.side import beside, parted
from xpbptt.nets.signature import Cache, Door
from xpbptt.nets.stack import Stack
from xpbptt.nets.stream import Stream
from xpbptt.nets.tangents import begun, lifted


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
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    dropout : float
        The share of each layer's output that `forward` drops before the layer above.
    recurrent_dropout : float
        The share of the state that W_hh does not see in `forward`, the same elements at every step
        of a sequence [1]_; what it sees is divided by 1 - p.
    zoneout : float or tuple of float
        The share of the state that a step of `forward` leaves what it was, other elements at every
        step [2]_, of all parts of the state or of each. `infer`, `step` and streams compute the
        expectation.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, or `dropout` is not from 0 to below 1.

    Warns
    -----
    UserWarning
        Where there is `dropout` and only one layer, so that nothing is dropped.

    References
    ----------
    .. [1] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
       neural networks", NeurIPS 2016.
    .. [2] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
       activations", ICLR 2017.

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
        layers, side = [self._one(k) for k in range(self.num_layers)], self.recurrence.side
        if side:
            layers = [*(carrying(layer, side) for layer in layers[:-1]), layers[-1]]
        above = [
            dropout(layer, float(self.dropout), k, side) if self.dropout else layer
            for k, layer in enumerate(layers[1:], 1)
        ]
        return chain([layers[0], *above])

    def _one(self, k: int) -> Layer:
        """Return a layer."""
        rates = Rates(float(self.recurrent_dropout), self.zones, self.directions * k)
        one = unroll(self.cell, rates)
        if not self.bidirectional:
            return one
        return concatenate(one, reverse(unroll(self.cell, rates._replace(number=rates.number + 1))))

    def init(
        self,
        seed: Seed = 0,
        *,
        xp: ModuleType | None = None,
        dtype: Any = None,
        device: Any = None,
        forget_bias: float | None = None,
        recurrent: str | Draw | None = None,
        input: str | Draw | None = None,  # noqa: A002 - what it is of
        parameters: Mapping[str, Draw] | None = None,
    ) -> tuple[WeightsT, ...]:
        """Draw parameters from U(-1/√H, 1/√H), as PyTorch does, or by other rules.

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
        forget_bias : float, optional
            The bias of the forget gate f, the sum of `bias_ih` and `bias_hh`; 1.0 lets an LSTM
            remember from the start [1]_.
        recurrent, input : {"orthogonal", "glorot"} or callable, optional
            How W_hh and W_ih are drawn, each gate's block by itself. A callable takes a
            ``numpy.random.Generator`` and a shape, and returns the numbers.
        parameters : dict of str to callable, optional
            The same for whole parameters by their names, as ``{"bias_ih": f}`` or ``"extra.decay"``
            of a cell's own, in every layer and direction.

        Returns
        -------
        params : tree of arrays
            The parameters. A rule changes no number of a parameter that it is not of.

        Raises
        ------
        TypeError, ValueError
            Where a rule is none, or is of a parameter or gate that the net lacks.

        References
        ----------
        .. [1] R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
           network architectures", ICML 2015.

        Examples
        --------
        >>> import xpbptt
        >>> params = xpbptt.LSTM(12, 64).init(seed=0, forget_bias=1.0, recurrent="orthogonal")
        >>> params[0].weight_ih.shape
        (256, 12)
        >>> float(params[0].bias_ih[64:128].min())
        1.0
        """
        namespace = standard(np if xp is None else xp)
        rules = Rules(forget_bias, recurrent, input, parameters)
        numbers = draw(self, generator(seed), rules)
        params: tuple[WeightsT, ...] = map_leaves(
            lambda leaf: placed(leaf, xp=namespace, dtype=dtype, device=device), numbers
        )
        return params

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
        size = signature.itemsize(x.dtype, xp=xp)
        form = Form(masked=mask is not None, resets=reset is not None, states=states)
        memory = self._memory(x.shape[0], x.shape[1], size, form)
        run = Run(mask, bptt.plan(x.shape[0], memory), key, reset, states)
        y, final, layers = self._layer.forward(params, x, start, run, xp=xp)
        y, final = signature.in_order((y, final), x)
        cache = Cache(self, given, layers, initial is not None, dt is None or len(dt.shape) == 2)  # noqa: PLR2004 - (T, B)
        if not states:
            return y, final, cache
        final, every = apart(final)
        return y, final, cache, every

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
        whole: Any = grads
        if cache.started:
            whole = StartGradients(grads.params, grads.x, *apart(grads.state))
        if self.recurrence.side:
            whole = parted(whole, self.recurrence.side, flat=cache.flat)
        grads, norms = signature.in_order((whole, norms), cache.x)
        return (grads, norms) if trace else grads

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
    ) -> tuple[tuple[ArrayT, tuple[StateT, ...]], tuple[ArrayT, tuple[StateT, ...]]]:
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
            be None, which stands for zeros. The `Gradients` of a backward pass fit.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one; a constant here.
        reset : array (T, B), optional
            As for `forward`.
        initial : tree of arrays (B, H), optional
            As for `forward`; a constant here.
        dropout_seed : int, SeedSequence or numpy.random.Generator, optional
            As for `forward`.

        Returns
        -------
        outputs : tuple
            ``y, state``, as `forward` returns them.
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
        given = self._door.forward(params, x, state, mask, reset, initial, KeepAll(), dropout_seed)
        one = begun(self, self._layer, given, x, Run(mask, reset=reset), tangents, dt)
        y, final, _ = one.forward()
        outputs, found = one.separated((y, final))
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
        reset: Array | None = None,
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
            The direction: what `params`, `x` and `state` change by, in their structures; each may
            be None, which stands for zeros.
        dstate : tree of arrays (B, H), optional
            The gradient of the loss by the final state. Default: zeros.
        ddy : array (T, B, D·H), optional
            What `dy` changes by in that direction: the second derivative of the loss by `y` times
            what `jvp` says of `y`. Default: zeros, as of a loss that is linear in `y`.
        ddstate : tree of arrays (B, H), optional
            The same for `dstate`.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one; a constant here.
        reset : array (T, B), optional
            As for `forward`.
        dropout_seed : int, SeedSequence or numpy.random.Generator, optional
            As for `forward`.

        Returns
        -------
        products : Gradients
            What ``grads.params``, ``grads.x`` and ``grads.state`` change by.

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
        given = self._door.forward(params, x, state, mask, reset, None, KeepAll(), dropout_seed)
        one = begun(self, self._layer, given, x, Run(mask, reset=reset), tangents, dt)
        _, _, cache = one.forward()
        upstream = self._door.upstream(x, dy, dstate)
        if ddy is None:
            ddy = one.xp.zeros_like(dy)
        change = self._door.upstream(x, ddy, ddstate, ("ddy", "ddstate"))
        both = (lifted(a, b, xp=one.xp) for a, b in zip(upstream, change, strict=True))
        _, found = one.separated(one.backward(cache, *both))
        return found._replace(x=found.x[..., : self.input_size])  # type: ignore[no-any-return]

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
        if dt is not None or self.recurrence.side:
            x = beside(self, x, dt, xp=xp)
        run = Run(mask, reset=reset, states=states)
        y, final = self._layer.infer(params, x, start, run, xp=xp)
        y, final = signature.in_order((y, final), x)
        return (y, *apart(final)) if states else (y, final)

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
            The state that `reset` restores. Default: zeros.

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
        if dt is not None or self.recurrence.side:
            x_t = beside(self, x_t, dt, xp=xp)
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
        reset: Array | None = None,
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
        reset : array (T, B), optional
            The resets. On CuPy they go step by step, as recurrent dropout does.
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
        signature.check_strategy(bptt)
        size = signature.itemsize(x.dtype, xp=xp)
        drops, zoned = bool(self.recurrent_dropout), tuple(rate > 0 for rate in self.zones)
        form = Form(mask is not None, reset is not None, drops=drops, zoned=zoned)
        memory = self._memory(x.shape[0], x.shape[1], size, form)
        first: Any = params[0]
        one = first[0] if self.bidirectional else first
        plan = bptt.plan(x.shape[0], memory)
        return engines(self.cell, one, x, plan, form=form, xp=xp)

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
        check.true_or_false("reset", reset)
        check.true_or_false("states", states)
        form = Form(masked, reset, states)
        return cost(self._memory(int(steps), int(batch), dtype_bytes(dtype), form), bptt)

    def _memory(self, steps: int, batch: int, size: int, form: Form) -> Memory:
        """Return what strategies ask about memory, with elements of `size` bytes."""
        sizes = Sizes(steps, batch, self.input_size, self.sizes, size, form.masked)._replace(
            resets=form.resets, every=form.states
        )
        return Memory(self._layer, sizes, self)


def without_noise(net: Net[WeightsT, StateT, TraceT]) -> Net[WeightsT, StateT, TraceT]:
    """Return the net whose `forward` computes what `infer` of `net` does."""
    quiet: dict[str, Any] = {"dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0}
    return replace(net, cell=net.average, **quiet)
