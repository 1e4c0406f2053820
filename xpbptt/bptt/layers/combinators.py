"""Layers made of layers: in reverse, in both directions, one above the other."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.layers.layer import Gradients, Layer, Run, Watch
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.layers.passes import Pass, Steps, steps, together
from xpbptt.bptt.layers.states import flipped
from xpbptt.bptt.strategies import Plan


def reverse(layer: Layer) -> Layer:
    """Run `layer` from the last time step to the first; ``y[t]`` still belongs to ``x[t]``."""

    def forward(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> Steps[tuple[AnyArray, Tree, Any]]:
        run, ahead = from_end(run, xp=xp), steps(layer.forward)
        y, state, cache = yield from ahead(params, xp.flip(x, axis=0), state, run, xp=xp)
        return xp.flip(y, axis=0), flipped(state, xp=xp), cache

    def backward(
        cache: Any, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> Steps[tuple[Gradients, Any]]:
        dstate, back = flipped(dstate, xp=xp), steps(layer.backward)
        grads, trace = yield from back(cache, xp.flip(dy, axis=0), dstate, watch, xp=xp)
        trace = map_leaves(lambda norms: xp.flip(norms, axis=0), trace)
        return grads._replace(x=xp.flip(grads.x, axis=0)), trace

    def infer(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> Steps[tuple[AnyArray, Tree]]:
        run, ahead = from_end(run, xp=xp), steps(layer.infer)
        y, state = yield from ahead(params, xp.flip(x, axis=0), state, run, xp=xp)
        return xp.flip(y, axis=0), flipped(state, xp=xp)

    def memory(sizes: Sizes, plan: Plan) -> Needs:
        return layer.memory(sizes._replace(views=True), plan)

    return Layer(Pass(forward), Pass(backward), Pass(infer), step=None, memory=memory)


def from_end(run: Run, *, xp: Namespace) -> Run:
    """Return how the sequence is run from its end.

    A reset cuts a sequence in two, of which the earlier one is read from its end: what was marked
    at its first step is marked at the last step of the one before.
    """
    mask = None if run.mask is None else xp.flip(run.mask, axis=0)
    reset = run.reset
    if reset is not None and reset.shape[0]:
        reset = xp.flip(reset, axis=0)
        reset = xp.concat((xp.zeros_like(reset[:1, ...]), reset[:-1, ...]), axis=0)
    return run._replace(mask=mask, reset=reset)


class PairCache(NamedTuple):
    """The caches of both directions, and the width of the first one's output."""

    first: Any
    second: Any
    width: int


