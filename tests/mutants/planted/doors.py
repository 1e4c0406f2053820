"""Checks at the door."""

from mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "labels out of range are believed",
        "losses.py",
        "    _check_labels(labels, mask, logits.shape[-1])\n",
        "",
        "tests/test_losses.py::test_a_label_out_of_range_is_refused_on_numpy",
    ),
    Mutant(
        "a masked label is refused",
        "losses.py",
        "wrong if mask is None else wrong & mask",
        "wrong",
        "tests/test_losses.py::test_a_label_out_of_range_is_refused_on_numpy",
    ),
    Mutant(
        "lengths out of range are believed",
        "nets/lengths.py",
        "wrong = [number for number in numbers if not 0 <= number <= steps]",
        "wrong = []",
        "tests/nets/test_masks.py::test_length_mask_refuses",
    ),
    Mutant(
        "anything is taken for True",
        "nets/stack/door.py",
        '        check.true_or_false("trace", trace)\n',
        "",
        "tests/nets/test_bad_input.py::test_what_is_neither_true_nor_false",
    ),
    Mutant(
        "dropout that does nothing says nothing",
        "nets/stack/stack.py",
        "if self.dropout and self.num_layers == 1:\n            message",
        "if False:\n            message",
        "tests/bptt/layers/test_dropout.py::test_dropout_with_nothing_to_drop_warns_the_caller",
    ),
]
