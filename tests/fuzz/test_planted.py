"""Defects put into the engines, each of which the fuzz must find."""

import itertools
import os
import re
from functools import lru_cache
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import plant

import xpbptt
from xpbptt._arrays.once import once
from xpbptt._arrays.tree import map_leaves
from xpbptt.bptt import loop, strategies
from xpbptt.bptt.engines import compiled, compiled_back, engine
from xpbptt.kernels.target import HandBack

from .check import check
from .draw import draw

CASES = 300
SEED, CELL = 0, ("gru",)  # in float64


def eagerly():
    return os.environ.get("XPBPTT_FUSE") == "0"


def around(monkeypatch, owner, name, change):
    """Replace a function by ``change(function, *arguments, **options)``."""
    function = getattr(owner, name)
    replacement = lambda *arguments, **options: change(function, *arguments, **options)  # noqa: E731
    monkeypatch.setattr(owner, name, replacement)


def compile_again(monkeypatch):
    """Have what is compiled until the end of the test forgotten then, and nothing known before.

    Below a function that runs `once` are two caches.
    """
    finding = import_module("xpbptt.kernels.find")
    monkeypatch.setattr(finding, "_kernels", {})
    monkeypatch.setattr(finding, "_compiled", once(finding._compiled.__wrapped__.__wrapped__))
    monkeypatch.setattr(engine, "_fastest", lru_cache(512)(engine._fastest.__wrapped__))


def a_step_between_two_chunks_is_left_out(patch):
    def change(chunks, steps, most):
        *before, last = chunks(steps, most)
        return [*(slice(s.start, max(s.start + 1, s.stop - 1)) for s in before), last]

    around(patch, compiled_back, "chunks", change)


def the_mask_is_ignored(patch):
    def change(given, *arguments):
        found = given(*arguments)
        return found | {"mask": np.ones_like(found["mask"])} if "mask" in found else found

    for module in (compiled, compiled_back):
        around(patch, module, "given", change)


def a_residual_is_lost(patch):
    def change(residuals, *arguments, **options):
        found = residuals(*arguments, **options)
        return {name: np.zeros_like(array) for name, array in found.items()}

    around(patch, compiled_back, "_residuals", change)


def the_gradient_of_the_last_state_is_lost(patch):
    def change(engine, rewind, inputs, segment, back, dstate, *, xp):
        dstate = dstate if engine.name == "eager" else map_leaves(np.zeros_like, dstate)
        return rewind(inputs, segment, back, dstate, xp=xp)

    plant(patch, "rewind", change)


def a_snapshot_is_taken_too_late(patch):
    def change(engine, advance, *arguments, **options):
        kept, last = advance(*arguments, **options)
        return (kept if engine.name == "eager" else [*kept[:-1], last][: len(kept)]), last

    plant(patch, "advance", change)


def the_last_span_of_kept_states_is_lost(patch):
    def change(plan, self, length, memory):
        found = plan(self, length, memory)
        moves = lambda: (m for m in found.moves() if m.stop != length or m.start == 0)  # noqa: E731
        return found._replace(moves=moves)

    around(patch, strategies.KeepStates, "plan", change)


def clipping_forgets_the_mask(patch):
    """In what is compiled, so that it is compiled again."""

    def change(hand_back, loop, t):
        program = SimpleNamespace(names=())
        kept = {name: getattr(loop.task, name) for name in ("carried", "recurrent", "returned")}
        task = SimpleNamespace(program=program, **kept)
        parts = {"code": loop.code, "frame": loop.frame, "vector": loop.vector}
        hand_back(SimpleNamespace(task=task, **parts), t)

    around(patch, import_module("xpbptt.kernels.llvm.sequence"), "hand_back", change)
    compile_again(patch)


def truncation_is_one_step_off(patch):
    """In the engine and in its reference alike: chunks tell."""
    patch.setattr(loop, "HandBack", lambda first, *others: HandBack(first + 1, *others))


def an_array_is_taken_as_it_lies(patch):
    def change(given, compiled, inputs):
        return given(compiled, inputs) | {"bias_hh": inputs.params.bias_hh}

    for module in (compiled, compiled_back):
        around(patch, module, "given", change)


def the_input_is_written_to(patch):
    def change(forward, net, params, x, *arguments, **options):
        result = forward(net, params, x, *arguments, **options)
        if x.flags.writeable and not eagerly():
            x[-1:] += 1
        return result

    around(patch, xpbptt.Net, "forward", change)


def another_sum_each_time(patch):
    count = itertools.count()

    def change(backward, *arguments, **options):
        grads = backward(*arguments, **options)
        grads, *trace = grads if options.get("trace") else (grads,)
        grads = grads._replace(x=grads.x * (1 + 1e-15 * np.ones_like(grads.x) * next(count)))
        return (grads, *trace) if trace else grads

    around(patch, xpbptt.Net, "backward", change)


def a_stream_starts_anew(patch):
    around(patch, xpbptt.Net, "step", lambda f, net, params, x, state=None, **_: f(net, params, x))


def infer_reads_the_padding(patch):
    around(
        patch,
        xpbptt.Net,
        "infer",
        lambda f, net, p, x, state=None, mask=None, **options: f(net, p, x, state, **options),
    )


PLANTED = {
    a_step_between_two_chunks_is_left_out: r"compiled: .* is off by",
    the_mask_is_ignored: r"compiled: .* is off by",
    a_residual_is_lost: r"compiled: grads.* is off by",
    the_gradient_of_the_last_state_is_lost: r"compiled: grads.* is off by",
    a_snapshot_is_taken_too_late: r"compiled: grads.* is off by",
    the_last_span_of_kept_states_is_lost: r"compiled: grads.* is off by",
    clipping_forgets_the_mask: r"compiled: grads.* is off by",
    truncation_is_one_step_off: r"truncated: grads.* is off by",
    an_array_is_taken_as_it_lies: r"compiled: .* is off by",
    the_input_is_written_to: r"the input x was written to",
    another_sum_each_time: r"the same again: grads.x is not the same",
    a_stream_starts_anew: r"step: .* is off by",
    infer_reads_the_padding: r"infer: .* is off by",
}


@pytest.mark.parametrize(("plant", "said"), PLANTED.items(), ids=[p.__name__ for p in PLANTED])
def test_it_is_found(monkeypatch, plant, said):
    plant(monkeypatch)
    errors = []
    for number in range(CASES):
        try:
            check(draw(SEED, number, CELL, length=CASES))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is found
            errors.append(repr(error))
            if re.search(said, errors[-1]):
                return
    pytest.fail(f"{len(errors)} of {CASES} cases failed, as by {errors[:5]}")
