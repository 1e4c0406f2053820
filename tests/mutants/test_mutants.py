"""The mutants fit the sources as they are, and what judges them does not take all for caught."""

import pytest

from . import __main__ as command
from .mutant import Mutant, misfit
from .planted import MUTANTS
from .verdict import Verdict, healthy, verdict

TEST = "tests/test_public_api.py::test_all_is_sorted_and_complete"
HARMLESS = Mutant("harmless", "__init__.py", "\n__all__ = [", "\n\n__all__ = [", TEST)
CAUGHT = HARMLESS._replace(defect="caught", new="\nstray = 1\n__all__ = [")
NO_IMPORT = HARMLESS._replace(defect="no import", new="\nraise ImportError\n__all__ = [")
GONE = HARMLESS._replace(defect="gone", old="what is nowhere")
ON_CUPY = "tests/parallel/test_recipes.py::test_nccl"
SKIPPED = HARMLESS._replace(defect="skipped", test=ON_CUPY)
NO_TEST = HARMLESS._replace(defect="no test", test="tests/test_public_api.py::test_all")


def test_all_can_be_planted():
    reasons = {mutant.defect: misfit(mutant) for mutant in MUTANTS}
    assert {defect: reason for defect, reason in reasons.items() if reason} == {}


def test_their_defects_are_told_apart():
    assert len({mutant.defect for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(
    ("mutant", "word", "seen"),
    [
        (CAUGHT, "caught", ""),
        (HARMLESS, "SURVIVED", "the test passed"),
        (NO_IMPORT, "BROKEN", "ImportError"),
        (SKIPPED, "BROKEN", f"{ON_CUPY} was skipped"),
        (GONE, "BROKEN", "stands 0 times in xpbptt/__init__.py"),
        (NO_TEST, "BROKEN", f"there is no test {NO_TEST.test}"),
    ],
    ids=lambda value: value.defect if isinstance(value, Mutant) else "",
)
def test_a_verdict(mutant, word, seen):
    found = verdict(mutant)
    assert found.word == word
    assert seen in found.seen


def test_the_tests_must_pass_without_mutants():
    assert healthy([NO_TEST]).word == "BROKEN"


@pytest.mark.parametrize("before", ["passed", "BROKEN"])
@pytest.mark.parametrize("word", ["caught", "SURVIVED", "BROKEN"])
def test_the_command(monkeypatch, capsys, word, before):
    monkeypatch.setattr(command, "verdict", lambda mutant: Verdict(word))
    monkeypatch.setattr(command, "healthy", lambda mutants: Verdict(before))
    monkeypatch.setattr("sys.argv", ["mutants", "step", "spans"])
    assert command.main() == ((word, before) != ("caught", "passed"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == [word, MUTANTS[0].defect]
    assert lines[1].split(maxsplit=1) == [before, "the tests without a mutant"]
    assert lines[2].startswith("1 mutants, ")


def test_words_that_no_mutant_has(monkeypatch):
    monkeypatch.setattr("sys.argv", ["mutants", "unheard of"])
    with pytest.raises(SystemExit):
        command.main()
