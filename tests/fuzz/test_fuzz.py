"""The harness itself, on a few cases that are always the same."""

import random

import numpy as np
import pytest

import xpbptt
from xpbptt._arrays.tree import leaves
from xpbptt.testing import check_gradients

from . import __main__ as command
from . import check as checking
from .case import Case
from .compare import Difference
from .draw import draw
from .given import given, laid_out
from .layouts import LAYOUTS
from .random_cell import random_cell


@pytest.mark.parametrize("number", range(20))
def test_cases_that_are_always_the_same(number):
    checking.check(draw(5, number, ("rnn", "gru-before"), length=20))


def test_a_random_cell_compiled():
    for number in range(8):
        checking.check(draw(1, number, ("random-212",), length=20))


@pytest.mark.parametrize("seed", range(12))
def test_the_derivative_of_a_random_cell(monkeypatch, seed):
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    net = xpbptt.Net(random_cell(seed), 3, 5)
    x = np.random.default_rng(seed).standard_normal((6, 4, 3))
    check_gradients(net, net.init(seed, dtype="float64"), x)


def test_random_cells_come_in_many_forms():
    cells = [random_cell(seed) for seed in range(60)]
    for form in (lambda c: len(c.gates._fields), lambda c: len(c.state._fields)):
        assert len(set(map(form, cells))) >= 3
    assert {cell.extra is None for cell in cells} == {True, False}


def test_a_case_follows_from_its_seed_and_number_alone():
    random.seed(0)
    once = [draw(7, number) for number in range(100)]
    random.seed(1)
    assert [draw(7, number) for number in reversed(range(100))] == once[::-1]
    assert len({*once, *(draw(8, number) for number in range(100))}) == 200
    assert eval(repr(once[3])) == once[3]


def test_what_is_drawn_crosses_the_constants():
    cases = [draw(3, number) for number in range(2000)]
    assert {0, 1, 31, 32, 33, 65} <= {case.steps for case in cases}
    assert {0, 1, 1023, 1024, 1025, 4096} <= {case.batch for case in cases}
    assert len({case.strategy[0] for case in cases}) == 6
    assert {case.mask for case in cases} == {"none", "full", "empty", "padding", "gaps"}
    assert {layout for case in cases for layout in case.layouts} == set(LAYOUTS)
    assert {case.dtype for case in cases} == {"float32", "float64"}
    assert {case.native for case in cases} == {True, False}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("native", [False, True])
def test_a_layout_holds_the_same_numbers(layout, native):
    case = Case(steps=4, batch=3, inputs=2, hidden=5, mask="gaps", with_state=True, native=native)
    plain = given(case)
    other = laid_out(Case(**{**vars(case), "layouts": (layout,)}), plain)
    for (path, a), (_, b) in zip(leaves(plain), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=path)
    flags = other.x.flags
    found = (flags.c_contiguous, flags.writeable, flags.aligned, other.x.strides[0] > 0)
    assert (
        found
        == {
            "plain": (True, True, True, True),
            "fortran": (False, True, True, True),
            "strided": (False, True, True, True),
            "reverse_strides": (False, True, True, False),
            "padded": (False, True, True, True),
            "frozen": (True, False, True, True),
            "misaligned": (True, True, False, True),
        }[layout]
    )
    assert other.x.dtype.isnative is native


def fails_above(monkeypatch, batch):
    def check(case):
        if case.batch > batch:
            message = f"a batch of {case.batch}"
            raise IndexError(message)

    monkeypatch.setattr("fuzz.search.check", check)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["fuzz", *arguments])
    code = command.main()
    return code, capsys.readouterr().out


def test_a_failure_is_one_line_that_says_how_to_have_it_again(monkeypatch, capsys):
    fails_above(monkeypatch, 1024)
    code, out = run(monkeypatch, capsys, "--seed", "4")
    assert code == 1
    first, second = out.splitlines()
    assert first == "seed 4"
    number = next(k for k in range(999) if draw(4, k).batch > 1024)
    assert second == (
        "FAILED IndexError: a batch of 1025"
        f" | nox -s fuzz -- --seed 4 --case {number} | Case(batch=1025)"
    )
    code, out = run(monkeypatch, capsys, "--seed", "4", "--case", str(number))
    assert code == 1
    assert out.startswith("Traceback")
    assert out.splitlines()[-1] == second
    assert run(monkeypatch, capsys, "--seed", "4", "--case", str(number - 1))[0] == 0


def test_a_run_is_bounded_and_prints_a_fresh_seed(monkeypatch, capsys):
    fails_above(monkeypatch, 10**6)
    seeds = set()
    for _ in range(2):
        code, out = run(monkeypatch, capsys, "--seconds", "0.05")
        assert code == 0
        seed, passed = out.splitlines()
        seeds.add(seed)
        assert passed.startswith("passed: ")
    assert len(seeds) == 2


@pytest.mark.parametrize(("scale", "known"), [(1.0, True), (10.0, False)])
def test_a_chaotic_net_proves_nothing(monkeypatch, scale, known):
    case = Case(steps=63, batch=4, inputs=2, hidden=5, scale=scale, dtype="float32", seed=3)

    def compiled(*_):
        message = "planted"
        raise Difference(message)

    monkeypatch.setattr(checking, "_compiled", compiled)
    if known:
        with pytest.raises(Difference, match="planted"):
            checking.check(case)
    else:
        checking.check(case)
