"""`backfeed plan` and `backfeed plan check`: files, exit codes, and agreement of the two."""

import json
from dataclasses import fields, replace

import polars as pl
import pytest
from typer.testing import CliRunner

from backfeed.cli.outcome import QualityMissedError
from backfeed.cli.plan import app
from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.plan.instance import write_instance
from backfeed.plan.problem import Windows

KEYS = {
    "objective",
    "lower_bound",
    "gap",
    "cpu_s",
    "wall_s",
    "peak_mb",
    "iterations",
    "method",
    "max_violation_kw",
    "max_violation_kwh",
    "slacks",
}


@pytest.fixture
def instance(random_problem, tmp_path):
    problem = random_problem(
        3, count=12, rows=8, tree="flat", meters=True, pv=0.5, promises=3, minutes=15, inverted=False
    )
    write_instance(problem, tmp_path / "instance")
    return problem, tmp_path / "instance", tmp_path / "out"


def test_plan_writes_the_documented_files_and_check_agrees(instance):
    problem, folder, out = instance
    ran = CliRunner().invoke(app, [str(folder), "--out", str(out), "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    summary = json.loads(ran.stdout)
    assert set(summary) >= KEYS
    assert json.loads((out / "summary.json").read_text()) == summary
    schedule = pl.read_parquet(out / "schedule.parquet")
    assert schedule.columns[:4] == ["vehicle", "row", "step", "power_kw"]
    assert len(schedule) == problem.windows.offsets[-1]
    assert pl.read_parquet(out / "prices.parquet").columns[:3] == ["node", "step", "price"]
    checked = CliRunner().invoke(app, ["check", str(folder), str(out), "--json"], catch_exceptions=False)
    verdict = json.loads(checked.stdout)
    assert verdict["objective"] == pytest.approx(summary["objective"], rel=1e-12)
    assert verdict["lower_bound"] == pytest.approx(summary["lower_bound"], rel=1e-12)


@pytest.mark.parametrize("method", ["auto", "highs", "structured"])
def test_a_fleet_of_nobody_is_planned_and_its_broken_promises_are_proven(instance, method):
    problem, folder, out = instance
    nobody = Windows(**{column.name: getattr(problem.windows, column.name)[:0] for column in fields(Windows)})
    write_instance(replace(problem, windows=nobody), folder)
    ran = CliRunner().invoke(app, [str(folder), "--out", str(out), "--method", method, "--gap", "1e-6"])
    assert ran.exit_code == 0, ran.output
    assert json.loads((out / "summary.json").read_text())["gap"] <= 1e-6
    checked = CliRunner().invoke(app, ["check", str(folder), str(out), "--gap", "1e-6"])
    assert checked.exit_code == 0, checked.output


def test_a_spoilt_schedule_is_found_out(instance):
    _, folder, out = instance
    CliRunner().invoke(app, [str(folder), "--out", str(out)], catch_exceptions=False)
    file = out / "schedule.parquet"
    pl.read_parquet(file).with_columns(pl.col("power_kw") + 30.0).write_parquet(file)
    with pytest.raises(QualityMissedError, match="hard bound"):
        CliRunner().invoke(app, ["check", str(folder), str(out)], catch_exceptions=False)


def test_bad_input_is_an_input_error(tmp_path):
    with pytest.raises(InputError):
        CliRunner().invoke(app, [str(tmp_path / "none"), "--out", str(tmp_path)], catch_exceptions=False)


def spoilt(file, **columns):
    frame = pl.read_parquet(file)
    frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()}).write_parquet(file)


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("schedule", lambda file: file.write_bytes(b"PAR1"), "can not be read"),
        ("schedule", lambda file: file.write_bytes(file.read_bytes()[:-20]), "can not be read"),
        ("schedule", lambda file: spoilt(file, power_kw="fast"), "must hold a power for each"),
        ("schedule", lambda file: spoilt(file, power_kw=None), "must hold a power for each"),
        ("schedule", lambda file: spoilt(file, vehicle="another"), "column vehicle: row 0 is the vehicle"),
        ("schedule", lambda file: spoilt(file, row="x"), "must hold a power for each"),
        ("prices", lambda file: file.write_bytes(b""), "can not be read"),
        ("prices", lambda file: spoilt(file, node="nowhere"), "must name nodes and steps of the instance"),
        ("prices", lambda file: spoilt(file, step=99), "must name nodes and steps of the instance"),
        ("commitment_prices", lambda file: spoilt(file, commitment=0), "must hold a price for each of 3 commitments"),
    ],
)
def test_an_answer_that_is_none_is_told_by_file_and_fault(instance, name, spoil, told):
    _, folder, out = instance
    CliRunner().invoke(app, [str(folder), "--out", str(out)], catch_exceptions=False)
    spoil(out / f"{name}.parquet")
    with pytest.raises(InputError, match=f"{name}.parquet.*{told}"):
        CliRunner().invoke(app, ["check", str(folder), str(out)], catch_exceptions=False)


@pytest.mark.parametrize("option", [("--gap", "nan"), ("--gap", "-1"), ("--time-limit", "nan"), ("--time-limit", "-5")])
def test_a_gap_or_a_time_that_is_none_is_refused(instance, option):
    _, folder, out = instance
    with pytest.raises(InputError, match=f"{option[0]}: expected 0 or more"):
        CliRunner().invoke(app, [str(folder), "--out", str(out), *option], catch_exceptions=False)


def test_a_folder_that_can_not_be_written_is_told_before_the_work(instance):
    _, folder, out = instance
    out.touch()
    with pytest.raises(EnvironmentProblemError, match="can not be written"):
        CliRunner().invoke(app, [str(folder), "--out", str(out)], catch_exceptions=False)
