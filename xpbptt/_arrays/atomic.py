"""Files that are written whole or not at all."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: there a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]


def write(path: Path, content: bytes) -> None:
    """Write a file, or leave everything as it was: a temporary file beside it takes its name.

    Raises OSError if that fails. The temporary file is removed then, as it is on every other
    exception.
    """
    try:
        _write(_real(path), content)
    except FileNotFoundError:  # there is no such folder, or `sweep` came before the lock: once more
        _write(_real(path), content)


def probe(path: Path) -> None:
    """Raise the OSError that `write` would meet, without touching the file."""
    temporary = _beside(_real(path))
    try:
        temporary.touch(exist_ok=False)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove the temporary files that killed processes have left beside a file.

    A file that is being written is locked, and stays.
    """
    path = _real(path)
    ours = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.tmp")
    for entry in list(path.parent.iterdir()):
        if ours.fullmatch(entry.name) and entry.is_file() and not entry.is_symlink():
            _remove_if_left(entry)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from doing the same with a file, by a lock file beside it.

    Raises BlockingIOError if another process is within such a block. Where no lock file can be
    made, and on Windows, nothing is locked.
    """
    lock = _lock_file(path)
    try:
        yield
    finally:
        if lock is not None:
            Path(lock.name).unlink(missing_ok=True)
            lock.close()


def _lock_file(path: Path) -> IO[bytes] | None:
    """Return the lock file of a path, locked; None where there can be none."""
    try:
        place = _real(path)
        place = place.with_name(f".{place.name}.lock")
        while fcntl is not None:
            file = place.open("ab")
            _lock(file)
            # What was locked may have been removed by its last holder meanwhile.
            if place.exists() and os.fstat(file.fileno()).st_ino == place.stat().st_ino:
                return file
            file.close()
    except BlockingIOError:
        file.close()
        raise
    except (OSError, ValueError):  # no such folder, no locks: whoever writes there will say so
        return None
    return None


def _write(path: Path, content: bytes) -> None:
    temporary = _beside(path)
    try:
        with temporary.open("xb") as file:
            with suppress(OSError):  # not every file system has locks
                _lock(file)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _close_on_windows(file)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_if_left(temporary: Path) -> None:
    # An OSError: it is being written, belongs to somebody else, or is gone already.
    with suppress(OSError), temporary.open("r+b") as file:
        _lock(file)
        _close_on_windows(file)
        temporary.unlink()


def _lock(file: IO[bytes]) -> None:
    """Lock a file until it is closed or its process killed; an OSError if another has the lock."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _close_on_windows(file: IO[bytes]) -> None:
    """Close a file before it is renamed or removed, where an open one cannot be."""
    if fcntl is None:
        file.close()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
