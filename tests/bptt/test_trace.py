"""What the backward pass tells of itself, and clipping inside it."""

import numpy as np
import pytest
from helpers import host

import xpbptt

T, B = 6, 4


def backward(case, mask=None, bptt=None, **options):
    bptt = xpbptt.KeepAll() if bptt is None else bptt
    _, _, cache = case.net.forward(case.params, case.x, case.state, mask, bptt=bptt)
    return case.net.backward(cache, case.dy, case.dstate, **options)


def directions(layer, net):
    return layer if net.bidirectional else (layer,)


def test_a_trace_changes_no_gradient_and_names_states_and_gates(case, xp, arrays, assert_close):
    grads, trace = backward(case, trace=True)
    assert_close(grads, backward(case), 0)
    assert len(trace) == case.net.num_layers
    for layer in trace:
        for one in directions(layer, case.net):
            assert one.state._fields == case.net.recurrence.state._fields
            assert "".join(one.gates._fields) in ("a", "ifgo", "rzn")
            for norms in arrays(tuple(one)):
                assert type(norms) is type(case.x)
                assert norms.dtype == xp.float64
                assert norms.shape == (T,)


def test_the_norms_are_those_of_the_loss_with_the_sequence_cut_there(make_case, xp):
    """The gradient arriving at the state after step t is the rest's gradient by its initial state.

    That at h also holds dy[t].
    """
    case = make_case(xpbptt.LSTM(3, 5))
    _, (trace,) = backward(case, trace=True)
    for t in range(T - 1):
        _, state, _ = case.net.forward(case.params, case.x[: t + 1, ...], case.state)
        _, _, cache = case.net.forward(case.params, case.x[t + 1 :, ...], state)
        (rest,) = case.net.backward(cache, case.dy[t + 1 :, ...], case.dstate).state
        h = np.linalg.norm(host(rest.h + case.dy[t, ...]))
        np.testing.assert_allclose(float(trace.state.h[t]), h, rtol=1e-12)
        np.testing.assert_allclose(
            float(trace.state.c[t]), np.linalg.norm(host(rest.c)), rtol=1e-12
        )


@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_the_norms_of_the_gates(make, make_case, xp):
    """With W_ih the unit matrix the gradient of the input is the sum of the gates' gradients."""
    case = make_case(make(5, 5))
    gates = case.net.cell.gates._fields
    for k, name in enumerate(gates):
        weights = np.zeros((5 * len(gates), 5))
        weights[5 * k : 5 * (k + 1)] = np.eye(5)
        params = (case.params[0]._replace(weight_ih=xp.asarray(weights)),)
        grads, (trace,) = backward(case._replace(params=params), trace=True)
        expected = np.linalg.norm(host(grads.x), axis=(1, 2))
        np.testing.assert_allclose(host(getattr(trace.gates, name)), expected, rtol=1e-12)


def test_both_directions_are_told_at_the_time_of_the_input(make_case, xp):
    """An upstream gradient at step 2 alone reaches earlier steps forwards, later ones backwards."""
    case = make_case(xpbptt.GRU(3, 5, bidirectional=True))
    dy = xp.concat(
        (xp.zeros_like(case.dy[:2, ...]), case.dy[2:3, ...], xp.zeros_like(case.dy[3:, ...])),
        axis=0,
    )
    _, _, cache = case.net.forward(case.params, case.x)
    _, ((there, back),) = case.net.backward(cache, dy, trace=True)
    assert [bool(n > 0) for n in host(there.state.h)] == [True] * 3 + [False] * 3
    assert [bool(n > 0) for n in host(back.state.h)] == [False] * 2 + [True] * 4


def test_a_limit_that_is_never_reached_changes_nothing(case, assert_close):
    assert_close(backward(case, clip_step=1e9), backward(case), 1e-11)


@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_what_a_step_hands_back_is_at_most_the_limit(make, make_case, xp):
    case = make_case(make(3, 5))
    weights = case.params[0]
    exploding = (weights._replace(weight_hh=8 * weights.weight_hh),)
    case = case._replace(params=exploding, dy=xp.zeros_like(case.dy))
    grads = backward(case, clip_step=0.25)
    squares = sum(host(part) ** 2 for part in grads.state[0])
    norms = np.sqrt(squares.sum(axis=1))
    assert np.all(norms <= 0.25 * (1 + 1e-12))
    free = backward(case)
    assert max(np.abs(host(part)).max() for part in free.state[0]) > 0.25


