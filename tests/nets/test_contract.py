"""A cell that breaks its contract is refused at first use, in a sentence that says where."""

import re
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import array_api_compat
import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.writes import unseen
from xpbptt.bptt import recurrence
from xpbptt.cells import sigmoid

I, H = 3, 5


class Gates(NamedTuple):
    f: object
    g: object


class State(NamedTuple):
    h: object
    c: object


class One(NamedTuple):
    h: object


class Three(NamedTuple):
    f: object
    g: object
    o: object


class Own(NamedTuple):
    p: object


def forward(u, v, state, *, extra, xp):
    f = sigmoid(u.f + v.f, xp=xp)
    g = xp.tanh(u.g + v.g + extra.p * state.h)
    c = f * state.c + (1 - f) * g
    return State(xp.tanh(c), c), (f, g)


def backward(residuals, state, new, dnew, *, extra, xp):
    f, g = residuals
    dc = dnew.c + dnew.h * (1 - new.h * new.h)
    dg = dc * (1 - f) * (1 - g * g)
    dz = Gates(dc * (state.c - g) * f * (1 - f), dg)
    return dz, dz, State(dg * extra.p, dc * f), Own(dg * state.h)


CELL = xpbptt.Cell("toy", Gates, State, forward, backward, extra=lambda size: Own((size,)))


def spoilt(change, function=forward, cell=CELL):
    """Return the cell with `change` made to what one of its functions returns."""

    def spoiling(*arguments, xp, **extra):
        return change(function(*arguments, xp=xp, **extra), xp)

    return cell._replace(**{function.__name__: spoiling})


def bare(a):
    """Return the cell without parameters of its own."""
    none = Own(0.0)

    def forward_(u, v, state, *, xp):
        return forward(u, v, state, extra=none, xp=xp)

    def backward_(residuals, state, new, dnew, *, xp):
        return backward(residuals, state, new, dnew, extra=none, xp=xp)[: 4 if a else 3]

    return CELL._replace(forward=forward_, backward=backward_, extra=None)


def of_new(change):
    return lambda r, xp: (change(r[0], xp), r[1])


def of_residuals(change):
    return lambda r, xp: (r[0], change(*r[1], xp))


def at(k, change):
    """Make `change` to the k-th value of a backward step."""
    return lambda r, xp: (*r[:k], change(r[k], xp), *r[k + 1 :])


def other_dtype(a, xp):
    return xp.astype(a, xp.float32 if a.dtype == xp.float64 else xp.float64)


FORWARD = [
    (lambda r, xp: r[0], "must return `new` as a named tuple with the fields (h, c), got an array"),
    (lambda r, xp: None, "must return 2 values, the new state, the residuals; got None"),
    (
        lambda r, xp: (*r, r[1]),
        "must return 2 values, the new state, the residuals; got a tuple of",
    ),
    (
        of_new(lambda s, xp: tuple(s)),
        "`new` as a named tuple with the fields (h, c), got a tuple of",
    ),
    (
        of_new(lambda s, xp: One(s.h)),
        "the fields (h, c), got the named tuple One with the fields (h)",
    ),
    (of_new(lambda s, xp: s.h), "with the fields (h, c), got an array of shape (2, 5)"),
    (of_new(lambda s, xp: s._replace(c=None)), "must return `new.c` as an array of"),
    (of_new(lambda s, xp: s._replace(h=0.5)), "must return `new.h` as an array of"),
    (
        of_new(lambda s, xp: s._replace(c=s.c[0, ...])),
        "returned `new.c` with shape (5,), expected (B, H) = (2, 5)",
    ),
    (
        of_new(lambda s, xp: s._replace(h=s.h.T)),
        "returned `new.h` with shape (5, 2), expected (B, H)",
    ),
    (of_new(lambda s, xp: s._replace(c=other_dtype(s.c, xp))), "returned `new.c` with dtype"),
    (
        of_residuals(lambda f, g, xp: f),
        "must return `residuals` as a tuple of arrays, (a,) for one",
    ),
    (of_residuals(lambda f, g, xp: None), "(a,) for one and () for none, got None"),
    (of_residuals(lambda f, g, xp: (f, None)), "must return `residuals[1]` as an array of"),
    (of_residuals(lambda f, g, xp: Gates(f, 2.0)), "must return `residuals.g` as an array of"),
    (
        of_residuals(lambda f, g, xp: (f[0, ...], g)),
        "returned `residuals[0]` with shape (5,), expected (B, …) with (B,) = (2,)",
    ),
    (of_residuals(lambda f, g, xp: (f, xp.sum(g))), "returned `residuals[1]` with shape ()"),
]
BACKWARD = [
    (lambda r, xp: r[:3], "must return 4 values, du, dv, dstate, dextra; got a tuple of 3"),
    (lambda r, xp: r[0], "must return 4 values, du, dv, dstate, dextra; got the named tuple Gates"),
    (
        at(0, lambda d, xp: tuple(d)),
        "`du` as a named tuple with the fields (f, g), got a tuple of 2",
    ),
    (at(1, lambda d, xp: d.f), "`dv` as a named tuple with the fields (f, g), got an array"),
    (at(0, lambda d, xp: Three(*d, d[0])), "the named tuple Three with the fields (f, g, o)"),
    (at(0, lambda d, xp: State(*d)), "the named tuple State with the fields (h, c)"),
    (at(1, lambda d, xp: d._replace(g=None)), "must return `dv.g` as an array"),
    (at(1, lambda d, xp: d._replace(g=d.g[:1, :])), "returned `dv.g` with shape (1, 5), expected"),
    (at(0, lambda d, xp: d._replace(f=other_dtype(d.f, xp))), "returned `du.f` with dtype"),
    (at(2, lambda d, xp: None), "`dstate` as a named tuple with the fields (h, c), got None"),
    (at(2, lambda d, xp: One(d.h)), "the named tuple One with the fields (h)"),
    (at(2, lambda d, xp: d._replace(c=None)), "must return `dstate.c` as an array"),
    (at(2, lambda d, xp: d._replace(h=d.h[..., :1])), "returned `dstate.h` with shape (2, 1)"),
    (
        at(3, lambda d, xp: tuple(d)),
        "`dextra` as a named tuple with the fields (p), got a tuple of 1",
    ),
    (at(3, lambda d, xp: None), "`dextra` as a named tuple with the fields (p), got None"),
    (
        at(3, lambda d, xp: Own(xp.sum(d.p, axis=0))),
        "returned `dextra.p` with shape (5,), expected (B",
    ),
]


