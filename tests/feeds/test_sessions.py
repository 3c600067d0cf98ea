"""Session files of every make: what is accepted, what is rejected and why."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import format_instant, parse_instant
from backfeed.core.problem import InputError
from backfeed.feeds.judge import judge
from backfeed.feeds.session_file import RawSessions, departed_between, window
from backfeed.feeds.sessions import read_sessions

HEADER = "session_id,station_id,user_id,arrival,departure,energy_kwh"
GOOD = "1,A,u,2026-07-06T17:00:00+08:00,2026-07-07T07:00:00+08:00,12.5"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "sessions.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_rows(tmp_path: Path, *rows: str, header: str = HEADER, **options: Any) -> Any:
    return read_sessions(written(tmp_path, "\n".join([header, *rows])), **options)


def test_a_good_row_is_read_as_it_stands(tmp_path: Path) -> None:
    found = read_rows(tmp_path, GOOD)
    assert found.problems == ()
    assert found.total == len(found.table) == 1
    assert found.table.arrival_ms[0] == parse_instant("2026-07-06T17:00:00+08:00")
    assert found.table.energy_kwh[0] == 12.5
    assert (found.table.location, found.table.user_id) == (("A",), ("u",))
    assert np.isnan(found.table.capacity_kwh[0])


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,-1", "energy_kwh", "at least 0"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,nan", "energy_kwh", "a number"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,inf", "energy_kwh", "at most 150"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,ten", "energy_kwh", "found 'ten'"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,", "energy_kwh", "a number"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,500", "energy_kwh", "no car takes"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-06T17:00+08:00,1", "departure", "zero length"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-06T15:00+08:00,1", "departure", "2.00 h before"),
        ("1,A,u,2026-07-06T17:00+08:00,2028-07-06T15:00+08:00,1", "departure", "at most 366 days"),
        ("1,A,u,yesterday,2026-07-06T15:00+08:00,1", "arrival", "found 'yesterday'"),
        ("1,A,u,2026-13-06T17:00+08:00,2026-07-06T15:00+08:00,1", "arrival", "ISO 8601"),
        ("1,A,u,2026-07-06T17:00,2026-07-06T19:00+08:00,1", "arrival", "an offset"),
        ("1,A,u,2026-07-06,2026-07-06T19:00+08:00,1", "arrival", "time of day"),
        ("1,A,u,0001-07-06T01:00+08:00,2026-07-06T19:00+08:00,1", "arrival", "a year from"),
        ("1,A,u,,2026-07-06T19:00+08:00,1", "arrival", "found ''"),
        ("1,A", "arrival", "found ''"),
        ("1,A,u,2026-07-06T17:00+08:00,2026-07-07T07:00+08:00,1,extra", "row", "6 cells"),
    ],
)
def test_a_bad_row_is_rejected_by_number_field_and_reason(tmp_path: Path, row: str, field: str, reason: str) -> None:
    found = read_rows(tmp_path, GOOD.replace("1,A", "good,A", 1), row)
    assert found.total == 2
    assert len(found.table) == 1
    assert [each.row for each in found.rejected] == [3]
    problem = next(each for each in found.problems if each.field == field)
    assert (problem.row, problem.severity) == (3, "rejected")
    assert reason in problem.reason


def test_every_field_of_a_bad_row_is_named(tmp_path: Path) -> None:
    found = read_rows(tmp_path, "1,A,u,then,later,lots")
    assert {problem.field for problem in found.problems} == {"arrival", "departure", "energy_kwh"}
    assert len(found.rejected) == 1


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("gb18030"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ";").replace("12.5", "12,5").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: text.replace(",", " , ").encode(),
        lambda text: text.replace("充电站", '"充电站"').encode(),
        lambda text: (text + "\n\n  \n,,,,,\n").encode(),
        lambda text: text.replace("\n", ",,\n").encode(),
    ],
)
def test_encodings_delimiters_and_blanks_do_not_matter(tmp_path: Path, encode: Any) -> None:
    text = f"{HEADER}\n{GOOD.replace('A', '充电站')}\n"
    found = read_sessions(written(tmp_path, encode(text)))
    assert found.problems == ()
    assert found.total == 1
    assert found.table.location == ("充电站",)
    assert found.table.energy_kwh[0] == 12.5


def test_row_numbers_count_blank_rows_as_a_spreadsheet_does(tmp_path: Path) -> None:
    found = read_rows(tmp_path, GOOD, "", "2,A,u,then,later,lots")
    assert found.total == 2
    assert {problem.row for problem in found.problems} == {4}


def test_rows_may_stand_in_any_order_and_columns_may_be_missing(tmp_path: Path) -> None:
    rows = [
        "2026-07-07T07:00+08:00,3.0,2026-07-07T06:00+08:00,x",
        "2026-07-06T19:00+08:00,2.0,2026-07-06T18:00+08:00,x",
    ]
    found = read_rows(tmp_path, *rows, header="departure,energy_kwh,arrival,colour")
    assert found.problems == ()
    assert found.table.location == ("site", "site")
    assert found.table.user_id == ("", "")
    assert found.table.session_id == ("row-3", "row-2")
    assert list(found.table.energy_kwh) == [2.0, 3.0]


def test_a_missing_indispensable_column_names_the_file_and_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(tmp_path, GOOD, header="id,station_id,user_id,start,departure,kwh")
    assert ["'arrival'" in p.what for p in caught.value.problems] == [True, False]
    assert all("sessions.csv" in p.where for p in caught.value.problems)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="header"):
        read_sessions(written(tmp_path, text))


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="readable file"):
            read_sessions(path)


def test_an_unknown_zone_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Mars/Olympus"):
        read_rows(tmp_path, GOOD, timezone="Mars/Olympus")


def test_naive_times_take_the_named_zone_and_clock_changes_are_reported(tmp_path: Path) -> None:
    found = read_rows(
        tmp_path,
        "1,A,u,2026-03-29T02:30:00,2026-03-29T08:00:00,1",
        "2,A,v,2026-10-25 02:30,2026-10-25 09:00,1",
        timezone="Europe/Oslo",
    )
    assert len(found.table) == 2
    assert [("does not exist" in p.reason, "exists twice" in p.reason) for p in found.problems] == [
        (True, False),
        (False, True),
    ]
    assert found.table.arrival_ms[0] == parse_instant("2026-03-29T01:30:00Z")


def test_of_two_sessions_with_one_id_the_earlier_arrival_is_kept(tmp_path: Path) -> None:
    later = GOOD.replace("07-06", "07-05").replace("12.5", "3.0")
    found = read_rows(tmp_path, GOOD, later)
    assert list(found.table.energy_kwh) == [3.0]
    assert (found.problems[0].row, found.problems[0].field) == (2, "session_id")
    assert "row 3" in found.problems[0].reason


def test_a_user_who_overlaps_himself_is_served_and_reported(tmp_path: Path) -> None:
    other = "2,B,u,2026-07-06T18:00:00+08:00,2026-07-06T19:00:00+08:00,1"
    found = read_rows(tmp_path, GOOD, other)
    assert len(found.table) == 2
    assert [(p.row, p.field, p.severity) for p in found.problems] == [(3, "user_id", "warning")]


def test_overlapping_rows_of_a_location_are_legal(tmp_path: Path) -> None:
    found = read_rows(tmp_path, GOOD, GOOD.replace("1,A,u", "2,A,v"))
    assert found.problems == ()


def test_a_month_is_served_and_two_months_are_served_with_a_warning(tmp_path: Path) -> None:
    rows = [
        "1,A,u,2026-07-06T17:00+08:00,2026-08-05T07:00+08:00,1",
        "2,A,v,2026-07-06T17:00+08:00,2026-09-05T07:00+08:00,1",
    ]
    found = read_rows(tmp_path, *rows)
    assert len(found.table) == 2
    assert [(p.row, p.severity) for p in found.problems] == [(3, "warning")]


def test_an_optional_value_out_of_range_is_treated_as_absent_and_reported(tmp_path: Path) -> None:
    header = HEADER + ",max_power_kw,soc_arrival,capacity_kwh,departure_stated,energy_requested_kwh"
    found = read_rows(tmp_path, GOOD + ",-1,83,0,soon,x", GOOD.replace("1,A", "2,A") + ",7.4,NaN,,,", header=header)
    assert len(found.table) == 2
    fields = ["max_power_kw", "soc_arrival", "capacity_kwh", "energy_requested_kwh", "departure_stated"]
    assert [p.field for p in found.problems if p.row == 2] == fields
    assert all(np.isnan(getattr(found.table, name)[0]) for name in ("power_max_kw", "soc_arrival", "capacity_kwh"))
    assert np.isnan(found.table.departure_stated_ms[0])
    assert found.table.power_max_kw[1] == 7.4


def test_energy_above_the_rows_own_power_is_reported(tmp_path: Path) -> None:
    row = "1,A,u,2026-07-06T17:00+08:00,2026-07-06T18:00+08:00,12.5,7.4"
    found = read_rows(tmp_path, row, header=HEADER + ",max_power_kw")
    assert [(p.field, p.severity) for p in found.problems] == [("energy_kwh", "warning")]


def test_windows_are_half_open_by_arrival_and_history_by_departure(tmp_path: Path) -> None:
    table = read_rows(tmp_path, GOOD).table
    arrival, departure = int(table.arrival_ms[0]), int(table.departure_ms[0])
    assert len(window(table, arrival, arrival + 1)) == 1
    assert len(window(table, arrival - 5, arrival)) == 0
    assert len(departed_between(table, arrival, departure)) == 0
    assert len(departed_between(table, arrival, departure + 1)) == 1


def test_rejected_rows_are_counted_in_the_window_of_their_arrival(tmp_path: Path) -> None:
    found = read_rows(tmp_path, GOOD.replace("12.5", "-3"), "2,A,u,then,2026-07-07T07:00+08:00,1")
    arrival = parse_instant("2026-07-06T17:00:00+08:00")
    assert [each.row for each in found.rejected_between(arrival, arrival + 1)] == [2]
    assert found.rejected_between(0, arrival) == ()


CELL = st.one_of(
    st.sampled_from(
        [
            "",
            "1",
            "x",
            "-5",
            "nan",
            "1e400",
            "2026-07-06T17:00:00+08:00",
            "2026-07-06T19:00:00Z",
            "9999-12-31T23:59:59-23:59",
        ]
    ),
    st.text(max_size=12),
)


@given(st.lists(st.lists(CELL, min_size=6, max_size=6), max_size=12), st.sampled_from([None, "Asia/Shanghai"]))
def test_whatever_a_file_says_every_row_is_accepted_or_rejected_with_a_reason(
    cells: list[list[str]], timezone: str | None
) -> None:
    names = HEADER.split(",")
    columns = {name: [row[i] for row in cells] for i, name in enumerate(names)}
    rows = list(range(2, len(cells) + 2))
    found = judge(RawSessions(rows, columns, timezone=ZoneInfo(timezone) if timezone else None))
    assert found.total == len(cells) == len(found.table) + len(found.rejected)
    assert {each.row for each in found.rejected} == {p.row for p in found.problems if p.severity == "rejected"}
    assert set(found.table.row) | {each.row for each in found.rejected} == set(rows)
    assert (found.table.departure_ms > found.table.arrival_ms).all()
    assert (np.diff(found.table.arrival_ms) >= 0).all()
    assert len(set(found.table.session_id)) == len(found.table)


ROW = st.tuples(
    st.integers(0, 400), st.integers(-3, 60), st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["u", "v", ""])
)


def table_of(rows: list[tuple[int, int, str, str]]) -> dict[str, list[str]]:
    first = parse_instant("2026-07-06T00:00:00Z")
    return {
        "arrival": [format_instant(first + hour * 3_600_000) for hour, *_ in rows],
        "departure": [format_instant(first + (hour + length) * 3_600_000) for hour, length, *_ in rows],
        "session_id": [session for *_, session, _ in rows],
        "user_id": [user for *_, user in rows],
        "energy_kwh": ["1"] * len(rows),
    }


@given(st.lists(ROW, max_size=12), ROW, ROW)
def test_altering_a_later_row_changes_nothing_before_it(
    rows: list[tuple[int, int, str, str]], one: tuple[int, int, str, str], other: tuple[int, int, str, str]
) -> None:
    later = max([hour for hour, *_ in rows], default=0) + 1
    tables = []
    for hour, length, session, user in (one, other):
        columns = table_of([*rows, (later + hour, length, session, user)])
        table = judge(RawSessions(list(range(len(rows) + 1)), columns)).table
        tables.append(window(table, 0, parse_instant("2026-07-06T00:00:00Z") + later * 3_600_000))
    for name, values in vars(tables[0]).items():
        same = getattr(tables[1], name)
        assert values == same if isinstance(values, tuple) else np.array_equal(values, same, equal_nan=True)


@pytest.mark.parametrize(
    "stray",
    [
        '2,"A,u,2026-07-06T18:00+08:00,2026-07-07T07:00+08:00,1',
        '2,A,"u,2026-07-06T18:00+08:00,2026-07-07T07:00+08:00,1',
        '2,A,u,2026-07-06T18:00+08:00,2026-07-07T07:00+08:00,"1',
    ],
)
@pytest.mark.parametrize("others", [1, 2, 9_000])
def test_a_quotation_mark_that_nobody_closes_costs_its_own_row_alone(tmp_path: Path, stray: str, others: int) -> None:
    rest = [f"more-{n},A,,2026-07-08T17:00+08:00,2026-07-09T07:00+08:00,1" for n in range(others)]
    found = read_rows(tmp_path, GOOD, stray, *rest, GOOD.replace("1,A", "last,A"))
    assert found.total == others + 3
    assert [each.row for each in found.rejected] == [3]
    assert "quotation mark" in found.problems[0].reason
    assert {"1", "last"} <= set(found.table.session_id)


def test_two_rows_that_each_open_a_quotation_mark_are_both_rejected_and_not_made_one(tmp_path: Path) -> None:
    row = '{},"A,u,2026-07-06T18:00+08:00,2026-07-07T07:00+08:00,1'
    found = read_rows(tmp_path, row.format(2), row.format(3), GOOD)
    assert [each.row for each in found.rejected] == [2, 3]
    assert list(found.table.session_id) == ["1"]


def test_a_cell_of_several_lines_is_one_row_as_in_a_spreadsheet(tmp_path: Path) -> None:
    found = read_rows(tmp_path, GOOD.replace("A", '"A, first floor\nleft"'), "2,A,u,then,later,lots")
    assert found.table.location == ("A, first floor\nleft",)
    assert [each.row for each in found.rejected] == [3]


@pytest.mark.parametrize(
    ("arrival", "departure", "read"),
    [
        ("2026/7/6 17:00", "2026/7/7 7:00", "2026-07-06T17:00+08:00"),
        ("2026-7-6 17:00:30", "2026-7-7 7:00", "2026-07-06T17:00:30+08:00"),
        ("6.7.2026 17:00", "13.7.2026 7:00", "2026-07-06T17:00+08:00"),
        ("7/6/2026 5:00 PM", "7/13/2026 7:00 AM", "2026-07-06T17:00+08:00"),
        ("6/7/2026 17:00\t", "13/7/2026 07:00\t", "2026-07-06T17:00+08:00"),
        ("2026-07-06 17:00:00+00", "2026-07-06T19:00:00Z", "2026-07-06T17:00Z"),
    ],
)
def test_times_as_spreadsheets_write_them_are_read(tmp_path: Path, arrival: str, departure: str, read: str) -> None:
    found = read_rows(tmp_path, f"1,A,u,{arrival},{departure},1", timezone="Asia/Shanghai")
    assert found.problems == ()
    assert found.table.arrival_ms[0] == parse_instant(read)


def test_times_of_which_nobody_can_tell_day_and_month_are_rejected(tmp_path: Path) -> None:
    found = read_rows(tmp_path, "1,A,u,6/7/2026 17:00,7/7/2026 07:00,1", timezone="Asia/Shanghai")
    assert [(p.field, p.severity) for p in found.problems] == [("arrival", "rejected"), ("departure", "rejected")]
    assert "6/7/2026 17:00" in found.problems[0].reason


def test_a_long_cell_is_cut_in_the_reason(tmp_path: Path) -> None:
    found = read_rows(tmp_path, f"1,A,u,{'x' * 9_000},2026-07-07T07:00+08:00,1_000")
    assert [p.field for p in found.problems] == ["arrival", "energy_kwh"]
    assert all(len(p.reason) < 200 for p in found.problems)


def test_times_without_an_offset_take_the_last_resort_where_nothing_else_names_a_zone(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}\n1,A,u,2026-07-06T17:00,2026-07-07T07:00,1")
    assert len(read_sessions(path).table) == 0
    assert read_sessions(path, otherwise="Asia/Shanghai").table.arrival_ms[0] == parse_instant("2026-07-06T17:00+08:00")
    both = read_sessions(path, "Europe/Oslo", otherwise="Asia/Shanghai")
    assert both.table.arrival_ms[0] == parse_instant("2026-07-06T17:00+02:00")
