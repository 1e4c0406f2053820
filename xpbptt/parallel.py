"""Data-parallel training: each rank, a process of many, has its share of the batch.

Nothing here starts processes or sends anything. Two functions of the caller's do, on one flat array
at a time: ``all_reduce(buffer)`` sums it over all ranks and ``bcast(buffer)`` copies that of rank 0
to all. Each works in place and returns None, or returns the result, as on JAX.

With mpi4py, on NumPy; run with ``mpiexec -n 2 python -m mpi4py script.py``, so that a rank that
fails ends the others (``python -m pip install ".[mpi]"`` in a checkout of xpbptt)::

    from mpi4py import MPI
    from xpbptt import parallel

    comm = MPI.COMM_WORLD
    params = parallel.broadcast(params, lambda buffer: comm.Bcast(buffer))
    x, mask = parallel.shard((x, mask), comm.rank, comm.size)
    ...  # forward, a loss that is a mean over the steps that count, backward
    grads = parallel.mean(
        grads, mask.sum(), lambda buffer: comm.Allreduce(MPI.IN_PLACE, buffer)
    )

With torch.distributed, on torch::

    params = parallel.broadcast(params, lambda buffer: dist.broadcast(buffer, 0))
    grads = parallel.mean(grads, count, dist.all_reduce)

With NCCL, on CuPy, where mpi4py passes the identifier on::

    from cupy.cuda import nccl

    cupy.cuda.Device(comm.rank).use()
    group = nccl.NcclCommunicator(comm.size, comm.bcast(nccl.get_unique_id()), comm.rank)
    KINDS = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}

    def all_reduce(buffer):
        at, kind = buffer.data.ptr, KINDS[buffer.dtype.name]
        stream = cupy.cuda.get_current_stream().ptr
        group.allReduce(at, at, buffer.size, kind, nccl.NCCL_SUM, stream)

    def bcast(buffer):
        stream = cupy.cuda.get_current_stream().ptr
        group.bcast(buffer.data.ptr, buffer.size, KINDS[buffer.dtype.name], 0, stream)
"""

import hashlib
from collections.abc import Callable
from numbers import Real
from typing import Any

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, TreeT
from xpbptt._arrays.wide import narrowed, widened

Collective = Callable[[AnyArray], Any]

PIECES, PIECE_BITS = 6, 24  # of a fingerprint; float32 has integers of 24 bits


def mean(tree: TreeT, count: Any, all_reduce: Collective) -> TreeT:
    """Return the mean over all ranks of a tree whose arrays are means on each rank.

    Gradients of a loss that is a mean over this rank's share become those of the mean over the
    whole batch, also where the shares are unequal, as with masks. Every rank must call it with
    trees of the same structure, which `broadcast` checks at the start.

    Parameters
    ----------
    tree : tree of arrays
        Gradients, losses: means over what this rank has.
    count : number or array ()
        How many elements the means are over, at least 0; an array of the same library is not
        read. Where it is 0 the rank's numbers are not used and may be NaN.
    all_reduce : callable
        ``all_reduce(buffer)`` sums a flat array, float32 or wider, over all ranks. It is called
        once for each dtype in the tree.

    Returns
    -------
    tree : tree of arrays
        The sum over ranks of count * tree, divided by the sum of count; zeros where that is 0.
        float16 is summed in float32, and returned in float16.

    Raises
    ------
    TypeError, ValueError
        Where a leaf is no floating-point array, libraries or devices are mixed, `count` is below 0,
        or `all_reduce` returns another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt import parallel
    >>> other = np.asarray([3 * 5.0, 3.0])  # the other rank's mean over 3 elements, and 3
    >>> parallel.mean({"loss": np.asarray(1.0)}, 1, lambda buffer: buffer + other)["loss"]
    array(4.)
    """
    named = list(leaves(tree))
    xp = _namespace(named)
    if isinstance(count, Real) and not float(count) >= 0:
        message = f"`count` must be at least 0, got {count}"
        raise ValueError(message)

    def of_all(buffer: AnyArray) -> AnyArray:
        device = array_api_compat.device(buffer)
        if isinstance(count, Real):
            weight = xp.full((1,), float(count), dtype=buffer.dtype, device=device)
        else:
            weight = xp.reshape(xp.astype(xp.asarray(count), buffer.dtype), (1,))
        share = xp.where(weight > 0, buffer * weight, xp.zeros_like(buffer))
        total = _called(all_reduce, xp.concat((share, weight)), "all_reduce")
        counted = xp.where(total[-1:] > 0, total[-1:], xp.ones_like(weight))
        return total[:-1] / counted

    return _by_buffers(tree, named, of_all, xp=xp)


