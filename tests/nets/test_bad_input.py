"""Bad input is refused at the door, by the argument's name, before any work."""

import re
from collections import namedtuple

import array_api_compat
import numpy as np
import pytest
from helpers import cover

import xpbptt

T, B, I, H = 6, 4, 3, 5


@pytest.fixture
def net():
    return xpbptt.LSTM(I, H, 2)


@pytest.fixture
def good(net, make_case):
    """Arguments that a call takes, to be spoilt one at a time."""
    case = make_case(net)
    _, _, cache = net.forward(case.params, case.x, case.state)
    return case._asdict() | {"cache": cache, "x_t": case.x[0, ...]}


CALLS = {
    "forward": ("params", "x", "state"),
    "infer": ("params", "x", "state"),
    "step": ("params", "x_t", "state"),
    "backward": ("cache", "dy", "dstate"),
}


def call(net, name, arguments):
    return getattr(net, name)(*(arguments[key] for key in CALLS[name]))


def shorter(a):
    return a[..., :-1]


def integers(a):
    return array_api_compat.array_namespace(a).astype(a, array_api_compat.array_namespace(a).int32)


def single(a):
    return array_api_compat.array_namespace(a).astype(
        a, array_api_compat.array_namespace(a).float32
    )


def foreign(a):
    """Return an array of another library than a's."""
    strict = pytest.importorskip("array_api_strict", reason="needs a second array library")
    if array_api_compat.is_numpy_array(a):
        return strict.asarray(np.ones(a.shape))
    return np.ones(a.shape)


def as_list(a):
    return [1.0, 2.0]


ARRAYS = [
    ("forward", "x"),
    ("infer", "x"),
    ("step", "x_t"),
    ("backward", "dy"),
]
SPOILT = [
    (shorter, ValueError, r"has shape \(.*\), expected \(.*\) of LSTM\(3, 5, num_layers=2\) = \("),
    (lambda a: a[..., 0], ValueError, "shape"),
    (lambda a: a[None, ...], ValueError, "shape"),
    (single, TypeError, "float32"),
    (foreign, TypeError, "is an array of|is one of"),
    (as_list, TypeError, "must be an array of an Array API library, got list"),
    (lambda a: None, TypeError, "must be an array of an Array API library, got NoneType"),
]


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_arrays(net, good, function, name):
    for spoil, error, text in SPOILT:
        with pytest.raises(error, match=text) as caught:
            call(net, function, good | {name: spoil(good[name])})
        assert f"`{name}`" in str(caught.value)


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_integers(net, good, function, name):
    good[name] = integers(good[name])
    with pytest.raises(TypeError, match=f"`{name}`.*int32"):
        call(net, function, good)


@cover(
    ("function", "wrong"),
    ["forward", "infer", "step"],
    [
        (shorter, ValueError, r"`params\[1\].weight_hh` has shape \(20, 4\), expected .*\(20, 5\)"),
        (single, TypeError, r"`params\[1\].weight_hh` has dtype .*float32"),
        (foreign, TypeError, r"`params\[1\].weight_hh` is an array of"),
        (as_list, TypeError, r"`params\[1\].weight_hh` must be an array"),
    ],
    strength=1,
)
def test_a_parameter(net, good, function, wrong):
    spoil, error, text = wrong
    first, second = good["params"]
    good["params"] = (first, second._replace(weight_hh=spoil(second.weight_hh)))
    with pytest.raises(error, match=text):
        call(net, function, good)


def of_another_net(net, tree):
    """Return the trees that look most like the right one."""
    return [tree[0], tree[:1], (*tree, tree[0]), ((tree[0], tree[0]), (tree[1], tree[1]))]


@cover(
    ("function", "argument", "which"),
    ["forward", "infer", "step"],
    ["params", "state"],
    range(4),
)
def test_a_tree_of_another_net(net, good, function, argument, which):
    good[argument] = of_another_net(net, good[argument])[which]
    with pytest.raises(
        (ValueError, TypeError), match=rf"`{argument}.*must be a(n array| tuple of)"
    ):
        call(net, function, good)


@pytest.mark.parametrize("function", ["forward", "infer", "step", "backward"])
@pytest.mark.parametrize("other", [xpbptt.GRU, xpbptt.RNN])
def test_a_state_of_another_cell(net, good, function, other, xp):
    argument = "dstate" if function == "backward" else "state"
    foreign_net = other(I, H, 2)
    params = foreign_net.init(0, xp=xp, dtype=xp.float64)
    good[argument] = foreign_net.infer(params, good["x"])[1]
    with pytest.raises(ValueError, match=rf"`{argument}\[0\]` must be a tuple of 2.*'h', 'c'"):
        call(net, function, good)


def test_a_state_of_a_cell_with_the_same_fields(xp, make_case):
    """A GRU's state looks like an RNN's; the type tells."""
    case = make_case(xpbptt.GRU(I, H))
    with pytest.raises(ValueError, match=r"`state\[0\]` must be"):
        xpbptt.RNN(I, H).forward(xpbptt.RNN(I, H).init(0, xp=xp), case.x, case.state)