def concatenate(first: Layer, second: Layer) -> Layer:
    """Run two layers on the same input and put their outputs side by side.

    Parameters and states are pairs. Where the target can, both are run at once.
    """

    def forward(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree, Any]:
        (y1, state1, cache1), (y2, state2, cache2) = together(
            steps(first.forward)(params[0], x, state[0], run, xp=xp),
            steps(second.forward)(params[1], x, state[1], run, xp=xp),
        )
        cache = PairCache(cache1, cache2, y1.shape[-1])
        return xp.concat((y1, y2), axis=-1), (state1, state2), cache

    def backward(
        cache: PairCache, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> tuple[Gradients, Any]:
        dy1, dy2 = dy[..., : cache.width], dy[..., cache.width :]
        (grads1, trace1), (grads2, trace2) = together(
            steps(first.backward)(cache.first, dy1, dstate[0], watch, xp=xp),
            steps(second.backward)(cache.second, dy2, dstate[1], watch, xp=xp),
        )
        dx = grads1.x
        dx += grads2.x
        grads = Gradients(
            params=(grads1.params, grads2.params),
            x=dx,
            state=(grads1.state, grads2.state),
        )
        return grads, (trace1, trace2)

    def infer(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree]:
        (y1, state1), (y2, state2) = together(
            steps(first.infer)(params[0], x, state[0], run, xp=xp),
            steps(second.infer)(params[1], x, state[1], run, xp=xp),
        )
        return xp.concat((y1, y2), axis=-1), (state1, state2)

    def memory(sizes: Sizes, plan: Plan) -> Needs:
        within = sizes._replace(views=True, inner=True, paired=True)  # parts of dy are views, too
        one, two = first.memory(within, plan), second.memory(within, plan)
        width, kept, outputs = one.width + two.width, one.kept + two.kept, one.y + two.y
        y, dx = sizes.states(width), sizes.steps(sizes.inputs)
        joining = kept + outputs + (y if sizes.inner else 0)
        if one.pairs:  # what both need on their way is there at once
            forward, backward = one.forward + two.forward, one.backward + dx + two.backward
        else:
            forward = max(one.forward, one.kept + one.y + two.forward)
            backward = max(one.backward, dx + two.backward)
        return Needs(
            width=width,
            kept=kept,
            keeps_x=one.keeps_x or two.keeps_x,
            y=y,
            forward=max(forward, joining),
            backward=backward,
            step=max(one.step, two.step),
            state=max(one.state, two.state),
            runs=one.runs + two.runs,
        )

    return Layer(forward, backward, infer, step=None, memory=memory)


def bidirectional(layer: Layer) -> Layer:
    """Run `layer` in both directions, each with its own parameters and state."""
    return concatenate(layer, reverse(layer))


def chain(layers: Sequence[Layer]) -> Layer:
    """Put layers one above the other: the output of each is the input of the next.

    Parameters and states are tuples, one entry a layer.
    """

    def forward(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree, Any]:
        states, caches = [], []
        for layer, weights, initial in zip(layers, params, state, strict=True):
            x, final, cache = layer.forward(weights, x, initial, run, xp=xp)
            states.append(final)
            caches.append(cache)
        return x, tuple(states), tuple(caches)

    def backward(
        cache: Any, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> tuple[Gradients, Any]:
        dparams, dstates, traces = [], [], []
        for layer, kept, dfinal in reversed(list(zip(layers, cache, dstate, strict=True))):
            (dweights, dy, dinitial), trace = layer.backward(kept, dy, dfinal, watch, xp=xp)
            dparams.append(dweights)
            dstates.append(dinitial)
            traces.append(trace)
        grads = Gradients(tuple(reversed(dparams)), dy, tuple(reversed(dstates)))
        return grads, tuple(reversed(traces))

    def infer(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree]:
        states = []
        for layer, weights, initial in zip(layers, params, state, strict=True):
            x, final = layer.infer(weights, x, initial, run, xp=xp)
            states.append(final)
        return x, tuple(states)

    steps = [layer.step for layer in layers if layer.step is not None]

    def step(params: Tree, x_t: AnyArray, state: Tree, *, xp: Namespace) -> tuple[AnyArray, Tree]:
        states = []
        for k, one in enumerate(steps):
            x_t, after = one(params[k], x_t, state[k], xp=xp)
            states.append(after)
        return x_t, tuple(states)

    whole = step if len(steps) == len(layers) else None
    return Layer(forward, backward, infer, whole, partial(_stacked, layers))


def _stacked(layers: Sequence[Layer], sizes: Sizes, plan: Plan) -> Needs:
    """Return what a chain of layers keeps and needs."""
    whole = Needs(width=sizes.inputs)
    for k, layer in enumerate(layers):
        top = k == len(layers) - 1
        within = sizes.of_layer(k)._replace(inputs=whole.width, inner=sizes.inner or not top)
        one = layer.memory(within, plan)
        x = sizes.steps(whole.width)
        fresh = x if whole.y else 0  # else x is the caller's, or kept by the layer below
        held = whole.kept + (fresh if one.keeps_x else 0)
        dx = x if k else 0
        dy = 0 if top else sizes.steps(one.width)
        whole = Needs(
            width=one.width,
            kept=held + one.kept,
            keeps_x=whole.keeps_x if k else one.keeps_x,
            y=one.y,
            forward=max(whole.forward, whole.kept + fresh + one.forward),
            backward=max(whole.backward, dy + dx + one.backward),
            step=max(whole.step, one.step),
            state=max(whole.state, one.state),
            runs=whole.runs + one.runs,
        )
    return whole
