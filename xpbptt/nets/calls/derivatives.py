"""Directional derivatives and Hessian-vector products."""

from typing import Any

from xpbptt._arrays.types import Array, ArrayT, Seed, StateT, TraceT, WeightsT
from xpbptt.bptt import Gradients, KeepAll, Run
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack.side import parted
from xpbptt.nets.stack.tangents import begun, lifted


class Derivatives(Base[WeightsT, StateT, TraceT]):
    """A net with derivatives along a direction."""

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
        both = (lifted(a, b, xp=one.xp) for a, b in zip(upstream, change, strict=True))
        _, found = one.separated(one.backward(cache, *both))
        flat = dt is None or len(dt.shape) == len(x.shape) - 1
        return parted(self, found, started=initial is not None, flat=flat)  # type: ignore[no-any-return]
