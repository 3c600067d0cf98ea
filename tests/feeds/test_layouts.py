"""Files in the layouts of public data sets, and the pilots made for them."""

import csv
import json
import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from backfeed.cli.pilot import app as pilot_app
from backfeed.cli.sessions import app as sessions_app
from backfeed.core.instant import parse_instant
from backfeed.core.problem import InputError
from backfeed.feeds.redate import redate
from backfeed.feeds.session_writer import sessions_csv
from backfeed.feeds.sessions import read_sessions

CASES = Path(__file__).parents[1] / "cases" / "feeds"
SHIPPED = Path(__file__).parents[2] / "examples" / "guangdong-homes" / "sessions.csv"
FILES = ("acn.json", "elaad.csv", "dundee.csv", "boulder.csv", "jiaxing.csv")


def expected_of(layout: str) -> list[dict[str, str]]:
    with (CASES / "expected.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["layout"] == layout]


@pytest.mark.parametrize("name", FILES)
def test_an_importer_makes_of_its_file_what_was_written_by_hand(name: str) -> None:
    found = read_sessions(CASES / name)
    layout = name.partition(".")[0]
    expected = expected_of(layout)
    assert found.layout == layout
    assert list(found.table.session_id) == [row["session"] for row in expected]
    assert list(found.table.user_id) == [row["user"] for row in expected]
    assert list(found.table.arrival_ms) == [parse_instant(row["arrival"]) for row in expected]
    assert list(found.table.departure_ms) == [parse_instant(row["departure"]) for row in expected]
    assert list(found.table.energy_kwh) == [float(row["energy_kwh"]) for row in expected]
    assert set(found.table.location) == {"0002"}
    assert (found.total, len(found.rejected)) == (3, 1)
    assert found.rejected[0].row == (3 if layout == "acn" else 4)
    moved = redate(found, 0, "Asia/Shanghai")
    assert moved.table.arrival_ms[0] == parse_instant("2020-01-06T17:00:00+08:00")
    assert moved.table.departure_ms[1] == parse_instant("2020-07-08T07:30:00+08:00")


def test_the_first_statement_of_a_driver_is_read_and_later_ones_are_not() -> None:
    found = read_sessions(CASES / "acn.json").table
    assert found.departure_stated_ms[0] == parse_instant("2020-01-07T08:00:00-08:00")
    assert found.energy_requested_kwh[0] == 20.0
    assert np.isnan(found.departure_stated_ms[1])


def test_powers_with_a_decimal_comma_are_read() -> None:
    assert list(read_sessions(CASES / "elaad.csv").table.power_max_kw) == [7.4, 7.4]


@pytest.mark.parametrize("name", FILES)
def test_an_imported_file_that_is_written_is_read_back_the_same(name: str, tmp_path: Path) -> None:
    found = read_sessions(CASES / name)
    (tmp_path / "own.csv").write_text(sessions_csv(found))
    again = read_sessions(tmp_path / "own.csv")
    assert again.layout == "backfeed"
    for column, values in vars(found.table).items():
        if column == "row":
            continue
        other = getattr(again.table, column)
        assert values == other if isinstance(values, tuple) else np.array_equal(values, other, equal_nan=True)
    assert np.array_equal(again.offsets.arrival, found.offsets.arrival)


def test_a_format_that_does_not_fit_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="'totalenergy' of the layout elaad"):
        read_sessions(CASES / "dundee.csv", layout="elaad")
    with pytest.raises(InputError, match="expected one of"):
        read_sessions(CASES / "dundee.csv", layout="unknown")
    with pytest.raises(InputError, match="JSON"):
        read_sessions(CASES / "dundee.csv", layout="acn")


@pytest.mark.parametrize("text", ["{", "3", '{"_items": 3}', "[3]", "[" * 100_000])
def test_json_that_holds_no_sessions_is_refused_or_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(text)
    if text == "[3]":
        assert len(read_sessions(path).rejected) == 1
    else:
        with pytest.raises(InputError):
            read_sessions(path)


def test_a_workbook_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "sessions.csv"
    path.write_bytes(b"PK\x03\x04rest")
    with pytest.raises(InputError, match="save it as CSV"):
        read_sessions(path)


