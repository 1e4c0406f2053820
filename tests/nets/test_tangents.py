"""Forward mode: torch's double backward, jax.jvp, complex steps, and every rule by itself."""

import array_api_compat
import numpy as np
import pytest
from helpers import CELLS, cover, flatten, host, map_arrays

import xpbptt
from xpbptt._arrays import dual, dual_rules
from xpbptt.testing import check_gradients

T, B, I, H = 6, 4, 3, 5
EPSILON = 1e-30


def drawn(case, xp, seed=2):
    """Return a direction for parameters, input and initial state."""
    random = np.random.default_rng(seed)
    normal = lambda a: xp.asarray(random.standard_normal(a.shape))  # noqa: E731
    return tuple(map_arrays(normal, each) for each in (case.params, case.x, case.state))


@cover(
    "name, layers, both, masked, reset, noise",
    list(CELLS),
    [1, 2],
    [False, True],
    [False, True],
    [False, True],
    [{}, {"recurrent_dropout": 0.3, "zoneout": 0.4}],
)
def test_the_derivative_is_that_of_the_backward_pass(
    xp, make_case, name, layers, both, masked, reset, noise
):
    """⟨d, J v⟩ = ⟨Jᵀ d, v⟩ in a random direction over all inputs at once."""
    net = CELLS[name](I, H, layers, bidirectional=both, **noise)
    case, random = make_case(net), np.random.default_rng(0)
    mask = xp.asarray(random.random((T, B)) < 0.7) if masked else None
    options = {"dropout_seed": 3} if noise else {}
    if reset:
        options["reset"] = xp.asarray(random.random((T, B)) < 0.3)
    direction = drawn(case, xp)
    outputs, found = net.jvp(case.params, case.x, case.state, mask, tangents=direction, **options)
    y, state, cache = net.forward(case.params, case.x, case.state, mask, **options)
    for a, b in zip(flatten(outputs), flatten((y, state)), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-13)
    grads = net.backward(cache, case.dy, case.dstate)
    np.testing.assert_allclose(
        inner((case.dy, case.dstate), found), inner(tuple(grads), direction), rtol=1e-11
    )


@cover(
    "name, layers, both, masked, reset",
    list(CELLS),
    [1, 2],
    [False, True],
    [False, True],
    [False, True],
)
def test_the_states_of_all_steps_and_their_gradients(
    xp, make_case, name, layers, both, masked, reset
):
    """J against Jᵀ over every output, and the Hessian by central differences of gradients."""
    net = CELLS[name](I, H, layers, bidirectional=both)
    case, random, options = make_case(net), np.random.default_rng(0), {}
    if masked:
        options["mask"] = xp.asarray(random.random((T, B)) < 0.7)
    if reset:
        options["reset"] = xp.asarray(random.random((T, B)) < 0.3)
    direction = drawn(case, xp)
    given = case.params, case.x, case.state
    outputs, found = net.jvp(*given, tangents=direction, states=True, **options)
    y, state, cache, states = net.forward(*given, states=True, **options)
    for a, b in zip(flatten(outputs), flatten((y, state, states)), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-13)
    normal = lambda a: xp.asarray(random.standard_normal(a.shape))  # noqa: E731
    dstates, ddstates = (map_arrays(normal, states) for _ in range(2))
    grads = net.backward(cache, case.dy, case.dstate, dstates=dstates)
    np.testing.assert_allclose(
        inner((case.dy, case.dstate, dstates), found), inner(tuple(grads), direction), rtol=1e-11
    )

    def gradients(step):
        moved = map_arrays(lambda a, b: a + step * b, given, direction)
        again = map_arrays(lambda a, b: a + step * b, dstates, ddstates)
        *_, cache, _ = net.forward(*moved, states=True, **options)
        return tuple(net.backward(cache, case.dy, case.dstate, dstates=again))

    product = net.hvp(
        *(case.params, case.x, case.dy, case.state),
        **{"tangents": direction, "dstate": case.dstate, **options},
        dstates=dstates,
        ddstates=ddstates,
    )
    central = map_arrays(lambda a, b: (a - b) / 2e-6, gradients(1e-6), gradients(-1e-6))
    for a, b in zip(flatten(tuple(product)), flatten(central), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=2e-8)
    zero = map_arrays(xp.zeros_like, (case.dy, case.dstate, dstates))
    of_change = net.hvp(
        *(case.params, case.x, zero[0], case.state),
        **{"tangents": (None, None, None), "ddstates": ddstates, **options},
    )  # linear in the gradients: it is that of the change alone
    plain = net.backward(cache, zero[0], zero[1], dstates=ddstates)
    for a, b in zip(flatten(tuple(of_change)), flatten(tuple(plain)), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-12)