def test_clipping_is_by_sequence(make_case, tree_map, assert_close):
    """A batch is clipped as each of its sequences alone."""
    case = make_case(xpbptt.LSTM(3, 5))
    grads = backward(case, clip_step=0.1)
    first = lambda a: a[:1, ...]  # noqa: E731
    alone = case._replace(
        x=case.x[:, :1, :],
        dy=case.dy[:, :1, :],
        state=tree_map(first, case.state),
        dstate=tree_map(first, case.dstate),
    )
    assert_close(backward(alone, clip_step=0.1).x, grads.x[:, :1, :])


@pytest.mark.parametrize(
    ("limit", "error"),
    [(0, ValueError), (-1.0, ValueError), (float("nan"), ValueError), ("1", TypeError)],
)
def test_a_limit_that_is_none(make_case, limit, error):
    case = make_case(xpbptt.GRU(3, 5))
    with pytest.raises(error, match="`clip_step` must be"):
        backward(case, clip_step=limit)


def test_no_steps(make_case):
    case = make_case(xpbptt.GRU(3, 5), 0)
    grads, trace = backward(case, trace=True)
    assert grads.x.shape == (0, 4, 3)
    assert trace[0].state.h.shape == trace[0].gates.n.shape == (0,)


@pytest.mark.parametrize("size", [1e20, 1e-25])
def test_gradients_beyond_the_range_of_their_squares(xp, size):
    net = xpbptt.RNN(3, 5)
    x = xp.ones((T, B, 3), dtype=xp.float32)
    y, _, cache = net.forward(net.init(0, xp=xp), x)
    grads, (trace,) = net.backward(cache, xp.full_like(y, size), trace=True, clip_step=size / 4)
    norms = host(trace.state.h)
    assert np.all(np.isfinite(norms))
    assert np.all(norms > size)
    kept = np.linalg.norm(host(grads.state[0].h).astype(np.float64), axis=1)
    np.testing.assert_allclose(kept, size / 4, rtol=1e-5)


def test_a_limit_beyond_the_dtype_is_no_limit(xp, assert_close):
    net = xpbptt.RNN(3, 5)
    x = xp.ones((T, B, 3), dtype=xp.float32)
    y, _, cache = net.forward(net.init(0, xp=xp), x)
    assert_close(net.backward(cache, y, clip_step=1e300), net.backward(cache, y), 0)
    clipped, norm = xpbptt.clip_by_global_norm({"w": y}, 1e300)
    assert bool(xp.all(clipped["w"] == y))
    assert bool(norm > 0)


@pytest.mark.parametrize("bptt", [xpbptt.KeepAll(), xpbptt.Segments(2)], ids=repr)
@pytest.mark.parametrize("cell", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_what_passes_a_masked_step_is_not_clipped(
    cell, bptt, make_case, xp, tree_map, assert_close
):
    """A padded sequence is clipped as it is alone."""
    padded = make_case(cell(3, 5))
    padded = padded._replace(dstate=tree_map(lambda d: 10 * d, padded.dstate))
    alone = padded._replace(x=padded.x[:3, ...], dy=padded.dy[:3, ...])
    mask = xp.broadcast_to(xp.asarray([True] * 3 + [False] * 3)[:, None], (T, B))
    grads = backward(padded, mask, bptt, clip_step=0.5)
    expected = backward(alone, None, bptt, clip_step=0.5)
    assert_close(grads.params, expected.params)
    assert_close(grads.state, expected.state)
    assert_close(grads.x[:3, ...], expected.x)


def test_a_sequence_that_is_masked_throughout_is_not_clipped(make_case, xp, assert_close):
    case = make_case(xpbptt.LSTM(3, 5))
    grads = backward(case, xp.zeros((T, B), dtype=xp.bool), clip_step=1e-3)
    assert_close(grads.state, case.dstate, 0)
