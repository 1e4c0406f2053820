"""The vectors of the processor: how many numbers they hold, and how many of them there are."""

import struct
from typing import NamedTuple

from xpbptt.kernels.llvm.code import Code, Value

WIDTHS = {"avx512f": (64, 32), "avx": (32, 16)}  # bytes of a vector, and registers, by feature
PORTABLE = 16, 16


class Vector(NamedTuple):
    """A vector of numbers.

    Attributes
    ----------
    number : str
        The type of its numbers, ``"float"`` or ``"double"``.
    size : int
        Bytes of a number.
    lanes : int
        The numbers in it.
    registers : int
        The registers that hold one.
    """

    number: str
    size: int
    lanes: int
    registers: int

    @property
    def type(self) -> str:
        """Its type."""
        return f"<{self.lanes} x {self.number}>"

    @property
    def bits(self) -> str:
        """The type of a vector of as many truth values."""
        return f"<{self.lanes} x i1>"

    @property
    def suffix(self) -> str:
        """Its name in the names of intrinsic functions."""
        return f"v{self.lanes}f{8 * self.size}"

    def constant(self, value: float) -> str:
        """Return a vector of one number, written out."""
        return f"<{', '.join([f'{self.number} {self.literal(value)}'] * self.lanes)}>"

    def literal(self, value: float) -> str:
        """Return a number, by the bits of the nearest one of its type as a double."""
        if self.number == "float" and abs(value) < float("inf"):
            value = _single(value)
        (bits,) = struct.unpack("<Q", struct.pack("<d", value))
        return f"0x{bits:016X}"

    def load(self, code: Code, address: str) -> str:
        """Read a vector."""
        return code.load(self.type, address, self.size)

    def store(self, code: Code, value: str, address: str) -> None:
        """Write a vector."""
        code.store(self.type, value, address, self.size)

    def load_some(self, code: Code, address: str, inside: str) -> str:
        """Read the elements of a vector that are inside; the others are zero."""
        return code.let(
            f"call {self.type} @llvm.masked.load.{self.suffix}.p0(ptr {address}, i32 {self.size}, "
            f"{self.bits} {inside}, {self.type} zeroinitializer)"
        )

    def store_some(self, code: Code, value: str, address: str, inside: str) -> None:
        """Write the elements of a vector that are inside."""
        code.do(
            f"call void @llvm.masked.store.{self.suffix}.p0({self.type} {value}, ptr {address}, "
            f"i32 {self.size}, {self.bits} {inside})"
        )

    def store_up_to(self, code: Code, value: str, address: str, count: Value) -> None:
        """Write the first so many elements; masks are slow on AMD, and most often all are written.

        A count of zero or below writes none.
        """
        with code.when(code.test("sge", count, self.lanes)):
            self.store(code, value, address)
        with code.when(code.test("slt", count, self.lanes)):
            self.store_some(code, value, address, self.first(code, count))

    def increase(self, code: Code, variable: str, value: str) -> None:
        """Add a vector to a local variable."""
        more = code.let(f"fadd {self.type} {code.load(self.type, variable)}, {value}")
        code.store(self.type, more, variable)

    def spread(self, code: Code, value: str) -> str:
        """Return a vector of one number."""
        return spread(code, value, self.number, self.lanes)

    def first(self, code: Code, count: Value) -> str:
        """Return which elements are among the first so many."""
        whole = f"<{self.lanes} x i64>"
        places = ", ".join(f"i64 {k}" for k in range(self.lanes))
        return code.let(f"icmp slt {whole} <{places}>, {spread(code, count, 'i64', self.lanes)}")


def spread(code: Code, value: Value, kind: str, lanes: int) -> str:
    """Return a vector of one value of a type."""
    vector = f"<{lanes} x {kind}>"
    one = code.let(f"insertelement {vector} poison, {kind} {value}, i32 0")
    zeros = f"<{lanes} x i32> zeroinitializer"
    return code.let(f"shufflevector {vector} {one}, {vector} poison, {zeros}")


def vector(dtype: str, features: frozenset[str]) -> Vector:
    """Return the widest vector of a dtype, "float32" or "float64", on a processor."""
    number, size = {"float32": ("float", 4), "float64": ("double", 8)}[dtype]
    width, registers = next((WIDTHS[name] for name in WIDTHS if name in features), PORTABLE)
    return Vector(number, size, width // size, registers)


def _single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
