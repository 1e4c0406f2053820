"""A stream: every layer's step with weights that were packed once, in one call for all layers."""

from ctypes import addressof, create_string_buffer
from typing import Any

import numpy as np

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.cells.projection import Projection
from xpbptt.kernels.llvm import library, loops, projection
from xpbptt.kernels.llvm.build import NAME, load
from xpbptt.kernels.llvm.call import addresses, words
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.function import Names
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import (
    PRODUCTS,
    WIDE,
    Panelled,
    multiply,
    panel,
    pointers,
    products,
)
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.places import M
from xpbptt.kernels.program import Access
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Kernel, Run


def names(task: Task) -> Names:
    """Return the frame of a layer."""
    own = tuple(name for name in task.program.names if name not in PRODUCTS | {task.read})
    more = ("weight_hr", task.output) if task.projects else ()
    numbers = "rows", "inputs", "hidden", "read"
    return Names(numbers, (*pointers(task), task.read, *own, *more))


class Layer(Panelled):
    """The step of one layer."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, names(task), name="layer")

    def text(self) -> str:
        """Return the function, and the one that runs it for each layer."""
        self.cells(self._products, self._element)
        if self.task.projects:
            frame = self.frame
            projection.multiply(
                *(self, WIDE, frame[M.name], frame["hidden"], frame[self.task.output]),
                frame["read"],
            )
        return f"{self.code.text()}\n{_all_layers()}"

    def _products(self, p: Value) -> None:
        code, frame, number, inputs = (
            *(self.code, self.frame, self.vector.number, self.frame["inputs"]),
        )
        columns = self.panel.tile * self.vector.lanes
        weight = code.at(number, frame["weight_ih"], code.times(code.times(p, inputs), columns))
        rows = frame["x"], inputs, frame["rows"]
        multiply(code, "product_ih", rows, (weight, inputs), (self._input_part(p), columns))
        if self.task.recurrent:
            self.product_hh(frame[self.task.read], p)

    def _input_part(self, p: Value) -> str:
        if not self.task.program.sums:
            return self.frame["u"]
        columns = self.panel.tile * self.vector.lanes
        place = self.code.times(self.code.times(p, self.frame["rows"]), columns)
        return self.code.at(self.vector.number, self.frame["u"], place)

    def _element(self, access: Access, p: Value, b: Value, j: Value, k: int) -> str:
        name = access.buffer.name
        if name not in PRODUCTS:
            return self.element(access, 0, b, j)
        return self.in_panel(
            access, self._input_part(p) if name == "u" else self.state_part(p), b, k
        )


def _all_layers() -> str:
    """Return a function that is given the number of layers, and the address of each one's words."""
    code = Code(NAME, ("ptr %frame",), "")
    with code.loop(0, code.load("i64", "%frame")) as layer:
        words = code.load("ptr", code.at("i64", "%frame", layer, 1))
        code.do(f"call void @layer(ptr {words})")
    return code.text()


@once
def _function(task: Task, dtype: str) -> Run:
    kind = vector(dtype, features())
    text = [library.library(kind, task.program), products(kind, task), Layer(kind, task).text()]
    if task.projects:
        text.insert(1, projection.products(kind, WIDE))
    return load("\n".join(text))


def _others(params: Any) -> dict[str, AnyArray]:
    """Return copies of a layer's parameters, but for the weights, by the names of their buffers."""
    fields = getattr(params.extra, "_fields", ())
    own = {f"extra_{field}": each for field, each in zip(fields, params.extra, strict=True)}
    if isinstance(params.extra, Projection):  # a weight
        own = {}
    biases = {name: getattr(params, name) for name in ("bias_ih", "bias_hh")}
    return {name: np.array(each) for name, each in (biases | own).items()}


class Stepper:
    """The memory of a stream, and its step.

    The state of every layer is there twice: a step reads one and writes the other, and the next
    step does so the other way round.

    Parameters
    ----------
    kernel : Kernel
        The program of the step of a stream.
    params : tuple of Weights
        The parameters of each layer.
    state : tuple of named tuples of arrays (B, H)
        The state of each layer.
    """

    def __init__(self, kernel: Kernel, params: tuple[Any, ...], state: tuple[Any, ...]) -> None:
        task = kernel.task
        self._function = _function(task, kernel.dtype)
        batch = state[0][0].shape[0]
        dtype = np.dtype(kernel.dtype)
        self.x = np.empty((batch, params[0].weight_ih.shape[1]), dtype=dtype)
        self._kinds = [type(each) for each in state]
        self._states = [
            [[np.array(part, dtype=dtype) for part in layer] for layer in state] for _ in range(2)
        ]
        self.outputs = [self._states[k][-1][0] for k in (1, 0)]  # by the turn that writes them
        self._turn = 0
        shape, lanes = panel(task.gates), vector(kernel.dtype, features()).lanes
        self._hidden = [each.weight_ih.shape[0] // task.gates for each in params]
        widest = max(self._hidden)
        kept = -(-widest // (shape.vectors * lanes)) if task.program.sums else 1  # panels
        self._scratch = np.empty((2, kept, batch, shape.tile * lanes), dtype=dtype)
        self._m = np.empty(batch * widest if task.projects else 0, dtype=dtype)
        self._weights = [loops.pack(task.gates, each, 1) for each in params]
        self._others = [_others(each) for each in params]
        self._frames = [self._frame(task, turn, batch) for turn in (0, 1)]
        self._calls = [words([len(each), *map(addressof, each)]) for each in self._frames]

    def _frame(self, task: Task, turn: int, batch: int) -> list[Any]:
        """Return the words of each layer for the steps of one turn."""
        order = names(task)
        frames, x = [], self.x
        for k, (weights, others) in enumerate(zip(self._weights, self._others, strict=True)):
            before, after = self._states[turn][k], self._states[1 - turn][k]
            parts = self._kinds[k]._fields
            arrays = others | {
                f"state_{name}": part for name, part in zip(parts, before, strict=True)
            }
            arrays |= {f"new_{name}": part for name, part in zip(parts, after, strict=True)}
            arrays |= {"x": x, "u": self._scratch[0], "v": self._scratch[1], M.name: self._m}
            arrays |= dict(zip(("weight_ih", "weight_hh", "weight_hr"), weights, strict=False))
            places = addresses([arrays[name] for name in order.addresses])
            numbers = batch, x.shape[1], self._hidden[k], arrays[task.read].shape[1]
            frames.append(create_string_buffer(words([*numbers, *places])))
            x = after[0]
        return frames

    def step(self) -> AnyArray:
        """Advance by one step, with the input in `x`; return the output, a part of the state."""
        turn = self._turn
        self._function(self._calls[turn])
        self._turn = 1 - turn
        return self.outputs[turn]

    @property
    def state(self) -> tuple[Any, ...]:
        """A copy of the state."""
        now = self._states[self._turn]
        return tuple(
            kind(*(part.copy() for part in layer))
            for kind, layer in zip(self._kinds, now, strict=True)
        )

    @state.setter
    def state(self, state: tuple[Any, ...]) -> None:
        for layer, parts in zip(self._states[self._turn], state, strict=True):
            for mine, part in zip(layer, parts, strict=True):
                mine[...] = part
