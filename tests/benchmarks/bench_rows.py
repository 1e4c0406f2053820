"""The rows of ``python -m xpbptt bench`` under pytest-benchmark, for development.

``nox -s bench`` runs it. Each row is a group with xpbptt, the products alone and the peers that
are installed. What is asserted is that all compute the same; no test asserts a time.
"""

import pytest

from xpbptt import backends
from xpbptt.commands.bench import cases, floors, ours, peers
from xpbptt.commands.bench.contestant import TOLERANCE, difference
from xpbptt.commands.bench.problem import draw
from xpbptt.commands.bench.timing import clock

TABLE = cases.select()


def make_problem(case, config):
    (name,) = (config.getoption("--backend") or ["numpy"])[-1:]
    xp = backends.load(name)
    if name == "jax":
        import jax  # noqa: PLC0415 - only where it is asked for

        jax.config.update("jax_enable_x64", val=True)
    return draw(case, xp=xp, backend=name)


@pytest.fixture(params=TABLE, ids=[case.name for case in TABLE])
def problem(request, benchmark):
    """A row, which names the group."""
    benchmark.group = request.param.name
    return make_problem(request.param, request.config)


def time(benchmark, run, wait):
    """Time runs, each until the device is done."""
    wait(run())
    benchmark(lambda: wait(run()))


def bench_xpbptt(benchmark, problem):
    contestant = ours.make(problem)
    values = contestant.compute()
    assert all(array.dtype == problem.case.dtype for array in values.values())
    time(benchmark, contestant.run, contestant.clock.wait)


def bench_floor(benchmark, problem):
    products = floors.products(problem)
    ticks = clock(problem.backend, on_gpu=problem.on_gpu)
    assert len(products.run()) == len(products)
    time(benchmark, products.run, ticks.wait)


@pytest.mark.parametrize("name", peers.NAMES)
def bench_peer(benchmark, problem, name):
    if reason := peers.missing(name):
        pytest.skip(f"{name}: {reason}")
    peer = peers.make(name, problem)
    if isinstance(peer, str):
        pytest.skip(f"{name} does not compute this row: {peer}")
    values = ours.make(problem).compute()
    assert difference(values, peer.compute()) <= TOLERANCE[problem.case.dtype]
    time(benchmark, peer.run, peer.clock.wait)
