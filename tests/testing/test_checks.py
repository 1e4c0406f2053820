"""The checks can fail, and say what is wrong."""

import numpy as np
import pytest

import xpbptt
from xpbptt.bptt import chain, recurrence, unroll
from xpbptt.cells import GRU, LSTM, RNN_TANH, Cell
from xpbptt.testing import GradientError, check_causality, check_gradients
from xpbptt.testing.laws import checker

T, B, I, H = 6, 4, 3, 5


IN_THE_CELL = checker.IN_THE_CELL


def one_layer(recurrence_, xp):
    return checker.Whole(chain([unroll(recurrence_)]), xp)


@pytest.mark.parametrize("mutant", IN_THE_CELL, ids=lambda m: m.__name__)
def test_a_bug_in_the_cell_is_rejected(np_case, mutant):
    case = np_case(LSTM)
    check_gradients(one_layer(recurrence(LSTM), np), *case)
    with pytest.raises(GradientError, match="off by"):
        check_gradients(one_layer(mutant(recurrence(LSTM)), np), *case)


@pytest.mark.parametrize(
    ("mutant", "text"),
    [
        (
            checker.reversal_that_does_not_reverse,
            "wrong direction: features that read the future",
        ),
        (checker.same_half_for_both_directions, r"params\[0\]\[1\]"),
    ],
)
def test_a_bug_in_a_bidirectional_layer_is_rejected(np_case, mutant, text):
    case = np_case(LSTM, both=True)
    broken = checker.Whole(chain([mutant(unroll(recurrence(LSTM)))]), np, bidirectional=True)
    with pytest.raises(GradientError, match=text):
        check_gradients(broken, *case)


@pytest.fixture
def np_case():
    """Make parameters, input and state for a cell."""

    def make(cell, *, both=False):
        net = xpbptt.Net(cell, I, H, bidirectional=both)
        random = np.random.default_rng(6)
        x = random.standard_normal((T, B, I))
        draw = lambda: cell.state(*(random.standard_normal((B, H)) for _ in cell.state._fields))  # noqa: E731
        return net.init(3, dtype=np.float64), x, ((draw(), draw()) if both else draw(),)

    return make


def test_the_message_names_the_wrong_input_and_no_other(np_case):
    case = np_case(LSTM)
    with pytest.raises(GradientError) as caught:
        check_gradients(one_layer(checker.bias_from_the_wrong_gate(recurrence(LSTM)), np), *case)
    message = str(caught.value)
    assert "params[0].bias_ih: the derivative is" in message
    assert "weight" not in message
    assert "bias_hh" not in message


def test_a_gradient_in_the_wrong_place_is_rejected(np_case):
    net = xpbptt.Net(GRU, I, H)

    class Swapped:
        forward = net.forward

        def backward(self, cache, dy, dstate):
            grads = net.backward(cache, dy, dstate)
            weights = grads.params[0]
            return grads._replace(params=(weights._replace(bias_ih=weights.weight_ih),))

    with pytest.raises(ValueError, match=r"`grads.params\[0\].bias_ih` has shape"):
        check_gradients(Swapped(), *np_case(GRU))


def test_nan_is_rejected(np_case):
    net = xpbptt.Net(GRU, I, H)

    class Broken:
        forward = net.forward

        def backward(self, cache, dy, dstate):
            grads = net.backward(cache, dy, dstate)
            return grads._replace(x=grads.x * np.nan)

    with pytest.raises(GradientError, match=r"\n  x: "):
        check_gradients(Broken(), *np_case(GRU))


def gated(value, name):
    """Return a cell whose only nonlinearity is not analytic, with the derivative `value` gives."""

    def forward(u, v, state, *, xp):
        a = u.a + v.a
        return type(state)(xp.abs(a)), (a,)

    def backward(residuals, state, new, dnew, *, xp):
        da = type(state)(dnew.h * value(residuals[0]))
        gates = RNN_TANH.gates(*da)
        return gates, gates, type(state)(None)

    return Cell(name, RNN_TANH.gates, RNN_TANH.state, forward, backward)


def test_an_operation_that_is_not_analytic_is_checked_by_central_differences(np_case):
    """The complex step sees no derivative at all in abs."""
    right = gated(np.sign, "abs")
    assert check_gradients(xpbptt.Net(right, I, H), *np_case(right)).method == "central differences"
    wrong = gated(np.zeros_like, "wrong")
    with pytest.raises(GradientError, match="central differences"):
        check_gradients(xpbptt.Net(wrong, I, H), *np_case(wrong))


def test_a_layer_without_state(xp, normal):
    readout = xpbptt.Linear(3, 5)
    params = readout.init(0, xp=xp, dtype=xp.float64)
    assert check_gradients(readout, params, normal(6, 4, 3)).error < 1e-12


def test_single_precision_is_refused():
    net = xpbptt.LSTM(I, H)
    with pytest.raises(TypeError, match="`x` and all arrays must be float64"):
        check_gradients(net, net.init(0), np.ones((T, B, I), dtype=np.float32))


def test_causality_refuses_a_single_step():
    net = xpbptt.LSTM(I, H)
    with pytest.raises(ValueError, match="`x` must have at least 2 time steps, got 1"):
        check_causality(net, net.init(0), np.ones((1, B, I), dtype=np.float32))


def test_causality_of_both_directions(np_case):
    net = xpbptt.Net(LSTM, I, H, bidirectional=True)
    case = np_case(LSTM, both=True)
    check_causality(net, *case, future=slice(H, 2 * H))
    with pytest.raises(GradientError, match="read the past depend on later"):
        check_causality(net, *case)
    with pytest.raises(GradientError, match="read the future depend on earlier"):
        check_causality(net, *case, future=slice(0, 2 * H))


def test_kinks_do_not_mislead():
    """With many relu units one lies within the step of a central difference."""
    net = xpbptt.RNN(I, 64, nonlinearity="relu")
    random = np.random.default_rng(0)
    for seed in range(8):
        x = random.standard_normal((100, B, I))
        check_gradients(net, net.init(seed, dtype="float64"), x, seed=seed)


def test_a_backward_pass_that_only_serves_once_is_rejected(np_case):
    net = xpbptt.Net(GRU, I, H)
    calls = []

    class Once:
        forward = net.forward

        def backward(self, cache, dy, dstate):
            calls.append(cache)
            grads = net.backward(cache, dy, dstate)
            return grads._replace(x=grads.x * len(calls))

    with pytest.raises(GradientError, match="off by"):
        check_gradients(Once(), *np_case(GRU))


def test_a_generator_is_refused_as_an_option():
    net = xpbptt.GRU(I, H, 2, dropout=0.5)
    params, x = net.init(0, dtype="float64"), np.ones((T, B, I))
    with pytest.raises(TypeError, match="`options` must hold seeds, no generator"):
        check_gradients(net, params, x, dropout_seed=np.random.default_rng(0))
