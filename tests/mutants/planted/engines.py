"""The loop over time and its compiled engines."""

from mutants.mutant import Mutant

LAWS = "tests/testing/test_laws.py::test_of_every_net"

MUTANTS = [
    Mutant(
        "a pass is split into more spans than it has steps",
        "bptt/engines/chunks.py",
        "return max(1, max(ROWS, elements // width) // max(1, batch))",
        "return max(ROWS, elements // width) // max(1, batch)",
        "tests/kernels/test_spans.py::test_large_batches[1-1025-False]",
    ),
    Mutant(
        "the last step of a chunk is left out",
        "bptt/engines/chunks.py",
        "return list(map(slice, [0, *ends], ends))",
        "return [slice(a, max(a + 1, b - 1)) for a, b in zip([0, *ends], ends)]",
        "tests/kernels/test_spans.py::test_pieces_cover_the_steps_and_none_is_empty",
    ),
    Mutant(
        "infer goes in pieces of 32 steps",
        "bptt/loop.py",
        "most = inference(x.shape[1], state)",
        "most = CHUNK",
        "tests/kernels/test_spans.py::test_infer_takes_no_more_pieces_than_forward[plain-5000-1-32]",
    ),
    Mutant(
        "a compiled pass ignores the mask",
        "bptt/engines/buffers.py",
        'arrays["mask"] = plain(inputs.mask)',
        'arrays["mask"] = plain(inputs.mask | True)',
        "tests/kernels/test_fused.py::test_laws_of_a_compiled_cell[rnn-tanh-numpy-padding]",
    ),
    Mutant(
        "truncation cuts one step off",
        "bptt/engines/segment.py",
        "step % self.truncate == 0",
        "(step + 1) % self.truncate == 0",
        "tests/test_strategies.py::test_truncation_cuts_the_gradient_between_chunks_and_leaves_outputs_alone",
    ),
    Mutant(
        "the gradient of the final state is lost",
        "bptt/loop.py",
        "found = engine.rewind(part, segment, how, dstate, xp=xp)",
        "zeros = map_leaves(xp.zeros_like, dstate)\n"
        "        found = engine.rewind(part, segment, how, zeros, xp=xp)",
        f"{LAWS}[rnn-tanh-1layer-forward-numpy-derivative]",
    ),
    Mutant(
        "what the padding holds reaches the gradient of the weights",
        "bptt/engines/stepwise_back.py",
        "    x = inputs.x if inputs.mask is None else blank(inputs.x, inputs.mask, xp=xp)\n",
        "    x = inputs.x\n",
        "tests/kernels/test_fused.py::test_laws_of_a_compiled_cell[rnn-tanh-numpy-padding]",
    ),
    Mutant(
        "a masked step is clipped",
        "bptt/engines/stepwise_back.py",
        "if mask is not None:\n            parts = [",
        "if False:\n            parts = [",
        "tests/test_trace.py::test_what_passes_a_masked_step_is_not_clipped",
    ),
    Mutant(
        "a cache serves once only",
        "bptt/loop.py",
        "    totals: Any = None",
        "    totals, snapshots = None, dict(snapshots)\n    cache[2].clear()",
        f"{LAWS}[rnn-tanh-1layer-forward-numpy-strategies]",
    ),
    Mutant(
        "a stream forgets the state",
        "bptt/engines/stepwise.py",
        "compiled.single(x_t, *weights, *extra, *state, *new)",
        "compiled.single(x_t, *weights, *extra, *(0 * part for part in state), *new)",
        f"{LAWS}[rnn-tanh-1layer-forward-numpy-chunks]",
    ),
    Mutant(
        "an array is taken by a kernel as it lies",
        "kernels/numba/target.py",
        'return np.require(array, requirements=["C", "A", "W", "E"])',
        "return array",
        "tests/kernels/test_fused.py::test_arrays_in_any_order",
    ),
    Mutant(
        "a file that is there is written over in place",
        "commands/base/atomic.py",
        'temporary = _beside(path)\n    try:\n        with temporary.open("xb")',
        'temporary = path\n    try:\n        with temporary.open("wb")',
        "tests/test_charlm_checkpoint.py::test_a_failure_while_writing_leaves_the_old_file",
    ),
    Mutant(
        "a reversed layer reads its sequence forwards, and its gradients agree with that",
        "nets/net.py",
        "layer = bidirectional(one) if self.bidirectional else one",
        "layer = __import__('xpbptt').bptt.concatenate(one, one) if self.bidirectional else one",
        f"{LAWS}[rnn-relu-1layer-both-numpy-direction]",
    ),
    Mutant(
        "what is made once is made by every thread that asks at first",
        "_arrays/once.py",
        'return cast("Callable[P, R]", ask)',
        "return cache(function)",
        "tests/kernels/test_threads.py::test_all_threads_get_one_recurrence",
    ),
    Mutant(
        "a chunk of a compiled pass starts from the state before the sequence",
        "bptt/engines/stepwise.py",
        "        state = of.state(*(buffer[-1, ...] for buffer in states))\n"
        "    return snapshots, copied(state",
        "        last = of.state(*(buffer[-1, ...] for buffer in states))\n"
        "    state = last\n    return snapshots, copied(state",
        "tests/testing/test_laws.py::test_of_a_sequence_longer_than_what_is_computed_at_once",
    ),
    Mutant(
        "a compiled pass hands out snapshots of the step after",
        "bptt/engines/stepwise.py",
        "_state(of, states, t - steps.start, xp=xp) for t in inside",
        "_state(of, states, t - steps.start + 1, xp=xp) for t in inside",
        f"{LAWS}[rnn-tanh-1layer-forward-numpy-strategies]",
    ),
    Mutant(
        "the way past the product is lost between two chunks",
        "bptt/engines/stepwise_back.py",
        "return Rewound(dparams, dx, of.state(dh + direct, *rest), trace)",
        "return Rewound(dparams, dx, of.state(dh, *rest), trace)",
        f"{LAWS}[gru-1layer-both-numpy-derivative]",
    ),
    Mutant(
        "a compiled pass back forgets the other states of the final gradient",
        "bptt/engines/stepwise_back.py",
        "for buffer, part in zip((dh, *rest), dstate, strict=True):\n"
        "        buffer[...] = part\n    after",
        "for buffer, part in zip((dh, *rest), dstate, strict=True):\n"
        "        buffer[...] = part if buffer is dh else 0\n    after",
        f"{LAWS}[lstm-1layer-forward-numpy-derivative]",
    ),
    Mutant(
        "residuals computed again use the state after the step",
        "bptt/engines/stepwise_back.py",
        "state = of.state(*(flat(part, xp=xp) for part in before_each))\n    residuals = empty",
        "after = segment.states.stacked(1, inputs.x.shape[0] + 1)\n"
        "    state = of.state(*(flat(part, xp=xp) for part in after))\n    residuals = empty",
        f"{LAWS}[lstm-1layer-forward-numpy-strategies]",
    ),
    Mutant(
        "a limit of each step forgets the part of the gradient that goes past the product",
        "bptt/engines/stepwise_back.py",
        "whole = [dh + direct, *rest]",
        "whole = [dh, *rest]",
        f"{LAWS}[gru-1layer-both-numpy-engines]",
    ),
    Mutant(
        "an eager pass takes masked steps",
        "bptt/engines/eager.py",
        "state = new if keep is None else held(keep[t - steps.start, ...], new, state, xp=xp)",
        "state = new",
        f"{LAWS}[gru-before-1layer-forward-numpy-chunks]",
    ),
    Mutant(
        "an eager pass back hands the gradient of a masked step through the step",
        "bptt/engines/eager.py",
        "dstate = held(column, dbefore, dnew, xp=xp)",
        "dstate = dbefore",
        f"{LAWS}[gru-before-1layer-forward-numpy-padding]",
    ),
    Mutant(
        "the snapshots of a sweep are counted from the sweep's start",
        "bptt/loop.py",
        "marks = inputs.part(slice(source, start)), [t - source for t in taken]",
        "marks = inputs.part(slice(source, start)), [max(0, t - source - 1) for t in taken]",
        f"{LAWS}[gru-before-1layer-forward-numpy-strategies]",
    ),
    Mutant(
        "a mask leaves the outputs of an inference as they are",
        "bptt/loop.py",
        "return _blanked(outputs.stacked(1)[0], mask, most, xp=xp), state",
        "return outputs.stacked(1)[0], state",
        f"{LAWS}[rnn-tanh-1layer-forward-numpy-chunks]",
    ),
    Mutant(
        "a stream starts from the input of the batch's first sequence",
        "bptt/engines/eager.py",
        "(u,) = recurrence.project(params, x_t[None, ...], xp=xp)",
        "(u,) = recurrence.project(params, (0 * x_t + x_t[:1, ...])[None, ...], xp=xp)",
        f"{LAWS}[gru-before-1layer-forward-numpy-chunks]",
    ),
]