def test_a_hessian_through_the_memory_cells_is_that_of_torchs_double_backward(torch, make_case, xp):
    """Half the sum of the squares of h and c after every step, of which torch returns only h."""
    from xpbptt.interop.torch import from_state_dict, to_state_dict  # noqa: PLC0415

    net, module = xpbptt.LSTM(I, H), torch.nn.LSTM(I, H, dtype=torch.float64)
    case = make_case(net)
    params = from_state_dict(module.state_dict(), xp=xp)
    x = torch.tensor(host(case.x), requires_grad=True)
    cells = [module(x[: t + 1])[1][1][0] for t in range(T)]
    out, _ = module(x)
    loss = (out * out).sum() / 2 + sum((c * c).sum() for c in cells) / 2
    named = dict(module.named_parameters())
    inputs = [*named.values(), x]
    first = torch.autograd.grad(loss, inputs, create_graph=True)
    direction = drawn(case._replace(params=params), xp)
    along = to_state_dict(direction[0])
    vectors = [*(torch.tensor(host(along[key])) for key in named), torch.tensor(host(direction[1]))]
    product = sum((a * b).sum() for a, b in zip(first, vectors, strict=True))
    expected = torch.autograd.grad(product, inputs)

    direction = (*direction[:2], None)
    (y, _, states), (ydot, _, found) = net.jvp(params, case.x, tangents=direction, states=True)
    quiet = lambda each: (each[0]._replace(h=xp.zeros_like(y)),)  # noqa: E731 - it is in y
    change = {"ddy": ydot, "ddstates": quiet(found)}
    mine = net.hvp(params, case.x, y, tangents=direction, dstates=quiet(states), **change)
    of_params = to_state_dict(mine.params)
    for key, theirs in zip(named, expected, strict=False):
        np.testing.assert_allclose(host(of_params[key]), theirs.numpy(), atol=1e-10)
    np.testing.assert_allclose(host(mine.x), expected[-1].numpy(), atol=1e-10)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("masked", [False, True])
def test_hessian_vector_products_of_torchs_double_backward(torch, make_case, xp, kind, masked):
    """Of a loss that is not linear in y: half the sum of its squares, beside a linear part."""
    from xpbptt.interop.torch import from_state_dict, to_state_dict  # noqa: PLC0415

    net = getattr(xpbptt, kind)(I, H, 2)
    module = getattr(torch.nn, kind)(I, H, 2, dtype=torch.float64)
    case, lengths = make_case(net), [6, 3, 5, 6] if masked else [T] * B
    params, mask = from_state_dict(module.state_dict(), xp=xp), None
    if masked:
        mask = xpbptt.length_mask(lengths, T, xp=xp)
    x = torch.tensor(host(case.x), requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0], total_length=T)
    loss = (out * out).sum() / 2 + (out * torch.tensor(host(case.dy))).sum()
    named = dict(module.named_parameters())
    inputs = [*named.values(), x]
    first = torch.autograd.grad(loss, inputs, create_graph=True)
    direction = drawn(case._replace(params=params), xp)
    along = to_state_dict(direction[0])
    vectors = [*(torch.tensor(host(along[key])) for key in named), torch.tensor(host(direction[1]))]
    product = sum((a * b).sum() for a, b in zip(first, vectors, strict=True))
    expected = torch.autograd.grad(product, inputs)

    direction = (*direction[:2], None)
    (y, _), (ydot, _) = net.jvp(params, case.x, mask=mask, tangents=direction)
    found = net.hvp(params, case.x, y + case.dy, mask=mask, tangents=direction, ddy=ydot)
    mine = to_state_dict(found.params)
    for key, theirs in zip(named, expected, strict=False):
        np.testing.assert_allclose(host(mine[key]), theirs.numpy(), atol=1e-10)
    np.testing.assert_allclose(host(found.x), expected[-1].numpy(), atol=1e-10)


