"""Model files and the runs that write them."""

from mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "the digest is not checked",
        "commands/train/checkpoint.py",
        "if has_digest and stored.get(DIGEST_KEY) != tensors.digest(stored[KEY], found):",
        "if False:",
        "tests/commands/train/test_hostile.py::test_every_flipped_bit_is_noticed",
    ),
    Mutant(
        "a header of any length is read",
        "commands/train/tensors.py",
        "if HEADER_MOST < length <= path.stat().st_size:",
        "if False:",
        "tests/commands/train/test_hostile.py::test_a_header_is_read_up_to_its_bound",
    ),
    Mutant(
        "metadata of any depth are read",
        "commands/train/checkpoint.py",
        'if sum(map(metadata.count, "[{,")) > _PARTS_MOST:',
        "if False:",
        "tests/commands/train/test_hostile.py::test_metadata_are_read_up_to_a_number_of_parts",
    ),
    Mutant(
        "a run is saved at its end only",
        "commands/train/keeper.py",
        "if best < self._best or time.monotonic() >= self._next:",
        "if False:",
        "tests/commands/train/test_runs.py::test_a_run_that_crashes_has_been_saved_on_the_way",
    ),
    Mutant(
        "a run that diverges keeps nothing",
        "commands/train/keeper.py",
        "if self._last is not None and not self._path.exists():",
        "if False:",
        "tests/commands/train/test_runs.py"
        "::test_a_run_that_diverges_before_it_was_saved_keeps_its_last_good_state",
    ),
    Mutant(
        "SIGTERM and SIGHUP end a run unsaved",
        "commands/train/interrupt.py",
        '_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")',
        '_NAMES = ("SIGINT",)',
        "tests/commands/train/test_runs.py::test_a_process_that_gets_a_signal_leaves_a_whole_file",
    ),
    Mutant(
        "a run is lost with its output",
        "commands/base/terminal.py",
        "except OSError:  # a closed pipe",
        "except KeyError:  # a closed pipe",
        "tests/commands/train/test_runs.py::test_a_run_whose_output_is_lost_goes_on_and_saves",
    ),
    Mutant(
        "what is shown of a name is what it holds",
        "commands/base/terminal.py",
        'return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)',
        "return text",
        "tests/commands/train/test_hostile.py::test_names_in_a_model_file_reach_the_terminal_escaped",
    ),
    Mutant(
        "the files of killed runs stay",
        "_arrays/atomic.py",
        "            _remove_if_left(entry)",
        "            pass",
        "tests/commands/train/test_runs.py"
        "::test_the_next_run_removes_the_temporary_files_of_those_that_were_killed",
    ),
    Mutant(
        "a file that is being written is removed by another run",
        "_arrays/atomic.py",
        '    with suppress(OSError), temporary.open("r+b") as file:\n        _lock(file)',
        '    with suppress(OSError), temporary.open("r+b") as file:\n        pass',
        "tests/commands/train/test_runs.py::test_a_file_that_is_being_written_is_not_swept",
    ),
]
