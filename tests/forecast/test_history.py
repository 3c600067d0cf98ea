"""History grows forward, and nobody sees past what was known."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H, MS_PER_MIN, local_datetime, parse_instant
from backfeed.forecast.departure import departure_by_history
from backfeed.forecast.history import History, LocalClock, PastKnownError, Stay

LENGTHS_H = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 40), st.sampled_from("uvw"), st.sampled_from("AB")), max_size=40
)


def history_of(rows: list[tuple[int, int, str, str]]) -> tuple[History, list[Stay]]:
    history = History("Asia/Shanghai")
    begun_h = 0
    stays = []
    for gap_h, length_h, user, location in rows:
        begun_h += gap_h
        stays.append(Stay(user, location, begun_h * MS_PER_H, (begun_h + length_h) * MS_PER_H, 5.0))
    stays.sort(key=lambda stay: stay.departure_ms)
    for stay in stays:
        history.add(stay, stay.departure_ms)
    return history, stays


@given(LENGTHS_H, st.integers(0, 1500))
def test_a_view_holds_exactly_what_was_known_at_its_instant(rows: list[tuple[int, int, str, str]], hour: int) -> None:
    history, stays = history_of(rows)
    now_ms = hour * MS_PER_H
    known = history.as_of(now_ms)
    expected = [stay for stay in stays if stay.departure_ms <= now_ms]
    assert [known.stay(row) for row in range(len(known))] == expected
    assert [known.stay(int(row)) for row in known.rows(1000)] == expected
    for user in "uvw":
        assert [known.stay(int(row)).user_id for row in known.rows_of_user(user, 1000)] == [
            user for stay in expected if stay.user_id == user
        ]
    assert [known.stay(int(row)) for row in known.rows_at("A", 3)] == [s for s in expected if s.location == "A"][-3:]
    assert np.array_equal(known.energy_kwh, [5.0] * len(expected))


@given(LENGTHS_H, st.integers(0, 1500))
def test_asking_past_known_at_raises(rows: list[tuple[int, int, str, str]], hour: int) -> None:
    known = history_of(rows)[0].as_of(hour * MS_PER_H)
    for row in (len(known), -1):
        with pytest.raises(PastKnownError):
            known.stay(row)
    with pytest.raises(PastKnownError):
        departure_by_history(known, "u", "A", 0, hour * MS_PER_H - 1)


def test_a_stay_that_is_not_over_or_comes_out_of_order_is_refused() -> None:
    history = History("UTC")
    with pytest.raises(ValueError, match="known at"):
        history.add(Stay("u", "A", 0, MS_PER_H, 1.0), MS_PER_H - 1)
    with pytest.raises(ValueError, match="known at"):
        history.add(Stay("u", "A", MS_PER_H, MS_PER_H, 1.0), MS_PER_H)
    history.add(Stay("u", "A", 0, MS_PER_H, 1.0), 5 * MS_PER_H)
    with pytest.raises(ValueError, match="grows forward"):
        history.add(Stay("u", "A", 0, MS_PER_H, 1.0), 4 * MS_PER_H)


@given(st.integers(parse_instant("2019-01-01T00:00Z"), parse_instant("2027-01-01T00:00Z")))
def test_the_local_clock_shows_what_the_zone_shows(at_ms: int) -> None:
    at_ms -= at_ms % MS_PER_MIN
    shown = local_datetime(at_ms, ZoneInfo("Europe/Oslo"))
    minute = LocalClock("Europe/Oslo").minute(at_ms)
    assert minute % 1440 == shown.hour * 60 + shown.minute
    assert (minute // 1440 + 3) % 7 == shown.weekday()
