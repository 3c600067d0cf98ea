"""Whole worlds in which a warranty ends or cells are cold: nobody discharges more than is allowed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from backfeed.app.battery_book import Block
from backfeed.app.dispatching import Policy
from backfeed.app.judging import judge_run
from backfeed.app.scene import load_scene
from backfeed.core.instant import MS_PER_MIN, parse_instant
from backfeed.core.problem import InputError

BUDGET_KWH = 3.0
WARM_FROM = "2026-07-13T18:30:00+08:00"


def policies(**caps):
    policy = {"make": "any", "years": 8, "distance_km": 160000, "capacity_promised": 0.7}
    return json.dumps(
        {"source": "", "assumptions": [], "policies": [{**policy, "consumption_kwh_per_km": 0.14, **caps}]}
    )


def with_battery(pilot, lines):
    return pilot.with_text("[tariff]", f"[battery]\n{lines}\n\n[tariff]")


def discharged_by_owner(truth):
    """What every driver's car has truly discharged [kWh AC]."""
    segments = truth.segments
    given = np.bincount(segments.session, np.maximum(-segments.energy_kwh, 0), len(truth.sessions))
    total = {}
    for token, kwh in zip(truth.sessions.token, given.tolist(), strict=True):
        total[token] = total.get(token, 0.0) + kwh
    return total


@pytest.fixture(scope="module")
def capped(small_day, play, tmp_path_factory):
    folder = tmp_path_factory.mktemp("capped")
    path = with_battery(small_day, 'warranty_file = "warranties.json"').write(folder)
    (folder / "warranties.json").write_text(policies(discharge_kwh=BUDGET_KWH))
    return play(path, folder / "run")


def test_a_car_whose_budget_is_3_kwh_never_discharges_more(capped, worlds):
    given = discharged_by_owner(capped.truth)
    assert max(given.values()) <= BUDGET_KWH * 1.015
    assert sum(kwh > 0.8 * BUDGET_KWH for kwh in given.values()) >= 3, "most of it is used"
    assert max(discharged_by_owner(worlds[Policy.V2G].truth).values()) > 3 * BUDGET_KWH


def test_the_run_says_what_is_left_of_every_budget(capped):
    given = discharged_by_owner(capped.truth)
    records = {record.owner_id: record for record in capped.batteries}
    assert set(records) == set(given)
    for owner, record in records.items():
        assert record.discharged_kwh == pytest.approx(given[owner], abs=0.02 + 0.02 * given[owner])
        assert record.budget.energy_left_kwh == pytest.approx(max(BUDGET_KWH - record.discharged_kwh, 0), abs=1e-9)
        assert (record.block is Block.WARRANTY) == (record.budget.energy_left_kwh < 0.05)
        assert record.loss_calendar > 0


def test_a_budget_takes_no_energy_from_departures(capped):
    scene = load_scene(capped.folder.parent / "pilot.toml")
    departures = judge_run(scene, {Policy.V2G: capped}, foresight=False).summary.worlds["v2g"].departures
    assert departures.worst_kwh < 4


@pytest.fixture(scope="module")
def cold(small_day, play, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cold")
    path = with_battery(small_day, 'temperature_file = "cells.csv"').write(folder)
    hours = [f"2026-07-13T{hour:02d}:00:00+08:00,{2 + hour / 8}" for hour in (0, 6, 12, 18)]
    rows = ["time,temperature_c", *hours, f"{WARM_FROM},5"]
    (folder / "cells.csv").write_text("\n".join(rows) + "\n")
    return play(path, folder / "run")


def test_cells_below_5_degrees_discharge_nothing(cold, worlds):
    warm_ms = parse_instant(WARM_FROM)
    for truth, most in ((worlds[Policy.V2G].truth, None), (cold.truth, 0.0)):
        segments = truth.segments
        early = (segments.energy_kwh < 0) & (segments.until_ms <= warm_ms)
        if most is None:
            assert segments.energy_kwh[early].sum() < -1, "in the warm they do discharge before"
        else:
            assert not early.any()
    later = cold.truth.segments
    assert later.energy_kwh[(later.energy_kwh < 0) & (later.from_ms > warm_ms + 15 * MS_PER_MIN)].sum() < -1


def test_the_judge_s_wear_and_foresight_know_the_temperature(cold):
    scene = load_scene(cold.folder.parent / "pilot.toml")
    judged = judge_run(scene, {Policy.V2G: cold}, foresight=True)
    at_25 = replace(scene, enrolment=replace(scene.enrolment, temperature=type(scene.enrolment.temperature)()))
    plain = judge_run(at_25, {Policy.V2G: cold}, foresight=False)
    assert judged.worlds["v2g"].result.wear_cost != pytest.approx(plain.worlds["v2g"].result.wear_cost, rel=1e-3)
    segments = judged.truths["foresight"].segments
    cold_steps = segments.until_ms <= parse_instant(WARM_FROM)
    assert segments.energy_kwh[cold_steps].min() >= -1e-9


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("temperature_c = 120", "temperature_c"),
        ("age_years = -1", "age_years"),
        ('temperature_file = "no.csv"', "no.csv"),
        ('warranty_file = "bad.json"', "any"),
        ('temperature_file = "bad.csv"', "row 3"),
    ],
)
def test_what_is_wrong_with_a_battery_table_is_told(small_day, tmp_path, lines, said):
    path = with_battery(small_day, lines).write(tmp_path)
    (tmp_path / "bad.json").write_text(policies().replace('"any"', '"Other"'))
    (tmp_path / "bad.csv").write_text("time,temperature_c\n2026-07-13T00:00:00Z,5\n2026-07-12T00:00:00Z,hot\n")
    with pytest.raises(InputError) as caught:
        load_scene(path)
    assert said in str(caught.value)
