"""Cells with a projection: any engine computes what the cell as it is written does."""

from typing import Any, NamedTuple

import array_api_compat
import numpy as np
import pytest
from helpers import cover, flatten, host, map_arrays

import xpbptt
from xpbptt.kernels import TARGETS
from xpbptt.testing import check_gradients, laws

I = 3
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


class Gates(NamedTuple):
    a: Any
    b: Any


class State(NamedTuple):
    h: Any
    c: Any


def forward(u, v, state, *, xp):
    a = xp.tanh(u.a + 2 * v.a)
    c = state.c / 2 + a * u.b
    t = xp.tanh(c)
    return State(t + u.b, c), (a, u.b, t)


def backward(residuals, state, new, dnew, *, xp):
    a, b, t = residuals
    dc = dnew.c + dnew.h * (1 - t * t)
    da = dc * b * (1 - a * a)
    return Gates(da, dc * a + dnew.h), Gates(2 * da, None), State(None, dc / 2)


# One gate of two has a product, whose gradient is not that of u.
OWN = xpbptt.Cell("Own", Gates, State, forward, backward, recurrent=("a",))


def centred_forward(u, v, state, *, xp):
    """Sums over the units, which take all products before the maths."""
    a, mean = u.a + v.a, xp.mean(v.a, axis=-1, keepdims=True)
    t = xp.tanh(a - mean)
    c = state.c / 2 + t * u.b
    return State(c * c, c), (t, u.b)


def centred_backward(residuals, state, new, dnew, *, xp):
    t, b = residuals
    dc = dnew.c + 2 * new.c * dnew.h
    da = dc * b * (1 - t * t)
    dv = da - xp.mean(da, axis=-1, keepdims=True)
    return Gates(da, dc * t), Gates(dv, None), State(None, dc / 2)


CENTRED = xpbptt.Cell(
    *("Centred", Gates, State, centred_forward, centred_backward), recurrent=("a",)
)
CELLS = {
    "centred": CENTRED,
    "LSTM": xpbptt.cells.LSTM,
    "CIFG": xpbptt.cells.CIFG_LSTM,
    "own": OWN,
}
STRATEGIES = [
    *(xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2), xpbptt.Binomial(2)),
    xpbptt.Truncated(3),
]
OPTIONS = [
    {},
    {"trace": True, "clip_step": 0.1},
    {"per_sample": True},
    {"clip_step": 0.3, "per_sample": True},
]


def run(of, monkeypatch, engine, *, bptt, options, given, state_gradients):
    """Return everything that the passes of a net return."""
    monkeypatch.setenv("XPBPTT_ENGINE", engine)
    net, params, x, start, upstream, dstate, dstates = of
    more = {"dropout_seed": 3} if net.draws else {}
    y, state, cache, states = net.forward(params, x, start, bptt=bptt, states=True, **more, **given)
    back = {"dstates": dstates} if state_gradients else {}
    grads = net.backward(cache, upstream, dstate, **back, **options)
    if options.get("trace"):
        grads, trace = grads
        grads = (*grads, *trace)
    inferred = net.infer(params, x, start, states=True, **given)
    return y, state, states, tuple(grads), inferred


def made(xp, net, steps, batch, dtype):
    random = np.random.default_rng(0)
    draw = lambda *shape: xp.asarray(random.standard_normal(shape).astype(dtype))  # noqa: E731
    params, x = net.init(0, xp=xp, dtype=dtype), draw(steps, batch, I)
    y, state, states = net.infer(params, x, states=True)
    like = lambda tree: map_arrays(lambda a: draw(*a.shape), tree)  # noqa: E731
    return net, params, x, like(state), draw(*y.shape), like(state), like(states)


