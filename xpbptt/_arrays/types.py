"""The types of the public calls: what a type checker can know of arrays and of trees.

No type covers the arrays of every library, so `Array` asks for what they all have and trees have
not. What a call computes from an array is of that array's own type, `ArrayT`, as in
``forward(params, x: ArrayT) → y: ArrayT``. The arrays inside trees are Any: a tree is known by its
named tuples.

A type variable has the default Any, so that a plain ``Net`` or ``Cache`` is a type, too. Python has
such defaults from 3.13 on; before, type checkers take them from typing_extensions, which nothing
needs at run time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar as _TypeVar

    def TypeVar(name, *, default=None, **options):  # noqa: ANN001, ANN003, ANN202, ARG001, N802
        return _TypeVar(name, **options)


class Array(Protocol):
    """An array of any library.

    Attributes
    ----------
    shape : tuple of int
        The length of each axis.
    dtype : dtype
        The type of the elements, an object of the library.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""

    @property
    def dtype(self) -> Any:
        """The type of the elements."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a part."""


Seed = (
    int
    | np.integer[Any]
    | Sequence[int]
    | np.random.SeedSequence
    | np.random.BitGenerator
    | np.random.Generator
    | None
)

ArrayT = TypeVar("ArrayT", bound=Array, default=Any)
TreeT = TypeVar("TreeT")

WeightsT = TypeVar("WeightsT", default=Any)  # the parameters of a layer: Weights, or a pair
StateT = TypeVar("StateT", default=Any)  # the state of a layer: the cell's named tuple, or a pair
TraceT = TypeVar("TraceT", default=Any)  # the norms of a layer: Trace, or a pair
NetT = TypeVar("NetT", default=Any)  # the net that made a cache
ParamsTreeT = TypeVar("ParamsTreeT", default=Any)
StateTreeT = TypeVar("StateTreeT", default=Any)
MemoryT = TypeVar("MemoryT", default=Any)  # the state of an optimiser
MemoryT_co = TypeVar("MemoryT_co", default=Any, covariant=True)
