"""Golden instances: folders of tables with what the command line says of them, worked out by hand."""

import json
from pathlib import Path

import pytest

from backfeed.cli.main import run

CASES = Path(__file__).parent.parent / "cases" / "plan"
FOLDERS = sorted(case.name for case in CASES.iterdir() if case.is_dir())
SOUND = [name for name in FOLDERS if not name.startswith("wrong-")]
WRONG = [name for name in FOLDERS if name.startswith("wrong-")]


def expected_of(name):
    return json.loads((CASES / name / "expected.json").read_text("utf-8"))


def told(capsys):
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("method", ["highs", "structured"])
@pytest.mark.parametrize("name", SOUND)
def test_a_plan_costs_what_was_worked_out_by_hand_and_its_check_says_so(tmp_path, capsys, name, method):
    expected = expected_of(name)
    code = run(["plan", str(CASES / name), "--out", str(tmp_path), "--method", method, "--gap", "1e-4", "--json"])
    summary = told(capsys)
    assert code == expected.get("exit", 0)
    size = max(1.0, abs(expected["objective"]))
    assert summary["objective"] == pytest.approx(expected["objective"], abs=1e-4 * size)
    assert summary["lower_bound"] <= expected["objective"] + 1e-9 * size
    if summary["method"] == "highs":
        assert summary["objective"] == pytest.approx(expected["objective"], abs=1e-9 * size)
    small = 0.01  # the structured solver's gap may leave a crumb of a slack
    slacks = [slack for slack in summary["slacks"] if slack["amount_kwh"] > small]
    place = lambda slack: (slack["kind"], slack["where"], slack["step"])  # noqa: E731
    for found, wanted in zip(sorted(slacks, key=place), sorted(expected["slacks"], key=place), strict=True):
        assert place(found) == place(wanted)
        assert found["amount_kwh"] == pytest.approx(wanted["amount_kwh"], abs=small)
        assert found["cost"] == pytest.approx(wanted["cost"], abs=1e-4 * size)

    assert run(["plan", "check", str(CASES / name), str(tmp_path), "--gap", "1e-4", "--json"]) == code
    verdict = told(capsys)
    assert verdict["objective"] == pytest.approx(summary["objective"], rel=1e-12)
    assert verdict["lower_bound"] == pytest.approx(summary["lower_bound"], rel=1e-12)


@pytest.mark.parametrize("name", WRONG)
def test_all_that_is_wrong_with_an_instance_is_told_at_once_by_file_row_and_column(tmp_path, capsys, name):
    assert run(["plan", str(CASES / name), "--out", str(tmp_path / "out"), "--json"]) == 2
    problems = [f"{problem['where']}: {problem['what']}" for problem in told(capsys)["error"]["problems"]]
    assert sorted(problems) == sorted(expected_of(name)["problems"])
    assert not (tmp_path / "out").exists()
