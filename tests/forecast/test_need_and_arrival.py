"""Energy needs and arrivals: what is common is expected, and a Sunday at the office is quiet."""

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H
from backfeed.core.rng import Streams
from backfeed.forecast.arrival import arrival_rate
from backfeed.forecast.energy_need import energy_need, energy_quantiles
from backfeed.forecast.history import History, Known, Stay

MONDAY_MS = 4 * MS_PER_DAY
WEEKS = 8


def office() -> Known:
    """Ten colleagues who come at half past eight on working days and take 5 or 20 kWh, each his own."""
    stays = []
    for day in range(7 * WEEKS):
        for user in range(10):
            dice = Streams(2).generator("day", user, day)
            if day % 7 >= 5 or dice.random() < 0.3:
                continue
            arrival = MONDAY_MS + day * MS_PER_DAY + round((8.5 + dice.normal(0, 0.3)) * MS_PER_H)
            energy = (20.0 if user < 5 else 5.0) + dice.normal(0, 0.5)
            stays.append(Stay(f"u{user}", "office", arrival, arrival + 8 * MS_PER_H, energy))
    history = History("UTC")
    for stay in sorted(stays, key=lambda each: each.departure_ms):
        history.add(stay, stay.departure_ms)
    return history.as_of(MONDAY_MS + 7 * WEEKS * MS_PER_DAY)


def test_each_user_is_expected_to_need_what_he_has_needed() -> None:
    known = office()
    for user, expected in (("u0", 20.0), ("u9", 5.0)):
        low, middle, high = energy_quantiles(known, user, "office", known.now_ms + 8 * MS_PER_H, (0.25, 0.5, 0.75))
        assert low <= middle <= high
        assert abs(middle - expected) < 1.0


def test_a_new_user_is_expected_to_need_what_the_location_needs() -> None:
    known = office()
    low, high = energy_quantiles(known, "new", "office", known.now_ms + 8 * MS_PER_H, (0.2, 0.8))
    assert low < 7
    assert high > 18


def test_three_stays_have_not_shown_the_most_that_a_driver_takes_and_forty_have() -> None:
    most_kwh = []
    for count in (3, 40):
        history = History("UTC")
        for day in range(count):
            arrival = MONDAY_MS + day * MS_PER_DAY
            history.add(Stay("u", "office", arrival, arrival + MS_PER_H, 10.0), arrival + MS_PER_H)
        known = history.as_of(MONDAY_MS + count * MS_PER_DAY)
        most_kwh.append(energy_quantiles(known, "u", "office", known.now_ms, (0.9,))[0])
    assert most_kwh[0] > 12.0
    assert 10.0 < most_kwh[1] < 11.0


def test_a_stay_that_has_taken_much_is_one_of_those_that_take_more() -> None:
    known = office()
    told = energy_need(known, "u0", "office", known.now_ms + 8 * MS_PER_H)
    most = [told.quantiles_kwh((0.95,), taken)[0] for taken in np.arange(0.0, 60.0, 0.5)]
    assert (np.diff(most) >= -1e-9).all()
    assert (most >= np.arange(0.0, 60.0, 0.5)).all()
    assert told.quantiles_kwh((0.5,), 10.0)[0] > 15.0, "5 kWh are behind it"


def test_weights_of_an_energy_distribution_sum_to_one() -> None:
    for known in (office(), History("UTC").as_of(0)):
        told = energy_need(known, "u0", "office", known.now_ms)
        assert (np.diff(told.energy_kwh) >= 0).all()
        assert (np.diff(told.level) >= 0).all()
        assert 0 < told.level[0] < told.level[-1] < 1 + 1e-9


def test_arrivals_are_expected_when_people_have_come() -> None:
    known = office()
    week = TimeAxis(known.now_ms, MS_PER_H // 4, 4 * 24 * 7)
    rate = arrival_rate(known, week, "office")
    by_day = rate.reshape(7, -1).sum(axis=1)
    assert np.allclose(by_day[:4], 7.0, atol=1.0)
    assert (by_day[5:] < 1.0).all()
    assert abs(int(np.argmax(rate[:96])) - 34) <= 2
    coarse = arrival_rate(known, TimeAxis(known.now_ms, MS_PER_H, 24 * 7), "office")
    assert np.isclose(coarse.sum(), rate.sum(), rtol=0.05)


def test_nobody_is_expected_where_nobody_has_been() -> None:
    assert arrival_rate(office(), TimeAxis(0, MS_PER_H, 5), "elsewhere").sum() == 0
