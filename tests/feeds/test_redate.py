"""Re-dating: the clock on the wall is kept, weeks and zone change."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import local_datetime, parse_instant
from backfeed.core.problem import InputError
from backfeed.feeds.judge import judge
from backfeed.feeds.redate import redate
from backfeed.feeds.session_file import RawSessions, SessionFile
from backfeed.feeds.sessions import read_sessions


def judged(*rows: tuple[str, str], energy: str = "1") -> SessionFile:
    columns = {
        "arrival": [arrival for arrival, _ in rows],
        "departure": [departure for _, departure in rows],
        "energy_kwh": [energy] * len(rows),
    }
    return judge(RawSessions(list(range(2, len(rows) + 2)), columns))


def test_five_in_the_afternoon_in_oslo_stays_five_in_the_afternoon_in_shanghai() -> None:
    file = judged(("2020-01-06T17:00:00+01:00", "2020-01-07T07:30:00+01:00"))
    moved = redate(file, 339, "Asia/Shanghai")
    assert moved.table.arrival_ms[0] == parse_instant("2026-07-06T17:00:00+08:00")
    assert moved.table.departure_ms[0] == parse_instant("2026-07-07T07:30:00+08:00")
    assert moved.problems == ()


def test_rows_of_several_zones_each_keep_their_own_clock() -> None:
    file = judged(
        ("2020-01-06T17:00:00+01:00", "2020-01-06T18:00:00+01:00"),
        ("2020-01-06T17:30:00-08:00", "2020-01-06T18:30:00-08:00"),
    )
    moved = redate(file, 0, "Asia/Shanghai")
    zone = ZoneInfo("Asia/Shanghai")
    assert [local_datetime(int(at), zone).strftime("%H:%M") for at in moved.table.arrival_ms] == ["17:00", "17:30"]


def test_a_time_in_z_is_read_on_the_clock_of_the_new_zone() -> None:
    file = judged(("2020-01-06T17:00:00Z", "2020-01-06T18:00:00Z"))
    moved = redate(file, 1, "Asia/Shanghai")
    assert moved.table.arrival_ms[0] == parse_instant("2020-01-13T17:00:00Z")


def test_local_times_that_do_not_exist_or_exist_twice_are_reported() -> None:
    file = judged(
        ("2026-03-29T02:30:00+08:00", "2026-03-29T09:00:00+08:00"),
        ("2026-10-25T02:30:00+08:00", "2026-10-25T09:00:00+08:00"),
    )
    moved = redate(file, 0, "Europe/Oslo")
    assert [(p.row, p.field) for p in moved.problems] == [(2, "arrival"), (3, "arrival")]
    assert "does not exist" in moved.problems[0].reason
    assert "exists twice" in moved.problems[1].reason
    assert moved.table.arrival_ms[0] == parse_instant("2026-03-29T03:30:00+02:00")
    assert moved.table.arrival_ms[1] == parse_instant("2026-10-25T02:30:00+02:00")


def test_a_repeated_time_written_with_its_own_offset_is_no_guess() -> None:
    file = judged(("2026-10-25T02:30:00+01:00", "2026-10-25T09:00:00+01:00"))
    moved = redate(file, 0, "Europe/Oslo")
    assert moved.table.arrival_ms[0] == file.table.arrival_ms[0]
    assert moved.problems == ()


def test_a_stay_that_the_clock_change_turns_around_is_rejected() -> None:
    file = judged(("2026-03-29T02:50:00+08:00", "2026-03-29T03:10:00+08:00"))
    moved = redate(file, 0, "Europe/Oslo")
    assert len(moved.table) == 0
    assert [each.row for each in moved.rejected] == [2]
    assert moved.total == 1
    assert [p.severity for p in moved.problems] == ["warning", "rejected"]


def test_rejected_rows_move_along() -> None:
    file = judged(("2020-01-06T17:00:00+01:00", "2020-01-06T18:00:00+01:00"), energy="-1")
    start = parse_instant("2026-07-06T17:00:00+08:00")
    assert len(redate(file, 339, "Asia/Shanghai").rejected_between(start, start + 1)) == 1


@pytest.mark.parametrize("weeks", [10_000, -10_000, 10**9, -(10**9)])
def test_a_shift_out_of_the_calendar_is_an_input_error(weeks: int) -> None:
    file = judged(("2020-01-06T17:00:00+01:00", "2020-01-06T18:00:00+01:00"))
    with pytest.raises(InputError, match="shift"):
        redate(file, weeks, "Asia/Shanghai")


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2025, 1, 1)),  # noqa: DTZ001 - wall clocks
    st.integers(1, 60 * 24 * 20),
    st.integers(-400, 400),
    st.sampled_from(["Europe/Oslo", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"]),
)
def test_moving_there_and_back_by_the_same_weeks_changes_nothing_that_was_not_reported(
    arrival: datetime, minutes: int, weeks: int, zone: str
) -> None:
    shown = [at.isoformat(timespec="seconds") + "+00:00" for at in (arrival, arrival + timedelta(minutes=minutes))]
    file = judged((shown[0], shown[1]))
    if len(file.table) == 0:
        return
    there = redate(file, weeks, zone)
    if there.problems:
        return
    back = redate(there, -weeks, "UTC")
    assert np.array_equal(back.table.arrival_ms, file.table.arrival_ms)
    assert np.array_equal(back.table.departure_ms, file.table.departure_ms)
    assert (there.table.arrival_ms[0] - file.table.arrival_ms[0]) % 60_000 == 0


def test_the_shipped_sessions_move_without_a_loss() -> None:
    shipped = Path(__file__).parents[2] / "examples" / "guangdong-homes" / "sessions.csv"
    file = read_sessions(shipped)
    assert (file.total, len(file.table), len(file.rejected)) == (6827, 6827, 0)
    moved = redate(file, 339, "Asia/Shanghai")
    assert len(moved.table) == 6827
    start, end = (parse_instant(f"2026-07-{day:02d}T00:00:00+08:00") for day in (6, 20))
    inside = (moved.table.arrival_ms >= start) & (moved.table.arrival_ms < end)
    assert inside.sum() == 589


def test_a_row_that_the_shift_moves_out_of_the_years_is_rejected_and_the_others_are_moved() -> None:
    file = judged(
        ("2020-01-06T17:00:00+01:00", "2020-01-06T18:00:00+01:00"),
        ("2199-01-06T17:00:00+01:00", "2199-01-06T18:00:00+01:00"),
        ("2020-01-07T17:00:00+01:00", "2020-01-07T17:00:00+01:00"),
        ("2199-01-07T17:00:00+01:00", "2199-01-07T17:00:00+01:00"),
    )
    moved = redate(file, 339, "Asia/Shanghai")
    assert list(moved.table.row) == [2]
    assert [each.row for each in moved.rejected] == [3, 4, 5]
    assert [each.arrival_ms is None for each in moved.rejected] == [True, False, True]
    assert [(p.row, p.field) for p in moved.problems if "years" in p.reason] == [(3, "arrival")]
    assert moved.total == len(moved.table) + len(moved.rejected)


def test_a_stay_over_the_hour_that_its_own_zone_repeats_is_told_what_is_wrong() -> None:
    file = judged(("2026-10-25T02:40:00+02:00", "2026-10-25T02:10:00+01:00"))
    moved = redate(file, 0, "Asia/Shanghai")
    assert [(p.field, p.severity) for p in moved.problems] == [("departure", "rejected")]
    assert "a clock changes" in moved.problems[0].reason


def test_a_statement_that_can_not_move_along_is_treated_as_not_made() -> None:
    columns = {
        "arrival": ["2020-01-06T17:00:00+01:00"],
        "departure": ["2020-01-06T18:00:00+01:00"],
        "departure_stated": ["2199-01-06T18:00:00+01:00"],
        "energy_kwh": ["1"],
    }
    moved = redate(judge(RawSessions([2], columns)), 339, "Asia/Shanghai")
    assert np.isnan(moved.table.departure_stated_ms[0])
    assert [(p.field, p.severity) for p in moved.problems] == [("departure_stated", "warning")]
