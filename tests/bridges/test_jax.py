"""A net as a function for JAX, and the engine that runs the nets on arrays of JAX by a scan."""

import time
from importlib import import_module

import numpy as np
import pytest

import xpbptt
from xpbptt import cells
from xpbptt._arrays.tree import leaves
from xpbptt.bptt.engines import engine

T, B, I, H = 6, 4, 3, 5


@pytest.fixture
def bridge(jax):
    return import_module("xpbptt.bridges.jax")


@pytest.fixture
def draw(jax):
    random = np.random.default_rng(5)
    return lambda *shape: jax.numpy.asarray(random.standard_normal(shape))


@pytest.fixture
def params(jax):
    return lambda net: net.init(0, xp=jax.numpy, dtype="float64")


def assert_close(found, expected, tolerance=1e-12):
    found, expected = list(leaves(found)), list(leaves(expected))
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (path, a), (_, b) in zip(found, expected, strict=True):
        assert a.dtype == b.dtype, path
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=path)


def weighted(y, state):
    """Return a loss of all outputs, in which each weighs differently."""
    parts = [y, *(leaf for _, leaf in leaves(state))]
    return sum(((k + 1) * part**2 / 2 + part).sum() for k, part in enumerate(parts))


def plain_scan(jax, params, x, mask):
    """The LSTM as one would write it for JAX's own derivative."""
    (w,), sigmoid = params, jax.nn.sigmoid

    def body(state, row):
        (h, c), (x_t, counts) = state, row
        z = x_t @ w.weight_ih.T + w.bias_ih + h @ w.weight_hh.T + w.bias_hh
        i, f, g, o = jax.numpy.split(z, 4, axis=-1)
        new_c = sigmoid(f) * c + sigmoid(i) * jax.numpy.tanh(g)
        new_h = sigmoid(o) * jax.numpy.tanh(new_c)
        counts = counts[:, None]
        after = jax.numpy.where(counts, new_h, h), jax.numpy.where(counts, new_c, c)
        return after, jax.numpy.where(counts, new_h, 0)

    zeros = jax.numpy.zeros((B, H))
    state, y = jax.lax.scan(body, (zeros, zeros), (x, mask))
    return y, (cells.LSTM.state(*state),)


def test_gradients_are_those_of_a_plain_scan(jax, bridge, draw, params):
    net = xpbptt.LSTM(I, H)
    f, x, mask = bridge.function(net), draw(T, B, I), draw(T, B) > -0.5
    results = [
        jax.jit(jax.value_and_grad(lambda p, x, of=of: weighted(*of(p, x)), (0, 1)))(params(net), x)
        for of in (
            lambda p, x: f(p, x, mask=mask),
            lambda p, x: plain_scan(jax, p, x, mask),
        )
    ]
    assert_close(*results)


@pytest.mark.parametrize(
    ("name", "bptt"),
    [
        ("lstm-both", xpbptt.KeepAll()),
        ("lstm-both", xpbptt.Segments(2)),
        ("gru-before", xpbptt.KeepStates()),
        ("dropout", xpbptt.Truncated(4)),
    ],
)
def test_gradients_are_those_of_the_net(jax, bridge, draw, params, name, bptt):
    """Eagerly and compiled, with a mask, an initial state, layers, directions and dropout."""
    net = {
        "lstm-both": xpbptt.LSTM(I, H, 2, bidirectional=True),
        "gru-before": xpbptt.GRU(I, H, reset_after=False),
        "dropout": xpbptt.RNN(I, H, 2, dropout=0.5),
    }[name]
    seed = 3 if net.dropout else None
    p, x, mask = params(net), draw(T, B, I), draw(T, B) > -0.5
    state = jax.tree.map(lambda part: draw(*part.shape), net.infer(p, x)[1])
    y, final, cache = net.forward(p, x, state, mask, bptt=bptt, dropout_seed=seed)
    upstream = jax.grad(weighted, (0, 1))(y, final)
    expected = net.backward(cache, *upstream)
    f = bridge.function(net, bptt=bptt)

    def loss(p, x, state, mask):
        return weighted(*f(p, x, state, mask, dropout_seed=seed))

    for grad in (jax.grad(loss, (0, 1, 2)), jax.jit(jax.grad(loss, (0, 1, 2)))):
        assert_close(xpbptt.Gradients(*grad(p, x, state, mask)), expected)
    assert_close(f(p, x, state, mask, dropout_seed=seed), (y, final))


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("columns", [(), (1,)], ids=str)
def test_gradients_with_resets_and_a_side_input(jax, bridge, draw, params, columns, carried):
    """By the side input and the state that resets restore, too; also compiled."""
    net = xpbptt.CfC(I, H, 2)
    p, x, dt, mask = params(net), draw(T, B, I), draw(T, B, *columns), draw(T, B) > -0.5
    reset = draw(T, B) > 0.5
    made = [jax.tree.map(lambda a: draw(*a.shape), net.infer(p, x, dt=dt)[1]) for _ in range(2)]
    state, initial = made if carried else (made[0], None)
    options = {"dt": dt, "reset": reset, "initial": initial}
    y, final, cache = net.forward(p, x, state, mask, **options)
    grads = net.backward(cache, *jax.grad(weighted, (0, 1))(y, final))
    assert (grads.initial is not None) == carried
    f = bridge.function(net)
    assert_close(f(p, x, state, mask, **options), (y, final))

    def loss(p, x, state, dt, initial):
        return weighted(*f(p, x, state, mask, dt=dt, reset=reset, initial=initial))

    for grad in (jax.grad(loss, range(5)), jax.jit(jax.grad(loss, range(5)))):
        assert_close(type(grads)(*grad(p, x, state, dt, initial)), grads)


