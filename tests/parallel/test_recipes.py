"""The recipes of `xpbptt.parallel`: two ranks of MPI, of torch.distributed, and NCCL's calls."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xpbptt
from xpbptt import parallel

PROBLEM = """
import numpy as np
import xpbptt
from xpbptt import parallel

T, B, I, H = 6, 7, 3, 5


def problem(xp):
    random = np.random.default_rng(0)
    drawn = lambda *shape: xp.asarray(random.normal(size=shape))
    return drawn(T, B, I), drawn(T, B, H), xpbptt.length_mask([6, 1, 5, 2, 4, 0, 3], T, xp=xp)


def gradients(net, params, x, target, mask):
    y, _, cache = net.forward(params, x, mask=mask)
    loss, dy = xpbptt.mean_squared_error(y, target, mask)
    return net.backward(cache, dy).params


def check(net, params, grads, xp):
    expected = gradients(net, params, *problem(xp))
    for one, other in zip(grads[0][:4], expected[0][:4]):
        assert float(xp.max(xp.abs(one - other))) < 1e-12


net = xpbptt.LSTM(I, H)
"""

MPI = (
    PROBLEM
    + """
from mpi4py import MPI

comm = MPI.COMM_WORLD
params = net.init(comm.rank, dtype="float64")  # another one on each rank
params = parallel.broadcast(params, lambda buffer: comm.Bcast(buffer))
share = parallel.shard(problem(np), comm.rank, comm.size)
grads = parallel.mean(
    gradients(net, params, *share),
    share[2].sum(),
    lambda buffer: comm.Allreduce(MPI.IN_PLACE, buffer),
)
check(net, net.init(0, dtype="float64"), grads, np)
print(f"agreed {comm.size}\\n", end="")  # one piece, also where the ranks print at once
"""
)

ANOTHER_TREE = (
    PROBLEM
    + """
from mpi4py import MPI

comm = MPI.COMM_WORLD
params = xpbptt.LSTM(I, H + comm.rank).init(0)
parallel.broadcast(params, lambda buffer: comm.Bcast(buffer))
comm.Barrier()  # rank 0 would wait here for ever
"""
)

GLOO = (
    PROBLEM
    + """
import sys
import torch
import torch.distributed as dist

