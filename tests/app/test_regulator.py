"""The regulator's report from run folders: what the meters say is what the judge saw, and every flaw is told."""

import shutil
from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from backfeed.app.dispatching import Policy
from backfeed.app.judge_series import target_stays
from backfeed.app.judging import judge_run
from backfeed.app.project import PROJECT_FILE, read_project, write_project
from backfeed.app.regulator import read_run, read_runs
from backfeed.app.scene import load_scene, prices_over
from backfeed.cli.main import run as command
from backfeed.core.problem import InputError
from backfeed.report.regulator import Place, regulator_report
from backfeed.report.requirements import load_notice
from backfeed.report.targets import regulator_targets


@pytest.fixture
def folder(worlds, tmp_path):
    return shutil.copytree(worlds[Policy.V2G].folder, tmp_path / "run")


def test_the_meters_say_what_the_judge_saw(worlds, small_path):
    scene = load_scene(small_path)
    judged = judge_run(scene, worlds, foresight=False)
    stays = target_stays(judged.truths["v2g"], judged.worlds["v2g"].sessions, judged.prices, scene.world)
    power_kw = judged.worlds["v2g"].result.discharge_power_max_kw
    seen = regulator_targets(stays, days=2, discharge_power_kw=power_kw, discharge_rated_kw=100.0)
    row = regulator_report([read_run(worlds[Policy.V2G].folder)], load_notice()).rows[0]
    for name in ("offpeak_share", "offpeak_share_net", "discharged_kwh_per_year"):
        assert row.targets[name].achieved == pytest.approx(seen[name].achieved, rel=0.01), name
    # Of a quarter-hour the meter shows the mean, the judge the highest instant.
    assert 0.5 * power_kw < row.discharge_power_kw <= power_kw * 1.001
    # What the battery held on arrival is not always known, and then counts as full.
    assert row.targets["offpeak_share_net"].reachable >= seen["offpeak_share_net"].reachable - 0.02


def test_the_evidence_names_every_day_and_every_meter(worlds):
    run = worlds[Policy.V2G]
    read = read_run(run.folder)
    assert read.proof.holds
    assert (read.proof.log_head, read.proof.ledger_head) == (run.log_hash, run.ledger_hash)
    assert [day.day for day in read.days] == ["2026-07-13", "2026-07-14"]
    charged = sum(day.charged_kwh for day in read.days)
    assert charged == pytest.approx(sum(meter.charged_kwh for meter in read.meters))
    assert charged == pytest.approx(read.shares["offpeak_share"].charged_kwh)
    assert sum(day.valley_kwh for day in read.days) == pytest.approx(read.shares["offpeak_share"].valley_kwh)
    assert sum(day.discharged_kwh for day in read.days) == pytest.approx(read.export_wh.sum() / 1000)


def test_a_changed_interval_is_told_and_the_command_exits_with_3(folder, capfdbinary):
    day = folder / "days" / "2026-07-13.parquet"
    frame = pl.read_parquet(day)
    more = frame["import_wh"].to_numpy() + np.arange(len(frame)) // (len(frame) - 1)
    frame.with_columns(pl.Series("import_wh", more)).write_parquet(day)
    assert not read_run(folder).proof.holds
    assert command(["report", "targets", str(folder), "--json"]) == 3
    document = msgspec.json.decode(capfdbinary.readouterr().out)
    assert not document["runs"][0]["verified"]
    assert "not the one that the books name" in " ".join(document["runs"][0]["problems"])


def test_page_and_tables_are_written_together(folder, tmp_path, capfdbinary):
    table = tmp_path / "places.csv"
    table.write_text(f"run,project,city,province\n{folder},Homes,Guangzhou,Guangdong\n")
    words = ["report", "targets", str(folder), "--projects", str(table), "--out", str(tmp_path / "out"), "--lang", "zh"]
    assert command(words) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "evidence-days.csv",
        "evidence-meters.csv",
        "targets.csv",
        "targets.html",
    ]
    assert "Guangzhou, Guangdong" in capfdbinary.readouterr().out.decode()


def test_nothing_counts_twice(folder, worlds):
    with pytest.raises(InputError, match="the same run"):
        read_runs([folder, worlds[Policy.V2G].folder], {})
    with pytest.raises(InputError, match="counts them already"):
        read_runs([folder, worlds[Policy.V1G].folder], {})
    elsewhere = {str(folder): Place("another")}
    assert [run.place.project for run in read_runs([folder, worlds[Policy.V1G].folder], elsewhere)] == [
        "another",
        "Small",
    ]


def test_what_is_no_run_folder_is_told_for_every_one_of_them(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.rmtree(folder / "days")
    with pytest.raises(InputError) as caught:
        read_runs([tmp_path / "empty", folder, tmp_path / "none"], {"elsewhere": Place("x")})
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 4
    for word in (PROJECT_FILE, "expected settled days", "not among the runs"):
        assert any(word in each for each in told)


def test_a_service_that_starts_again_keeps_the_valley_of_days_before(small_path, tmp_path):
    scene = load_scene(small_path)
    write_project(scene, tmp_path, simulated=False)
    before = read_project(tmp_path)
    first = scene.pilot.pilot
    later = msgspec.structs.replace(first, start=first.start + timedelta(days=1), days=first.days - 1)
    pilot = msgspec.structs.replace(scene.pilot, pilot=later)
    write_project(replace(scene, pilot=pilot, prices=prices_over(pilot, scene.tariff)), tmp_path, simulated=False)
    assert read_project(tmp_path) == before