@cover(
    "name, sizes, layers, both, steps, batch, masked, reset, noise, bptt, options, every, dtype",
    list(CELLS),
    [(5, 2), (1, 1), (3, 5), (17, 16), (66, 9), (9, 66), (16, 130)],  # H and P
    [1, 2],
    [False, True],
    [1, 14],  # of 14, Binomial(2) runs over several steps whose states nobody asks for
    [1, 2, 11],
    [False, True],
    [None, "state", "initial"],
    [{}, {"recurrent_dropout": 0.4}, {"zoneout": 0.3}],
    STRATEGIES,
    OPTIONS,
    [False, True],
    list(TOLERANCE),
)
def test_every_engine_computes_what_the_cell_does(
    xp, monkeypatch, name, sizes, layers, both, steps, batch, masked, reset, noise, bptt, options,
    every, dtype,
):  # fmt: skip
    (hidden, columns), random = sizes, np.random.default_rng(1)
    cell = CELLS[name]._replace(name=f"{name}P", projection=columns)
    net = xpbptt.Net(cell, I, hidden, layers, bidirectional=both, **noise)
    of = made(xp, net, steps, batch, dtype)
    given = {}
    if masked:
        mask = random.random((steps, batch)) < 0.7
        given["mask"] = xp.asarray(mask)
        spoilt = np.where(mask[..., None], host(of[2]), np.asarray(np.nan, dtype=dtype))
        of = (*of[:2], xp.asarray(spoilt), *of[3:])
    if reset:
        given["reset"] = xp.asarray(random.random((steps, batch)) < 0.4)
    if reset == "initial":
        given["initial"] = map_arrays(lambda a: a / 2, of[3])
    how = {"bptt": bptt, "options": options, "given": given, "state_gradients": every}
    expected = run(of, monkeypatch, "eager", **how)
    for engine in ("stepwise", "") if xp.__name__ in TARGETS else ("",):
        found = run(of, monkeypatch, engine, **how)
        for a, b in zip(flatten(found), flatten(expected), strict=True):
            scale = max(1.0, float(np.abs(host(b)).max(initial=0)))
            np.testing.assert_allclose(host(a), host(b), rtol=0, atol=scale * TOLERANCE[dtype])
        for a, b in zip(flatten(run(of, monkeypatch, engine, **how)), flatten(found), strict=True):
            np.testing.assert_array_equal(host(a), host(b))


