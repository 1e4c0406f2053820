"""Reading a safetensors file that nobody knows: its header first, and bounded."""

import hashlib
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xpbptt.commands.base.errors import UserError

HEADER_MOST = 4 << 20  # bytes: room for the 1000 layers and 180,000 characters of a large model
_PREFIX = 8  # bytes: the length of the header, in front of it

Tensors = dict[str, np.ndarray]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file, of which only the header is read.

    Raises UserError if there is no such file, or it is truncated or foreign, or reading it within
    the block fails.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - on use, not on import

    try:
        _check_prefix(path)
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as error:
        message = f"{path} is no model file, or a truncated one: {error}"
        raise UserError(message) from error
    except MemoryError as error:
        message = f"{path} holds a model that does not fit in memory: {path.stat().st_size} bytes"
        raise UserError(message) from error
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        message = f"{path}: {getattr(error, 'strerror', None) or error}"
        raise UserError(message) from error


def signatures(file: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype and the shape of each tensor by its name, from the header."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no dict
    return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}


def read(file: Any) -> Tensors:
    """Return all tensors by name."""
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict


def digest(metadata: str, tensors: Tensors) -> str:
    """Return the SHA-256, in hexadecimal, of a text and of named tensors of float32."""
    found = hashlib.sha256(metadata.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(np.ascontiguousarray(tensors[name], dtype="<f4").data)
    return found.hexdigest()


def _check_prefix(path: Path) -> None:
    """Refuse what is no regular file, and a header that no model file has."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # reading a pipe could wait for ever
        message = f"{path} is no regular file"
        raise UserError(message)
    with path.open("rb") as file:
        content = file.read(_PREFIX)
    if len(content) == _PREFIX:  # if not, safetensors says so
        length: int = struct.unpack("<Q", content)[0]
        if HEADER_MOST < length <= path.stat().st_size:
            message = f"{path} is no model file: its header has {length} bytes"
            raise UserError(message)
