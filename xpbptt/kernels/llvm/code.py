"""A function in LLVM's assembly language, written line by line.

`Code` gives values their names and writes loops and conditions. What is written is the text of
https://llvm.org/docs/LangRef.html; whole numbers are ``i64``, addresses ``ptr``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

Value = str | int  # the name of a value, or a whole number


class Code:
    """The lines of one function.

    Parameters
    ----------
    name : str
        Its name.
    arguments : tuple of str
        Each with its type: ``"i64 %rows"``.
    linkage : str
        ``"internal"``, or empty for a function that is called from Python.
    result : str
        The type of its result. A function with a result becomes a part of those that call it.
    """

    def __init__(
        self, name: str, arguments: tuple[str, ...], linkage: str = "internal", result: str = "void"
    ) -> None:
        inline = "" if result == "void" else " alwaysinline"
        head = f"define {linkage} {result} @{name}({', '.join(arguments)}) nounwind{inline} {{"
        self._result = result
        self._head = head
        self._slots: list[str] = []  # local memory, which is made at the start
        self._lines: list[str] = []
        self._count = 0

    def text(self, value: str = "") -> str:
        """Return the whole function, with the value of its result."""
        lines = (*self._slots, *self._lines, f"ret {self._result} {value}")
        return "\n".join([self._head, *(f"  {line}" for line in lines), "}"])

    def do(self, line: str) -> None:
        """Write an instruction that has no value."""
        self._lines.append(line)

    def let(self, instruction: str) -> str:
        """Write an instruction and return the name of its value."""
        name = self._name("v")
        self._lines.append(f"{name} = {instruction}")
        return name

    def slot(self, kind: str) -> str:
        """Return the address of a local variable of a type."""
        name = self._name("s")
        self._slots.append(f"{name} = alloca {kind}")
        return name

    def load(self, kind: str, address: str, align: int = 0) -> str:
        """Read memory."""
        aligned = f", align {align}" if align else ""
        return self.let(f"load {kind}, ptr {address}{aligned}")

    def store(self, kind: str, value: Value, address: str, align: int = 0) -> None:
        """Write memory."""
        aligned = f", align {align}" if align else ""
        self.do(f"store {kind} {value}, ptr {address}{aligned}")

    def whole(self, operation: str, left: Value, right: Value) -> str:
        """Compute with two whole numbers: ``"add"``, ``"sub"``, ``"mul"``, ``"udiv"``; …."""
        return self.let(f"{operation} i64 {left}, {right}")

    def total(self, *parts: Value) -> Value:
        """Add whole numbers up; zeros are left out."""
        result: Value = 0
        for part in parts:
            if part != 0:
                result = part if result == 0 else self.whole("add", result, part)
        return result

    def times(self, left: Value, right: Value) -> Value:
        """Multiply two whole numbers, nothing where one is 1."""
        if 1 in (left, right):
            return right if left == 1 else left
        return self.whole("mul", left, right)

    def least(self, left: Value, right: Value) -> str:
        """Return the smaller of two whole numbers."""
        test = self.test("slt", left, right)
        return self.let(f"select i1 {test}, i64 {left}, i64 {right}")

    def test(self, relation: str, left: Value, right: Value) -> str:
        """Compare two whole numbers: ``"slt"``, ``"sle"``, ``"eq"``, ``"ne"``, ``"sgt"``."""
        return self.let(f"icmp {relation} i64 {left}, {right}")

    def at(self, kind: str, base: str, *places: Value) -> str:
        """Return the address of an element of an array, so many elements after its start."""
        place = self.total(*places)
        return base if place == 0 else self.let(f"getelementptr {kind}, ptr {base}, i64 {place}")

    @contextmanager
    def loop(self, start: Value, stop: Value, step: Value = 1) -> Iterator[str]:
        """Write a loop; what is written inside may use its variable."""
        variable = self.slot("i64")
        head, body, end = (self._label() for _ in range(3))
        self.store("i64", start, variable)
        self.do(f"br label %{head}")
        self._lines.append(f"{head}:")
        index = self.load("i64", variable)
        self.do(f"br i1 {self.test('slt', index, stop)}, label %{body}, label %{end}")
        self._lines.append(f"{body}:")
        yield index
        self.store("i64", self.whole("add", index, step), variable)
        self.do(f"br label %{head}")
        self._lines.append(f"{end}:")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Write what is done only if a condition holds."""
        body, end = self._label(), self._label()
        self.do(f"br i1 {condition}, label %{body}, label %{end}")
        self._lines.append(f"{body}:")
        yield
        self.do(f"br label %{end}")
        self._lines.append(f"{end}:")

    def _name(self, letter: str) -> str:
        self._count += 1
        return f"%{letter}{self._count}"

    def _label(self) -> str:
        self._count += 1
        return f"l{self._count}"