def test_gradients_with_resets_are_those_of_a_plain_scan(jax, bridge, draw, params):
    net = xpbptt.RNN(I, H)
    f, p, x, reset = bridge.function(net), params(net), draw(T, B, I), draw(T, B) > 0.3
    entry, h, first = cells.RNN_TANH.state, draw(B, H), draw(B, H)

    def ours(p, x, h, first):
        return f(p, x, (entry(h),), reset=reset, initial=(entry(first),))

    def plain(p, x, h, first):
        (w,) = p

        def body(h, row):
            x_t, again = row
            h = jax.numpy.where(again[:, None], first, h)
            a = x_t @ w.weight_ih.T + w.bias_ih + h @ w.weight_hh.T + w.bias_hh
            return (jax.numpy.tanh(a),) * 2

        last, y = jax.lax.scan(body, h, (x, reset))
        return y, (entry(last),)

    results = [
        jax.value_and_grad(lambda *a, of=of: weighted(*of(*a)), range(4))(p, x, h, first)
        for of in (ours, plain)
    ]
    assert_close(*results)
    assert float(abs(results[0][1][3]).max()) > 0.1


def test_a_compiled_function_drops_others_for_another_seed(jax, bridge, draw, params):
    net = xpbptt.GRU(I, H, 2, dropout=0.5)
    f, p, x = bridge.function(net), params(net), draw(T, B, I)
    run = jax.jit(lambda seed: f(p, x, dropout_seed=seed)[0])
    one, two = run(jax.numpy.asarray(1)), run(jax.numpy.asarray(2))
    assert_close(run(jax.numpy.asarray(1)), one, 0)
    assert float(abs(one - two).max()) > 0.1
    assert_close(f(p, x)[0], net.infer(p, x)[0])


def test_a_cell_with_parameters_of_its_own(jax, bridge, draw, params):
    own = cells.rnn.NamedTuple("Own", [("scale", object)])

    def forward(u, v, state, *, extra, xp):
        h = xp.tanh(u.a + v.a)
        return type(state)(h * extra.scale), (h,)

    def backward(residuals, state, new, dnew, *, extra, xp):
        (h,) = residuals
        da = type(new)(dnew.h * extra.scale * (1 - h * h))
        da = cells.rnn.Gates(*da)
        return da, da, type(new)(None), own(dnew.h * h)

    cell = cells.RNN_TANH._replace(
        name="scaled", forward=forward, backward=backward, extra=lambda size: own((size,))
    )
    net = xpbptt.Net(cell, I, H)
    f, p, x = bridge.function(net), params(net), draw(T, B, I)
    y, state, cache = net.forward(p, x)
    expected = net.backward(cache, *jax.grad(weighted, (0, 1))(y, state))
    found = jax.jit(jax.grad(lambda p: weighted(*f(p, x))))(p)
    assert_close(found, expected.params)
    assert float(abs(found[0].extra.scale).max()) > 0.1


def test_vmap(jax, bridge, draw, params):
    """Over inputs, and over parameters with their gradients."""
    net = xpbptt.GRU(I, H)
    f, p, xs = bridge.function(net), params(net), draw(2, T, B, I)
    ys = jax.vmap(lambda x: f(p, x)[0])(xs)
    assert_close(list(ys), [net.infer(p, x)[0] for x in xs])
    grad = jax.grad(lambda p, x: weighted(*f(p, x)))
    many = jax.tree.map(lambda a: jax.numpy.stack([a, 2 * a]), p)
    found = jax.vmap(grad)(many, xs)
    for k in range(2):
        one = jax.tree.map(lambda a, k=k: a[k], (many, found))
        assert_close(one[1], grad(one[0], xs[k]))


def test_a_gradient_of_a_gradient(jax, bridge, draw, params):
    net = xpbptt.LSTM(I, H)
    f, p, x, mask = bridge.function(net), params(net), draw(T, B, I), draw(T, B) > -2

    def penalty(of, x):
        return (jax.grad(lambda x: weighted(*of(x)))(x) ** 2).sum()

    ours = jax.jit(jax.grad(lambda x: penalty(lambda x: f(p, x, mask=mask), x)))(x)
    plain = jax.jit(jax.grad(lambda x: penalty(lambda x: plain_scan(jax, p, x, mask), x)))(x)
    assert_close(ours, plain, 1e-10)