def check_refused(cell, text, xp, function, dtype="float64", hidden=H):
    """See every call refuse the cell, before anything is done, and again the second time."""
    net = xpbptt.Net(cell, I, hidden)
    params = net.init(0, xp=xp, dtype=dtype)
    x = xp.ones((6, 4, I), dtype=getattr(xp, dtype))
    message = f"`{function}` of the cell toy .*{re.escape(text)}"
    for run, argument in ((net.forward, x), (net.infer, x), (net.step, x[0, ...])) * 2:
        with pytest.raises((TypeError, ValueError), match=message):
            run(params, argument)


@cover(("wrong", "fuse"), FORWARD, ["0", "1"], strength=1)
def test_what_forward_returns(wrong, xp, fuse, monkeypatch):
    change, text = wrong
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    check_refused(spoilt(change), text, xp, "forward")


@cover(("wrong", "fuse"), BACKWARD, ["0", "1"], strength=1)
def test_what_backward_returns(wrong, xp, fuse, monkeypatch):
    change, text = wrong
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    check_refused(spoilt(change, backward), text, xp, "backward")


def test_a_fourth_value_of_a_cell_without_parameters_of_its_own(xp):
    text = "must return 3 values, du, dv, dstate; got a tuple of 4"
    check_refused(bare(True), text, xp, "backward")  # noqa: FBT003
    net = xpbptt.Net(bare(False), I, H)  # noqa: FBT003
    net.forward(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))


@pytest.mark.parametrize(("hidden", "batch"), [(1, 2), (2, 3), (3, 2)])
def test_the_batch_is_another_number_than_the_hidden_size(xp, hidden, batch):
    turned = spoilt(of_new(lambda s, xp: s._replace(h=s.h.T)))
    text = f"with shape ({hidden}, {batch}), expected (B, H) = ({batch}, {hidden})"
    check_refused(turned, text, xp, "forward", hidden=hidden)


def test_an_array_of_another_library(xp):
    strict = pytest.importorskip("array_api_strict", reason="needs a second array library")
    other = np if array_api_compat.array_namespace(xp.ones(1)) is strict else strict
    foreign = spoilt(of_new(lambda s, xp: s._replace(c=other.ones((2, H)))))
    check_refused(foreign, "must return `new.c` as an array of the library of", xp, "forward")


def test_a_number_of_numpy_that_promotes(xp):
    if array_api_compat.array_namespace(xp.ones(1)).__name__ != "array_api_compat.numpy":
        pytest.skip("other libraries take no number of NumPy, or keep the dtype")
    promoting = spoilt(of_new(lambda s, xp: s._replace(h=s.h * np.sqrt(2))))
    text = "returned `new.h` with dtype float64 for arguments of float32, expected the same"
    check_refused(promoting, text, xp, "forward", dtype="float32")
    net = xpbptt.Net(promoting, I, H)  # each dtype is checked: in float64 nothing is wrong
    net.forward(net.init(0, xp=xp, dtype="float64"), xp.ones((6, 4, I), dtype=xp.float64))


