"""Programs as calls on whole arrays: what is computed together, and where results go."""

import numpy as np
import pytest

from xpbptt.cells import GRU, LSTM
from xpbptt.kernels import cell as programs
from xpbptt.kernels.program import Buffer, Program, Store
from xpbptt.kernels.schedule import Span, schedule
from xpbptt.kernels.trace import Graph, Tracing
from xpbptt.kernels.ufuncs import Kernel

A, B, C = (Buffer(name, "bj") for name in "abc")
MASK = Buffer("mask", "b", logical=True)


def make(compute, *loads, stores):
    """Trace a function of loaded elements; what it returns is stored."""
    graph = Graph()
    values = [
        graph.add("flag" if access.buffer.logical else "load", access)
        for access in (load.at() if isinstance(load, Buffer) else load for load in loads)
    ]
    results = compute(Tracing(graph), *values)
    places = (access.at() if isinstance(access, Buffer) else access for access in stores)
    written = [Store(p, graph.lift(r).place) for p, r in zip(places, results, strict=True)]
    return Program("program", tuple(graph.nodes), tuple(written))


def run(program, **arrays):
    """Compute a program whose buffers have no time, in place."""
    kernel = Kernel(program, "float64")
    read, written = program.buffers()
    kernel.bind(*(arrays[buffer.name] for buffer in (*read, *written)))(0)
    return arrays


@pytest.fixture
def draw():
    random = np.random.default_rng(3)
    return lambda blocks=1: random.standard_normal((4, blocks * 5))


@pytest.mark.parametrize(
    ("cell", "kind", "masked", "most"),
    [
        (LSTM, "record", False, 17),
        (LSTM, "record", True, 19),
        (LSTM, "back", False, 24),
        (LSTM, "back", True, 28),
        (LSTM, "single", False, 15),
        (GRU, "record", False, 15),
        (GRU, "back", False, 19),
    ],
)
def test_how_many_calls_a_step_takes(cell, kind, masked, most):
    assert len(schedule(programs.program(cell, kind, masked=masked))) <= most


def test_gates_of_the_lstm_that_are_neighbours_have_their_sigmoid_at_once():
    calls = schedule(programs.program(LSTM, "single", masked=False))
    assert max(call.target.blocks for call in calls if call.operation == "sigmoid") == 2


def test_nothing_but_working_memory_and_what_is_stored_is_written():
    """Nor is anything read that was written over, which the values of other tests would show."""
    for kind in ("record", "advance", "recompute", "back", "watch"):
        program = programs.program(LSTM, kind, masked=True)
        read, written = program.buffers()
        for call in schedule(program):
            assert call.target.buffer.spent or call.target.buffer in written
            assert call.target.buffer not in read or call.target.buffer.spent


def test_two_buffers_change_places(draw):
    a, b = draw(), draw()
    program = make(lambda xp, a, b: (b, a), A, B, stores=(A, B))
    found = run(program, a=a.copy(), b=b.copy())
    np.testing.assert_array_equal(found["a"], b)
    np.testing.assert_array_equal(found["b"], a)


def test_a_buffer_is_read_before_it_is_written(draw):
    a, b = draw(), draw()
    program = make(lambda xp, a, b: (a + b, a * b, a - b), A, B, stores=(A, B, C))
    found = run(program, a=a.copy(), b=b.copy(), c=np.empty_like(a))
    for name, expected in {"a": a + b, "b": a * b, "c": a - b}.items():
        np.testing.assert_array_equal(found[name], expected)


def test_one_value_in_two_places(draw):
    a = draw()
    program = make(lambda xp, a: (xp.tanh(a), xp.tanh(a)), A, stores=(B, C))
    found = run(program, a=a, b=np.empty_like(a), c=np.empty_like(a))
    np.testing.assert_array_equal(found["b"], np.tanh(a))
    np.testing.assert_array_equal(found["c"], np.tanh(a))


def test_a_number_is_stored(draw):
    program = make(lambda xp, a: (2.5, a), A, stores=(B, C))
    found = run(program, a=draw(), b=draw(), c=draw())
    assert (found["b"] == 2.5).all()


@pytest.mark.parametrize("which", ["first", "second", "both", "number"])
def test_a_choice_by_a_mask_may_replace_either_side(which, draw):
    a, b = draw(), draw()
    choices = {
        "first": lambda xp, m, a, b: (xp.where(m, a + b, b), b),
        "second": lambda xp, m, a, b: (xp.where(m, a, a + b), b),
        "both": lambda xp, m, a, b: (xp.where(m, a + b, a + b), xp.where(m, b, a)),
        "number": lambda xp, m, a, b: (xp.where(m, 0, a * b), xp.where(m, a * b, 0)),
    }
    mask = np.array([True, False, True, False])
    program = make(choices[which], MASK, A, B, stores=(A, B))
    found = run(program, mask=mask, a=a.copy(), b=b.copy())
    expected = choices[which](np, mask[:, None], a, b)
    np.testing.assert_array_equal(found["a"], expected[0])
    np.testing.assert_array_equal(found["b"], expected[1])