def test_a_long_sequence_compiles_in_seconds(jax, bridge, draw, params):
    net = xpbptt.LSTM(I, H)
    f, x = bridge.function(net), draw(1000, B, I)
    grad = jax.jit(jax.value_and_grad(lambda p: weighted(*f(p, x))))
    text = grad.lower(params(net)).as_text()
    assert text.count("stablehlo.while") == 2  # one loop forward, one back
    start = time.process_time()
    grad.lower(params(net)).compile()
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"x": [1.0]}, TypeError, "`x` must be an array"),
        ({"x": (B, I)}, ValueError, r"`x` must have the axes \(T, B, I\)"),
        ({"x": (T, B, I + 1)}, ValueError, "`x` has shape"),
        ({"params": ()}, ValueError, "`params`"),
        ({"mask": (T, B)}, TypeError, "`mask` must be an array of booleans"),
        ({"reset": (T, B)}, TypeError, "`reset` must be an array of booleans"),
        ({"dt": (T, B)}, ValueError, "`dt` is given, but LSTM"),
        ({"initial": ()}, ValueError, "`initial`"),
        ({"dropout_seed": -1}, ValueError, "`dropout_seed` must be an int of at least 0"),
    ],
)
def test_bad_input_is_refused(bridge, draw, params, change, error, match):
    net = xpbptt.LSTM(I, H, 2, dropout=0.5)
    made = {k: draw(*v) if isinstance(v, tuple) and v else v for k, v in change.items()}
    with pytest.raises(error, match=match):
        bridge.function(net)(**({"params": params(net), "x": draw(T, B, I)} | made))


def test_what_is_no_net_or_no_strategy_is_refused(bridge):
    with pytest.raises(TypeError, match=r"`net` must be an xpbptt.Net, .* got function"):
        bridge.function(xpbptt.LSTM)
    with pytest.raises(TypeError, match="`bptt` must be a strategy"):
        bridge.function(xpbptt.LSTM(I, H), bptt=xpbptt.KeepAll)


class TestEngine:
    @pytest.mark.parametrize(
        ("name", "bptt"),
        [
            ("lstm", xpbptt.Truncated(4)),
            ("lstm", xpbptt.Segments(2)),
            ("gru-before", xpbptt.KeepStates()),
            ("gru-before", xpbptt.Binomial(2)),
        ],
    )
    def test_the_numbers_are_those_of_the_eager_engine(
        self, jax, draw, params, monkeypatch, name, bptt
    ):
        net = {"lstm": xpbptt.LSTM, "gru-before": lambda *n: xpbptt.GRU(*n, reset_after=False)}[
            name
        ](I, H)
        p, x, mask = params(net), draw(7, B, I), draw(7, B) > -0.5
        dy, state = draw(7, B, H), jax.tree.map(lambda a: draw(*a.shape), net.infer(p, x)[1])

        def both():
            y, final, cache = net.forward(p, x, state, mask, bptt=bptt)
            grads = net.backward(cache, dy, state, trace=True, clip_step=0.3)
            return y, final, grads, net.infer(p, x, state, mask), net.step(p, x[0], state)

        monkeypatch.setenv("XPBPTT_FUSE", "0")
        expected = both()
        monkeypatch.delenv("XPBPTT_FUSE")
        assert_close(both(), expected)

    @pytest.mark.parametrize(("steps", "name"), [(0, "eager"), (1, "scan"), (9, "scan")])
    def test_it_runs_sequences_and_steps(self, jax, draw, params, steps, name):
        net = xpbptt.LSTM(I, H)
        p, x = params(net), draw(steps, B, I)
        assert engine.choose(net.cell, ("record",), p[0], x, xp=jax.numpy).name == name
        single = engine.choose(net.cell, ("single",), p[0], draw(B, I), xp=jax.numpy)
        assert single.name == "scan"

    def test_of_sweeps_of_many_lengths_few_are_compiled(self, jax, draw, params, caplog):
        net, x = xpbptt.LSTM(I, H), draw(200, B, I)
        jax.clear_caches()
        with jax.log_compiles():
            y, _, cache = net.forward(params(net), x, bptt=xpbptt.Binomial(2))
            net.backward(cache, y)
        said = [r.getMessage() for r in caplog.records]
        count = sum(text.startswith("Compiling jit(advance)") for text in said)
        # 32, 16, …, 1 steps, with states that are kept and without, and the whole in two lengths.
        assert count <= 2 * 6 + 2

    def test_a_cell_that_cannot_be_traced_runs_eagerly(self, jax, draw, params, caplog):
        def forward(u, v, state, *, xp):
            if bool(xp.all(u.i < 1e9)):
                return cells.LSTM.forward(u, v, state, xp=xp)
            raise AssertionError

        net = xpbptt.Net(cells.LSTM._replace(name="branch", forward=forward), I, H)
        x = draw(7, B, I)
        assert_close(net.infer(params(net), x), xpbptt.LSTM(I, H).infer(params(net), x))
        assert "branch is not compiled but runs eagerly, slower: tracing raised" in caplog.text
