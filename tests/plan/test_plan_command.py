"""`backfeed plan` and `backfeed plan check`: files, exit codes, and agreement of the two."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from backfeed.cli.outcome import QualityMissedError
from backfeed.cli.plan import app
from backfeed.core.problem import InputError
from backfeed.plan.instance import write_instance

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
