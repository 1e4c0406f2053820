"""A cell of a user's own, with parameters of any shape, gets what the package's cells get."""

from typing import NamedTuple

import array_api_compat
import pytest
from helpers import cover

import xpbptt
from xpbptt.cells import sigmoid
from xpbptt.cells.lstm import Gates, State
from xpbptt.testing import GradientError, check_gradients, laws


class Own(NamedTuple):
    """Peepholes (H,), and a scale () on the output, to have a shape that is none."""

    p_i: object
    p_f: object
    p_o: object
    scale: object


def forward(u, v, state, *, extra, xp):
    i = sigmoid(u.i + v.i + extra.p_i * state.c, xp=xp)
    f = sigmoid(u.f + v.f + extra.p_f * state.c, xp=xp)
    g = xp.tanh(u.g + v.g)
    c = f * state.c + i * g
    o = sigmoid(u.o + v.o + extra.p_o * c, xp=xp)
    return State(extra.scale * o * xp.tanh(c), c), Gates(i, f, g, o)


def backward(residuals, state, new, dnew, *, extra, xp):
    i, f, g, o = residuals
    tanh_c = xp.tanh(new.c)
    dh = extra.scale * dnew.h
    do = dh * tanh_c * o * (1 - o)
    dc = dnew.c + dh * o * (1 - tanh_c * tanh_c) + do * extra.p_o
    di = dc * g * i * (1 - i)
    df = dc * state.c * f * (1 - f)
    dg = dc * i * (1 - g * g)
    dz = Gates(di, df, dg, do)
    dextra = Own(di * state.c, df * state.c, do * new.c, xp.sum(dnew.h * o * tanh_c, axis=-1))
    return dz, dz, State(None, dc * f + di * extra.p_i + df * extra.p_f), dextra


def own(size):
    return Own((size,), (size,), (size,), ())


PEEPHOLE = xpbptt.Cell("peephole", Gates, State, forward, backward, extra=own)


@pytest.fixture(params=[(1, False), (2, False), (2, True)], ids=str)
def net(request):
    layers, both = request.param
    dropout = 0.25 if layers > 1 else 0.0
    return xpbptt.Net(PEEPHOLE, 3, 5, layers, bidirectional=both, dropout=dropout)


def test_gradients_with_masks_dropout_and_every_strategy(net, xp):
    for bptt in (xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2), xpbptt.Binomial(2)):
        laws.derivative(net, xp=xp, options={"bptt": bptt})


@cover(
    ("law", "net"),
    ["linearity", "strategies", "padding", "chunks", "engines"],
    [(1, False), (2, False), (2, True)],
    strength=1,
    indirect=["net"],
)
def test_it_obeys_the_laws(law, net, xp):
    laws.LAWS[law](net, xp=xp)


def test_its_parameters_are_drawn_and_named(xp):
    net = xpbptt.Net(PEEPHOLE, 3, 5)
    (weights,) = net.init(0, xp=xp)
    assert isinstance(weights.extra, Own)
    assert [tuple(a.shape) for a in weights.extra] == [(5,), (5,), (5,), ()]
    assert weights.extra.scale.dtype == xp.float32


def test_without_peepholes_it_is_the_lstm(make_case, xp, assert_close):
    case = make_case(xpbptt.LSTM(3, 5))
    zeros = xp.zeros((5,), dtype=xp.float64)
    extra = Own(zeros, zeros, zeros, xp.ones((), dtype=xp.float64))
    params = (case.params[0]._replace(extra=extra),)
    net = xpbptt.Net(PEEPHOLE, 3, 5)
    expected = case.net.infer(case.params, case.x, case.state)
    assert_close(net.infer(params, case.x, case.state), expected)


def test_a_wrong_gradient_of_its_own_parameter_is_found(make_case):
    def wrong(*arguments, **options):
        *rest, dextra = backward(*arguments, **options)
        return *rest, dextra._replace(p_f=2 * dextra.p_f)

    case = make_case(xpbptt.Net(PEEPHOLE._replace(backward=wrong), 3, 5))
    with pytest.raises(GradientError, match=r"params\[0\].extra.p_f: the derivative is"):
        check_gradients(case.net, case.params, case.x)


def test_a_wrong_shape_is_refused(xp):
    net = xpbptt.Net(PEEPHOLE, 3, 5)
    (weights,) = net.init(0, xp=xp)
    bad = (weights._replace(extra=weights.extra._replace(p_i=weights.extra.p_i[:4])),)
    with pytest.raises(ValueError, match=r"`params\[0\].extra.p_i` has shape \(4,\)"):
        net.infer(bad, xp.ones((6, 4, 3), dtype=xp.float32))


@pytest.mark.parametrize("fuse", ["0", "1"])
@pytest.mark.parametrize("bptt", [xpbptt.KeepAll(), xpbptt.Segments(2)], ids=repr)
def test_what_a_cell_hands_on_unchanged_is_returned_as_a_copy(
    make_case, monkeypatch, arrays, xp, fuse, bptt
):
    """Its new state may be the old one, or one array twice, and its gradient that of the new."""

    def hand_on(u, v, state, *, xp):
        return State(state.c, state.c), ()

    def hand_back(residuals, state, new, dnew, *, xp):
        zero = xp.zeros_like(dnew.h)
        zeros = Gates(zero, zero, zero, zero)
        return zeros, zeros, State(dnew.c, dnew.c)

    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    case = make_case(xpbptt.Net(xpbptt.Cell("lazy", Gates, State, hand_on, hand_back), 3, 5))
    _, state, cache = case.net.forward(case.params, case.x, case.state, bptt=bptt)
    grads = case.net.backward(cache, case.dy, case.dstate)
    _, inferred = case.net.infer(case.params, case.x, case.state)
    given = arrays((case.state, case.dstate))
    kept = [xp.asarray(array, copy=True) for array in given]
    returned = arrays((state, grads.state, inferred))
    assert bool(xp.all(returned[0] == kept[1]))
    for k, array in enumerate(filter(array_api_compat.is_writeable_array, returned)):
        array[...] = k
    for k, array in enumerate(filter(array_api_compat.is_writeable_array, returned)):
        assert bool(xp.all(array == k))
    for array, before in zip(given, kept, strict=True):
        assert bool(xp.all(array == before))
