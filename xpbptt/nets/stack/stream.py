"""A stream: a net that advances step by step, checked once when it is made."""

from typing import Any, Generic

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.tree import copied
from xpbptt._arrays.types import Array, ArrayT, StateT, WeightsT
from xpbptt.bptt import Run
from xpbptt.bptt.layers.heads import whole
from xpbptt.cells.cell import Cell
from xpbptt.cells.zoneout import expected
from xpbptt.kernels import find
from xpbptt.nets.stack.door import Door
from xpbptt.nets.stack.side import beside
from xpbptt.nets.stack.stack import Stack


class Stream(Generic[WeightsT, ArrayT, StateT]):
    """A net that advances step by step and keeps its state; `Net.stream` makes one.

    Parameters
    ----------
    net : Net
        The net, of one direction.
    door : Door
        The checks of its calls.
    layer : Layer
        Its functions on sequences.
    params : tree of arrays
        The parameters. They are read when the stream is made: later changes do not reach it.
    state : tree of arrays (B, H)
        The state before the first step.
    copy : bool
        Whether every output is an array of its own.

    Examples
    --------
    >>> import numpy as np, xpbptt
    >>> net = xpbptt.LSTM(3, 5)
    >>> stream = net.stream(net.init(0))
    >>> for x_t in np.ones((7, 1, 3), dtype=np.float32):
    ...     y_t = stream(x_t)
    >>> y_t.shape, stream.state[0].c.shape
    ((1, 5), (1, 5))
    """

    def __init__(
        self,
        net: Stack,
        door: Door,
        layer: Any,
        params: tuple[WeightsT, ...],
        state: tuple[StateT, ...],
        *,
        copy: bool,
        xp: Any,
    ) -> None:
        self._net, self._door, self._layer, self._xp = net, door, layer, xp
        self._params: tuple[WeightsT, ...] = copied(params, xp=xp)
        self._first = copied(state, xp=xp)
        self._state = copied(state, xp=xp)
        self._copy = copy
        first: Any = state[0]  # the state of the first layer
        self._like = first[0]
        self._batch = self._like.shape[0]
        self._shape = (self._batch, net.input_size)
        self._kind, self._dtype = type(self._like), self._like.dtype
        self._stepper = self._compiled()
        self._outputs: list[Any] = []
        if self._stepper is not None:
            self._outputs = [each.view() for each in self._stepper.outputs]
            for each in self._outputs:
                each.flags.writeable = False

    def _compiled(self) -> Any:
        """Return the compiled step of all layers, or None where there is none."""
        cell = expected(self._net.one_head, self._net.zones)
        if not isinstance(cell, Cell) or 0 in (*self._shape,):
            return None
        if not array_api_compat.is_numpy_namespace(self._xp):
            return None
        found = find(cell, ("single",), self._dtype, xp=self._xp)
        if isinstance(found, str) or found.target.stream is None:
            return None
        params = tuple(whole(each, self._net.heads, xp=self._xp) for each in self._params)
        return found.target.stream(found.kernels["single"], params, self._state)

    def __call__(
        self, x_t: ArrayT, reset: Array | None = None, *, dt: Array | None = None
    ) -> ArrayT:
        """Advance by one step.

        Parameters
        ----------
        x_t : array (B, I)
            The input of this step.
        reset : array (B,), optional
            Boolean. Where it is True, the step begins with the state before the first one.
        dt : array (B,) or (B, K), optional
            The side input, of a net whose cell has one.

        Returns
        -------
        y_t : array (B, H)
            The output of the last layer. Without ``copy=True`` it is memory of the stream, not to
            be written to, and the step after the next one overwrites it.

        Raises
        ------
        TypeError, ValueError
            Where `x_t` or `reset` has the wrong shape, dtype, library or device.
        """
        if not (type(x_t) is self._kind and x_t.shape == self._shape and x_t.dtype == self._dtype):
            self._check(x_t, "x_t", "(B, I)", self._shape)
        if reset is not None:
            again = self._door.restarted(self.state, x_t, reset, self._first, xp=self._xp)
            self._go_on_from(again)
        stepper: Any = self._stepper
        if dt is not None or self._net.recurrence.side:
            x_t = beside(self._net, x_t, dt, xp=self._xp)
        if stepper is None:
            y_t, self._state = self._layer.step(self._params, x_t, self._state, xp=self._xp)
            return self._xp.asarray(y_t, copy=True) if self._copy else y_t  # type: ignore[no-any-return]
        stepper.x[...] = x_t
        y_t = stepper.step()
        if self._copy:
            return y_t.copy()  # type: ignore[no-any-return]
        return self._outputs[0 if y_t is stepper.outputs[0] else 1]  # type: ignore[no-any-return]

    @property
    def state(self) -> tuple[StateT, ...]:
        """A copy of the state: named tuples of arrays (B, H), one a layer."""
        if self._stepper is not None:
            return self._stepper.state  # type: ignore[no-any-return]
        return copied(self._state, xp=self._xp)  # type: ignore[no-any-return]

    def process(self, x: ArrayT, reset: Array | None = None, *, dt: Array | None = None) -> ArrayT:
        """Run over a block of steps, and go on from the state after it.

        Parameters
        ----------
        x : array (T, B, I)
            The input.
        reset : array (T, B), optional
            Boolean. Where it is True, a step begins with the state before the first one.
        dt : array (T, B) or (T, B, K), optional
            The side input, of a net whose cell has one.

        Returns
        -------
        y : array (T, B, H)
            The output of the last layer, an array of its own.

        Raises
        ------
        TypeError, ValueError
            Where `x` or `reset` has the wrong shape, dtype, library or device.
        """
        check.rank("x", x, "(T, B, I)")
        self._check(x, "x", "(T, B, I)", (x.shape[0], *self._shape))
        initial = None if reset is None else self._first
        given = self._params, x, self.state, None, reset, initial
        xp, params, start = self._door.infer(*given)
        x = beside(self._net, x, dt, xp=xp)
        y, state = self._layer.infer(params, x, start, Run(reset=reset), xp=xp)
        self._go_on_from(state)
        return y  # type: ignore[no-any-return]

    def reset(self, state: tuple[StateT, ...] | None = None) -> None:
        """Go back to a state.

        Parameters
        ----------
        state : tree of arrays (B, H), optional
            The state. Default: that of the first step.

        Raises
        ------
        TypeError, ValueError
            Where it has the wrong structure, shape, dtype, library or device.
        """
        if state is not None:
            x_t = self._xp.zeros(
                self._shape, dtype=self._dtype, device=array_api_compat.device(self._like)
            )
            _, _, state = self._door.step(self._params, x_t, state)
        self._go_on_from(self._first if state is None else state)

    def _go_on_from(self, state: Any) -> None:
        if self._stepper is None:
            self._state = copied(state, xp=self._xp)
        else:
            self._stepper.state = state

    def _check(self, x: Any, name: str, axes: str, shape: tuple[int, ...]) -> None:
        """Refuse an input that does not fit; one of another class may."""
        check.array_namespace(name, x)
        check.rank(name, x, axes)
        check.shape(name, x, shape, f"{axes} of this stream of {self._net}")
        check.one_namespace([(name, x), ("state[0]", self._like)])

    def __repr__(self) -> str:
        """Return the net and the number of sequences."""
        return f"<Stream of {self._net}, batch={self._batch}>"
