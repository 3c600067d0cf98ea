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


@pytest.mark.parametrize(
    ("name", "step", "kind", "amount", "words"),
    [
        ("v2g", 0, "margin", 0.28, "giving one earns in step 2"),
        ("drain", 0, "drive", 26.0, "the drive after step 1"),
        ("drain", 5, "margin", 0.25, "charging one costs in step 5"),
        ("metered-pv", 3, "departure", 28.0, "just its target of 28.00 kWh"),
        ("promise-up", 1, "commitment", 0.5, "at least 8.00 kW of injection (a missing kWh costs 0.5000)"),
        ("promise-down", 1, "commitment", -0.8, "at most -6.00 kW of injection (a missing kWh costs 0.8000)"),
        ("peak", 0, "peak", None, "its peak of 5.00 kW, charged at 2.00 per kW"),
        ("broken-promises", 0, "departure", 30.0, "15.00 kWh short of its target of 30.00 kWh"),
    ],
)
def test_the_limit_price_or_promise_that_made_it_so_is_named_with_its_number(
    tmp_path, capsys, name, step, kind, amount, words
):
    case = str(CASES / name)
    run(["plan", case, "--out", str(tmp_path), "--method", "highs", "--json"])
    capsys.readouterr()
    assert run(["plan", "explain", case, str(tmp_path), "--vehicle", "v1", "--step", str(step), "--json"]) == 0
    document = told(capsys)
    found = [reason for reason in document["reasons"] if reason["kind"] == kind and words in reason["words"]]
    assert found, document["reasons"]
    assert amount is None or found[0]["amount"] == pytest.approx(amount)
    assert document["reasons"][0]["kind"] == "trade"
    assert run(["plan", "explain", case, str(tmp_path), "--vehicle", "v1", "--step", str(step)]) == 0
    assert words in capsys.readouterr().out


def test_what_can_not_be_explained_is_told(tmp_path, capsys):
    case = str(CASES / "drain")
    run(["plan", case, "--out", str(tmp_path), "--json"])
    capsys.readouterr()
    assert run(["plan", "explain", case, str(tmp_path), "--vehicle", "v7", "--step", "0"]) == 2
    assert "'v7' is unknown" in capsys.readouterr().err
    assert run(["plan", "explain", case, str(tmp_path), "--vehicle", "v1", "--step", "2"]) == 2
    assert "it is in 0 to 1, 3 to 6" in capsys.readouterr().err
