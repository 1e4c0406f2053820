"""Weights of other libraries, files of trees, many ranks."""

from mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "the layer above a projection reads as many columns as there are units",
        "interop/arrangement.py",
        "self.directions * self.output(layer - 1)",
        "self.directions * self.hidden[layer - 1]",
        "tests/interop/test_projection.py::test_there_and_back",
    ),
    Mutant(
        "the gradient of the state that resets restore is that of the first one",
        "bridges/given.py",
        "getattr(grads, name) for name in names",
        'getattr(grads, name.replace("initial", "state")) for name in names',
        "tests/bridges/test_torch.py::test_gradients_with_resets_are_those_of_the_parts_alone",
    ),
    Mutant(
        "a gate that is 1 - ours keeps its sign",
        "interop/blocks.py",
        "-found[gate] if gate in complement else found[gate]",
        "found[gate]",
        "tests/interop/test_layouts.py::test_deep_learning_from_scratch_2",
    ),
    Mutant(
        "the gates of a unit are taken for the units of a gate",
        "interop/blocks.py",
        "        return [units[:, gate, ...] for gate in range(gates)]",
        "        return [xp.reshape(array, (gates, rows // gates, *rest))[gate, ...]"
        " for gate in range(gates)]",
        "tests/interop/test_layouts.py::test_chainer_lstm",
    ),
    Mutant(
        "the one bias of another library is counted twice",
        "interop/blocks.py",
        "[parts, [xp.zeros_like(part) for part in parts]]",
        "[parts, parts]",
        "tests/interop/test_layouts.py::test_deep_learning_from_scratch_2",
    ),
    Mutant(
        "a file's structure is believed",
        "interop/files.py",
        '    if arrays:\n        message = f"{path} is damaged',
        '    if False:\n        message = f"{path} is damaged',
        "tests/interop/test_files.py::test_a_structure_that_does_not_fit_is_refused",
    ),
    Mutant(
        "an array is saved as it lies",
        "interop/files.py",
        'np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")',
        "np.asarray(array)",
        "tests/interop/test_files.py::test_arrays_in_any_order_and_byte_order_are_written_right",
    ),
    Mutant(
        "ranks with unequal masks count alike",
        "parallel.py",
        "share = xp.where(weight > 0, buffer * weight, xp.zeros_like(buffer))",
        "weight = xp.ones_like(weight)\n        share = buffer * weight",
        "tests/parallel/test_parallel.py"
        "::test_gradients_are_those_of_one_process_on_the_joined_batch",
    ),
    Mutant(
        "a rank without elements spoils the mean",
        "parallel.py",
        "xp.where(weight > 0, buffer * weight, xp.zeros_like(buffer))",
        "buffer * weight",
        "tests/parallel/test_parallel.py::test_a_rank_without_elements_may_hold_nan",
    ),
    Mutant(
        "half precision is summed in itself",
        "parallel.py",
        "flat, start = function(widened(flat, xp=xp)), 0",
        "flat, start = function(flat), 0",
        "tests/parallel/test_parallel.py::test_half_is_summed_in_single",
    ),
    Mutant(
        "a rank with another tree takes part",
        "parallel.py",
        "if [float(of_first[k]) for k in range(PIECES)] != mine:",
        "if False:",
        "tests/parallel/test_parallel.py::test_a_rank_with_another_tree_is_refused",
    ),
]
