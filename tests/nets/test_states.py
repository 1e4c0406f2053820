"""The states of all steps, and their gradients."""

import numpy as np
import pytest
from helpers import CELLS, cover, flatten, host, map_arrays

import xpbptt
from xpbptt.bptt import Gradients
from xpbptt.testing import check_gradients

T, B, I, H = 6, 4, 3, 5
STRATEGIES = [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2), xpbptt.Binomial(2)]


class Whole:
    """A net as a layer whose state is that of all steps, to be checked like any other."""

    def __init__(self, net, options):
        self.net, self.options = net, options

    def forward(self, params, x, state):
        y, last, cache, states = self.net.forward(params, x, state, states=True, **self.options)
        return y, (last, states), cache

    def backward(self, cache, dy, dstate):
        last, states = dstate
        return Gradients(*self.net.backward(cache, dy, last, dstates=states))


@cover(
    "name, layers, both, masked, bptt",
    list(CELLS),
    [1, 2],
    [False, True],
    [False, True],
    STRATEGIES,
)
def test_they_are_the_states_and_their_gradients_the_derivative(
    xp, make_case, name, layers, both, masked, bptt
):
    net = CELLS[name](I, H, layers, bidirectional=both)
    case = make_case(net)
    mask = xp.asarray(np.random.default_rng(1).random((T, B)) < 0.7) if masked else None
    found = check_gradients(
        Whole(net, {"mask": mask, "bptt": bptt}), case.params, case.x, case.state
    )
    assert found.error < (1e-7 if name == "rnn-relu" else 1e-12)
    y, last, _, states = net.forward(case.params, case.x, case.state, mask, bptt=bptt, states=True)
    plain = net.forward(case.params, case.x, case.state, mask, bptt=bptt)
    inferred = net.infer(case.params, case.x, case.state, mask, states=True)
    for other in ((y, last), inferred[:2]):
        for a, b in zip(flatten(plain[:2]), flatten(other), strict=True):
            np.testing.assert_allclose(host(a), host(b), atol=1e-13)
    for a, b in zip(flatten(inferred[2]), flatten(states), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-13)
    # Each chunk ends with the state of its last step; in the other direction, of its first.
    ends = lambda entry, t: map_arrays(lambda a: a[t, ...], entry)  # noqa: E731
    for layer, final in zip(states, last, strict=True):
        entries = zip(layer, final, (T - 1, 0), strict=True) if both else ((layer, final, T - 1),)
        for entry, end, t in entries:
            for a, b in zip(flatten(ends(entry, t)), flatten(end), strict=True):
                np.testing.assert_allclose(host(a), host(b), atol=1e-13)
    top = states[-1] if both else (states[-1],)
    shown = xp.concat([entry.h for entry in top], axis=-1)
    keep = xp.ones((T, B), dtype=xp.bool) if mask is None else mask
    assert bool(xp.all(xp.where(keep[..., None], shown, xp.zeros_like(shown)) == y))
    if masked and not both:  # a masked step hands the state on
        parts = zip(flatten(states), flatten(case.state), strict=True)
        for part, first in parts:
            before = xp.concat((first[None, ...], part[:-1, ...]), axis=0)
            assert bool(xp.all(keep[..., None] | (part == before)))


def test_every_part_is_that_of_torch(torch, xp, make_case):
    """Cell states are what torch does not return."""
    from xpbptt.interop.torch import from_state_dict  # noqa: PLC0415

    case, module = make_case(xpbptt.LSTM(I, H)), torch.nn.LSTM(I, H, dtype=torch.float64)
    params = from_state_dict(module.state_dict(), xp=xp)
    _, _, _, states = case.net.forward(params, case.x, states=True)
    for t in range(T):
        _, (h, c) = module(torch.tensor(host(case.x))[: t + 1])
        np.testing.assert_allclose(host(states[0].h)[t], h[0].detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(host(states[0].c)[t], c[0].detach().numpy(), atol=1e-12)


def test_what_does_not_fit_is_refused(make_case):
    case = make_case(xpbptt.LSTM(I, H))
    _, _, cache, states = case.net.forward(case.params, case.x, states=True)
    (entry,) = states
    with pytest.raises(
        ValueError, match=r"`dstates\[0\].c` has shape \(5, 4, 5\), expected \(T, B"
    ):
        case.net.backward(cache, case.dy, dstates=(entry._replace(c=entry.c[1:, ...]),))
    with pytest.raises(TypeError, match="`dstates` must be a tuple of 1"):
        case.net.backward(cache, case.dy, dstates=case.dy)
    for call in (case.net.forward, case.net.infer):
        with pytest.raises(TypeError, match="`states` must be True or False, got 'all'"):
            call(case.params, case.x, states="all")
