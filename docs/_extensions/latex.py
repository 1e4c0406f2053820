"""Expressions of Python in LaTeX, as far as the maths of a cell goes."""

import ast

FUNCTIONS = {"sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log"}
GREEK = "alpha beta gamma delta epsilon eta theta kappa lambda mu nu rho sigma tau phi psi omega"
LINKS = {ast.Add: "+", ast.Sub: "-", ast.Mult: r"\odot", ast.MatMult: "", ast.Div: "/"}
LINKS |= {ast.BitOr: r"\lor", ast.BitAnd: r"\land"}
RANKS = {
    ast.BitOr: 0.5,
    ast.BitAnd: 0.5,
    ast.Add: 1,
    ast.Sub: 1,
    ast.Mult: 2,
    ast.MatMult: 2,
    ast.Div: 2,
    ast.Pow: 4,
}
UNARY, ATOM = 3, 5
SIGNS = {ast.Gt: ">", ast.GtE: r"\geq", ast.Lt: "<", ast.LtE: r"\leq", ast.Eq: "="}


class Untranslatable(Exception):  # noqa: N818 - what it says of a function
    """The source has what no equation here stands for."""


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

    def _write(self, node: ast.expr) -> tuple[str, float]:
        """Return an expression and how tightly it is bound."""
        match node:
            case ast.Name(name):
                text = self.known.get(name) or symbol(name)
            case ast.Constant(int() | float() as number):
                text = f"{number:g}"
            case ast.Attribute(ast.Name(of), field):
                text = _part(of, field)
            case ast.Tuple(parts):
                text = f"({', '.join(map(self, parts))})"
            case ast.Call(function, arguments):
                return self._call(ast.unparse(function).split(".")[-1], arguments)
            case _:
                return self._operation(node)
        return text, ATOM

    def _operation(self, node: ast.expr) -> tuple[str, float]:
        match node:
            case ast.UnaryOp(ast.USub(), operand):
                return f"-{self.within(operand, UNARY)}", UNARY
            case ast.BinOp(left, ast.Pow(), right):
                return f"{self.within(left)}^{{{self(right)}}}", RANKS[ast.Pow]
            case ast.BinOp(left, operator, right) if type(operator) in LINKS:
                rank = RANKS[type(operator)]
                tighter = rank + (type(operator) in {ast.Sub, ast.Div})
                link = LINKS[type(operator)]
                if isinstance(operator, ast.Mult) and _is_number(left, right):
                    link = r"\," if not isinstance(right, ast.Constant) else r"\cdot"
                return f"{self.within(left, rank)} {link} {self.within(right, tighter)}", rank
            case ast.Compare(left, [sign], [right]) if type(sign) in SIGNS:
                return f"{self(left)} {SIGNS[type(sign)]} {self(right)}", 0
        raise Untranslatable(ast.unparse(node))

    def within(self, node: ast.expr, rank: float = ATOM) -> str:
        """Return an expression, in brackets where it is bound less tightly."""
        text, own = self._write(node)
        return text if own >= rank else f"({text})"

    def _call(self, name: str, arguments: list[ast.expr]) -> tuple[str, float]:  # noqa: PLR0911
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


def symbol(name: str) -> str:
    """Return a name as a symbol: ``df`` is df, with an upright d, ``v_n`` has an index."""
    head, _, index = name.partition("_")
    if len(head) > 1 and head[0] == "d" and head not in GREEK.split():
        return rf"\mathrm{{d}}{symbol(name[1:])}"
    if head in GREEK.split():
        head = rf"\{head}"
    elif len(head) > 1:
        head = rf"\mathrm{{{head}}}"
    return rf"{head}_{{{index.replace('_', ' ')}}}" if index else head


def _part(of: str, field: str) -> str:
    """Return a field of an argument as a symbol."""
    if of == "state":
        return f"{symbol(field)}_{{t-1}}"
    if of == "new":
        return f"{symbol(field)}_t"
    if of == "dnew":
        return rf"\mathrm{{d}}{symbol(field)}_t"
    if of in {"u", "v"}:
        return f"{of}_{{{field}}}"
    return symbol(field)


def _is_number(*nodes: ast.expr) -> bool:
    return any(isinstance(node, ast.Constant) for node in nodes)
