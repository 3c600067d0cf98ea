"""`backfeed battery`: a profile repeated for years, its counterfactuals, and what a bad file is told."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.battery.counterfactual import Profile, discharging, find_stays, just_in_time, unmanaged
from backfeed.battery.profile_file import read_profile
from backfeed.battery.simulate import SimulatedCar, simulate
from backfeed.battery.wear import LFP
from backfeed.cli import main
from backfeed.core.problem import InputError

DAY = ["time,soc", "0,0.67", "7,0.67", "7.5,0.8", "8.5,0.733", "17.5,0.733", "18.5,0.667", "24,0.67"]


@pytest.fixture
def profile_file(tmp_path):
    path = tmp_path / "soc.csv"
    path.write_text("\n".join(DAY), encoding="utf-8")
    return str(path)


def run(capsysbinary, *words):
    code = main.run(["battery", *words])
    shown = capsysbinary.readouterr()
    return code, shown.out.decode(), shown.err.decode()


def test_simulate_prints_the_documented_keys(capsysbinary, profile_file):
    question = ["simulate", "--chemistry", "lfp", "--capacity-kwh", "60", "--profile", profile_file, "--json"]
    code, out, _ = run(capsysbinary, *question, "--v2g", "20")
    answer = json.loads(out)
    assert code == 0
    assert answer["loss_total"] == pytest.approx(answer["loss_calendar"] + answer["loss_cycling"])
    assert answer["loss_total"] == pytest.approx(0.072, abs=0.003)
    assert answer["counterfactuals"]["v1g"]["loss_total"] == pytest.approx(0.050, abs=0.002)
    assert answer["counterfactuals"]["unmanaged"]["loss_total"] > answer["counterfactuals"]["v1g"]["loss_total"]
    assert 0.05 < answer["marginal_wear_per_kwh"] < 0.09
    assert answer["discharged_kwh_per_day"] == pytest.approx(20)


@pytest.mark.parametrize("chemistry", ["lfp", "nmc-a", "nmc-b1", "nca"])
def test_every_chemistry_answers_a_person(capsysbinary, profile_file, chemistry):
    code, out, err = run(
        capsysbinary, "simulate", "--chemistry", chemistry, "--capacity-kwh", "60", "--profile", profile_file
    )
    assert code == 0
    assert "unmanaged" in out
    assert "extrapolated" in err


def test_cold_cells_discharge_nothing_and_say_why(capsysbinary, profile_file):
    question = ["simulate", "--chemistry", "nca", "--capacity-kwh", "60", "--profile", profile_file, "--v2g", "20"]
    _, out, _ = run(capsysbinary, *question, "--temperature-c", "4.9", "--json")
    cold = json.loads(out)
    assert (cold["too_cold"], cold["discharged_kwh_per_day"], cold["marginal_wear_per_kwh"]) == (True, 0, None)
    _, words, _ = run(capsysbinary, *question, "--temperature-c", "4.9")
    assert "below 5 C" in words
    _, out, _ = run(capsysbinary, *question, "--temperature-c", "5", "--json")
    assert json.loads(out)["discharged_kwh_per_day"] == pytest.approx(20)


def test_what_can_not_be_discharged_is_said(capsysbinary, tmp_path, profile_file):
    still = tmp_path / "still.csv"
    still.write_text("time,soc\n0,0.5\n24,0.5\n", encoding="utf-8")
    question = ["simulate", "--chemistry", "lfp", "--capacity-kwh", "60", "--profile"]
    code, words, _ = run(capsysbinary, *question, str(still), "--v2g", "8")
    assert code == 0
    assert "nan" not in words
    assert "No stay of this profile" in words
    _, words, _ = run(capsysbinary, *question, profile_file, "--v2g", "60")
    assert "of the 60 asked for" in words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("when,soc\n0,0.5\n", "columns time and soc"),
        ("time,soc\n0,80\n24,80\n", "row 2: expected soc between 0 and 1"),
        ("time,soc\n0,0.5\n0,0.6\n", "row 3: expected a later time"),
        ("time,soc\n0,half\n", "row 2: expected a time and a number"),
        ("time,soc\n0,nan\n1,0.5\n", "row 2: expected a time and a number"),
        ("time,soc\n0,0.5\n", "expected at least two rows"),
        ("", "columns time and soc"),
        ("time,soc\n0,0.5\n9000,0.5\n", "at most a year"),
    ],
)
def test_a_bad_profile_is_told_where_it_is_bad(capsysbinary, tmp_path, text, told):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    code, out, err = run(capsysbinary, "simulate", "--chemistry", "lfp", "--capacity-kwh", "60", "--profile", str(path))
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ["--chemistry", "lto", "--capacity-kwh", "60"],
        ["--chemistry", "lfp", "--capacity-kwh", "-1"],
        ["--chemistry", "lfp", "--capacity-kwh", "nan"],
        ["--chemistry", "lfp", "--capacity-kwh", "60", "--years", "1000"],
        ["--chemistry", "lfp", "--capacity-kwh", "60", "--v2g", "-5"],
    ],
)
def test_bad_options_exit_with_two(capsysbinary, profile_file, words):
    code, _, err = run(capsysbinary, "simulate", "--profile", profile_file, *words)
    assert code == 2
    assert "Traceback" not in err


def test_a_missing_file_exits_with_two(capsysbinary):
    code, _, _ = run(capsysbinary, "simulate", "--chemistry", "lfp", "--capacity-kwh", "60", "--profile", "nowhere.csv")
    assert code == 2


def test_the_car_models_say_what_they_assume(capsysbinary):
    code, out, _ = run(capsysbinary, "models", "--json")
    assert code == 0
    assert len(json.loads(out)["models"]) == 8
    assert any("lfp is assumed" in each for each in json.loads(out)["assumptions"])


def test_health_reads_charge_records(capsysbinary, tmp_path):
    path = tmp_path / "log.csv"
    rows = ["vehicle,start,end,energy_kwh,soc_start,soc_end"]
    rows += [
        f"a,2026-{month:02d}-{day:02d}T18:00:00Z,2026-{month:02d}-{day:02d}T22:00:00Z,{27.2 + day / 50},0.4,0.8"
        for month in range(1, 10)
        for day in range(1, 20, 3)
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    code, out, _ = run(capsysbinary, "health", str(path), "--chemistry", "lfp", "--capacity-kwh", "60", "--json")
    assert code == 0
    assert json.loads(out)["vehicles"]["a"]["capacity_kwh"] == pytest.approx(59.4, abs=1)


def test_hours_and_iso_times_are_the_same_profile():
    by_hour, period_h = read_profile(DAY, "hours")
    iso = ["time,soc"]
    for row in DAY[1:-1]:
        hour, soc = row.split(",")
        iso.append(f"2026-07-01T{int(float(hour)):02d}:{int(float(hour) % 1 * 60):02d}:00+08:00,{soc}")
    by_date, date_period_h = read_profile([*iso, "2026-07-02T00:00:00+08:00,0.67"], "iso")
    assert by_hour.hours.tolist() == by_date.hours.tolist()
    assert period_h == date_period_h == 24


def test_a_table_without_its_closing_row_still_is_a_day():
    rows = [f"{quarter / 4},0.5" for quarter in range(96)]
    assert read_profile(["time,soc", *rows], "day")[1] == 24
    assert read_profile(["time,soc", "0,0.5", "30,0.6"], "odd")[1] == 30


def test_a_profile_of_any_length_is_repeated():
    odd = Profile(np.array([0.0, 10, 12, 20, 25]), np.array([0.5, 0.8, 0.6, 0.6, 0.5]))
    wear = simulate(odd, 25.0, SimulatedCar(LFP, 60.0))
    assert 0 < wear.loss.loss_cycling < wear.loss.loss_total
    full_days = wear.full_cycles / (8 * 365)
    assert full_days == pytest.approx(0.3 * 24 / 25, rel=0.01)


def test_a_car_that_only_stands_has_no_price_per_kwh():
    still = Profile(np.array([0.0, 24.0]), np.array([0.5, 0.5]))
    wear = simulate(still, 24.0, SimulatedCar(LFP, 60.0, discharge_kwh_per_day=10))
    assert wear.discharged_kwh_per_day == 0
    assert np.isnan(wear.marginal_wear_per_kwh)


@settings(max_examples=60)
@given(st.lists(st.floats(0.2, 0.9), min_size=3, max_size=12), st.floats(0.05, 0.5), st.floats(0, 0.4))
def test_counterfactuals_keep_the_driving(levels, rate, share):
    profile = Profile(np.arange(len(levels)) * 5.0, np.array(levels))
    leaving = {float(profile.hours[stay.last]): float(profile.soc[stay.last]) for stay in find_stays(profile)}
    given_path, given_share = discharging(profile, rate, share)
    for path in (unmanaged(profile, rate), just_in_time(profile, rate), given_path):
        assert (np.diff(path.hours) >= -1e-9).all()
        assert path.soc.min() >= min(levels) - share - 1e-9
        for hour, soc in leaving.items():
            assert soc in path.soc[np.abs(path.hours - hour) < 1e-9]
    assert 0 <= given_share <= share * max(len(leaving), 1) + 1e-9


def test_bad_rows_are_all_told_at_once():
    with pytest.raises(InputError) as told:
        read_profile(["time,soc", "0,2", "x,0.5", "3,0.5"], "many")
    assert len(told.value.problems) == 2