def writes(name, path):
    """Return the cell with a function that writes into one of its arguments."""
    function = {"forward": forward, "backward": backward}[name]
    names = {"forward": ("u", "v", "state"), "backward": ("residuals", "state", "new", "dnew")}

    def writing(*arguments, xp, **extra):
        given = dict(zip(names[name], arguments, strict=True)) | extra
        array = eval(path, given)
        array += 1  # on some libraries a new array, and no write
        return function(*arguments, xp=xp, **extra)

    return CELL._replace(**{name: writing})


WRITES = [
    ("forward", "u.f"),
    ("forward", "v.g"),
    ("forward", "state.c"),
    ("forward", "extra.p"),
    ("backward", "residuals[0]"),
    ("backward", "state.h"),
    ("backward", "new.c"),
    ("backward", "dnew.c"),
    ("backward", "extra.p"),
]


@cover(("place", "fuse"), WRITES, ["0", "1"], strength=1)
def test_a_write_into_an_argument(xp, make_case, place, fuse, monkeypatch):
    name, path = place
    if not array_api_compat.is_writeable_array(xp.ones(1)):
        pytest.skip("nothing can be written into these arrays")
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    case = make_case(xpbptt.Net(CELL, I, H))
    net = xpbptt.Net(writes(name, path), I, H)
    kept = map_leaves(lambda a: xp.asarray(a, copy=True), case[1:4])
    text = re.escape(f"`{name}` of the cell toy writes into its argument `{path}`")
    with pytest.raises(ValueError, match=text):
        net.forward(case.params, case.x, case.state)
    assert_equal(case[1:4], kept, xp)


def assert_equal(found, expected, xp):
    for (path, a), (_, b) in zip(leaves(found), leaves(expected), strict=True):
        assert bool(xp.all(a == b)), path


def test_a_write_that_the_small_step_does_not_make(xp, make_case, monkeypatch):
    """The caller's arrays are safe from it, too."""
    monkeypatch.setenv("XPBPTT_FUSE", "0")

    def spoil(arrays):
        for array in arrays:
            if array.shape[0] != 2 and array_api_compat.is_writeable_array(array):
                array[...] = 7

    def write(u, v, state, *, extra, xp):
        result = forward(u, v, state, extra=extra, xp=xp)
        spoil(state)
        return result

    def write_back(residuals, state, new, dnew, *, extra, xp):
        result = backward(residuals, state, new, dnew, extra=extra, xp=xp)
        spoil(dnew)
        return result

    net = xpbptt.Net(CELL._replace(forward=write, backward=write_back), I, H)
    case = make_case(net)
    given = (case.params, case.x, case.state, case.dy, case.dstate)
    kept = map_leaves(lambda a: xp.asarray(a, copy=True), given)
    _, _, cache = net.forward(case.params, case.x, case.state)
    net.backward(cache, case.dy, case.dstate)
    net.infer(case.params, case.x, case.state)
    if unseen(case.x):
        net.step(case.params, case.x[0, ...], case.state)
    for bptt in (xpbptt.KeepStates(), xpbptt.Segments(2)):
        net.forward(case.params, case.x, case.state, bptt=bptt)
    assert_equal(given, kept, xp)


def test_a_cell_is_not_blamed_for_the_byte_order_of_the_input():
    """NumPy's operations return the machine's order, which a net puts right."""
    net = xpbptt.Net(CELL, I, H)
    swap = lambda a: a.astype(a.dtype.newbyteorder())  # noqa: E731
    params = net.init(0, dtype="float64")
    x = np.random.default_rng(0).standard_normal((4, 2, I))
    y, _ = net.infer(map_leaves(swap, params), swap(x))
    assert y.dtype == swap(x).dtype
    np.testing.assert_allclose(y, net.infer(params, x)[0], rtol=1e-12)


def test_it_is_tried_once(xp):
    calls = []

    def counted(*arguments, xp, **extra):
        calls.append(tuple(arguments[0].f.shape))
        return forward(*arguments, xp=xp, **extra)

    cell = CELL._replace(forward=counted)
    params = xpbptt.Net(cell, I, H).init(0, xp=xp)
    for batch in (4, 4, 7):
        net = xpbptt.Net(CELL._replace(forward=counted), I, H)
        net.infer(params, xp.ones((1, batch, I), dtype=xp.float32))
    small = [shape for shape in calls if shape == (2, H)]
    if array_api_compat.is_jax_namespace(xp):
        assert len(small) == 2  # the second is traced, for the scan
    elif array_api_compat.is_writeable_array(xp.ones(1)) and not hasattr(params[0], "_version"):
        assert len(small) in {1, 2}  # the second on NumPy, for the writes
    else:
        assert len(small) == 1


