"""A cell's functions as equations: the statements of their Python source, in LaTeX.

The forward function of a `Cell` becomes the equations of a time step, its derivative those of the
step back, line for line, so that the page cannot say anything but what is computed.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from latex import Untranslatable, Writer, symbol

from xpbptt.cells import product

SIZE = 24  # of a hidden state, to ask a cell for the names of its own parameters


def forward(cell: Any) -> list[str]:
    """Return the equations of a time step, with ``&=`` between the sides."""
    if cell.projection:
        message = "a product of the state that the function returns"
        raise Untranslatable(message)
    function = _function(cell.forward)
    state, write = _forward(cell, function)
    lines = list(_statements(function, write))
    for name, part in state.items():
        if not isinstance(part, ast.Name):
            lines.append(f"{symbol(name)}_t &= {write(part)}")
    return lines


def backward(cell: Any) -> list[str]:
    """Return the equations of the derivative of a time step, with ``&=`` between the sides."""
    function = _function(cell.backward)
    write = Writer(_residuals(cell, function))
    lines = list(_statements(function, write))
    du, dv, dstate, *dextra = _returned(function)
    gates, d, with_product = cell.gates._fields, r"\mathrm{d}", multiplied(cell)
    first = _vector(_arguments(write.made(du), gates), write)
    second = ""
    if with_product:
        parts = _arguments(write.made(dv), gates)
        second = _vector({gate: parts[gate] for gate in with_product}, write)
    if first == second:
        lines.append(rf"{d}u &= {d}v = {first}")
    else:
        lines += [rf"{d}u &= {first}", *([rf"{d}v &= {second}"] if second else [])]
    for k, (name, part) in enumerate(_arguments(write.made(dstate), cell.state._fields).items()):
        terms = [rf"W_{{hh}}^\top {d}v"] if second and k == product.read(cell) else []
        terms += [] if _is_none(part) else [write(part)]
        lines.append(rf"{d}{symbol(name)}_{{t-1}} &= {' + '.join(terms) or '0'}")
    if cell.side:
        message = "the gradient of a side input"
        raise Untranslatable(message)
    for each in dextra:
        made = write.made(each)
        own = cell.extra(SIZE)._fields  # noqa: S610 - not a query
        lines += [f"{d}{symbol(name)} &= {write(p)}" for name, p in _arguments(made, own).items()]
    return lines


def _forward(cell: Any, function: ast.FunctionDef) -> tuple[dict[str, Any], Writer]:
    """Return what the new state is made of, and what writes the expressions of a step."""
    state = _arguments(_returned(function)[0], cell.state._fields)
    names = {part.id: name for name, part in state.items() if isinstance(part, ast.Name)}
    return state, Writer({name: f"{symbol(field)}_t" for name, field in names.items()})


def _residuals(cell: Any, function: ast.FunctionDef) -> dict[str, str]:
    """Return what the residuals are in the equations of the step, by their names in `function`."""
    step = _function(cell.forward)
    _, write = _forward(cell, step)
    kept = _returned(step)[1]
    parts = kept.args if isinstance(kept, ast.Call) else getattr(kept, "elts", [])
    for node in function.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "residuals":
            names = [ast.unparse(each) for each in getattr(node.targets[0], "elts", [])]
            if len(names) == len(parts) and not any(isinstance(p, ast.Starred) for p in parts):
                return {name: write.within(p) for name, p in zip(names, parts, strict=True)}
    return {}


def _returned(function: ast.FunctionDef) -> list[ast.expr]:
    """Return the values that a function returns."""
    last = function.body[-1]
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Tuple):
        raise Untranslatable(ast.unparse(last))
    return last.value.elts


def multiplied(cell: Any) -> list[str]:
    """Return the gates that get a product with the state."""
    return [cell.gates._fields[k] for k in product.recurrent(cell)]


def _function(function: Callable[..., Any]) -> ast.FunctionDef:
    function = getattr(function, "func", function)  # without the numbers of a made cell
    body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(body, ast.FunctionDef):
        raise Untranslatable(ast.unparse(body))
    return body


def _statements(function: ast.FunctionDef, write: "Writer") -> Iterator[str]:
    """Yield the equations of the assignments; unpacking names only gives names."""
    for node in function.body:
        if isinstance(node, ast.Return) or _is_text(node):
            continue
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            raise Untranslatable(ast.unparse(node))
        for target, value in _pairs(node.targets[0], node.value):
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Name):
                continue
            if isinstance(target, ast.Tuple) and not isinstance(value, (ast.Call, ast.Tuple)):
                raise Untranslatable(ast.unparse(node))
            if _is_made(value) and isinstance(target, ast.Name):
                write.kept[target.id] = value
                continue
            yield f"{write(target)} &= {write(value)}"


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Return what is assigned to what, one by one where there are several."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        if len(target.elts) != len(value.elts):
            raise Untranslatable(ast.unparse(value))
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _arguments(node: ast.expr | None, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return what a named tuple is made of by its fields."""
    if not isinstance(node, ast.Call):
        raise Untranslatable("" if node is None else ast.unparse(node))
    found = dict(zip(fields, node.args, strict=False))
    return found | {str(keyword.arg): keyword.value for keyword in node.keywords}


def _vector(parts: dict[str, ast.expr], write: Writer) -> str:
    written = [write(part) for part in parts.values()]
    return written[0] if len(written) == 1 else f"({', '.join(written)})"


def _is_made(node: ast.expr) -> bool:
    """Whether an expression makes a named tuple, whose name has a capital."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1][0].isupper()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
