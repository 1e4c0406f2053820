"""Gates without a product with the state, and a product that reads another part of it."""

from typing import NamedTuple

import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt.cells import LSTM, lstm, sigmoid
from xpbptt.testing import laws


class Gates(NamedTuple):
    f: object
    g: object


class State(NamedTuple):
    h: object
    c: object


def forward(u, v, state, *, xp):
    """The forget gate reads c by the product, the candidate the input alone."""
    f, g = sigmoid(u.f + v.f, xp=xp), xp.tanh(u.g)
    c = f * state.c + (1 - f) * g
    return State(xp.tanh(c), c), (f, g)


def backward(residuals, state, new, dnew, *, xp):
    f, g = residuals
    dc = dnew.c + dnew.h * (1 - new.h * new.h)
    du = Gates(dc * (state.c - g) * f * (1 - f), dc * (1 - f) * (1 - g * g))
    return du, du, State(None, dc * f)


def free_forward(u, v, state, *, xp):
    f, g = sigmoid(u.f, xp=xp), xp.tanh(u.g)
    c = f * state.c + (1 - f) * g
    return State(xp.tanh(c), c), (f, g)


def free_backward(residuals, state, new, dnew, *, xp):
    du, _, dstate = backward(residuals, state, new, dnew, xp=xp)
    return du, None, dstate


CELLS = {
    "some": xpbptt.Cell("some", Gates, State, forward, backward, recurrent=("f",), reads="c"),
    "none": xpbptt.Cell("none", Gates, State, free_forward, free_backward, recurrent=()),
}


@cover(
    ("name", "law", "layers", "both"),
    list(CELLS),
    ["derivative", "strategies", "padding", "chunks", "engines", "linearity", "mutants"],
    [1, 2],
    [False, True],
    strength=1,
)
def test_laws(name, law, layers, both, xp):
    laws.LAWS[law](xpbptt.Net(CELLS[name], 3, 5, layers, bidirectional=both), xp=xp)


@pytest.mark.parametrize("name", CELLS)
def test_gradients(name, xp):
    laws.derivative(xpbptt.Net(CELLS[name], 3, 5, 2, bidirectional=True), xp=xp)


def test_there_are_no_dead_parameters(xp):
    (some,) = xpbptt.Net(CELLS["some"], 3, 5).init(0, xp=xp)
    assert [tuple(part.shape) for part in some[:4]] == [(10, 3), (5, 5), (10,), (5,)]
    (none,) = xpbptt.Net(CELLS["none"], 3, 5).init(0, xp=xp)
    assert tuple(none.weight_ih.shape) == (10, 3)
    assert none.weight_hh == none.bias_hh == none.extra == ()
    net = xpbptt.Net(CELLS["none"], 3, 5)
    x = xp.ones((4, 2, 3), dtype=xp.float32)
    _, _, cache = net.forward((none,), x)
    (found,) = net.backward(cache, xp.ones((4, 2, 5), dtype=xp.float32)).params
    assert found.weight_hh == found.bias_hh == ()


def test_a_product_with_the_memory_cell_is_that_of_an_lstm_whose_output_is_its_cell(
    make_case, xp, assert_close
):
    """Of an LSTM whose parts change places W_hh reads the second."""

    class Turned(NamedTuple):
        c: object
        h: object

    def turned_forward(u, v, state, *, xp):
        (h, c), gates = lstm.forward(u, v, lstm.State(state.h, state.c), xp=xp)
        return Turned(c, h), gates

    def turned_backward(residuals, state, new, dnew, *, xp):
        straight = [lstm.State(each.h, each.c) for each in (state, new, dnew)]
        du, dv, dstate = lstm.backward(residuals, *straight, xp=xp)
        return du, dv, Turned(dstate.c, dstate.h)

    cell = LSTM._replace(
        name="turned", state=Turned, forward=turned_forward, backward=turned_backward, reads="h"
    )
    case = make_case(xpbptt.LSTM(3, 5))
    state, dstate = (tuple(Turned(e.c, e.h) for e in tree) for tree in (case.state, case.dstate))
    net = xpbptt.Net(cell, 3, 5)
    _, _, cache = net.forward(case.params, case.x, state)
    found = net.backward(cache, case.dy, dstate)
    # The gradient of c at every step: an LSTM step by step
    total, carried = None, case.dstate
    states = [case.state]
    caches = []
    for t in range(case.x.shape[0]):
        _, after, one = case.net.forward(case.params, case.x[t : t + 1, ...], states[-1])
        states.append(after)
        caches.append(one)
    for t in reversed(range(case.x.shape[0])):
        carried = (lstm.State(carried[0].h, carried[0].c + case.dy[t, ...]),)
        grads = case.net.backward(caches[t], xp.zeros_like(case.dy[:1, ...]), carried)
        carried = grads.state
        total = grads.params[0] if total is None else _sum(total, grads.params[0])
    assert_close(found.params[0][:4], total[:4], tolerance=1e-11)
    assert_close(found.state[0].h, carried[0].h, tolerance=1e-11)


def _sum(one, other):
    return type(one)(
        *(a if isinstance(a, tuple) else a + b for a, b in zip(one, other, strict=True))
    )


REFUSED = [
    ({"recurrent": ("f", "q")}, "names the gate 'q', but its gates are f g"),
    ({"recurrent": "f"}, "must be a tuple of names of gates or None, got 'f'"),
    ({"recurrent": ["f"]}, "must be a tuple of names"),
    ({"recurrent": ("f", "f")}, "names a gate twice"),
    ({"reads": "z"}, "`reads` of the cell some must name a part of its state, h c, got 'z'"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_what_no_cell_has_is_refused_when_the_net_is_made(change, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xpbptt.Net(CELLS["some"]._replace(**change), 3, 5)


@pytest.mark.parametrize("fuse", ["0", "1"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_a_cell_that_reads_a_gate_without_a_product_is_refused(fuse, unpacked, xp, monkeypatch):
    def reads_g(u, v, state, *, xp):
        other = tuple(v)[1] if unpacked else v.g
        return free_forward(Gates(u.f, u.g + other), v, state, xp=xp)

    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    net = xpbptt.Net(CELLS["some"]._replace(name="wrong", forward=reads_g), 3, 5)
    with pytest.raises(TypeError, match=r"(reads `v.g`|`v` has nothing).*`recurrent` = \('f',\)"):
        net.infer(net.init(0, xp=xp), xp.ones((4, 2, 3), dtype=xp.float32))


def test_a_residual_of_all_gates_is_what_the_gates_of_the_product_make():
    """dv of gates without a product may be anything, also NaN."""

    def spoilt(*arguments, xp):
        du, _, dstate = backward(*arguments, xp=xp)
        return du, Gates(du.f, xp.full_like(du.g, float("nan"))), dstate

    net = xpbptt.Net(CELLS["some"], 3, 5)
    other = xpbptt.Net(CELLS["some"]._replace(backward=spoilt), 3, 5)
    params, x = net.init(0), np.ones((4, 2, 3), np.float32)
    for of in (net, other):
        y, _, cache = of.forward(params, x)
        grads = of.backward(cache, y)
        np.testing.assert_array_equal(np.isnan(grads.params[0].weight_hh), 0)
