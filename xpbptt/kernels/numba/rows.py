"""Reading and writing rows of arrays for Numba, so that LLVM knows that no two of them overlap.

To turn a loop into vector instructions LLVM has to know that what is written is not read later on
from another row. It compares the addresses of all pairs of rows before each loop, and gives up
where there are many. With the row named at each access, it has nothing to compare.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.extending import intrinsic

DOMAIN = "xpbptt.kernels"


def functions(rows: list[str]) -> dict[str, Callable[..., Any]]:
    """Return ``load_ROW(row, j)`` and ``store_ROW(row, j, value)`` for each of the named rows."""
    made = {}
    for name in rows:
        others = tuple(other for other in rows if other != name)
        made[f"load_{name}"], made[f"store_{name}"] = _load(name, others), _store(name, others)
    return made


def _load(name: str, others: tuple[str, ...]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, row: Any, j: Any) -> Any:  # noqa: ARG001 - Numba's signature
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            place = _place(context, builder, signature.args[0], *values)
            value = builder.load(place)
            _annotate(builder.module, value, name, others)
            return context.data_model_manager[row.dtype].from_data(builder, value)

        return row.dtype(row, numba.intp), generate

    return load


def _store(name: str, others: tuple[str, ...]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def store(typing_context: Any, row: Any, j: Any, value: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            place = _place(context, builder, signature.args[0], *values[:2])
            data = context.data_model_manager[row.dtype].as_data(builder, values[2])
            _annotate(builder.module, builder.store(data, place), name, others)
            return context.get_dummy_value()

        return numba.void(row, numba.intp, row.dtype), generate

    return store


def _place(context: Any, builder: Any, kind: Any, row: Any, j: Any) -> Any:
    """Return the address of an element."""
    return builder.gep(context.make_array(kind)(context, builder, row).data, [j])


def _annotate(module: Any, instruction: Any, name: str, others: tuple[str, ...]) -> None:
    """Annotate an access as one to the named row and to none of the others."""
    domain = module.add_metadata([ir.MetaDataString(module, DOMAIN)])

    def scopes(names: tuple[str, ...]) -> Any:
        return module.add_metadata(
            [module.add_metadata([ir.MetaDataString(module, each), domain]) for each in names]
        )

    instruction.set_metadata("alias.scope", scopes((name,)))
    if others:
        instruction.set_metadata("noalias", scopes(others))
