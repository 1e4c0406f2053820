"""Passes that stop at each loop over time: in what order loops are run, alone and two at once."""

from weakref import ref

import pytest

from xpbptt.bptt.layers.passes import Pass, alone, steps, together
from xpbptt.kernels.target import Call


def passing(log, name, count, pair=None):
    """Return a pass of so many calls, which notes what is done and returns its name."""

    def generator():
        for k in range(count):
            log.append(f"{name}: before {k}")
            yield Call(log.append, (f"{name}: call {k}",), pair)
        log.append(f"{name}: end")
        return name

    return generator()


def of(name, count):
    made = [line for k in range(count) for line in (f"{name}: before {k}", f"{name}: call {k}")]
    return [*made, f"{name}: end"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_alone_each_call_is_run_where_the_pass_stops(count):
    log = []
    assert alone(passing(log, "a", count)) == "a"
    assert log == of("a", count)


def test_a_pass_is_called_as_a_function_is():
    log = []
    one = Pass(lambda name, *, count: passing(log, name, count))
    assert one("b", count=2) == "b"
    assert log == of("b", 2)
    assert steps(one) is one.steps


def test_a_plain_function_is_a_pass_without_calls():
    assert alone(steps(lambda x, *, y: x + y)(1, y=2)) == 3


@pytest.mark.parametrize("counts", [(0, 0), (2, 2), (0, 2), (2, 0)])
def test_where_no_pair_can_be_run_one_pass_ends_before_the_other_begins(counts):
    log = []
    assert together(*(passing(log, name, n) for name, n in zip("ab", counts, strict=True))) == (
        "a",
        "b",
    )
    assert log == of("a", counts[0]) + of("b", counts[1])


@pytest.mark.parametrize("can", [True, False])
def test_two_calls_are_run_at_once_before_either_pass_goes_on(can):
    log = []

    def pair(one, other):
        log.append(("pair", *one.given, *other.given))
        return can

    assert together(passing(log, "a", 2, pair), passing(log, "b", 2, pair)) == ("a", "b")
    asked = [("pair", f"a: call {k}", f"b: call {k}") for k in range(2)]
    assert [line for line in log if line in asked] == asked
    assert log.index(asked[0]) > max(log.index("a: before 0"), log.index("b: before 0"))
    assert log.index(asked[1]) > max(log.index("a: before 1"), log.index("b: before 1"))
    calls = [line for line in log if "call" in line]
    expected = [] if can else ["a: call 0", "b: call 0", "a: call 1", "b: call 1"]
    assert [line for line in calls if line not in asked] == expected


@pytest.mark.parametrize("counts", [(1, 3), (3, 1)])
def test_what_one_pass_has_more_is_run_alone(counts):
    log, pairs = [], []

    def pair(*calls):
        pairs.append(calls)
        return True

    found = together(*(passing(log, n, k, pair) for n, k in zip("ab", counts, strict=True)))
    assert found == ("a", "b")
    assert len(pairs) == 1
    longer = "ab"[counts[1] > counts[0]]
    assert [line for line in log if "call" in line] == [f"{longer}: call {k}" for k in (1, 2)]


def test_the_arrays_of_a_call_are_gone_when_the_next_ones_are_made():
    class Array:
        pass

    alive = []

    def generator():
        for _ in range(2):
            alive.append(sum(each() is not None for each in made))
            array = Array()
            made.append(ref(array))
            yield Call(lambda _: None, (array,))
            del array

    made = []
    alone(generator())
    assert alive == [0, 0]
