"""What the command prints, writes and refuses."""

import json
import sys
from pathlib import Path

import pytest

from xpbptt.commands.selftest import check, laws, training
from xpbptt.commands.selftest.check import Check, Outcome, attempt
from xpbptt.commands.selftest.nets import NETS
from xpbptt.testing.laws import LAWS


def test_a_quick_run_is_well_and_says_the_same_in_json(selftest):
    code, out, err = selftest("--json", "report")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert (lines[0], lines[-1]) == ("```", "```")
    assert lines[1].startswith("xpbptt 0.1.0 on numpy, ")
    for begin in (
        "command   python -m xpbptt selftest --quick", "machine   ", "device    cpu",
        "software  Python 3.", "Times", "Measured with the clock of the host.",
    ):  # fmt: skip
        assert any(line.startswith(begin) for line in lines), begin
    found = json.loads(Path("report").read_text())
    assert {"cpu", "date", "versions", "blas", "warnings", "missing", "device"} <= found.keys()
    assert found["interrupted"] == ""
    names = [each["name"] for each in found["checks"]]
    for name in NETS:
        for what in (
            "kernels are built", *LAWS, "as NumPy in float64", "as NumPy in float32",
            "as NumPy in float16", "training",
        ):  # fmt: skip
            assert f"{what}, {name}" in names
    for each in found["checks"] + found["budgets"] + found["suite"]:
        begin = f"{each['status']:14}  {each['name']}"
        assert any(line.startswith(begin) and each["detail"] in line for line in lines), begin
    (row,) = found["rows"]
    assert row["xpbptt"]["median"] > 0
    statuses = [each["status"] for each in found["checks"] + found["budgets"] + found["bench"]]
    assert set(statuses) <= {"ok", "not applicable"}
    counted = [statuses.count(status) for status in ("ok", "not applicable")]
    assert f"Result: {counted[0]} ok, 0 FAILED, {counted[1]} not applicable, 1 not run" in lines


def test_json_to_standard_output_leaves_the_text_to_the_other_stream(selftest, only):
    only(training)
    code, out, err = selftest("--json", "-")
    assert code == 0
    assert [each["status"] for each in json.loads(out)["checks"]] == ["ok"] * len(NETS)
    assert err.startswith("```\nxpbptt 0.1.0 on numpy")


def test_a_failure_is_an_exit_code_and_is_named_again_at_the_end(selftest, only, monkeypatch):
    only(laws, training)
    monkeypatch.setattr(laws, "LAWS", {"linearity": LAWS["linearity"]})
    monkeypatch.setattr(training, "SHARE", 1e-3)
    code, out, err = selftest("--json", "report")
    assert (code, err) == (1, "")
    end = out[out.index("Result: ") :].splitlines()
    assert end[0] == f"Result: {len(NETS)} ok, {len(NETS)} FAILED, 0 not applicable, 1 not run"
    assert end[1:] == [*(f"FAILED: training, {name}" for name in NETS), "```"]
    statuses = [each["status"] for each in json.loads(Path("report").read_text())["checks"]]
    assert statuses == ["ok"] * len(NETS) + ["FAILED"] * len(NETS)


def test_ctrl_c_says_what_was_done(selftest, only, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    only(laws, training)
    monkeypatch.setattr(laws, "LAWS", {"linearity": LAWS["linearity"]})
    monkeypatch.setattr(training, "_run", pressed)
    code, out, err = selftest("--json", "report")
    assert (code, err) == (130, "xpbptt: error: interrupted\n")
    assert "INTERRUPTED in the section 'Values and gradients'; what follows was not done" in out
    assert f"Result: {len(NETS)} ok, 0 FAILED, 0 not applicable" in out
    assert out.endswith("```\n")
    found = json.loads(Path("report").read_text())
    assert found["interrupted"] == "checks"
    assert [each["name"] for each in found["checks"]] == [f"linearity, {name}" for name in NETS]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--json", "no/such/place"], "--json no/such/place cannot be written: No such file"),
        (["--suite", "nowhere"], "--suite nowhere: there is no such folder"),
    ],
)
def test_what_has_to_be_put_right_is_told_before_anything_is_checked(selftest, arguments, match):
    code, out, err = selftest(*arguments)
    assert (code, out) == (2, "")
    assert match in err
    assert err.count("\n") == 1


def test_a_library_that_is_not_usable_is_refused(selftest, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)  # import jax raises
    monkeypatch.delitem(sys.modules, "jax.numpy", raising=False)
    code, out, err = selftest("--backend", "jax")
    assert (code, out) == (2, "")
    assert err.startswith("xpbptt: error: jax ")


def test_what_a_check_raises_is_reported_with_its_place(monkeypatch):
    def divide():
        return str(1 / 0)

    assert attempt(Check("a", divide)) == Outcome(
        "a", "FAILED", "ZeroDivisionError: division by zero"
    )
    monkeypatch.setattr(check, "PACKAGE", Path(__file__).parent)
    line = divide.__code__.co_firstlineno + 1
    said = f"ZeroDivisionError: division by zero (at selftest/test_command.py:{line})"
    assert attempt(Check("a", divide)).detail == said


def test_a_warning_of_the_library_is_a_failure():
    def warn():
        check.logging.getLogger("xpbptt").warning("LSTM runs eagerly")
        return "well"

    outcome = attempt(Check("a", warn))
    assert outcome == Outcome("a", "FAILED", "well\nlogged a warning: LSTM runs eagerly")
    assert attempt(Check("a", lambda: "well")).status == "ok"
