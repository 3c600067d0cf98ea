"""Instants: integers inside, ISO 8601 at the borders."""

import itertools
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import (
    MS_PER_DAY,
    MS_PER_H,
    format_instant,
    local_datetime,
    local_midnight_ms,
    parse_instant,
    to_datetime,
    to_ms,
)

instants = st.integers(0, to_ms(datetime(2200, 1, 1, tzinfo=UTC)))
zones = st.sampled_from(["Asia/Shanghai", "Europe/Oslo", "America/Los_Angeles", "Asia/Kathmandu"]).map(ZoneInfo)


@given(instants)
def test_text_and_back_is_the_same_instant(at_ms):
    assert parse_instant(format_instant(at_ms)) == at_ms


@given(instants, zones)
def test_the_wall_clock_of_any_zone_is_the_same_instant(at_ms, zone):
    assert to_ms(local_datetime(at_ms, zone)) == at_ms
    assert to_ms(to_datetime(at_ms)) == at_ms


@given(instants, instants)
def test_text_sorts_as_time_does(one, other):
    assert (format_instant(one) < format_instant(other)) == (one < other)


@pytest.mark.parametrize("text", ["2026-07-06T17:00:00", "yesterday", ""])
def test_text_without_an_offset_is_not_an_instant(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_instant(text)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 7, 1), 24), (date(2026, 10, 25), 25)])
def test_a_local_day_has_as_many_hours_as_its_clock_changes_leave(day, hours):
    oslo = ZoneInfo("Europe/Oslo")
    after = date.fromordinal(day.toordinal() + 1)
    assert local_midnight_ms(after, oslo) - local_midnight_ms(day, oslo) == hours * MS_PER_H


def test_shanghai_has_plain_days():
    shanghai = ZoneInfo("Asia/Shanghai")
    midnights = [local_midnight_ms(date.fromordinal(n), shanghai) for n in range(739_000, 739_400)]
    assert {later - earlier for earlier, later in itertools.pairwise(midnights)} == {MS_PER_DAY}
