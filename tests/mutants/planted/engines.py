"""The loop over time and its compiled engines."""

from mutants.mutant import Mutant

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
        "tests/kernels/test_fused.py::test_what_is_masked_leaves_no_trace[rnn-tanh-numpy]",
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
        "tests/test_net.py::test_gradients_are_the_derivative_over_all_inputs_at_once[rnn-tanh-1layer-forward-numpy]",
    ),
    Mutant(
        "what the padding holds reaches the gradient of the weights",
        "bptt/engines/stepwise_back.py",
        "    x = inputs.x if inputs.mask is None else blank(inputs.x, inputs.mask, xp=xp)\n",
        "    x = inputs.x\n",
        "tests/kernels/test_fused.py::test_what_is_masked_leaves_no_trace[rnn-tanh-numpy]",
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
        "tests/test_strategies.py::test_a_cache_serves_twice[numpy-Segments(length=1)]",
    ),
    Mutant(
        "a stream forgets the state",
        "bptt/engines/stepwise.py",
        "compiled.single(x_t, *weights, *extra, *state, *new)",
        "compiled.single(x_t, *weights, *extra, *(0 * part for part in state), *new)",
        "tests/kernels/test_fused.py::test_infer_and_stream[rnn-tanh-float32-plain-numpy]",
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
        "tests/test_net.py::test_bidirectional_is_each_direction_alone",
    ),
    Mutant(
        "what is made once is made by every thread that asks at first",
        "_arrays/once.py",
        'return cast("Callable[P, R]", ask)',
        "return cache(function)",
        "tests/kernels/test_threads.py::test_all_threads_get_one_recurrence",
    ),
]
