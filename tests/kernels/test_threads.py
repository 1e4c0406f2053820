"""The first use of a cell from several threads at once."""

import pickle
import sys
import threading
from collections import Counter
from functools import partial
from importlib import import_module

import pytest

import xpbptt
from xpbptt.bptt import recurrence
from xpbptt.cells import GRU, LSTM, RNN_TANH
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE

THREADS, ROUNDS = 8, 40


def at_once(function):
    """Call a function in all threads at the same time; return the results."""
    barrier, results, errors = threading.Barrier(THREADS), [], []

    def run():
        barrier.wait()
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 - raised below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@pytest.fixture
def often():
    """Have threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def compilations(monkeypatch, compiler):
    """Count compilations by the name of the program; here equal programs have one kernel."""
    if compiler.name != "LLVM":
        pytest.skip("the simulator of a GPU is not made for several threads")
    counts, known, (fastest, *_) = Counter(), {}, compiler.loops

    def counted(task, dtype):
        counts[task.program.name, dtype] += 1
        key = task._replace(program=task.program._replace(name="")), dtype
        return known.get(key) or known.setdefault(key, fastest.compile(task, dtype))

    finding = import_module("xpbptt.kernels.find")
    target = compiler._replace(loops=(fastest._replace(compile=counted),))
    monkeypatch.setattr(finding, "_target", lambda module: target)
    return counts


@pytest.mark.parametrize("call", ["forward", "infer", "step", "train"])
@pytest.mark.usefixtures("often")
def test_a_new_cell_is_compiled_once_and_for_all_threads(call, make, compiled, compilations):
    def use(of):
        if call == "step":
            return of.net.step(of.params, of.x[0, ...])
        if call == "infer":
            return of.net.infer(of.params, of.x)
        y, state, cache = of.net.forward(of.params, of.x)
        return (y, state) if call == "forward" else (y, of.net.backward(cache, of.dy))

    like = make(xpbptt.Net(RNN_TANH, 3, 5))
    expected = use(like)[0].tolist()
    for k in range(ROUNDS):
        cell = RNN_TANH._replace(name=f"{call}_{k}")
        like.net = xpbptt.Net(cell, 3, 5)
        compilations.clear()
        outputs = [y for y, _ in at_once(partial(use, like))]
        assert [y.tolist() for y in outputs] == [expected] * THREADS
        compiled(use, like)  # fails if the net would run eagerly
        assert compilations
        assert set(compilations.values()) == {1}
        assert all(name.startswith(cell.name) for name, _ in compilations)


@pytest.mark.usefixtures("often")
def test_all_threads_get_one_recurrence():
    for k in range(ROUNDS):
        cell = LSTM._replace(name=f"one of {k}")
        first, *others = at_once(lambda cell=cell: recurrence(cell))
        assert all(other is first for other in others)


@pytest.mark.parametrize("made", [recurrence(LSTM), recurrence(GRU), GRU_RESET_BEFORE])
def test_recurrences_of_one_cell_are_equal(made):
    again = pickle.loads(pickle.dumps(made))
    assert again is not made
    assert again == made
    assert hash(again) == hash(made)
    assert recurrence(LSTM._replace(name="another")) != recurrence(LSTM)
