"""The types of arrays, namespaces and trees.

No type describes the arrays of every library. Public calls take an `Array`, a protocol with the few
attributes that all arrays have and no tree has, and return the type that came in, `ArrayT`, as in
``forward(params, x: ArrayT) → y: ArrayT``. Below the public calls an array is an `AnyArray`, which
a type checker does not look into. The arrays inside trees are Any: a tree is known by its named
tuples.

The type variables have the default Any, so that a plain ``Net`` or ``Cache`` is a type, too. Python
has such defaults from 3.13 on; before, type checkers take them from typing_extensions, which is not
needed at run time.
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


AnyArray = Any  # an array with operators, which have no common type
Arrays = tuple[AnyArray, ...]
Namespace = Any  # a module with the functions of the Array API standard
Tree = Any  # nested tuples, lists and dictionaries of arrays, see `xpbptt._arrays.tree`

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