@pytest.mark.parametrize("function", ["forward", "infer", "step", "backward"])
def test_a_state_of_another_batch(net, good, make_case, function):
    argument = "dstate" if function == "backward" else "state"
    good[argument] = make_case(net, batch=B + 3).state
    with pytest.raises(ValueError, match=rf"`{argument}\[0\].h` has shape \(7, 5\).*\(4, 5\)"):
        call(net, function, good)


@pytest.mark.parametrize(
    ("field", "axes"),
    [
        ("weight_ih", "(G·H, I)"),
        ("weight_ih", "(G·H, D·H)"),
        ("weight_hh", "(G·H, H)"),
        ("bias_ih", "(G·H,)"),
        ("bias_hh", "(G·H,)"),
    ],
)
def test_a_parameter_of_another_shape_is_told_its_axes(net, good, field, axes):
    layers = list(good["params"])
    layer = 1 if "D" in axes else 0
    array = getattr(layers[layer], field)
    layers[layer] = layers[layer]._replace(**{field: array[1:, ...]})
    good["params"] = tuple(layers)
    text = rf"`params\[{layer}\].{field}` .*, expected {re.escape(axes)} of LSTM\(3, 5, .*\) = \("
    with pytest.raises(ValueError, match=text):
        call(net, "forward", good)


@pytest.mark.parametrize("bad", ["yes", 1, None, np.True_])
def test_what_is_neither_true_nor_false(net, good, bad):
    with pytest.raises(TypeError, match=r"`trace` must be True or False, got "):
        net.backward(good["cache"], good["dy"], trace=bad)
    with pytest.raises(TypeError, match=r"`masked` must be True or False, got "):
        net.cost(T, B, masked=bad)


@pytest.mark.parametrize("argument", ["params", "state"])
@pytest.mark.parametrize("bad", [{}, 3, "weights"])
def test_what_is_no_tree(net, good, argument, bad):
    good[argument] = bad
    with pytest.raises(TypeError, match=f"`{argument}` must be a tuple of 2, got"):
        call(net, "forward", good)


def test_plain_tuples_will_do(net, good, assert_close):
    """What was read from a file has lost its names."""
    expected = call(net, "infer", good)
    good["params"] = [list(entry) for entry in good["params"]]
    good["state"] = tuple(tuple(entry) for entry in good["state"])
    assert_close(call(net, "infer", good), expected, 0)


@pytest.mark.parametrize(
    "other",
    [
        xpbptt.GRU(I, H, 2),
        xpbptt.LSTM(I, H),
        xpbptt.LSTM(I, H, 2, bidirectional=True),
        xpbptt.LSTM(I + 1, H, 2),
    ],
)
def test_a_cache_of_another_net(other, good):
    with pytest.raises(ValueError, match=r"`cache` was made by LSTM\(3, 5, num_layers=2\), but"):
        other.backward(good["cache"], good["dy"])


@pytest.mark.parametrize("bad", [None, (), "cache", 1])
def test_what_is_no_cache(net, good, bad):
    good["cache"] = bad
    with pytest.raises(TypeError, match="`cache` must be what `forward` returned, got"):
        call(net, "backward", good)


def test_a_step_of_a_bidirectional_net(xp, make_case):
    case = make_case(xpbptt.GRU(I, H, bidirectional=True))
    with pytest.raises(ValueError, match=r"`step` cannot run GRU.*use `infer`"):
        case.net.step(case.params, case.x[0, ...], case.state)


def test_another_device(net):
    strict = pytest.importorskip("array_api_strict", reason="has several devices on any machine")
    params = net.init(0, xp=strict, dtype=strict.float64, device=strict.Device("device1"))
    x = strict.ones((T, B, I), dtype=strict.float64)
    with pytest.raises(ValueError, match=r"`params\[0\].weight_ih` is on device .*device1"):
        net.forward(params, x)


@cover(
    ("wrong", "make"),
    [
        ((0, 5), {}, ValueError, "`input_size` must be at least 1, got 0"),
        ((3, -1), {}, ValueError, "`hidden_size` must be at least 1, got -1"),
        ((3, 5, 0), {}, ValueError, "`num_layers` must be at least 1, got 0"),
        ((3.0, 5), {}, TypeError, "`input_size` must be an int, got 3.0"),
        ((True, 5), {}, TypeError, "`input_size` must be an int, got True"),
        ((3, "5"), {}, TypeError, "`hidden_size` must be an int, got '5'"),
        ((3, 5), {"bidirectional": 1}, TypeError, "`bidirectional` must be True or False, got 1"),
    ],
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    strength=1,
)
def test_sizes(wrong, make):
    arguments, options, error, text = wrong
    with pytest.raises(error, match=text):
        make(*arguments, **options)


def test_numpys_integers_are_sizes():
    net = xpbptt.LSTM(np.int8(3), np.int8(5))
    assert net == xpbptt.LSTM(3, 5)
    assert net.cost(np.int16(30_000), np.int8(100)) == net.cost(30_000, 100)


def test_an_unknown_nonlinearity():
    with pytest.raises(ValueError, match=r"`nonlinearity` must be one of .*'sin'"):
        xpbptt.RNN(I, H, nonlinearity="sin")
    with pytest.raises(ValueError, match="`nonlinearity` must be one of"):
        xpbptt.RNN(I, H, nonlinearity=[])


