"""The memory of the machine: how much of it can be had, and a refusal of what will not fit."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from xpbptt.commands.base.errors import UserError

ADDRESSABLE = 1 << 47  # bytes

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def check(need: int, what: str, advice: str) -> None:
    """Refuse what needs more memory than there is.

    Raises UserError if there is less.
    """
    there = available()
    if need > there:
        message = (
            f"{what} needs {words(need)} of memory, but {words(there)} are available: {advice}"
        )
        raise UserError(message)


def available() -> int:
    """Return the bytes that this process can still take, as far as that is known.

    On Linux, what is free or can be freed, within the limits of the control groups (containers)
    and of the process (``ulimit -v``). On macOS, the memory of the machine. Elsewhere, all that a
    processor of today can address.
    """
    return max(min([ADDRESSABLE, *_machine(), *_control_groups(), *_process()]), 0)


def words(size: int) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> words(999), words(1_450_000), words(10**24)
    ('999 bytes', '1.4 MB', 'more than 1000 EB')
    """
    if size >= 1000 ** len(_UNITS):
        return f"more than 1000 {_UNITS[-1]}"
    power = (len(str(size)) - 1) // 3
    return f"{size / 1000**power:.{1 if power else 0}f} {_UNITS[power]}"


def _machine() -> Iterator[int]:
    try:
        lines = (_PROC / "meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = dict(line.split(":", 1) for line in lines)["MemAvailable"]
        yield 1024 * int(kilobytes.split()[0])
    except (OSError, KeyError):  # no Linux
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _control_groups() -> Iterator[int]:
    """Yield what the limits of this process's group and of those above it leave."""
    try:
        lines = (_PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:  # version 2
            root, names = _GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            root = _GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        for place in (group, *group.parents):
            if place.is_relative_to(root):
                yield from _control_group(place, *names)


def _control_group(place: Path, limit: str, usage: str, freeable: str) -> Iterator[int]:
    try:
        most, used, stat = ((place / name).read_text() for name in (limit, usage, "memory.stat"))
    except OSError:  # as the files of the root, or a group that this container does not see
        return
    if most.strip() != "max":
        fields = dict(line.split() for line in stat.splitlines())
        yield int(most) - int(used) + int(fields.get(freeable, 0))


def _process() -> Iterator[int]:
    """Yield what the limit of the process's address space leaves."""
    try:
        resource = import_module("resource")  # not on Windows
        pages = (_PROC / "self/statm").read_text(encoding="ascii").split()[0]
    except (ImportError, OSError):
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - int(pages) * os.sysconf("SC_PAGE_SIZE")
