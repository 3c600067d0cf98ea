"""The draft of a pilot: whatever the file, a window with sessions in it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backfeed.core.problem import InputError
from backfeed.feeds.judge import judge
from backfeed.feeds.pilot_draft import DAYS_MAX, TARIFF_END, PilotDraft, draft_pilot
from backfeed.feeds.session_file import RawSessions

FIRST = datetime(2021, 3, 27, 12, tzinfo=UTC)
"""A Saturday."""


def drafted(days_of_arrival: list[int], days: int) -> PilotDraft:
    arrivals = [FIRST + timedelta(days=day) for day in days_of_arrival]
    columns = {
        "arrival": [at.isoformat() for at in arrivals],
        "departure": [(at + timedelta(hours=1)).isoformat() for at in arrivals],
        "energy_kwh": ["1"] * len(arrivals),
    }
    file = judge(RawSessions(list(range(2, len(arrivals) + 2)), columns))
    return draft_pilot(file, "any", "Asia/Shanghai", days, "any.csv")


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=20), st.integers(1, DAYS_MAX))
@example([0, 1, 217, 218], 3)
@example([0, 1], 7)
def test_whatever_the_file_the_window_has_sessions_in_it_and_ends_with_the_tariff(
    arrivals: list[int], days: int
) -> None:
    made = drafted(arrivals, days)
    assert made.sessions > 0
    assert 1 <= made.days <= days
    assert made.start + timedelta(days=made.days - 1) <= TARIFF_END
    first = made.start - timedelta(weeks=made.shift_weeks)
    inside = [
        day for day in arrivals if first <= FIRST.date() + timedelta(days=day) < first + timedelta(days=made.days)
    ]
    assert len(inside) == made.sessions


def test_a_stray_date_does_not_draw_the_window_to_itself() -> None:
    made = drafted([0, *range(20_000, 20_009)], 14)
    assert (made.sessions, made.days) == (9, 9)


def test_a_window_longer_than_a_pilot_may_be_is_refused() -> None:
    with pytest.raises(InputError, match="--days: expected 1 to 400, found 401"):
        drafted([0], 401)


def test_a_window_of_whole_weeks_begins_on_a_monday_after_some_history() -> None:
    made = drafted(list(range(100)), 14)
    assert (made.start.isoweekday(), made.days, made.sessions) == (1, 14, 14)
    assert made.start - timedelta(weeks=made.shift_weeks) > date(2021, 4, 1)