@pytest.mark.parametrize("function", ["forward", "infer"])
def test_numpys_masked_arrays(function):
    net = xpbptt.LSTM(I, H)
    with pytest.raises(TypeError, match="`x` must be an array of an Array API library, got Masked"):
        getattr(net, function)(net.init(0), np.ma.ones((T, B, I), dtype=np.float32))


def test_what_is_no_cell():
    with pytest.raises(TypeError, match="`cell` must be a Cell or a Recurrence, got str"):
        xpbptt.Net("LSTM", I, H)


@pytest.mark.parametrize("bad", [3, "int32", "flaot32", int, np.complex64])
def test_init_with_a_dtype_that_is_none(bad):
    with pytest.raises(TypeError, match=r"`dtype` must be a real floating-point dtype of numpy"):
        xpbptt.RNN(I, H).init(0, dtype=bad)


@pytest.mark.parametrize(("bad", "error"), [("a", TypeError), (1.5, TypeError), (-1, ValueError)])
def test_init_with_what_is_no_seed(bad, error):
    with pytest.raises(error, match="`seed` must be an int of at least 0 or a"):
        xpbptt.RNN(I, H).init(bad)


def test_init_with_the_name_of_a_dtype(xp):
    assert xpbptt.RNN(I, H).init(0, xp=xp, dtype="float64")[0].bias_ih.dtype == xp.float64


def test_init_with_what_is_no_namespace():
    with pytest.raises(TypeError, match="`xp` must be the namespace of an array library"):
        xpbptt.RNN(I, H).init(0, xp="numpy")


@pytest.mark.parametrize("function", ["forward", "infer", "step"])
@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM])
def test_the_one_array_of_another_dtype_is_named(make, make_case, function):
    """Not the first one that differs from it."""
    case = make_case(make(I, H))
    good = case._asdict() | {"x_t": case.x[0, ...]}
    name = "x_t" if function == "step" else "x"
    odd = {name: single(good[name]), "state": (type(case.state[0])(*map(single, case.state[0])),)}
    alike = r".*float32, but `(params\[0\].weight_ih|x|x_t)` has .*float64: all"
    with pytest.raises(TypeError, match=f"^`{name}` has dtype {alike}"):
        call(case.net, function, good | {name: odd[name]})
    with pytest.raises(TypeError, match=f"^`{name}` has dtype {alike}"):
        call(case.net, function, good | odd)
    with pytest.raises(TypeError, match=rf"^`state\[0\].h` has dtype {alike}"):
        call(case.net, function, good | {"state": odd["state"]})
    (weights,) = case.params
    first = (weights._replace(weight_ih=single(weights.weight_ih)),)
    with pytest.raises(
        TypeError, match=rf"^`params\[0\].weight_ih` has .*float32, but `{name}` has"
    ):
        call(case.net, function, good | {"params": first})


def made_twice():
    """Return two types of one name and the same fields, as a notebook's cell run twice makes."""
    first, again = (namedtuple("Again", "h c") for _ in range(2))  # noqa: PYI024 - in one line
    assert first is not again
    return first, again


def test_a_type_made_anew_is_taken_for_the_old_one(make_case, assert_close):
    first, again = made_twice()
    net = xpbptt.Net(xpbptt.cells.LSTM._replace(name="again", state=first), I, H)
    case = make_case(net)
    expected = net.infer(case.params, case.x, case.state)
    found = net.infer(case.params, case.x, (again(*case.state[0]),))
    assert_close(found, expected, 0)
    _, _, cache = net.forward(case.params, case.x, (again(*case.state[0]),))
    net.backward(cache, case.dy, (again(*case.dstate[0]),))
    swapped = namedtuple("Again", "c h")  # noqa: PYI024 - in one line
    text = r"of 2, a .*test_bad_input.Again\('h', 'c'\); got a .*Again\('c', 'h'\)"
    with pytest.raises(ValueError, match=text):
        net.infer(case.params, case.x, (swapped(*case.state[0]),))


def test_a_state_of_another_cell_is_called_by_its_whole_name(xp, make_case):
    case = make_case(xpbptt.GRU(I, H))
    text = r"a xpbptt.cells.rnn.State\('h',\); got a xpbptt.cells.gru.State\('h',\)"
    with pytest.raises(ValueError, match=text):
        xpbptt.RNN(I, H).infer(xpbptt.RNN(I, H).init(0, xp=xp, dtype="float64"), case.x, case.state)


def test_a_cache_of_a_cell_made_anew(make_case):
    def forward(*arguments, xp):
        return xpbptt.cells.LSTM.forward(*arguments, xp=xp)

    case = make_case(xpbptt.Net(xpbptt.cells.LSTM._replace(forward=forward), I, H))
    _, _, cache = case.net.forward(case.params, case.x)
    text = r"`cache` was made by LSTM\(3, 5\) of another cell with the name LSTM"
    with pytest.raises(ValueError, match=text):
        xpbptt.LSTM(I, H).backward(cache, case.dy)