def test_a_new_pilot_takes_busy_weeks_with_a_history_into_the_tariffs_year(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "pilot.toml"
    asked = ["new", "--sessions", str(SHIPPED), "--out", str(out), "--days", "7", "--json"]
    done = CliRunner().invoke(pilot_app, asked)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    pilot = tomllib.loads(out.read_text())
    start = pilot["pilot"]["start"]
    assert isinstance(start, date)
    assert (start.weekday(), start.year, pilot["pilot"]["days"]) == (0, 2026, 7)
    file = (out.parent / pilot["sessions"]["file"]).resolve()
    assert file == SHIPPED
    moved = redate(read_sessions(file), pilot["sessions"]["shift_weeks"], pilot["pilot"]["timezone"]).table
    start_ms = parse_instant(f"{start}T00:00:00+08:00")
    inside = (moved.arrival_ms >= start_ms) & (moved.arrival_ms < start_ms + 7 * 86_400_000)
    assert inside.sum() == told["in_window"] > 200
    assert (moved.arrival_ms < start_ms).sum() > 1000
    assert pilot["chargers"]["power_kw"] == 7.4


def test_a_new_pilot_of_a_short_file_is_as_long_as_the_file(tmp_path: Path) -> None:
    out = tmp_path / "pilot.toml"
    asked = ["new", "--sessions", str(CASES / "jiaxing.csv"), "--out", str(out), "--days", "400", "--format", "jiaxing"]
    assert CliRunner().invoke(pilot_app, asked).exit_code == 0
    pilot = tomllib.loads(out.read_text())
    assert pilot["pilot"]["days"] == 184
    assert pilot["sessions"]["file"] == "pilot-sessions.csv"
    assert len(read_sessions(tmp_path / "pilot-sessions.csv").table) == 2


def test_a_new_pilot_of_a_file_without_sessions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("arrival,departure,energy_kwh\nx,y,z\n")
    done = CliRunner().invoke(pilot_app, ["new", "--sessions", str(path), "--out", str(tmp_path / "p.toml")])
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "p.toml").exists()


def test_sessions_check_counts_and_names_every_bad_row() -> None:
    done = CliRunner().invoke(sessions_app, ["check", str(CASES / "dundee.csv")])
    assert done.exit_code == 0
    assert "3 rows, 2 accepted, 1 rejected (layout dundee)" in done.stdout
    assert "row 4, departure: expected an ISO 8601 date and time, found ''" in done.stdout
    told = json.loads(CliRunner().invoke(sessions_app, ["check", str(CASES / "dundee.csv"), "--json"]).stdout)
    assert (told["rows"], told["accepted"], told["rejected"]) == (3, 2, 1)
    assert {problem["field"] for problem in told["problems"]} == {"departure", "energy_kwh"}


def test_an_item_of_an_unknown_zone_costs_its_own_row_alone(tmp_path: Path) -> None:
    document = json.loads((CASES / "acn.json").read_text())
    for item, zone in zip(document["_items"], ("Mars/One", 5, ""), strict=False):
        item["timezone"] = zone
    path = tmp_path / "acn.json"
    path.write_text(json.dumps(document))
    found = read_sessions(path)
    told = {problem.row: problem.reason for problem in found.problems if problem.field == "row"}
    assert told.keys() == {1, 2}
    assert "'Mars/One'" in told[1]


def test_a_pilots_zone_does_not_replace_that_of_the_layout(tmp_path: Path) -> None:
    document = json.loads((CASES / "acn.json").read_text())
    for item in document["_items"]:
        del item["timezone"]
    path = tmp_path / "acn.json"
    path.write_text(json.dumps(document))
    found = read_sessions(path, otherwise="Asia/Shanghai")
    assert found.offsets.arrival[0] == read_sessions(CASES / "acn.json").offsets.arrival[0]


def test_a_new_pilot_of_times_without_an_offset_is_read_on_its_own_clock(tmp_path: Path) -> None:
    file, out = tmp_path / "local.csv", tmp_path / "pilot.toml"
    file.write_text("arrival,departure,energy_kwh\n2026-07-06 17:00,2026-07-07 07:00,9\n")
    assert pilot_app_says(file, out)["in_window"] == 1


def test_a_new_pilot_never_overwrites_its_sessions(tmp_path: Path) -> None:
    file = tmp_path / "local.csv"
    file.write_text("arrival,departure,energy_kwh\n2026-07-06 17:00,2026-07-07 07:00,9\n")
    answer = CliRunner().invoke(
        pilot_app, ["new", "--sessions", str(file), "--out", f"{tmp_path}/../{tmp_path.name}/local.csv"]
    )
    assert isinstance(answer.exception, InputError)
    assert file.read_text().startswith("arrival")


def pilot_app_says(file: Path, out: Path) -> dict[str, int]:
    answer = CliRunner().invoke(pilot_app, ["new", "--sessions", str(file), "--out", str(out), "--json"])
    assert answer.exit_code == 0, answer.output
    document: dict[str, int] = json.loads(answer.output)
    return document
