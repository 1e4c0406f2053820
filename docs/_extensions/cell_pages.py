"""A page for each cell of the package, made from its module: nothing is written by hand."""

import inspect
import textwrap
from pathlib import Path
from typing import Any

import equations
import numpy as np
from cell_modules import REFERENCES, P, Page, found, makers
from public import write

import xpbptt
from xpbptt.cells import product
from xpbptt.nets.stack import signature

ON_GPU = "``sequence`` where the weights fit the GPU, else ``stepwise``; :doc:`how </gpu>`"
ONLY_STEPS = "``stepwise``; :doc:`how </gpu>`"
I, H, B = 7, 24, 5  # sizes that tell the axes of a shape apart


def engine(cell: Any) -> tuple[str, str]:
    """Return the engine that runs a cell on NumPy, and why no faster one does."""
    net: Any = xpbptt.Net(cell, I, H)
    answer = net.engine(net.init(0), np.zeros((2, B, I), dtype=np.float32)).forward
    return answer.name, answer.reason


def _engines(cell: Any) -> str:
    name, reason = engine(cell)
    because = f" ({reason})" if reason else ""
    on_gpu = ONLY_STEPS if isinstance(cell, xpbptt.Cell) and cell.projection else ON_GPU
    rows = [
        ("NumPy", f"``{name}``{because}"),
        ("CuPy", f"``eager``{because}" if name == "eager" else on_gpu),
        ("JAX", "``scan``"),
        ("other libraries of the standard", "``eager``"),
    ]
    return _table(("on", "runs"), rows)


def _shapes(cell: Any) -> str:
    net: Any = xpbptt.Net(cell, I, H)
    (params,), (state,) = signature.parameters(net), signature.states(net, B)
    rows = [(f"``params[layer].{name}``", shape) for name, shape in _named(params)]
    rows += [(f"``state[layer].{name}``", shape) for name, shape in _named(state)]
    return _table(("array", "shape"), rows)


def _named(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, part in zip(tree._fields, tree, strict=True):
        if hasattr(part, "shape"):
            axes = ", ".join(map(_axis, part.shape))
            rows.append((prefix + name, f"({axes}{',' * (len(part.shape) == 1)})"))
        elif part:
            rows += _named(part, f"{prefix}{name}.")
    return rows


def _axis(size: int) -> str:
    known = {I: "I", H: "H", B: "B", P: "P"}
    times, left = divmod(size, H)
    return known.get(size) or (f"{times}·H" if times > 1 and not left else str(size))


def _maths(cell: Any, page: Page) -> str:
    if isinstance(cell, xpbptt.Recurrence):
        return _as_source(cell.step_backward, cell, page)
    try:
        steps = (equations.forward(cell), equations.backward(cell))
    except equations.Untranslatable:
        return _as_source(cell.backward, cell, page)
    first, *more = cell.gates._fields
    gates = (
        f"the gate {first}"
        if not more
        else (f"split into the gates {', '.join((first, *more))} in the order of the weights' rows")
    )
    part = cell.state._fields[product.read(cell)]
    with_product = equations.multiplied(cell)
    state = f" and :math:`v = W_{{hh}} {part}_{{t-1}} + b_{{hh}}`" if with_product else ""
    if with_product and len(with_product) < len(cell.gates._fields):
        gates += f", of which {', '.join(with_product)} have a part of the state"
    return f"""{_head("Equations", cell, page)}
With :math:`u = W_{{ih}} x_t + b_{{ih}}`{state}, {gates}:

{_block(steps[0])}

{_head("Derivative", cell, page)}
A d in front is the gradient of the loss by what follows.

{_block(steps[1])}
"""


def _as_source(function: Any, cell: Any, page: Page) -> str:
    """Return the derivative of a cell whose equations stand in the module's docstring."""
    text = inspect.getsource(getattr(function, "func", function))
    code = textwrap.indent(text, "   ")
    return f"{_head('Derivative', cell, page)}\n.. code-block:: python\n\n{code}\n"


def _block(lines: list[str]) -> str:
    body = " \\\\\n   ".join(lines)
    return f".. math::\n\n   \\begin{{aligned}}\n   {body}\n   \\end{{aligned}}"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (heads, *rows):
        lines += [
            f"   {'-' if k else '* -'} {text}".replace("   - ", "     - ", 1)
            for k, text in enumerate(row)
        ]
    return "\n".join(lines)


def text(page: Page) -> str:
    """Return the text of a page."""
    made = " and ".join(f":func:`xpbptt.{name}`" for name in makers(page))
    parts = [
        f"{page.title}\n{'=' * 80}\n",
        f".. py:module:: xpbptt.cells.{page.name}\n",
        page.words,
        f"Made by {made}.\n" if made else "",
    ]
    parts += [_maths(cell, page) for cell in page.cells.values()]
    first, *_ = page.cells.values()
    parts += [
        f"Shapes\n{'-' * 80}\n\n{_shapes(first)}\n",
        *(f"{_head('Engines', cell, page)}\n{_engines(cell)}\n" for cell in page.cells.values()),
        f"{REFERENCES}\n{page.references}",
        f"Source\n{'-' * 80}\n",
        "The equations, the derivative and the kernels above come from these lines.\n",
        f".. literalinclude:: /../xpbptt/cells/{page.name}.py\n   :language: python\n",
    ]
    return "\n".join(filter(None, parts))


def _head(what: str, cell: Any, page: Page) -> str:
    """Return a heading, with the cell's name where the page has several."""
    return f"{what}{f' of {cell.name}' if len(page.cells) > 1 else ''}\n{'-' * 80}\n"


def index(pages: list[Page]) -> str:
    """Return the page that leads to the others."""
    rows = [(f":doc:`{page.title} <{page.name}>`", page.summary) for page in pages]
    hidden = "".join(f"   {page.name}\n" for page in pages)
    return f"""Cells
=====

One page a cell: equations, derivative, shapes, reference, and which engines run it. The pages are
made from the modules in ``xpbptt/cells``; a cell of your own is
:doc:`chapter 7 of the course </generated/course/plot_7_own_cell>`.

{_table(("cell", "what it is"), rows)}

.. toctree::
   :hidden:

{hidden}"""


def generate(docs: Path) -> None:
    """Write the pages."""
    pages = found()
    texts = {page.name: text(page) for page in pages}
    write(docs / "generated" / "cells", {"index": index(pages), **texts})