def test_a_hessian_is_symmetric_and_a_derivative_of_the_gradients(xp, make_case):
    net = xpbptt.LSTM(I, H, 2, bidirectional=True)
    case = make_case(net)
    mask = xp.asarray(np.random.default_rng(0).random((T, B)) < 0.7)
    one, two = drawn(case, xp, 1), drawn(case, xp, 2)
    upstream = case.params, case.x, case.dy, case.state, mask
    of_one, of_two = (net.hvp(*upstream, tangents=each, dstate=case.dstate) for each in (one, two))
    np.testing.assert_allclose(inner(tuple(of_one), two), inner(tuple(of_two), one), rtol=1e-11)

    def gradients(step):
        moved = map_arrays(lambda a, b: a + step * b, (*upstream[:2], case.state), one)
        _, _, cache = net.forward(moved[0], moved[1], moved[2], mask)
        return tuple(net.backward(cache, case.dy, case.dstate))

    for a, b, c in zip(
        flatten(gradients(1e-6)), flatten(gradients(-1e-6)), flatten(tuple(of_one)), strict=True
    ):
        np.testing.assert_allclose(host(a - b) / 2e-6, host(c), atol=1e-6)


@pytest.mark.usefixtures("xp")
@pytest.mark.parametrize("kind", [xpbptt.LSTM, xpbptt.GRU])
def test_jax_jvp(kind):
    """With jax among the libraries, whichever of them it is counted under."""
    jax = pytest.importorskip("jax", reason='needs jax: nox -s "tests(jax)" runs it')
    net, random = kind(I, H, bidirectional=True), np.random.default_rng(0)
    numpys = net.init(0), random.standard_normal((T, B, I)).astype("float32")
    mask = jax.numpy.asarray(random.random((T, B)) < 0.7)
    draw = lambda a: jax.numpy.asarray(random.standard_normal(a.shape).astype("float32"))  # noqa: E731
    given, along = (map_arrays(f, numpys) for f in (jax.numpy.asarray, draw))
    run = lambda params, x: net.infer(params, x, mask=mask, states=True)  # noqa: E731
    expected = jax.jvp(jax.jit(run), given, along)
    found = net.jvp(*given, mask=mask, tangents=(*along, None), states=True)
    for a, b in zip(flatten(found), flatten(expected), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-5)


@pytest.mark.parametrize("name", sorted(dual_rules.ELEMENTWISE))
@pytest.mark.usefixtures("xp")
def test_each_function(name):
    """On NumPy, which has them all."""
    xp = array_api_compat.array_namespace(np.ones(1))
    value = xp.asarray(np.random.default_rng(1).uniform(0.2, 0.9, (3, 4)))
    found = getattr(dual.namespace(xp), name)(dual.Dual(value, xp.ones_like(value)))
    real, step = getattr(xp, name), 1e-6
    np.testing.assert_array_equal(host(found.value), host(real(value)))
    central = host(real(value + step) - real(value - step)) / (2 * step)
    np.testing.assert_allclose(host(found.tangent), central, atol=1e-8)


def test_the_sigmoid_of_zero(xp):
    """It takes the smaller of x and -x, which are equal there."""
    x = xp.zeros((2, 3), dtype=xp.float64)
    found = xpbptt.cells.sigmoid(dual.Dual(x, xp.ones_like(x)), xp=dual.namespace(xp))
    np.testing.assert_array_equal(host(found.tangent), np.full((2, 3), 0.25))