def test_many_threads_at_once(xp):
    cell = CELL._replace(name="of many threads")
    net = xpbptt.Net(cell, I, H)
    params = net.init(0, xp=xp, dtype="float64")
    x = xp.ones((3, 4, I), dtype=xp.float64)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: net.infer(params, x)[0], range(8)))
    assert all(bool(xp.all(y == found[0])) for y in found)


def test_an_error_of_the_cell_says_where_it_came_from(xp):
    def raising(u, v, state, *, extra, xp):
        message = "of the cell's own"
        raise KeyError(message)

    net = xpbptt.Net(CELL._replace(forward=raising), I, H)
    with pytest.raises(KeyError, match="of the cell's own") as caught:
        net.infer(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))
    (note,) = caught.value.__notes__
    assert note.startswith("raised by `forward` of the cell toy when it was tried on small arrays")


def test_a_cell_may_hold_an_array_of_the_size_h(xp, make_case):
    pace = xp.asarray(np.linspace(0.5, 1, H))
    slower = spoilt(of_new(lambda s, xp: s._replace(h=pace * s.h)))
    case = make_case(xpbptt.Net(slower, I, H))
    case.net.forward(case.params, case.x)


def test_a_cell_whose_types_were_made_anew(xp, make_case):
    """As by a cell of a notebook that is run again: the names are the same."""
    again = namedtuple("State", "h c")  # noqa: PYI024 - in one line
    anew = spoilt(of_new(lambda s, xp: again(*s)))
    case = make_case(xpbptt.Net(anew, I, H))
    _, state, cache = case.net.forward(case.params, case.x, case.state)
    returned = [state, case.net.backward(cache, case.dy, case.dstate).state]
    returned.append(case.net.infer(case.params, case.x, case.state)[1])
    returned.append(case.net.step(case.params, case.x[0, ...], case.state)[1])
    assert {type(state) for (state,) in returned} == {State}


def changed(**functions):
    """Return a recurrence with some functions of its own."""
    gru = xpbptt.GRU(I, H, reset_after=False).recurrence

    def wrap(name, change):
        function = getattr(gru, name)
        return lambda *arguments, xp: change(function(*arguments, xp=xp), xp)

    new = {name: wrap(name, change) for name, change in functions.items()}
    return gru._replace(name="toy", **new)


RECURRENCES = [
    (
        "step",
        lambda r, xp: (tuple(r[0]), r[1]),
        "`new` as a named tuple with the fields (h), got a",
    ),
    ("step", lambda r, xp: (r[0], r[1][0]), "`residuals` as a tuple of arrays"),
    ("step_backward", lambda r, xp: r[0][0], "must return 2 values, the record, dstate; got"),
    ("step_backward", lambda r, xp: (r[0], One(None)), "must return `dstate.h` as an array"),
    (
        "step_backward",
        lambda r, xp: ((r[0][0][0, ...],), r[1]),
        "returned `record[0]` with shape (15",
    ),
    ("accumulate", lambda r, xp: r[0], "must return 2 values, dparams, dx; got"),
    (
        "accumulate",
        lambda r, xp: (r[0]._replace(weight_ih=r[0].weight_ih.T), r[1]),
        "returned `dparams.weight_ih` with shape (3, 15), expected the parameter's shape = (15, 3)",
    ),
    ("accumulate", lambda r, xp: (r[0], r[1][0, ...]), "returned `dx` with shape (2, 3), expected"),
]


@pytest.mark.parametrize(
    ("function", "change", "text"), RECURRENCES, ids=[r[2] for r in RECURRENCES]
)
def test_what_a_recurrence_returns(function, change, text, xp):
    net = xpbptt.Net(changed(**{function: change}), I, H)
    message = f"`{function}` of the recurrence toy .*{re.escape(text)}"
    with pytest.raises((TypeError, ValueError), match=message):
        net.forward(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))


def test_a_recurrence_that_writes_into_an_argument(xp):
    if not array_api_compat.is_writeable_array(xp.ones(1)):
        pytest.skip("nothing can be written into these arrays")
    gru = xpbptt.GRU(I, H, reset_after=False).recurrence

    def step(weights, u, state, *, xp):
        h = state.h
        h *= 2
        return gru.step(weights, u, state, xp=xp)

    net = xpbptt.Net(gru._replace(name="toy", step=step), I, H)
    text = r"`step` of the recurrence toy writes into its argument `state\.h`"
    with pytest.raises(ValueError, match=text):
        net.infer(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))


def test_a_recurrence_of_a_wrong_cell_names_the_cell(xp):
    wrong = spoilt(of_residuals(lambda f, g, xp: f))
    net = xpbptt.Net(recurrence(wrong), I, H)
    with pytest.raises(TypeError, match="`step` of the recurrence toy must return `residuals`"):
        net.infer(net.init(0, xp=xp), xp.ones((6, 4, I), dtype=xp.float32))