rank, path = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
params = net.init(rank, xp=torch, dtype=torch.float64)
params = parallel.broadcast(params, lambda buffer: dist.broadcast(buffer, 0))
share = parallel.shard(problem(torch), rank, 2)
grads = parallel.mean(gradients(net, params, *share), share[2].sum(), dist.all_reduce)
check(net, net.init(0, xp=torch, dtype=torch.float64), grads, torch)
print("agreed", dist.get_world_size())
dist.destroy_process_group()  # its threads end before the process does
"""
)

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def mpiexec(tmp_path):
    """Return a function that runs a script on ranks, two or so many, or skip without MPI."""
    pytest.importorskip("mpi4py", reason="needs mpi4py: nox -s peers runs it")
    command = Path(sys.executable).with_name("mpiexec")
    if not command.exists():
        pytest.skip("needs mpiexec of the wheel mpich: nox -s peers runs it")

    def run(script, size=2):
        path = tmp_path / "script.py"
        path.write_text(script, "utf8")
        ranks = [str(command), "-n", str(size), sys.executable, "-m", "mpi4py", str(path)]
        return subprocess.run(
            ranks, capture_output=True, text=True, timeout=100, env=ENVIRONMENT, check=False
        )

    return run


def test_mpi(mpiexec):
    done = mpiexec(MPI)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("agreed 2") == 2


def test_the_program_of_the_page_learns_on_two_ranks_what_it_learns_on_one(mpiexec, examples):
    (program,) = examples("cookbook/mpi")
    one, two = mpiexec(program, size=1), mpiexec(program)
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert re.fullmatch(r"loss 0\.\d{4}\n", one.stdout)
    assert two.stdout == one.stdout


def test_the_page_has_the_recipe_for_nccl_that_is_tested():
    page = (Path(__file__).parents[2] / "docs" / "cookbook" / "mpi.md").read_text("utf8")
    recipe = re.search(r"    from cupy.*?\n\n(?=\S)", page, re.DOTALL)[0].rstrip()
    assert "allReduce" in recipe
    assert recipe in parallel.__doc__


def test_a_rank_with_another_tree_ends_the_others(mpiexec):
    done = mpiexec(ANOTHER_TREE)
    assert done.returncode != 0
    assert "`tree` of this rank differs from that of rank 0" in done.stderr


def test_torch_distributed(torch, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this build of torch has no torch.distributed")
    script = tmp_path / "script.py"
    script.write_text(GLOO, "utf8")
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        output, errors = rank.communicate(timeout=100)
        assert rank.returncode == 0, errors
        assert "agreed 2" in output


class Communicator:
    """One rank of NCCL with the signatures of `cupy.cuda.nccl.NcclCommunicator`.

    It sums into memory by its address what the other rank has sent before.
    """

    def __init__(self, cupy, other):
        self.cupy, self.other, self.calls = cupy, other, []

    def array(self, address, size, kind):
        dtype = {7: "float32", 8: "float64"}[kind]
        size_in_bytes = size * np.dtype(dtype).itemsize
        memory = self.cupy.cuda.UnownedMemory(address, size_in_bytes, self)
        return self.cupy.ndarray((size,), dtype, self.cupy.cuda.MemoryPointer(memory, 0))

    def allReduce(self, sent, received, size, kind, op, stream):  # noqa: N802 - NCCL's name
        assert (sent, op) == (received, 0)
        buffer = self.array(sent, size, kind)
        self.calls.append((stream, buffer.copy()))
        if self.other is not None:
            buffer += self.other.calls[len(self.calls) - 1][1]

    def bcast(self, address, size, kind, root, stream):
        assert root == 0
        buffer = self.array(address, size, kind)
        self.calls.append((stream, buffer.copy()))
        if self.other is not None:
            buffer[...] = self.other.calls[len(self.calls) - 1][1]


def test_nccl(xp):
    """The recipe's own text, with a stand-in for the communicator."""
    if "cupy" not in xp.__name__:
        pytest.skip("is about CuPy")
    import cupy  # noqa: PLC0415 - only where it is there

    recipe = re.search(r"    KINDS = .*\Z", parallel.__doc__, re.DOTALL)[0]
    code = "\n".join(line[4:] for line in recipe.splitlines())
    nccl = SimpleNamespace(NCCL_FLOAT32=7, NCCL_FLOAT64=8, NCCL_SUM=0)

    def rank_of(other):
        names = {"cupy": cupy, "nccl": nccl, "group": Communicator(cupy, other)}
        exec(code, names)
        return names

    for dtype in ("float32", "float64"):
        net = xpbptt.GRU(3, 5)
        trees = [net.init(seed, xp=cupy, dtype=dtype) for seed in range(2)]
        first = rank_of(None)
        parallel.mean(trees[0], 1, first["all_reduce"])
        second = rank_of(first["group"])
        with cupy.cuda.Stream() as stream:
            result = parallel.mean(trees[1], 3, second["all_reduce"])
        assert [call[0] for call in second["group"].calls] == [stream.ptr]
        for mean, one, other in zip(result[0][:4], trees[0][0][:4], trees[1][0][:4], strict=True):
            assert float(cupy.abs(mean - (one + 3 * other) / 4).max()) < 1e-6
        first = rank_of(None)
        parallel.broadcast(trees[0], first["bcast"])
        received = parallel.broadcast(trees[1], rank_of(first["group"])["bcast"])
        for one, other in zip(received[0][:4], trees[0][0][:4], strict=True):
            assert bool((one == other).all())
