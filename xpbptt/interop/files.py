"""Trees of arrays in a file: safetensors, written whole or not at all."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xpbptt._arrays import atomic, check
from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.tree import children, is_named_tuple, map_leaves
from xpbptt._arrays.types import Namespace, Tree
from xpbptt.cells import BUILT_IN, lif
from xpbptt.cells.projection import Projection
from xpbptt.cells.recurrence import Weights
from xpbptt.nets.linear import LinearParams
from xpbptt.optim import AdamState, SgdState

KEY = "xpbptt-tree"  # in the metadata: the structure as JSON, with the names of the tensors
OF_CELLS = {cell.state for cell in BUILT_IN} | {lif.State}
OF_CELLS |= {type(cell.extra(1)) for cell in BUILT_IN if cell.extra}  # noqa: S610 - not a query
KNOWN = (Weights, LinearParams, AdamState, SgdState, Projection, *OF_CELLS)
LARGEST = 8  # bytes of a number in the format
PREFIX = 8  # bytes: the length of the header, in front of it


def save(path: str | os.PathLike[str], tree: Tree) -> None:
    """Save a tree of arrays, as parameters, a state or the memory of an optimiser.

    The file is safetensors, which other programs read, too: the tensors are named by their way
    through the tree, as ``0.weight_ih``. It is written whole or not at all: where saving fails,
    a file that was there before is as it was.

    Parameters
    ----------
    path : str or path
        The file.
    tree : tree of arrays
        Tuples, named tuples, lists and dictionaries with str as keys, nested, with arrays of any
        library, Python's numbers and None as leaves.

    Raises
    ------
    TypeError, ValueError
        Where the tree holds anything else, or an array of a dtype that NumPy does not have.
    OSError
        Where the file cannot be written.

    Examples
    --------
    >>> import tempfile, os, xpbptt
    >>> net = xpbptt.LSTM(3, 5)
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> xpbptt.save(path, {"net": net.init(0)})
    >>> xpbptt.load(path)["net"][0].weight_ih.shape
    (20, 3)
    """
    from safetensors.numpy import save as serialize  # noqa: PLC0415 - on use, not on import

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    structure = _describe(tree, "tree", "", arrays)
    content = serialize(arrays, metadata={KEY: json.dumps(structure)})
    atomic.write(Path(path), content)


def load(
    path: str | os.PathLike[str],
    *,
    xp: ModuleType | None = None,
    device: Any = None,
    types: Sequence[Any] = (),
) -> Tree:
    """Load a tree of arrays that `save` wrote.

    Parameters
    ----------
    path : str or path
        The file.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    device : device, optional
        Where to put the arrays. Default: the library's default.
    types : sequence of type
        The named tuples in the tree that are not of this package, as the state of a cell of your
        own. Nothing in a file chooses what is imported.

    Returns
    -------
    tree : tree of arrays
        The tree, with the dtypes it had.

    Raises
    ------
    ValueError
        Where the file is another program's, is damaged, or has a named tuple that is not in
        `types`.
    OSError
        Where the file cannot be read.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 - on use, not on import
    from safetensors.numpy import load as parse  # noqa: PLC0415 - on use, not on import

    namespace = standard(np if xp is None else xp)
    known = {_name(kind): kind for kind in (*KNOWN, *types)}
    content = Path(path).read_bytes()
    try:
        arrays = parse(content)
        size = int.from_bytes(content[:PREFIX], "little")
        metadata = json.loads(content[PREFIX : PREFIX + size]).get("__metadata__", {})
    except SafetensorError as error:
        message = f"{path} is no safetensors file, or a damaged one: {error}"
        raise ValueError(message) from error
    if KEY not in metadata:
        message = (
            f"{path} is a safetensors file of another program, with {sorted(arrays)[:5]}: "
            "xpbptt.load reads what xpbptt.save wrote. For weights of torch.nn use "
            "xpbptt.interop.torch.from_state_dict(safetensors.numpy.load_file(path))"
        )
        raise ValueError(message)
    try:
        tree = _build(json.loads(metadata[KEY]), arrays, known)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        message = f"{path} cannot be loaded: {error}"
        raise ValueError(message) from error
    if arrays:
        message = f"{path} is damaged: {sorted(arrays)[:5]} are in no place of its tree"
        raise ValueError(message)
    return map_leaves(lambda leaf: _converted(leaf, namespace, device), tree)


def _describe(node: Tree, name: str, path: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Return the structure of a tree as JSON has it, and put its arrays into `arrays`."""
    if node is None or type(node) in (bool, int, float):
        return {"value": node}
    below = children(node)
    if below is None:
        array = _on_host(name, node)
        key = path.removeprefix(".") or "array"
        if key in arrays:
            message = f"`{name}` has the same name in the file as another array: {key!r}"
            raise ValueError(message)
        arrays[key] = array
        return {"array": key}
    if isinstance(node, dict):
        if not all(isinstance(key, str) for key in node):
            message = f"`{name}` has keys that are not str: {list(node)[:5]}"
            raise TypeError(message)
        inside = {k: _describe(v, f"{name}[{k!r}]", f"{path}.{k}", arrays) for k, v in node.items()}
        return {"dict": inside}
    fields = node._fields if is_named_tuple(node) else range(len(node))
    parts = [
        _describe(child, name + step, f"{path}.{field}", arrays)
        for field, (step, child) in zip(fields, below.items(), strict=True)
    ]
    if is_named_tuple(node):
        return {"type": _name(type(node)), "parts": parts}
    return {"list" if isinstance(node, list) else "tuple": parts}


def _build(structure: Any, arrays: dict[str, Any], known: dict[str, Any]) -> Tree:
    """Return the tree of a structure, and take its arrays out of `arrays`."""
    if "value" in structure:
        return structure["value"]
    if "array" in structure:
        if structure["array"] not in arrays:
            message = f"it lacks the tensor {structure['array']!r}"
            raise ValueError(message)
        return arrays.pop(structure["array"])
    if "dict" in structure:
        return {k: _build(each, arrays, known) for k, each in structure["dict"].items()}
    if "type" in structure:
        name = structure["type"]
        if name not in known:
            message = f"it holds a {name}: pass the class as `types=[{name.rpartition('.')[2]}]`"
            raise ValueError(message)
        return known[name](*(_build(each, arrays, known) for each in structure["parts"]))
    if "list" in structure:
        return [_build(each, arrays, known) for each in structure["list"]]
    return tuple(_build(each, arrays, known) for each in structure["tuple"])


def _on_host(name: str, leaf: Any) -> np.ndarray[Any, Any]:
    """Return an array as one of NumPy, in C order: of others safetensors writes wrong numbers."""
    check.array_namespace(name, leaf)
    try:
        array = to_numpy(leaf)
    except TypeError as error:
        message = f"`{name}` has dtype {leaf.dtype}, which NumPy does not have: convert it"
        raise TypeError(message) from error
    array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > LARGEST:
        message = f"`{name}` has dtype {leaf.dtype}, which the file format does not have"
        raise TypeError(message)
    return array


def _converted(leaf: Any, xp: Namespace, device: Any) -> Any:
    if not isinstance(leaf, np.ndarray):
        return leaf
    array = xp.asarray(leaf, device=device, copy=True)
    if str(leaf.dtype) not in str(array.dtype):
        message = (
            f"the file has dtype {leaf.dtype}, which became {array.dtype} (JAX: enable "
            "jax_enable_x64 for float64)"
        )
        raise TypeError(message)
    return array


def _name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
