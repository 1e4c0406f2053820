"""Compiled code kept on disk, in a folder of the user's own.

A file holds the digest of what follows, so that one that was cut short or changed is not used. It
is written beside its place and then moved there: any number of processes may do so at once. Nothing
is read from a folder or file that another user owns or may write to. A folder that cannot be used
is no error: then everything is compiled in each process.
"""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "XPBPTT_CACHE"  # a folder, or 0 for none
DIGEST = 32  # bytes of it


def folder() -> Path | None:
    """Return the folder, or None if nothing is to be kept."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen == "0":
        return None
    if chosen:
        return Path(chosen)
    try:
        return _usual() / "xpbptt"
    except RuntimeError:  # there is no home
        return None


def _usual() -> Path:
    """Return where the programs of a user keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache"


def key(*parts: str) -> str:
    """Return the name of what follows from the parts: the source, and what compiles it."""
    whole = "\0".join(parts)
    return hashlib.sha256(whole.encode()).hexdigest()


def read(name: str) -> bytes | None:
    """Return what is kept under a name, or None."""
    place = folder()
    if place is None:
        return None
    with suppress(OSError):
        if not _own(place.lstat(), stat.S_ISDIR):
            return None
        # Asked of what was opened: between two looks at a path another file may come there.
        with open(place / name, "rb", opener=_opened) as file:
            if _own(os.fstat(file.fileno()), stat.S_ISREG):
                whole = file.read()
                digest, content = whole[:DIGEST], whole[DIGEST:]
                if hashlib.sha256(content).digest() == digest:
                    return content
    return None


def _opened(path: str, flags: int) -> int:
    """Open a file that is no symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def write(name: str, content: bytes) -> None:
    """Keep what is to be found under a name, if the folder can be used."""
    place = folder()
    if place is None:
        return
    with suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _own(place.lstat(), stat.S_ISDIR):
            return
        number, beside = tempfile.mkstemp(dir=place, prefix=".")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            Path(beside).replace(place / name)
        except BaseException:
            Path(beside).unlink()
            raise


def _own(found: os.stat_result, kind: Callable[[int], bool]) -> bool:
    """Tell whether a folder or file is the user's own, and nobody else may write to it."""
    if not kind(found.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True  # Windows, where the folder of a user is closed to others
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid == os.getuid() and not found.st_mode & others
