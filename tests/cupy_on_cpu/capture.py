"""Stream capture: what a captured stream is asked for is recorded, and done by its graph.

A kernel's arguments are copied when it is recorded, as the driver does; what they point to is read
when the graph is launched. Every capture is relaxed, CuPy's default. What CUDA forbids meanwhile
raises its error and breaks the capture, whose end then raises too.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from . import counters

LEGACY = (0, 1)  # the handles of the legacy default stream
NON_BLOCKING = 1  # cudaStreamNonBlocking


class Node(NamedTuple):
    """Something that a graph does: a kernel, a product, a copy."""

    name: str
    run: Callable[[], None]


class Recording:
    """What a captured stream was asked for, and what broke the capture."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.broken = ""


_handles = itertools.count(0x1000, 16)
_apart: set[int] = set()  # streams that the legacy default stream does not wait for
_captured: dict[int, Recording] = {}  # by stream
_graphs: dict[int, list[Node]] = {}  # by handle, instantiated or not


def capturing(stream: int) -> bool:
    """Tell whether a stream is being captured."""
    return stream in _captured


def do(stream: int, name: str, run: Callable[[], None], count: Callable[[], None]) -> None:
    """Count something that a stream is asked for, and do it; or record it, if that is captured."""
    check_legacy(stream)
    if stream in _captured:
        _captured[stream].nodes.append(Node(name, run))
        return
    count()
    run()


def forbid(what: str, stream: int | None = None) -> None:
    """Refuse what must not be asked of a captured stream; without one, while there is any."""
    broken = list(_captured) if stream is None else [stream] if stream in _captured else []
    if broken:
        _break(broken, f"cudaErrorStreamCaptureUnsupported: {what} during a capture")


def check_legacy(stream: int) -> None:
    """Refuse work for the legacy default stream that would wait for a captured one."""
    waited = [each for each in _captured if each not in _apart] if stream in LEGACY else []
    if waited:
        _break(waited, "cudaErrorStreamCaptureImplicit: the legacy default stream waits for it")


def _break(streams: list[int], message: str) -> NoReturn:
    for stream in streams:
        _captured[stream].broken = message
    raise RuntimeError(message)


def functions() -> dict[str, Callable[..., Any]]:
    """Return the functions of the runtime by name."""
    return {
        "streamCreate": _create,
        "streamCreateWithFlags": _create,
        "streamCreateWithPriority": _create,
        "streamDestroy": _destroy,
        "streamGetFlags": lambda stream: NON_BLOCKING if stream in _apart else 0,
        "streamIsCapturing": lambda stream: int(capturing(stream)),
        "streamBeginCapture": _begin,
        "streamEndCapture": _end,
        "graphInstantiate": _instantiate,
        "graphLaunch": _launch,
        "graphUpload": lambda _, stream: forbid("cudaGraphUpload", stream),
        "graphDestroy": lambda graph: _graphs.pop(graph, None) and None,
        "graphExecDestroy": lambda graph: _graphs.pop(graph, None) and None,
    }


def _create(flags: int = 0, *_: object) -> int:
    stream = next(_handles)
    if flags & NON_BLOCKING:
        _apart.add(stream)
    return stream


def _destroy(stream: int) -> None:
    _apart.discard(stream)
    _captured.pop(stream, None)


def _begin(stream: int) -> None:
    if stream in LEGACY:
        message = "cudaErrorStreamCaptureUnsupported: capture of the legacy default stream"
        raise RuntimeError(message)
    if stream in _captured:
        message = "cudaErrorIllegalState: the stream is being captured already"
        raise RuntimeError(message)
    _captured[stream] = Recording()


def _end(stream: int) -> int:
    recording = _captured.pop(stream, None)
    if recording is None:
        message = "cudaErrorIllegalState: the stream is not being captured"
        raise RuntimeError(message)
    if recording.broken:
        message = f"cudaErrorStreamCaptureInvalidated, after {recording.broken}"
        raise RuntimeError(message)
    return _keep(recording.nodes)


def _instantiate(graph: int) -> int:
    return _keep(_graphs[graph])


def _keep(nodes: list[Node]) -> int:
    handle = next(_handles)
    _graphs[handle] = nodes
    return handle


def _launch(graph: int, stream: int) -> None:
    if stream in _captured:
        message = "a graph inside of a graph is not in the simulator of tests/cupy_on_cpu"
        raise NotImplementedError(message)
    check_legacy(stream)
    counters.add("graphs", stream)
    for node in _graphs[graph]:
        counters.node(node.name)
        node.run()
