"""Resets: torch's cells step by step, streams and chunks, and what is refused."""

import numpy as np
import pytest
from helpers import cover, flatten, host, map_arrays

import xpbptt

T, B, I, H = 7, 4, 3, 5


@pytest.fixture
def reset(xp):
    return xp.asarray(np.random.default_rng(3).random((T, B)) < 0.3)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_parity_with_torchs_cells_run_step_by_step(torch, xp, make_case, reset, kind):
    """With the state carried over another than the initial one, and gradients of both."""
    from xpbptt.interop.torch import from_state_dict, to_state_dict  # noqa: PLC0415

    net = getattr(xpbptt, kind)(I, H)
    module = getattr(torch.nn, kind)(I, H, dtype=torch.float64)
    case = make_case(net, T, B)
    params = from_state_dict(module.state_dict(), xp=xp)
    tensor = lambda a: torch.tensor(host(a), requires_grad=True)  # noqa: E731
    x, start = tensor(case.x), [tensor(part) for part in case.state[0]]
    first, marks = [tensor(part) for part in case.dstate[0]], torch.tensor(host(reset))
    state, outputs = start, []
    for t in range(T):
        state = [torch.where(marks[t, :, None], a, b) for a, b in zip(first, state, strict=True)]
        given = tuple(part[None] for part in state)
        y, after = module(x[t : t + 1], given if len(given) > 1 else given[0])
        state = [part[0] for part in (after if len(given) > 1 else (after,))]
        outputs.append(y[0])
    y = torch.stack(outputs)
    torch.autograd.backward(y, torch.tensor(host(case.dy)))

    found, last, cache = net.forward(params, case.x, case.state, reset=reset, initial=case.dstate)
    grads = net.backward(cache, case.dy)
    close = lambda a, b: np.testing.assert_allclose(host(a), b, rtol=0, atol=1e-10)  # noqa: E731
    close(found, y.detach().numpy())
    for part, expected in zip(last[0], state, strict=True):
        close(part, expected.detach().numpy())
    close(grads.x, x.grad.numpy())
    for key, gradient in to_state_dict(grads.params).items():
        close(gradient, dict(module.named_parameters())[key].grad.numpy())
    pairs = (*zip(grads.state[0], start), *zip(grads.initial[0], first))  # noqa: B905
    for gradient, of in pairs:
        close(gradient, of.grad.numpy())


def test_the_state_is_carried_over_chunks_and_resets_restore_the_initial_one(xp, make_case, reset):
    """As where a sequence comes in chunks, of which no state is the initial one."""
    net = xpbptt.GRU(I, H, 2)
    case = make_case(net, T, B)
    y, last = net.infer(case.params, case.x, case.state, reset=reset, initial=case.dstate)
    state, outputs = case.state, []
    for part in (slice(0, 3), slice(3, 4), slice(4, T)):
        given = case.params, case.x[part, ...], state
        out, state = net.infer(*given, reset=reset[part, :], initial=case.dstate)
        outputs.append(out)
    np.testing.assert_allclose(host(xp.concat(outputs, axis=0)), host(y), atol=1e-13)
    for a, b in zip(flatten(state), flatten(last), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-13)


def test_a_step_restores_zeros_unless_told_otherwise(xp, make_case, assert_close):
    case = make_case(xpbptt.LSTM(I, H, 2), T, B)
    x_t, marks = case.x[0, ...], xp.asarray([True, False, False, True])
    mixed = map_arrays(lambda a: xp.where(marks[:, None], xp.zeros_like(a), a), case.state)
    expected = case.net.step(case.params, x_t, mixed)
    assert_close(case.net.step(case.params, x_t, case.state, reset=marks), expected, 0)
    chosen = map_arrays(lambda a, b: xp.where(marks[:, None], a, b), case.dstate, case.state)
    expected = case.net.step(case.params, x_t, chosen)
    found = case.net.step(case.params, x_t, case.state, reset=marks, initial=case.dstate)
    assert_close(found, expected, 0)


@cover("sizes, layers, copy", [(3, 5), (9, 33)], [1, 2], [True, False])
def test_a_stream_restores_its_first_state(xp, make_case, reset, sizes, layers, copy):
    net = xpbptt.LSTM(*sizes, layers)
    case = make_case(net, T, B)
    y, last = net.infer(case.params, case.x, case.state, reset=reset)
    stream = net.stream(case.params, case.state, batch=B, copy=copy)
    rows = [np.array(host(stream(case.x[t, ...], reset[t, :]))) for t in range(3)]
    rows += [*host(stream.process(case.x[3:6, ...], reset[3:6, :]))]
    rows += [np.array(host(stream(case.x[6, ...], reset=reset[6, :])))]
    np.testing.assert_allclose(np.stack(rows), host(y), atol=1e-13)
    for a, b in zip(flatten(stream.state), flatten(last), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-13)


SPOILT = [
    (lambda r, xp: r[:-1, :], ValueError, r"`reset` has shape \(6, 4\), expected \(T, B\) = \(7"),
    (lambda r, xp: r[..., None], ValueError, r"`reset` has shape \(7, 4, 1\)"),
    (lambda r, xp: xp.astype(r, xp.float64), TypeError, "`reset` must be an array of booleans"),
    (lambda r, xp: xp.astype(r, xp.int32), TypeError, "`reset` must be an array of booleans"),
    (lambda r, xp: [[True]], TypeError, "`reset` must be an array of an Array API library"),
]


@cover("function, wrong", ["forward", "infer", "process"], SPOILT, strength=1)
def test_a_reset_that_does_not_fit_is_refused(xp, make_case, reset, function, wrong):
    spoil, error, text = wrong
    case = make_case(xpbptt.GRU(I, H), T, B)
    calls = {
        "forward": lambda reset: case.net.forward(case.params, case.x, reset=reset),
        "infer": lambda reset: case.net.infer(case.params, case.x, reset=reset),
        "process": case.net.stream(case.params, batch=B).process,
    }
    given = (case.x, spoil(reset, xp)) if function == "process" else (spoil(reset, xp),)
    with pytest.raises(error, match=text):
        calls[function](*given)


def test_a_reset_of_a_step_has_an_entry_for_each_sequence(xp, make_case, reset):
    case = make_case(xpbptt.GRU(I, H), T, B)
    x_t, before = case.x[0, ...], case.state
    stream = case.net.stream(case.params, before, batch=B)
    for step in (lambda r: case.net.step(case.params, x_t, reset=r), lambda r: stream(x_t, r)):
        with pytest.raises(ValueError, match=r"`reset` has shape \(7, 4\), expected \(B,\) = \(4,"):
            step(reset)
        with pytest.raises(TypeError, match="`reset` must be an array of booleans"):
            step(x_t[:, 0])
    for a, b in zip(flatten(stream.state), flatten(before), strict=True):
        assert bool(xp.all(a == b))


def test_an_initial_state_that_does_not_fit_is_refused(make_case, reset):
    case = make_case(xpbptt.LSTM(I, H), T, B)
    call = lambda **options: case.net.forward(case.params, case.x, **options)  # noqa: E731
    with pytest.raises(ValueError, match="`initial` is the state that `reset` restores: pass"):
        call(initial=case.state)
    (state,) = case.state
    with pytest.raises(ValueError, match=r"`initial\[0\].c` has shape \(3, 5\), expected \(B, H\)"):
        call(reset=reset, initial=(state._replace(c=state.c[:3, :]),))
    with pytest.raises(TypeError, match=r"`initial` must be a tuple of 1, got"):
        call(reset=reset, initial=state.h)
