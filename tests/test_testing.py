"""The checks can fail: ten published bugs of hand-written BPTT, each put in and each rejected.

Every mutant is a change to one function of a recurrence or of a combinator; the unchanged net
passes in the same place.
"""

from typing import NamedTuple

import numpy as np
import pytest

import xpbptt
from xpbptt.bptt import KeepAll, Layer, Run, Watch, chain, concatenate, recurrence, reverse, unroll
from xpbptt.cells import GRU, LSTM, RNN_TANH, Cell
from xpbptt.testing import GradientError, check_causality, check_gradients

T, B, I, H = 6, 4, 3, 5


class Whole(NamedTuple):
    """A layer as a user's own class would be: `forward` and `backward`, and what a net tells."""

    layer: Layer
    xp: object
    bidirectional: bool = False
    num_layers: int = 1
    hidden_size: int = H

    def forward(self, params, x, state):
        return self.layer.forward(
            params, x, state, Run(None, KeepAll().plan(T, lambda: 1.0)), xp=self.xp
        )

    def backward(self, cache, dy, dstate):
        return self.layer.backward(cache, dy, dstate, Watch(), xp=self.xp)[0]


def changed(tree, **fields):
    return tree._replace(**fields)


def product_with_the_new_state(r):
    """dW_hh is paired with h_t instead of h_(t-1)."""

    def step_backward(params, residuals, state, new, dnew, *, xp):
        record, dstate = r.step_backward(params, residuals, state, new, dnew, xp=xp)
        return (*record, new[0]), dstate

    def accumulate(params, x, states, records, *, xp):
        return r.accumulate(params, x, records[-1:], records[:-1], xp=xp)

    return r._replace(step_backward=step_backward, accumulate=accumulate)


def with_records(r, change):
    def accumulate(params, x, states, records, *, xp):
        return r.accumulate(params, x, states, tuple(change(a, xp) for a in records), xp=xp)

    return r._replace(accumulate=accumulate)


def with_gradients(r, change):
    def accumulate(params, x, states, records, *, xp):
        dparams, dx = r.accumulate(params, x, states, records, xp=xp)
        return change(params, dparams, dx, records, xp)

    return r._replace(accumulate=accumulate)


def first_step_never_computed(r):
    zero_first = lambda a, xp: xp.concat((xp.zeros_like(a[:1, ...]), a[1:, ...]), axis=0)  # noqa: E731
    return with_records(r, zero_first)


def buffer_starts_as_the_weights(r):
    def change(params, dparams, dx, records, xp):
        return type(params)(*(w + dw for w, dw in zip(params, dparams, strict=True))), dx

    return with_gradients(r, change)


def gate_gradients_never_written(r):
    return with_records(r, lambda a, xp: xp.zeros_like(a))


def input_gradient_through_the_hidden_slice(r):
    def change(params, dparams, dx, records, xp):
        return dparams, records[0] @ params.weight_hh[:, : dx.shape[2]]

    return with_gradients(r, change)


def weights_doubled(r):
    def change(params, dparams, dx, records, xp):
        dparams.weight_ih[...] += dparams.weight_ih
        return dparams, dx

    return with_gradients(r, change)


def bias_from_the_wrong_gate(r):
    def change(params, dparams, dx, records, xp):
        size = params.weight_hh.shape[1]
        wrong = xp.concat((dparams.bias_ih[size:], dparams.bias_ih[:size]), axis=0)
        return dparams._replace(bias_ih=wrong), dx

    return with_gradients(r, change)


def carry_never_propagated(r):
    def step_backward(params, residuals, state, new, dnew, *, xp):
        record, dstate = r.step_backward(params, residuals, state, new, dnew, xp=xp)
        return record, type(dstate)(*(xp.zeros_like(a) for a in dstate))

    return r._replace(step_backward=step_backward)


IN_THE_CELL = [
    product_with_the_new_state,
    first_step_never_computed,
    buffer_starts_as_the_weights,
    gate_gradients_never_written,
    input_gradient_through_the_hidden_slice,
    weights_doubled,
    bias_from_the_wrong_gate,
    carry_never_propagated,
]


def one_layer(recurrence_, xp):
    return Whole(chain([unroll(recurrence_)]), xp)


def both_directions(layer, xp):
    return Whole(chain([layer]), xp, bidirectional=True)


@pytest.mark.parametrize("mutant", IN_THE_CELL)
@pytest.mark.parametrize("cell", [LSTM, GRU, RNN_TANH], ids=lambda c: c.name)
def test_a_bug_in_the_cell_is_rejected(np_case, cell, mutant):
    if mutant is bias_from_the_wrong_gate and len(cell.gates._fields) == 1:
        cell = LSTM  # one gate has no wrong one
    case = np_case(cell)
    check_gradients(one_layer(recurrence(cell), np), *case)
    with pytest.raises(GradientError, match="off by"):
        check_gradients(one_layer(mutant(recurrence(cell)), np), *case)


def test_a_reversal_that_does_not_reverse_is_rejected(np_case):
    """Consistent in itself: the gradients are right, so only the direction can tell."""
    case = np_case(LSTM, both=True)
    one = unroll(recurrence(LSTM))
    check_gradients(both_directions(concatenate(one, reverse(one)), np), *case)
    broken = both_directions(concatenate(one, one), np)
    with pytest.raises(GradientError, match="wrong direction: features that read the future"):
        check_gradients(broken, *case)


def test_both_directions_given_the_same_half_is_rejected(np_case):
    case = np_case(LSTM, both=True)
    one = unroll(recurrence(LSTM))
    right = concatenate(one, reverse(one))

    def backward(cache, dy, dstate, watch, *, xp):
        half = dy[..., : cache.width]
        return right.backward(cache, xp.concat((half, half), axis=-1), dstate, watch, xp=xp)

    with pytest.raises(GradientError, match=r"params\[0\]\[1\]"):
        check_gradients(both_directions(right._replace(backward=backward), np), *case)


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
        check_gradients(one_layer(bias_from_the_wrong_gate(recurrence(LSTM)), np), *case)
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
