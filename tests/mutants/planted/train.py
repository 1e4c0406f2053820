"""Texts, memory and threads of a training run."""

from mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "a run that saves nothing replaces the log of the model that is there",
        "commands/train/log.py",
        "        else:\n            self._waiting += _line(entry)",
        "        else:\n            self.begin()",
        "tests/commands/train/test_log.py"
        "::test_a_run_that_saves_nothing_leaves_the_log_of_the_model_that_is_there",
    ),
    Mutant(
        "a text takes four bytes a character",
        "commands/train/encode.py",
        '("uint8", "uint16", "int32")',
        '("int32",)',
        "tests/commands/train/test_text.py::test_a_long_text_takes_few_bytes_a_character",
    ),
    Mutant(
        "a text is read whole",
        "commands/train/text.py",
        "while chunk := file.read(PIECE):",
        "while chunk := file.read():",
        "tests/commands/train/test_text.py::test_a_long_text_takes_few_bytes_a_character",
    ),
    Mutant(
        "a text that will not fit is read",
        "commands/train/text.py",
        "memory.check(BYTES * size, what, SHORTER)",
        "pass",
        "tests/commands/train/test_text.py::test_a_text_that_will_not_fit_is_refused_before_it_is_read",
    ),
    Mutant(
        "a model that will not fit is made",
        "commands/train/job.py",
        "        memory.check(cost.least(settings, characters), what, advice)\n",
        "",
        "tests/commands/train/test_cost.py"
        "::test_a_model_that_will_not_fit_is_refused_before_anything_is_made",
    ),
    Mutant(
        "small products are shared by threads",
        "commands/train/blas.py",
        "if small or now == 1:",
        "if now == 1:",
        "tests/commands/train/test_blas.py::test_what_is_known_beforehand_is_not_measured",
    ),
    Mutant(
        "more threads are taken where they are not faster",
        "commands/train/blas.py",
        "count = now if GAIN * every < one else 1",
        "count = now",
        "tests/commands/train/test_blas.py::test_all_threads_are_taken_where_they_are_faster_by_a_tenth",
    ),
    Mutant(
        "the log of a model with the log's suffix is written over the model",
        "commands/train/command.py",
        'out.with_name(out.name.removesuffix(".safetensors") + suffix)',
        "out.with_suffix(suffix)",
        "tests/commands/train/test_options.py::"
        "test_log_and_curve_without_a_name_are_beside_the_model",
    ),
    Mutant(
        "all samples of a sweep have one temperature",
        "commands/train/command.py",
        "_print_sample(stored, xp, temperature=temperature, **how)",
        "_print_sample(stored, xp, temperature=chosen.temperature[0], **how)",
        "tests/commands/train/test_options.py::test_several_temperatures_make_a_sample_each",
    ),
]
