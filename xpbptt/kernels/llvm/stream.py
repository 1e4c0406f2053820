"""A stream: every layer's step with weights that were packed once, in one call for all layers."""

from ctypes import addressof, create_string_buffer
from functools import partial
from typing import Any

import numpy as np

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm import cell, panels, product
from xpbptt.kernels.llvm.build import NAME, load
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.frames import addresses, words
from xpbptt.kernels.llvm.function import Function, Names
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import POINTERS, panel
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.program import Access
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Kernel, Run


def names(task: Task) -> Names:
    """Return the frame of a layer."""
    own = tuple(name for name in task.program.names if name not in {"u", "v", task.hidden})
    return Names(("rows", "inputs", "hidden"), (*POINTERS, task.hidden, *own))


class Layer(Function):
    """The step of one layer."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, names(task), name="layer")
        self.panel = panel(task.gates)

    def text(self) -> str:
        """Return the function, and the one that runs it for each layer."""
        code, frame, number, lanes = self.code, self.frame, self.vector.number, self.vector.lanes
        columns, width = self.panel.tile * lanes, self.panel.vectors * lanes
        rows, hidden = frame["rows"], frame["hidden"]
        panels = code.whole("udiv", code.total(hidden, width - 1), width)
        with code.loop(0, panels) as p:
            for row, depth, weight, out in (
                (frame["x"], frame["inputs"], frame["weight_ih"], frame["u"]),
                (frame[self.task.hidden], hidden, frame["weight_hh"], frame["v"]),
            ):
                at = code.at(number, weight, code.times(code.times(p, depth), columns))
                code.do(
                    f"call void @product(ptr {row}, i64 {depth}, i64 {rows}, ptr {at}, "
                    f"i64 {depth}, ptr {out}, i64 {columns})"
                )
            with code.loop(0, rows) as b:
                for k in range(self.panel.vectors):
                    j = code.total(code.times(p, width), k * lanes)
                    self.units(partial(self._address, b=b, j=j, k=k), j)
        return f"{code.text()}\n{_all_layers()}"

    def _address(self, access: Access, *, b: Value, j: Value, k: int) -> str:
        if access.buffer.name not in {"u", "v"}:
            return self.element(access, 0, b, j)
        column = (access.block * self.panel.vectors + k) * self.vector.lanes
        row = self.code.times(b, self.panel.tile * self.vector.lanes)
        place = self.code.total(row, column)
        return self.code.at(self.vector.number, self.frame[access.buffer.name], place)


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
    shape = product.tile(kind, panel(task.gates).tile)
    text = [cell.library(kind), product.product("product", kind, shape), Layer(kind, task).text()]
    return load("\n".join(text))


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
        self._states = [[np.array(layer, dtype=dtype) for layer in state] for _ in range(2)]
        self.outputs = [self._states[k][-1][0] for k in (1, 0)]  # by the turn that writes them
        self._turn = 0
        shape, lanes = panel(task.gates), vector(kernel.dtype, features()).lanes
        self._scratch = np.empty((2, batch, shape.tile * lanes), dtype=dtype)
        self._weights = [
            [panels.forward(weight, each.weight_hh.shape[1]) for weight in each[:2]]
            for each in params
        ]
        self._others = [[np.array(each) for each in (*p[2:4], *p.extra)] for p in params]
        self._frames = [self._frame(task, turn, params, batch) for turn in (0, 1)]
        self._calls = [words([len(each), *map(addressof, each)]) for each in self._frames]

    def _frame(self, task: Task, turn: int, params: tuple[Any, ...], batch: int) -> list[Any]:
        """Return the words of each layer for the steps of one turn."""
        order = names(task)
        frames, x = [], self.x
        for k, (weights, others) in enumerate(zip(self._weights, self._others, strict=True)):
            before, after = self._states[turn][k], self._states[1 - turn][k]
            hidden = before.shape[-1]
            own = [f"extra_{field}" for field in getattr(params[k].extra, "_fields", ())]
            parts = self._kinds[k]._fields
            arrays = dict(zip(("bias_ih", "bias_hh", *own), others, strict=True))
            arrays |= {f"state_{name}": part for name, part in zip(parts, before, strict=True)}
            arrays |= {f"new_{name}": part for name, part in zip(parts, after, strict=True)}
            arrays |= {"x": x, "u": self._scratch[0], "v": self._scratch[1]}
            arrays |= dict(zip(("weight_ih", "weight_hh"), weights, strict=True))
            places = addresses([arrays[name] for name in order.addresses])
            frames.append(create_string_buffer(words([batch, x.shape[1], hidden, *places])))
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
