"""A cell's functions as equations: the statements of their Python source, in LaTeX.

The forward function of a `Cell` becomes the equations of a time step, its derivative those of the
step back, line for line, so that the page cannot say anything but what is computed.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from xpbptt.cells import product

FUNCTIONS = {"sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log"}
GREEK = "alpha beta gamma delta epsilon eta theta kappa lambda mu nu rho sigma tau phi psi omega"
LINKS = {ast.Add: "+", ast.Sub: "-", ast.Mult: r"\odot", ast.MatMult: "", ast.Div: "/"}
RANKS = {ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.MatMult: 2, ast.Div: 2, ast.Pow: 4}
UNARY, ATOM = 3, 5
SIZE = 24  # of a hidden state, to ask a cell for the names of its own parameters
SIGNS = {ast.Gt: ">", ast.GtE: r"\geq", ast.Lt: "<", ast.LtE: r"\leq", ast.Eq: "="}


class Untranslatable(Exception):  # noqa: N818 - what it says of a function
    """The source has what no equation here stands for."""


def forward(cell: Any) -> list[str]:
    """Return the equations of a time step, with ``&=`` between the sides."""
    function, fields = _function(cell.forward), cell.state._fields
    *_, last = function.body
    returned = last.value.elts[0] if isinstance(last, ast.Return) else None
    state = _arguments(returned, fields)
    names = {part.id: name for name, part in state.items() if isinstance(part, ast.Name)}
    write = Writer({name: f"{_symbol(field)}_t" for name, field in names.items()})
    lines = list(_statements(function, write))
    for name, part in state.items():
        if not isinstance(part, ast.Name):
            lines.append(f"{_symbol(name)}_t &= {write(part)}")
    return lines


def backward(cell: Any) -> list[str]:
    """Return the equations of the derivative of a time step, with ``&=`` between the sides."""
    function = _function(cell.backward)
    write = Writer({})
    lines = list(_statements(function, write))
    *_, last = function.body
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Tuple):
        raise Untranslatable(ast.unparse(last))
    du, dv, dstate, *dextra = last.value.elts
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
    for k, (name, part) in enumerate(_arguments(dstate, cell.state._fields).items()):
        terms = [rf"W_{{hh}}^\top {d}v"] if second and k == product.read(cell) else []
        terms += [] if _is_none(part) else [write(part)]
        lines.append(rf"{d}{_symbol(name)}_{{t-1}} &= {' + '.join(terms) or '0'}")
    if cell.side:
        message = "the gradient of a side input"
        raise Untranslatable(message)
    for each in dextra:
        made = write.made(each)
        own = cell.extra(SIZE)._fields  # noqa: S610 - not a query
        lines += [f"{d}{_symbol(name)} &= {write(p)}" for name, p in _arguments(made, own).items()]
    return lines


def multiplied(cell: Any) -> list[str]:
    """Return the gates that get a product with the state."""
    return [cell.gates._fields[k] for k in product.recurrent(cell)]


def _function(function: Callable[..., Any]) -> ast.FunctionDef:
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
            if not isinstance(target, ast.Name):
                raise Untranslatable(ast.unparse(node))
            if _is_made(value):
                write.kept[target.id] = value
                continue
            yield f"{write(target)} &= {write(value)}"


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Return what is assigned to what, one by one where there are several."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


class Writer:
    """Writes expressions.

    Parameters
    ----------
    known : dict
        The symbols of some names.

    Attributes
    ----------
    kept : dict
        The named tuples that were made, by the names that they were given.
    """

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self.kept: dict[str, ast.expr] = {}

    def __call__(self, node: ast.expr) -> str:
        """Return an expression in LaTeX."""
        return self._write(node)[0]

    def made(self, node: ast.expr) -> ast.expr:
        """Return what a name of a named tuple stands for."""
        return self.kept.get(node.id, node) if isinstance(node, ast.Name) else node

    def _write(self, node: ast.expr) -> tuple[str, int]:  # noqa: PLR0911
        """Return an expression and how tightly it is bound."""
        match node:
            case ast.Name(name):
                return self.known.get(name) or _symbol(name), ATOM
            case ast.Constant(int() | float() as number):
                return f"{number:g}", ATOM
            case ast.Attribute(ast.Name(of), field):
                return _part(of, field), ATOM
            case ast.UnaryOp(ast.USub(), operand):
                return f"-{self._within(operand, UNARY)}", UNARY
            case ast.BinOp(left, ast.Pow(), right):
                return f"{self._within(left, ATOM)}^{{{self(right)}}}", RANKS[ast.Pow]
            case ast.BinOp(left, operator, right) if type(operator) in LINKS:
                rank = RANKS[type(operator)]
                tighter = rank + (type(operator) in {ast.Sub, ast.Div})
                link = LINKS[type(operator)]
                if isinstance(operator, ast.Mult) and _is_number(left, right):
                    link = r"\," if not isinstance(right, ast.Constant) else r"\cdot"
                return f"{self._within(left, rank)} {link} {self._within(right, tighter)}", rank
            case ast.Compare(left, [sign], [right]) if type(sign) in SIGNS:
                return f"{self(left)} {SIGNS[type(sign)]} {self(right)}", 0
            case ast.Call(function, arguments):
                return self._call(ast.unparse(function).split(".")[-1], arguments)
        raise Untranslatable(ast.unparse(node))

    def _within(self, node: ast.expr, rank: int) -> str:
        text, own = self._write(node)
        return text if own >= rank else f"({text})"

    def _call(self, name: str, arguments: list[ast.expr]) -> tuple[str, int]:  # noqa: PLR0911
        if name in {"zeros_like", "ones_like"}:
            return str(int(name == "ones_like")), ATOM
        parts = [self(each) for each in arguments]
        match name, parts:
            case "where", [condition, yes, no]:
                rows = rf"{yes} & \text{{where }} {condition} \\ {no} & \text{{elsewhere}}"
                return rf"\begin{{cases}} {rows} \end{{cases}}", ATOM
            case "maximum" | "minimum", [_, _]:
                return rf"\{name[:3]}({', '.join(parts)})", ATOM
            case "abs", [inside]:
                return rf"|{inside}|", ATOM
            case "sqrt", [inside]:
                return rf"\sqrt{{{inside}}}", ATOM
            case "sum", [inside, *_]:
                return rf"\sum {inside}", 2
        function = FUNCTIONS.get(name) or rf"\operatorname{{{name.replace('_', ' ')}}}"
        return f"{function}({', '.join(parts)})", ATOM


def _symbol(name: str) -> str:
    """Return a name as a symbol: ``df`` is df, with an upright d, ``v_n`` has an index."""
    head, _, index = name.partition("_")
    if len(head) > 1 and head[0] == "d" and head not in GREEK.split():
        return rf"\mathrm{{d}}{_symbol(name[1:])}"
    if head in GREEK.split():
        head = rf"\{head}"
    elif len(head) > 1:
        head = rf"\mathrm{{{head}}}"
    return rf"{head}_{{{index.replace('_', ' ')}}}" if index else head


def _part(of: str, field: str) -> str:
    """Return a field of an argument as a symbol."""
    if of == "state":
        return f"{_symbol(field)}_{{t-1}}"
    if of == "new":
        return f"{_symbol(field)}_t"
    if of == "dnew":
        return rf"\mathrm{{d}}{_symbol(field)}_t"
    if of in {"u", "v"}:
        return f"{of}_{{{field}}}"
    return _symbol(field)


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


def _is_number(*nodes: ast.expr) -> bool:
    return any(isinstance(node, ast.Constant) for node in nodes)