@cover(
    "name, sizes, layers, batch, dtype",
    list(CELLS),
    [(5, 2), (1, 1), (3, 5), (66, 9), (9, 130)],
    [1, 2],
    [1, 2, 11],
    list(TOLERANCE),
)
def test_steps_and_streams_are_those_of_a_sequence(xp, name, sizes, layers, batch, dtype):
    hidden, columns = sizes
    cell = CELLS[name]._replace(name=f"{name}P", projection=columns)
    net = xpbptt.Net(cell, I, hidden, layers)
    _, params, x, start, *_ = made(xp, net, 4, batch, dtype)
    y, last = net.infer(params, x, start)
    stream, state = net.stream(params, start, batch=batch), start
    for t in range(4):
        y_t, state = net.step(params, x[t, ...], state)
        for each in (stream(x[t, ...]), y_t):
            np.testing.assert_allclose(host(each), host(y)[t], rtol=0, atol=TOLERANCE[dtype])
    for found in (stream.state, state):
        for a, b in zip(flatten(found), flatten(last), strict=True):
            np.testing.assert_allclose(host(a), host(b), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", list(CELLS))
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(xp, name, masked):
    net = xpbptt.Net(CELLS[name]._replace(name="P", projection=2), I, 5, 2, bidirectional=True)
    params = net.init(0, xp=xp, dtype=xp.float64)
    random = np.random.default_rng(0)
    x = xp.asarray(random.standard_normal((6, 4, I)))
    mask = xp.asarray(random.random((6, 4)) < 0.7) if masked else None
    found = check_gradients(net, params, x, mask=mask)
    assert found.error < (1e-10 if found.method == "complex step" else 1e-7)  # means of complex


def test_a_derivative_along_the_gradient_is_its_square(xp):
    net = xpbptt.LSTMP(I, 5, 2, proj_size=2)
    _, params, x, start, upstream, dstate, _ = made(xp, net, 6, 4, "float64")
    _, _, cache = net.forward(params, x, start)
    grads = net.backward(cache, upstream, dstate)
    _, along = net.jvp(params, x, start, tangents=grads)
    pairs = zip(flatten(along), flatten((upstream, dstate)), strict=True)
    square = sum(float((host(a) ** 2).sum()) for a in flatten(tuple(grads)))
    np.testing.assert_allclose(sum((host(a) * host(b)).sum() for a, b in pairs), square, rtol=1e-11)


@pytest.mark.parametrize(("steps", "batch"), [(0, 4), (6, 0)])
def test_nothing_to_compute(xp, steps, batch):
    net = xpbptt.LSTMP(I, 5, 2, proj_size=2, bidirectional=True)
    params = net.init(0, xp=xp)
    x = xp.ones((steps, batch, I), dtype=xp.float32)
    y, state, cache = net.forward(params, x)
    grads = net.backward(cache, y, state)
    assert y.shape == (steps, batch, 4)
    assert not any(host(a).any() for a in flatten(grads.params))


def test_it_is_compiled_where_cells_are(xp, monkeypatch):
    pytest.importorskip("llvmlite", reason="compiles with llvmlite, which is not installed")
    wanted = {"array_api_compat.numpy": "sequence", "array_api_compat.cupy": "stepwise"}
    if xp.__name__ not in wanted:
        pytest.skip("of the libraries that cells are compiled for")
    net, x = xpbptt.LSTMP(I, 5, proj_size=2), xp.ones((6, 4, I), dtype=xp.float32)
    params = net.init(0, xp=xp)
    every = net.engine(params, x, x[:, :, 0] > 0, reset=x[:, :, 0] > 0)
    assert {answer.name for answer in every} == {wanted[xp.__name__]}
    if array_api_compat.is_cupy_namespace(xp):
        monkeypatch.setenv("XPBPTT_ENGINE", "graph")
        answer = net.engine(params, x).forward
        assert answer.name == "stepwise"
        assert "a projection is multiplied step by step" in answer.reason
    noisy = xpbptt.LSTMP(I, 5, proj_size=2, zoneout=0.5)
    assert noisy.engine(params, x).forward.reason == (
        "zoneout of a cell with a projection has no kernel"
    )


def test_in_float16(xp):
    if not array_api_compat.is_cupy_namespace(xp):
        pytest.skip("float16 is compiled for CuPy only")
    laws.engines(xpbptt.LSTMP(I, 5, 2, proj_size=2), xp=xp, dtype="float16")


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_threads_share_a_batch(monkeypatch, xp, dtype):
    if not array_api_compat.is_numpy_namespace(xp):
        pytest.skip("of the loops of NumPy")
    call = pytest.importorskip("xpbptt.kernels.llvm.call", reason="needs llvmlite")
    monkeypatch.setattr(call, "WORTH", 1)
    of, found = made(xp, xpbptt.LSTMP(I, 21, proj_size=9), 5, 23, dtype), []
    random = np.random.default_rng(0)
    given = {"mask": random.random((5, 23)) < 0.7, "reset": random.random((5, 23)) < 0.3}
    how = {"bptt": xpbptt.KeepAll(), "options": {"clip_step": 0.2}, "state_gradients": True}
    for count in (1, 3):
        with call.limited(count):
            found.append(run(of, monkeypatch, "", given=given, **how))
    for a, b in zip(*map(flatten, found), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"projection": -1}, ValueError, "`projection` of the cell LSTM must be an int of at"),
        ({"projection": True}, ValueError, "must be an int of at least 0, got True"),
        ({"projection": 2.0}, ValueError, "must be an int of at least 0, got 2.0"),
        ({"recurrent": ()}, ValueError, r"a `projection`, and so cannot have `recurrent` = \(\)"),
        ({"reads": "c"}, ValueError, "cannot have `reads` = 'c'"),
        ({"side": 1}, ValueError, "cannot have `side`"),
        ({"heads": 2}, ValueError, "cannot have `heads`"),
        ({"extra": xpbptt.cells.PEEPHOLE_LSTM.extra}, ValueError, "cannot have `extra`"),
    ],
)
def test_what_cannot_be_is_refused(change, error, text):
    cell = xpbptt.cells.LSTM._replace(**{"projection": 2, **change})
    with pytest.raises(error, match=text):
        xpbptt.Net(cell, I, 4)


def test_a_gradient_of_the_output_is_refused(xp):
    def backward(*arguments, xp):
        du, dv, dstate = xpbptt.cells.LSTM.backward(*arguments, xp=xp)
        return du, dv, dstate._replace(h=dstate.c)

    net = xpbptt.Net(xpbptt.cells.LSTM._replace(projection=5, backward=backward), I, 5)
    with pytest.raises(TypeError, match="must return None for the part h of `dstate`"):
        net.infer(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))


@pytest.mark.parametrize("hidden", [5, 2])
def test_a_cell_that_reads_its_output_is_refused(xp, hidden):
    net = xpbptt.Net(xpbptt.cells.GRU._replace(projection=2), I, hidden)
    with pytest.raises(TypeError, match="the cell GRU reads the part h of a state, which has"):
        net.infer(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))


def test_a_cell_that_keeps_its_output_is_refused(xp):
    cell = xpbptt.RNN(1, 1).cell

    def forward(u, v, state, *, xp):
        new, _ = cell.forward(u, v, state, xp=xp)
        return new, (state.h,)

    net = xpbptt.Net(cell._replace(projection=2, forward=forward), I, 5)
    with pytest.raises(TypeError, match="reads the part h of a state, which has `projection` = 2"):
        net.infer(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))
