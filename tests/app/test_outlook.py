"""The outlook: it answers from what is known by then, in order, and from memory for a while."""

import dataclasses

import numpy as np
import pytest

from backfeed.app.knowledge import NEED_LEVELS
from backfeed.app.outlook import REFRESH_MS, ForecastOutlook
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN
from backfeed.fleet.session import PastSession
from backfeed.fleet.state import Plug
from backfeed.plan.rolling import LEVELS

MONDAY_MS = 1_782_662_400_000
"""2026-06-29 00:00 in Shanghai."""


def commuter(days, first=0, energy_kwh=10.0, stays_h=14):
    """A driver who comes home at 18:00 and stays the night."""
    arrivals = [MONDAY_MS + day * MS_PER_DAY + 18 * MS_PER_H for day in range(first, first + days)]
    return [
        PastSession("driver", "home", at, at + stays_h * MS_PER_H, energy_kwh, -1, at + stays_h * MS_PER_H)
        for at in arrivals
    ]


ARRIVAL_MS = MONDAY_MS + 28 * MS_PER_DAY + 18 * MS_PER_H
HERE = Plug("home-1", 1, "T-1", "driver", ARRIVAL_MS)


def outlook(past):
    return ForecastOutlook(past, "Asia/Shanghai")


def test_quantiles_are_in_order_and_after_now():
    left_by = outlook(commuter(28)).left_by_ms(HERE, "home", ARRIVAL_MS)
    assert left_by.shape == (len(LEVELS),)
    assert (np.diff(left_by) >= 0).all()
    assert left_by[0] >= ARRIVAL_MS
    assert abs(left_by[LEVELS.index(0.4)] - ARRIVAL_MS - 14 * MS_PER_H) < MS_PER_H


def test_a_statement_given_later_is_heard_at_once():
    asked = outlook(commuter(28))
    silent = asked.left_by_ms(HERE, "home", ARRIVAL_MS)
    stated = dataclasses.replace(HERE, departure_stated_ms=ARRIVAL_MS + 20 * MS_PER_H)
    heard = asked.left_by_ms(stated, "home", ARRIVAL_MS)
    assert heard[LEVELS.index(0.4)] > silent[LEVELS.index(0.4)] + 4 * MS_PER_H


def test_an_answer_is_kept_for_a_quarter_of_an_hour_and_then_revised():
    asked = outlook(commuter(28))
    first = asked.left_by_ms(HERE, "home", ARRIVAL_MS)
    assert asked.left_by_ms(HERE, "home", ARRIVAL_MS + REFRESH_MS - 1) is first
    assert asked.left_by_ms(HERE, "home", ARRIVAL_MS + REFRESH_MS) is not first


def test_sessions_that_are_known_later_change_no_earlier_answer():
    past, later = commuter(28), commuter(9, first=30, energy_kwh=40.0, stays_h=3)
    one, other = outlook(past), outlook(past + later)
    assert np.array_equal(one.left_by_ms(HERE, "home", ARRIVAL_MS), other.left_by_ms(HERE, "home", ARRIVAL_MS))
    asked = ("driver", "home", ARRIVAL_MS)
    assert np.array_equal(one.need(*asked, ARRIVAL_MS).energy_kwh, other.need(*asked, ARRIVAL_MS).energy_kwh)
    much_later = ARRIVAL_MS + 12 * MS_PER_DAY
    asked = ("driver", "home", much_later, much_later)
    assert one.need(*asked).quantiles_kwh((0.95,)) < other.need(*asked).quantiles_kwh((0.95,))


def test_what_the_platform_learns_itself_counts_like_what_it_was_given():
    past = commuter(28)
    taught = outlook(past[:14])
    for session in past[14:]:
        taught.learn(session)
    assert np.array_equal(
        taught.left_by_ms(HERE, "home", ARRIVAL_MS), outlook(past).left_by_ms(HERE, "home", ARRIVAL_MS)
    )


@pytest.mark.parametrize("energy_kwh", [6.0, 25.0])
def test_the_band_of_a_need_holds_what_a_regular_driver_takes(energy_kwh):
    need = outlook(commuter(28, energy_kwh=energy_kwh)).need("driver", "home", ARRIVAL_MS, ARRIVAL_MS)
    low, high = need.quantiles_kwh(NEED_LEVELS)
    assert low <= energy_kwh <= high


def test_a_departure_is_promised_as_late_as_kept_words_have_shown_that_it_may_be():
    asked = outlook([])
    assert asked.early_ms("driver") == 15 * MS_PER_MIN
    for stay in commuter(150):
        asked.learn(dataclasses.replace(stay, departure_stated_ms=stay.departure_ms + 3 * MS_PER_MIN))
    assert asked.early_ms("driver") == 3 * MS_PER_MIN
