"""Files that are written whole or not at all."""

import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file, or leave everything as it was: a temporary file beside it takes its name.

    Parameters
    ----------
    path : Path
        Where to; a file there is replaced. Where it is a symbolic link, the file that it names.
    content : bytes
        What to write.

    Raises
    ------
    OSError
        If that fails. The temporary file is removed then, as it is on every other exception.
    """
    path = _real(path)
    temporary = _beside(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def probe(path: Path) -> None:
    """Raise the OSError that `write` would meet, without touching the file."""
    temporary = _beside(_real(path))
    try:
        temporary.touch(exist_ok=False)
    finally:
        temporary.unlink(missing_ok=True)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
