"""Cells: sigmoid, the contract that a cell keeps, and what can be copied."""

from mutants.mutant import Mutant

CLOSED = (
    "tests/cells/test_closed_gates.py::test_the_gradient_of_a_gate_in_float32_is_that_in_float64"
)

ZOO = "tests/cells/test_zoo.py::test_outputs_and_all_gradients_are_those_of_autograd"

MUTANTS = [
    Mutant(
        "the gradient of the stabiliser of the sLSTM is left out",
        "cells/slstm.py",
        "dm = dnew.m - log_i - log_f",
        "dm = dnew.m",
        f"{ZOO}[SLSTM]",
    ),
    Mutant(
        "a head takes the gradient of what it has no weights of",
        "bptt/layers/heads.py",
        "kept = xp.where(_same(heads, matrix, xp=xp), parts, xp.zeros_like(parts))",
        "kept = parts",
        "tests/cells/test_heads.py::test_they_are_one_head_with_zeros",
    ),
    Mutant(
        "the mean over all gates is that of the first one",
        "cells/layer_norm.py",
        "total = total + block",
        "total = total + blocks[0]",
        f"{ZOO}[LayerNormLSTM]",
    ),
    Mutant(
        "sigmoid is half a tanh where a cell is compiled",
        "kernels/symbols.py",
        'return self.graph.call("sigmoid", x)',
        "return 0.5 * self.tanh(0.5 * x) + 0.5",
        CLOSED,
    ),
    Mutant(
        "sigmoid is half a tanh where a cell runs eagerly",
        "cells/activations.py",
        "return xp.exp(below) / (1 + xp.exp(minus))",
        "return 0.5 * xp.tanh(0.5 * x) + 0.5",
        "tests/cells/test_sigmoid.py::test_the_error_is_at_most_four_units_in_the_last_place",
    ),
    Mutant(
        "sigmoid is half a tanh in the notebook",
        "notebook/maths.py",
        "return xp.where(negative, e_z, xp.ones_like(e_z)) / (1 + e_z)",
        "return (xp.tanh(z * 0.5) + 1) * 0.5",
        "tests/cells/test_closed_gates.py::test_the_notebook_keeps_it_too",
    ),
    Mutant(
        "a wrong cell is believed",
        "nets/stack/door.py",
        "contract.check(net.cell, net.input_size, size, x)",
        "pass",
        "tests/nets/test_contract.py::test_what_backward_returns",
    ),
    Mutant(
        "an array is believed to be the residuals",
        "nets/stack/contract.py",
        'tuple_of_rows(origin, "residuals", residuals, small.rows(), small.like)',
        "pass",
        "tests/nets/test_contract.py::test_what_forward_returns",
    ),
    Mutant(
        "a cell that runs eagerly may write into the caller's gradient",
        "bptt/engines/eager.py",
        "inputs.mask, copied(dstate, xp=xp)",
        "inputs.mask, dstate",
        "tests/nets/test_contract.py::test_a_write_that_the_small_step_does_not_make",
    ),
    Mutant(
        "a net that was used cannot be pickled",
        "nets/stack/stack.py",
        "return {each.name: getattr(self, each.name) for each in fields(self)}",
        "return dict(vars(self))",
        "tests/nets/test_copies.py::test_a_cache_of_no_steps",
    ),
    Mutant(
        "the optimiser adam cannot be pickled",
        "optim/adam.py",
        "    settings = _Adam(rate, beta1, beta2, epsilon)\n"
        "    return Optimizer(settings.init, settings.update)",
        "    settings = _Adam(rate, beta1, beta2, epsilon)\n"
        "    return Optimizer(lambda params: settings.init(params), settings.update)",
        "tests/nets/test_copies.py::test_an_optimizer",
    ),
    Mutant(
        "of two constants that are equal the sign of zero is lost",
        "kernels/symbols.py",
        'return self.add("constant", number, math.copysign(1, number))',
        'return self.add("constant", number)',
        "tests/kernels/test_bounds.py::test_equal_cells_made_again_share_a_program",
    ),
    Mutant(
        "every cell of a user is compiled, however many there are",
        "kernels/find.py",
        "if not own and len(_users) >= MOST:",
        "if False:",
        "tests/kernels/test_bounds.py::test_many_different_cells_run_eagerly_from_some_on",
    ),
]