def test_a_choice_does_not_replace_what_its_neighbour_reads(draw):
    wide, other = Buffer("a", "bj", 3), Buffer("b", "bj", 2)
    loads = [MASK, *(wide.at(k) for k in range(3)), *(other.at(k) for k in range(2))]
    program = make(
        lambda xp, m, a0, a1, a2, b0, b1: (xp.where(m, a1, b0), xp.where(m, a2, b1)),
        *loads,
        stores=(wide.at(0), wide.at(1)),
    )
    a, b, mask = draw(3), draw(2), np.array([True, False, True, False])
    found = run(program, mask=mask, a=a.copy(), b=b)
    np.testing.assert_array_equal(found["a"][:, :10], np.where(mask[:, None], a[:, 5:], b))


def test_a_truth_value_is_stored_where_no_number_can_be(draw):
    flags = Buffer("d", "bj", logical=True)
    program = make(lambda xp, a, b: (xp.tanh(2 * a) > b,), A, B, stores=(flags,))
    a, b = draw(), draw()
    found = run(program, a=a, b=b, d=np.empty(a.shape, dtype=bool))
    np.testing.assert_array_equal(found["d"], np.tanh(2 * a) > b)


def test_the_step_after_is_no_part_of_a_name():
    now, other = Buffer("a", "tbj"), Buffer("a_later", "tbj")
    program = make(
        lambda xp, a, b: (a + b, a - b), now.at(), other.at(), stores=(now.at(later=True), B)
    )
    a, b = np.ones((2, 4, 5)), np.full((1, 4, 5), 3.0)
    found = run(program, a=a, a_later=b, b=np.empty((4, 5)))
    assert (found["a"][1] == 4).all()
    assert (found["b"] == -2).all()
    assert (b == 3).all()


@pytest.mark.parametrize("blocks", range(1, 10))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_opposite_of_one_unit(blocks, dtype):
    """NumPy's own `negative` is wrong in place at some strides."""
    wide = Buffer("a", "bj", blocks, spent=True)
    program = make(lambda xp, a: (2 * xp.tanh(-a),), wide, stores=(B,))
    a = np.linspace(-1, 1, 6 * blocks, dtype=dtype).reshape(6, blocks)
    expected, b = 2 * np.tanh(-a[:, :1]), np.empty((6, 1), dtype)
    Kernel(program, dtype).bind(a, b)(0)
    np.testing.assert_allclose(b, expected, rtol=1e-6)


def test_neighbours_with_results_in_places_apart(draw):
    """What lies side by side may have to be stored apart, or the other way round."""
    wide, other = Buffer("a", "bj", 3), Buffer("b", "bj", 3)
    loads = [wide.at(k) for k in range(3)]
    stores = [other.at(2), other.at(0), other.at(1)]
    program = make(lambda xp, *a: [xp.tanh(2 * each) for each in a], *loads, stores=stores)
    a = draw(3)
    found = run(program, a=a.copy(), b=np.empty_like(a))
    np.testing.assert_array_equal(found["a"], a)
    expected = np.split(np.tanh(2 * a), 3, axis=1)
    np.testing.assert_array_equal(np.split(found["b"], 3, axis=1), [expected[k] for k in (1, 2, 0)])


def test_random_programs(draw):
    """Many operations on few values, some stored where others are read."""
    random = np.random.default_rng(0)
    wide = Buffer("a", "bj", 4, spent=True)
    for _ in range(200):
        plan = random.integers(0, 10**6, size=(12, 4))

        def compute(xp, *values, plan=plan):
            values = list(values)
            for operation, first, second, third in plan:
                x, y, z = (values[k % len(values)] for k in (first, second, third))
                made = [
                    lambda: x + y,  # noqa: B023 - called at once
                    lambda: x * 0.5,  # noqa: B023
                    lambda: xp.tanh(x),  # noqa: B023
                    lambda: xp.where(x > y, y, z),  # noqa: B023
                    lambda: xp.maximum(x, y) - z,  # noqa: B023
                ]
                values.append(made[operation % 5]())
            return values[-5:]

        loads = [*(wide.at(k) for k in range(4)), B.at(), C.at()]
        program = make(compute, *loads, stores=(B, C, *(Buffer(f"d{k}", "bj") for k in range(3))))
        a, b, c = draw(4), draw(), draw()
        expected = compute(np, *np.split(a, 4, axis=1), b, c)
        arrays = {f"d{k}": draw() for k in range(3)} | {"a": a.copy(), "b": b.copy(), "c": c.copy()}
        found = run(program, **arrays)
        for name, value in zip(("b", "c", "d0", "d1", "d2"), expected, strict=True):
            np.testing.assert_array_equal(found[name], value)


def test_a_span_without_units_is_beside_all_blocks():
    mask, gate = Span(MASK, later=False, first=0), Span(Buffer("u", "bj", 4), later=False, first=1)
    assert mask.shifted(2).widened(3) == mask
    assert gate.shifted(2) == gate._replace(first=3)
    assert gate.widened(3).blocks == 3