FUNCTIONS = {
    "operators": lambda x, y, xp: (x + y - 2 * x) * (3 - y) / (x * x + 1.5) + 1 / y - (+x) / 4,
    "power": lambda x, y, xp: x**3 + y**0 + abs(x - 0.5) * xp.abs(y - 0.3),
    "named": lambda x, y, xp: xp.add(x, y) * xp.subtract(x, y) + xp.divide(x, xp.multiply(y, y)),
    "max": lambda x, y, xp: x * xp.max(x, axis=-1, keepdims=True) + xp.min(y, axis=0),
    "maximum": lambda x, y, xp: xp.maximum(x, y) * xp.minimum(x, 0.5 * xp.ones_like(x)),
    "clip": lambda x, y, xp: xp.clip(x, 0.3, 0.6) * y + xp.clip(y, min=0.5) + xp.clip(x, max=0.5),
    "where": lambda x, y, xp: xp.where(x > y, x * y, xp.zeros_like(x)) + xp.where(x < 0.5, x, y),
    "mean": lambda x, y, xp: x * xp.mean(y, axis=-1, keepdims=True) - xp.sum(x, axis=1)[:, None],
    "matmul": lambda x, y, xp: x @ y.T @ xp.matmul(x, xp.permute_dims(y, (1, 0))) @ x,
    "shapes": lambda x, y, xp: xp.reshape(
        xp.concat((xp.flip(x, axis=0), y), axis=0)[1:4, ...], (3, 4)
    ),
    "constants": lambda x, y, xp: x + xp.ones((3, 4), dtype=x.dtype) * y * xp.full_like(x, 2.0),
    "vecdot": lambda x, y, xp: x * xp.vecdot(x, y)[:, None] + xp.tensordot(x, y, axes=2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_rule(xp, name):
    random = np.random.default_rng(3)
    x, y, dx, dy = (xp.asarray(random.uniform(0.1, 0.9, (3, 4))) for _ in range(4))
    function, step = FUNCTIONS[name], 1e-6
    found = function(dual.Dual(x, dx), dual.Dual(y, dy), dual.namespace(xp))
    np.testing.assert_allclose(host(found.value), host(function(x, y, xp)), atol=1e-13)
    ahead, behind = (function(x + s * dx, y + s * dy, xp) for s in (step, -step))
    central = host(ahead - behind) / (2 * step)
    np.testing.assert_allclose(host(found.tangent), central, atol=1e-7)


def test_a_cell_of_ones_own_with_every_function(xp):
    """As a layer norm has them: means over the units, beside what a kink needs."""

    def forward(u, v, state, *, xp):
        z = u.a + v.a
        centred = z - xp.mean(z, axis=-1, keepdims=True)
        scale = xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-3)
        h = xp.where(centred > 0, xp.tanh(centred / scale), xp.expm1(centred))
        return type(state)(h + 0 * state.h), (centred, scale)

    cell = xpbptt.cells.RNN_TANH._replace(name="norm", forward=forward)
    net = xpbptt.Net(cell, I, H)
    params = net.init(0, xp=xp, dtype=xp.float64)
    x = xp.asarray(np.random.default_rng(0).standard_normal((T, B, I)))
    along = map_arrays(xp.ones_like, params)
    _, (found, _) = net.jvp(params, x, tangents=(along, None, None))
    ahead, behind = (
        net.infer(map_arrays(lambda a, b: a + s * b, params, along), x)[0]  # noqa: B023
        for s in (1e-6, -1e-6)
    )
    np.testing.assert_allclose(host(found), host(ahead - behind) / 2e-6, atol=1e-7)


def test_a_function_without_a_rule_is_named(make_case):
    def forward(u, v, state, *, xp):
        return type(state)(xp.atan2(u.a + v.a, v.a)), ()

    net = xpbptt.Net(xpbptt.cells.RNN_TANH._replace(name="odd", forward=forward), I, H)
    case = make_case(net)
    with pytest.raises(
        NotImplementedError, match=r"`xp.atan2` cannot be differentiated in forward"
    ):
        net.jvp(case.params, case.x, tangents=(None, case.x, None))


def test_complex_steps_say_the_same(make_case, xp):
    if not array_api_compat.is_numpy_namespace(xp):
        pytest.skip("of NumPy, whose complex numbers the gradient check uses, too")
    case = make_case(xpbptt.LSTM(I, H))
    direction = drawn(case, xp)
    moved = (
        map_arrays(lambda a, b: a + EPSILON * 1j * b, one, along)
        for one, along in zip((case.params, case.x, case.state), direction, strict=True)
    )
    y, _ = case.net.infer(*moved)
    _, (found, _) = case.net.jvp(case.params, case.x, case.state, tangents=direction)
    np.testing.assert_allclose(found, y.imag / EPSILON, atol=1e-13)
    assert check_gradients(case.net, case.params, case.x).method == "complex step"


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("reset", [False, True])
def test_a_side_input_and_the_state_that_resets_restore(xp, flat, reset):
    """Jᵀ and J along all inputs at once, and the Hessian by central differences of gradients."""
    net, random = xpbptt.CfC(I, H, 2), np.random.default_rng(0)
    params = net.init(0, xp=xp, dtype=xp.float64)
    draw = lambda *shape: xp.asarray(random.standard_normal(shape))  # noqa: E731
    shape = (T, B) if flat else (T, B, 1)
    states = lambda: tuple(net.recurrence.state(draw(B, H)) for _ in range(2))  # noqa: E731
    x, dt, state = draw(T, B, I), xp.asarray(random.random(shape)), states()
    mask, more = xp.asarray(random.random((T, B)) < 0.7), {}
    if reset:
        more = {"reset": xp.asarray(random.random((T, B)) < 0.4), "initial": states()}
    y, _, cache = net.forward(params, x, state, mask, dt=dt, **more)
    dy, dstate = draw(*y.shape), states()
    grads = net.backward(cache, dy, dstate)
    count = 5 if reset else 4  # without resets there is no gradient of `initial`
    direction = map_arrays(lambda a: draw(*a.shape), tuple(grads)[:count])
    options = {"mask": mask, "tangents": type(grads)(*direction), **more}
    _, found = net.jvp(params, x, state, dt=dt, **options)
    np.testing.assert_allclose(
        inner((dy, dstate), found), inner(tuple(grads)[:count], direction), rtol=1e-11
    )

    product = net.hvp(params, x, dy, state, dstate=dstate, dt=dt, **options)
    inputs = (params, x, state, dt, more.get("initial"))[:count]

    def gradients(step):
        moved = map_arrays(lambda a, b: a + step * b, inputs, direction)
        again = {"initial": moved[4]} if reset else {}
        *_, cache = net.forward(*moved[:3], mask, dt=moved[3], **(more | again))
        return tuple(net.backward(cache, dy, dstate))[:count]

    assert type(product) is type(grads)
    central = map_arrays(lambda a, b: (a - b) / 2e-6, gradients(1e-6), gradients(-1e-6))
    for a, b in zip(flatten(tuple(product)[:count]), flatten(central), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(host(a), host(b), atol=2e-8)


def inner(one, other):
    """Return the sum of the products of all elements."""
    pairs = zip(flatten(one), flatten(other), strict=True)
    return sum((host(a) * host(b)).sum() for a, b in pairs)


def test_a_side_input_is_needed(xp):
    net = xpbptt.CfC(I, H)
    params, x = net.init(0, xp=xp, dtype=xp.float64), xp.ones((T, B, I), dtype=xp.float64)
    with pytest.raises(ValueError, match="`dt` is needed by CfC"):
        net.jvp(params, x, tangents=(None, x, None))
    with pytest.raises(TypeError, match="`dt` must be an array of an Array API library, got list"):
        net.jvp(params, x, tangents=(None, x, None), dt=[1])


def test_a_tangent_of_what_is_not_given_is_refused(make_case):
    case = make_case(xpbptt.GRU(I, H))
    *_, cache = case.net.forward(
        case.params,
        case.x,
        case.state,
        reset=case.x[:, :, 0] > 0,
        initial=case.state,
    )
    along = case.net.backward(cache, case.dy)
    with pytest.raises(ValueError, match=r"`tangents.initial` is the tangent of what this call"):
        case.net.jvp(case.params, case.x, tangents=along)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (None, TypeError, "`tangents` must be a tuple of three"),
        ("params", TypeError, "`tangents` must be a tuple of three"),
        (lambda c: (c.params, c.x), TypeError, "`tangents` must be a tuple of three"),
        (lambda c: (c.params[0], None, None), ValueError, r"`tangents\[0\]` must be a tuple of 1"),
        (
            lambda c: (None, c.x[1:, ...], None),
            ValueError,
            r"`tangents\[1\]` has shape \(5, 4, 3\)",
        ),
        (lambda c: (None, None, c.x), TypeError, r"`tangents\[2\]` must be a tuple of 1"),
    ],
)
def test_what_is_no_direction_is_refused(make_case, wrong, error, text):
    case = make_case(xpbptt.GRU(I, H))
    tangents = wrong(case) if callable(wrong) else wrong
    with pytest.raises(error, match=text):
        case.net.jvp(case.params, case.x, tangents=tangents)
    with pytest.raises(error, match=text):
        case.net.hvp(case.params, case.x, case.dy, tangents=tangents)


def test_a_change_of_the_gradients_that_does_not_fit_is_refused(make_case):
    case = make_case(xpbptt.GRU(I, H))
    call = lambda **o: case.net.hvp(  # noqa: E731
        case.params, case.x, case.dy, tangents=(None, case.x, None), **o
    )
    with pytest.raises(ValueError, match=r"`ddy` has shape \(5, 4, 5\), expected \(T, B, D·H\)"):
        call(ddy=case.dy[1:, ...])
    with pytest.raises(TypeError, match="`ddstate` must be a tuple of 1, got"):
        call(ddstate=case.dy)
    for name in ("dstates", "ddstates"):
        with pytest.raises(ValueError, match=rf"`{name}\[0\].h` has shape \(4, 5\), expected \(T"):
            call(**{name: case.state})
    with pytest.raises(TypeError, match="`states` must be True or False, got 'all'"):
        case.net.jvp(case.params, case.x, tangents=(None, case.x, None), states="all")