def broadcast(tree: TreeT, bcast: Collective) -> TreeT:
    """Return rank 0's numbers in a tree that every rank has, as parameters at the start.

    Parameters
    ----------
    tree : tree of arrays
        The same structure, shapes and dtypes on every rank.
    bcast : callable
        ``bcast(buffer)`` copies a flat array of rank 0, float32 or wider, to all ranks. It is
        called once more than there are dtypes in the tree: first for a fingerprint.

    Returns
    -------
    tree : tree of arrays
        The tree with rank 0's numbers.

    Raises
    ------
    TypeError, ValueError
        Where a leaf is no floating-point array, or this rank's tree is not that of rank 0.
    """
    named = list(leaves(tree))
    xp = _namespace(named)
    mine = _fingerprint(named)
    device = array_api_compat.device(named[0][1])
    sent = xp.asarray(mine, dtype=xp.float32, device=device)
    of_first = _called(bcast, sent, "bcast")
    if [float(of_first[k]) for k in range(PIECES)] != mine:
        found = ", ".join(f"{name} {tuple(leaf.shape)}" for name, leaf in named[:4])
        message = (
            f"`tree` of this rank differs from that of rank 0 in structure, shapes or dtypes; it "
            f"has {len(named)} arrays: {found}, …: make the same net on every rank"
        )
        raise ValueError(message)
    return _by_buffers(tree, named, lambda buffer: _called(bcast, buffer, "bcast"), xp=xp)


def shard(tree: TreeT, rank: int, size: int, *, axis: int = 1) -> TreeT:
    """Return the share of a rank of a batch: a part of each array along an axis.

    Parameters
    ----------
    tree : tree of arrays
        Arrays with the batch on the same axis, as ``x (T, B, I)`` and ``mask (T, B)``.
    rank, size : int
        Which share, from 0, of how many.
    axis : int
        The axis of the batch: 1, or 0 for a state (B, H).

    Returns
    -------
    tree : tree of arrays
        Views, where the library has them. The first ranks have one sequence more where B is not a
        multiple of `size`, and the last ones none where it is smaller.

    Raises
    ------
    TypeError, ValueError
        Where `rank` is not below `size`, or the arrays have no such axis or different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt import parallel
    >>> [parallel.shard(np.arange(7), rank, 3, axis=0).tolist() for rank in range(3)]
    [[0, 1, 2], [3, 4], [5, 6]]
    """
    check.whole("size", size)
    check.whole("rank", rank, at_least=0)
    check.whole("axis", axis, at_least=0)
    if rank >= size:
        message = f"`rank` must be below `size` = {size}, got {rank}"
        raise ValueError(message)
    named = list(leaves(tree))
    for name, leaf in named:
        check.array_namespace(name, leaf)
        if leaf.ndim <= axis or leaf.shape[axis] != named[0][1].shape[axis]:
            first, like = named[0]
            message = (
                f"`{name}` has shape {tuple(leaf.shape)}, expected the length of axis {axis} of "
                f"`{first}`, which has {tuple(like.shape)}"
            )
            raise ValueError(message)

    def part(leaf: AnyArray) -> AnyArray:
        each, more = divmod(leaf.shape[axis], size)
        start = rank * each + min(rank, more)
        places = slice(start, start + each + (rank < more))
        return leaf[(*[slice(None)] * axis, places, ...)]

    return map_leaves(part, tree)  # type: ignore[no-any-return]


def _namespace(named: list[tuple[str, Any]]) -> Namespace:
    """Return the namespace of the leaves, which may differ in dtype."""
    if not named:
        message = "`tree` has no arrays"
        raise ValueError(message)
    xp = check.array_namespace(*named[0])
    for name, leaf in named:
        own = check.one_namespace([(name, leaf)])
        if not own.isdtype(leaf.dtype, "real floating"):
            message = f"`{name}` must be an array of real numbers, got dtype {leaf.dtype}"
            raise TypeError(message)
        check.beside(name, leaf, *named[0], kind="real floating", xp=xp)
    return xp


def _by_buffers(
    tree: TreeT, named: list[tuple[str, Any]], function: Collective, *, xp: Namespace
) -> TreeT:
    """Apply a function to one flat buffer a dtype with the leaves of that dtype."""
    dtypes: list[Any] = []
    for _, leaf in named:
        if leaf.dtype not in dtypes:
            dtypes.append(leaf.dtype)
    results: dict[int, AnyArray] = {}
    for dtype in dtypes:
        places = [place for place, (_, leaf) in enumerate(named) if leaf.dtype == dtype]
        flat = xp.concat([xp.reshape(named[place][1], (-1,)) for place in places])
        flat, start = function(widened(flat, xp=xp)), 0
        for place in places:
            shape = named[place][1].shape
            end = start + array_api_compat.size(named[place][1])
            results[place] = narrowed(xp.reshape(flat[start:end], shape), dtype, xp=xp)
            start = end
    places_left = iter(range(len(named)))
    return map_leaves(lambda _: results[next(places_left)], tree)  # type: ignore[no-any-return]


def _called(function: Collective, buffer: AnyArray, name: str) -> AnyArray:
    """Return the buffer after a collective that works in place, or what it returned."""
    result = function(buffer)
    if getattr(result, "shape", None) is None:  # None, or a handle as of an MPI library
        return buffer
    if tuple(result.shape) != tuple(buffer.shape):
        message = f"`{name}` returned shape {tuple(result.shape)} for a {tuple(buffer.shape)} array"
        raise ValueError(message)
    return result


def _fingerprint(named: list[tuple[str, Any]]) -> list[float]:
    """Return numbers that follow from the structure, shapes and dtypes of a tree."""
    text = repr([(name, tuple(leaf.shape), str(leaf.dtype)) for name, leaf in named])
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return [float(number >> PIECE_BITS * k & (1 << PIECE_BITS) - 1) for k in range(PIECES)]
