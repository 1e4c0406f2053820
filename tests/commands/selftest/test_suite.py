"""Running the tests of a folder, and finding those of the project."""

from pathlib import Path

import pytest

from xpbptt.commands.selftest import suite

CONFTEST = "def pytest_addoption(parser): parser.addoption('--backend')\n"
PASSING = "def test_it(request): assert request.config.getoption('--backend') == 'numpy'\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of tests, and a way to write one."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider")
    place = tmp_path / "some tests"
    place.mkdir()
    (place / "conftest.py").write_text(CONFTEST)
    (place / "test_one.py").write_text(PASSING)
    return place


def test_the_closing_line_is_kept_and_the_others_are_progress(selftest, only, folder):
    only()
    code, out, err = selftest("--suite", str(folder))
    assert code == 0
    assert "ok              the tests of the project               1 passed in" in out
    assert "test session starts" in err
    assert "test session starts" not in out


def test_the_end_of_a_suite_that_failed_is_kept(selftest, only, folder):
    only()
    (folder / "test_two.py").write_text("def test_two(): assert 1 + 1 == 3\n")
    code, out, _ = selftest("--suite", str(folder))
    assert code == 1
    assert "FAILED          the tests of the project" in out
    assert "exit code 1 of -m pytest" in out
    assert "assert (1 + 1) == 3" in out
    assert "1 failed, 1 passed" in out


@pytest.mark.parametrize(("asked", "status"), [(True, "FAILED"), (False, "not run")])
def test_a_suite_that_cannot_begin(folder, asked, status):
    """What was asked for must run; what merely lies beside need not have all it needs."""
    (folder / "conftest.py").write_text("import a_package_that_nobody_has\n")
    outcome = suite.run(folder, "numpy", asked=asked, show=lambda _: None)
    assert outcome.status == status
    assert "a_package_that_nobody_has" in outcome.detail


def test_a_folder_without_tests_has_failed(folder):
    (folder / "test_one.py").unlink()
    outcome = suite.run(folder, "numpy", asked=False, show=lambda _: None)
    assert outcome.status == "FAILED"
    assert "no tests ran" in outcome.detail


def test_it_stops_with_the_command(folder):
    def pressed(_):
        raise KeyboardInterrupt

    (folder / "test_two.py").write_text("import time\ndef test_two(): time.sleep(60)\n")
    with pytest.raises(KeyboardInterrupt):
        suite.run(folder, "numpy", asked=True, show=pressed)


def test_where_it_is_looked_for(monkeypatch, tmp_path):
    assert "left out" in suite.find(None, wanted=False)
    monkeypatch.setattr(suite, "PACKAGE", tmp_path / "xpbptt")
    assert "not in a checkout" in suite.find(None, wanted=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").touch()
    assert "not in a checkout" in suite.find(None, wanted=True)  # somebody's tests, as installed
    (tmp_path / "pyproject.toml").touch()
    assert suite.find(None, wanted=True) == tmp_path / "tests"
    monkeypatch.setattr(suite, "find_spec", lambda _: None)
    assert "pytest is not installed" in suite.find(None, wanted=True)


def test_a_folder_is_refused_without_pytest(selftest, monkeypatch, folder):
    monkeypatch.setattr(suite, "find_spec", lambda _: None)
    code, out, err = selftest("--suite", str(folder))
    assert (code, out) == (2, "")
    assert err == f"xpbptt: error: --suite {folder}: pytest is not installed\n"


def test_without_quick_the_tests_beside_the_package_are_run(selftest, only, folder, monkeypatch):
    only()
    (folder.parent / "pyproject.toml").touch()
    folder.rename(folder.parent / "tests")
    monkeypatch.setattr(suite, "PACKAGE", Path(folder.parent, "xpbptt"))
    code, out, _ = selftest(quick=False)
    assert code == 0
    assert "1 passed in" in out
