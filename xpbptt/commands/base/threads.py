"""The threads of xpbptt, of matrix products, of torch and JAX, set while the process runs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from xpbptt.kernels.llvm import call as loops

XLA_ONE = "--xla_cpu_multi_thread_eigen=false"  # JAX takes one thread or all cores


def counts(kind: str | None = None) -> list[int]:
    """Return the threads of each library that is loaded; of kind ``blas``, of those alone."""
    from threadpoolctl import threadpool_info  # noqa: PLC0415 - on use, not on import

    return [each["num_threads"] for each in threadpool_info() if kind in {None, each["user_api"]}]


@contextmanager
def limited(count: int | None, kind: str | None = None) -> Iterator[None]:
    """Let the libraries that are loaded take `count` threads for a while; None leaves them alone.

    Where `kind` is ``blas``, matrix products alone; else the compiled loops of xpbptt and torch,
    too, which keep numbers of their own.
    """
    if count is None:
        yield
        return
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - on use, not on import

    torch = None if kind else sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    with threadpool_limits(count, user_api=kind), nullcontext() if kind else loops.limited(count):
        if torch:
            torch.set_num_threads(count)
        yield
    if torch:
        torch.set_num_threads(before)


def limit_jax(count: int) -> None:
    """Let JAX take one thread if `count` is 1; what it is told counts until its first use."""
    flags = os.environ.get("XLA_FLAGS", "")
    if count == 1 and XLA_ONE not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {XLA_ONE}".strip()
