"""Departures: proper distributions, learnt habits, calibrated levels, words weighed by their record."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.feeds.sessions import read_sessions
from backfeed.forecast.departure import DepartureForecaster, departure_distribution, departure_quantiles
from backfeed.forecast.distribution import DepartureDistribution
from backfeed.forecast.history import History, Stay
from backfeed.forecast.presence import REST_MIN
from backfeed.forecast.score import coverage, pinball_loss, ranking
from backfeed.forecast.statement import StatementRecord, with_statement

MONDAY_MS = 4 * MS_PER_DAY
LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
SHIPPED = Path(__file__).parents[2] / "examples" / "guangdong-homes" / "sessions.csv"


def commuter(
    user: str, days: int, *, arrives_h: float = 8.5, leaves_h: float = 17.0, sd_min: float = 15.0
) -> list[Stay]:
    stays = []
    for day in range(days):
        if (day + 4 + 3) % 7 >= 5:
            continue
        dice = Streams(3).generator("commuter", user, day)
        midnight = MONDAY_MS + day * MS_PER_DAY
        arrival = midnight + round(arrives_h * 60 + dice.normal(0, sd_min)) * MS_PER_MIN
        departure = midnight + round(leaves_h * 60 + dice.normal(0, sd_min)) * MS_PER_MIN
        stays.append(Stay(user, "office", arrival, departure, 10.0))
    return stays


def taught(stays: list[Stay]) -> DepartureForecaster:
    forecaster = DepartureForecaster("UTC")
    for stay in sorted(stays, key=lambda each: each.departure_ms):
        forecaster.learn(stay, stay.departure_ms)
    return forecaster


def after(stays: list[Stay], hour: float) -> int:
    """Return an hour of the first Monday after all stays."""
    last = max(stay.departure_ms for stay in stays)
    return MONDAY_MS + -(-(last - MONDAY_MS) // (7 * MS_PER_DAY)) * 7 * MS_PER_DAY + round(hour * MS_PER_H)


STAYS = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 20_000), st.sampled_from(["u", "v", ""]), st.sampled_from("AB")),
    max_size=25,
)


@settings(max_examples=60)
@given(STAYS, st.integers(0, 5000), st.one_of(st.none(), st.integers(-6000, 20_000)))
def test_every_forecast_is_a_distribution_of_the_future(
    rows: list[tuple[int, int, str, str]], elapsed_min: int, stated_min: int | None
) -> None:
    stays = [Stay(u, at, a * MS_PER_MIN, (a + n) * MS_PER_MIN, 1.0) for a, n, u, at in rows]
    forecaster = taught(stays)
    arrival_ms = 50_000 * MS_PER_MIN
    now_ms = arrival_ms + elapsed_min * MS_PER_MIN
    stated_ms = None if stated_min is None else now_ms + stated_min * MS_PER_MIN
    told = forecaster.distribution("u", "A", arrival_ms, now_ms, stated_ms)
    assert told.left_by[0] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(told.left_by) >= -1e-12).all()
    assert told.left_by[-1] <= 1.0 + 1e-9
    quantiles = told.quantiles_ms(LEVELS)
    assert (quantiles >= now_ms).all()
    assert (np.diff(quantiles) >= 0).all()


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.integers(1, 30), st.integers(0, 40))
def test_hazards_multiply_to_the_survival(shape: list[float], step_min: int, offset: int) -> None:
    left_by = np.clip(np.cumsum(np.full(len(REST_MIN), 1 / len(REST_MIN))) * shape[0], 0, 1)
    left_by[0] = 0.0
    told = DepartureDistribution(1_000_000 + offset * MS_PER_MIN, left_by)
    axis = TimeAxis(1_000_000, step_min * MS_PER_MIN, 96)
    survival, hazard = told.survival(axis), told.hazard(axis)
    assert ((hazard >= -1e-12) & (hazard <= 1)).all()
    assert np.allclose(np.cumprod(1 - hazard)[:-1], survival[1:])
    assert hazard[: offset // step_min].sum() == 0


def test_a_habit_is_learnt_within_weeks() -> None:
    stays = commuter("u", 28)
    forecaster = taught(stays)
    arrival = after(stays, 8.5)
    low, middle, high = forecaster.distribution("u", "office", arrival, arrival).quantiles_ms((0.1, 0.5, 0.9))
    assert abs(middle - after(stays, 17.0)) < 20 * MS_PER_MIN
    assert high - low < 3 * MS_PER_H


def test_who_is_still_here_after_his_time_is_expected_later() -> None:
    stays = commuter("u", 60)
    forecaster = taught(stays)
    arrival = after(stays, 8.5)
    quantiles = [
        int(forecaster.distribution("u", "office", arrival, after(stays, hour)).quantiles_ms((0.5,))[0])
        for hour in (9, 12, 16.5, 17.5, 19)
    ]
    assert all(earlier <= later + 10 * MS_PER_MIN for earlier, later in pairwise(quantiles))
    assert quantiles[-1] > after(stays, 19)


def test_a_new_user_is_forecast_by_his_location_and_a_new_location_by_all() -> None:
    stays = [stay for user in range(6) for stay in commuter(f"u{user}", 30)]
    forecaster = taught(stays)
    arrival = after(stays, 8.5)
    for user, location in (("new", "office"), ("", "office"), ("new", "new")):
        middle = int(forecaster.distribution(user, location, arrival, arrival).quantiles_ms((0.5,))[0])
        assert abs(middle - after(stays, 17.0)) < MS_PER_H


def test_with_no_history_at_all_the_prior_is_wide() -> None:
    low, high = DepartureForecaster("UTC").distribution("u", "A", 0, 0).quantiles_ms((0.1, 0.9))
    assert low < 2 * MS_PER_H
    assert high > 20 * MS_PER_H


def test_a_changed_habit_is_followed() -> None:
    before = commuter("u", 120)
    shift = 119 * MS_PER_DAY
    later = [
        replace(stay, arrival_ms=stay.arrival_ms + shift, departure_ms=stay.departure_ms + shift)
        for stay in commuter("u", 100, leaves_h=14.0)
    ]
    forecaster = taught(before + later)
    arrival = after(before + later, 8.5)
    middle = int(forecaster.distribution("u", "office", arrival, arrival).quantiles_ms((0.5,))[0])
    assert abs(middle - after(before + later, 14.0)) < MS_PER_H


def test_what_became_known_later_changes_no_earlier_forecast() -> None:
    stays = sorted(commuter("u", 40) + commuter("v", 40, leaves_h=12.0), key=lambda stay: stay.departure_ms)
    short, long = History("UTC"), History("UTC")
    now_ms = stays[25].departure_ms
    for number, stay in enumerate(stays):
        long.add(stay, stay.departure_ms)
        if number <= 25:
            short.add(stay, stay.departure_ms)
    asked = ("u", "office", now_ms - MS_PER_H, now_ms, LEVELS)
    assert np.array_equal(departure_quantiles(short, *asked), departure_quantiles(long, *asked))


def test_the_function_and_the_forecaster_agree() -> None:
    stays = [replace(stay, stated_ms=stay.departure_ms + 60_000) for stay in commuter("u", 40)]
    forecaster = taught(stays)
    arrival = after(stays, 8.5)
    for stated in (None, after(stays, 16.0)):
        asked = ("u", "office", arrival, arrival + MS_PER_H, stated)
        by_parts = departure_distribution(forecaster.history, forecaster.record, *asked, forecaster.corrections)
        assert np.array_equal(forecaster.distribution(*asked).left_by, by_parts.left_by)


def stated(stays: list[Stay], error_h: float, sd_min: float = 5.0) -> list[Stay]:
    return [
        replace(
            stay,
            stated_ms=stay.departure_ms
            + round(error_h * 60 + Streams(1).generator("word", number).normal(0, sd_min)) * MS_PER_MIN,
        )
        for number, stay in enumerate(stays)
    ]


def test_a_drivers_word_is_worth_what_his_record_says() -> None:
    honest, careless = stated(commuter("honest", 60), 0.0), stated(commuter("careless", 60), 5.0)
    record = taught(honest + careless).record
    assert record.worth("honest").kept_share > 0.85
    assert record.worth("careless").kept_share < 0.2
    assert record.worth("honest").spread_min < 15
    assert record.worth("careless").kept_share < record.worth("unknown").kept_share < record.worth("honest").kept_share


def test_a_kept_word_narrows_the_forecast_and_a_broken_one_hardly_moves_it() -> None:
    stays = stated(commuter("honest", 60), 0.0) + stated(commuter("careless", 60), 5.0)
    forecaster = taught(stays)
    arrival, word = after(stays, 8.5), after(stays, 12.0)
    honest = forecaster.distribution("honest", "office", arrival, arrival, word).quantiles_ms((0.1, 0.5, 0.9))
    assert abs(int(honest[1]) - word) < 20 * MS_PER_MIN
    assert honest[2] - honest[0] < 2 * MS_PER_H
    careless = forecaster.distribution("careless", "office", arrival, arrival, after(stays, 22.0))
    assert abs(int(careless.quantiles_ms((0.5,))[0]) - after(stays, 17.0)) < MS_PER_H


def test_an_hour_after_his_word_history_speaks_again() -> None:
    silent = DepartureDistribution(0, np.minimum(REST_MIN / 1000.0, 1.0))
    told = with_statement(silent, -12 * MS_PER_H, -3 * MS_PER_H, StatementRecord().worth("u"))
    assert np.allclose(told.left_by, silent.left_by, atol=0.25)
    assert told.left_by[0] == 0.0


@pytest.fixture(scope="module")
def shipped_replay() -> tuple[np.ndarray, ...]:
    """Return (quantiles, rest, naive) in hours at arrivals, and (soon, happened) hour by hour, of real stays."""
    table = read_sessions(SHIPPED).table
    stays = [
        Stay(table.user_id[i], table.location[i], int(table.arrival_ms[i]), int(table.departure_ms[i]), 1.0)
        for i in range(3200)
    ]
    forecaster, order, learnt = DepartureForecaster("Europe/Oslo"), sorted(stays, key=lambda s: s.departure_ms), 0
    asked = sorted(
        (stay.arrival_ms + hour * MS_PER_H, number, hour)
        for number, stay in enumerate(stays)
        if number > 1600
        for hour in range(0, 24, 4)
        if stay.arrival_ms + hour * MS_PER_H < stay.departure_ms
    )
    last: dict[str, float] = {}
    at_arrival, hourly = [], []
    for now_ms, number, hour in asked:
        while learnt < len(order) and order[learnt].departure_ms <= now_ms:
            ended = order[learnt]
            forecaster.learn(ended, ended.departure_ms)
            last[ended.user_id] = (ended.departure_ms - ended.arrival_ms) / MS_PER_H
            learnt += 1
        stay = stays[number]
        told = forecaster.distribution(stay.user_id, stay.location, stay.arrival_ms, now_ms)
        rest = (stay.departure_ms - now_ms) / MS_PER_H
        if hour == 0:
            quantiles = (told.quantiles_ms(LEVELS) - now_ms) / MS_PER_H
            at_arrival.append((quantiles, rest, last.get(stay.user_id, 8.0)))
        hourly.append((float(told.left_share(np.array([now_ms + 4 * MS_PER_H]))[0]), rest <= 4))
    return tuple(np.array(column) for column in (*zip(*at_arrival, strict=True), *zip(*hourly, strict=True)))


def test_levels_are_calibrated_on_real_stays(shipped_replay: tuple[np.ndarray, ...]) -> None:
    quantiles, rest, *_ = shipped_replay
    assert np.abs(coverage(quantiles, rest) - LEVELS).max() < 0.03


def test_forecasts_of_real_stays_beat_the_last_stay_of_the_user(shipped_replay: tuple[np.ndarray, ...]) -> None:
    quantiles, rest, naive, *_ = shipped_replay
    repeated = np.repeat(naive[:, None], len(LEVELS), axis=1)
    assert pinball_loss(quantiles, rest, LEVELS).mean() < 0.5 * pinball_loss(repeated, rest, LEVELS).mean()


def test_who_leaves_within_four_hours_is_ranked_well(shipped_replay: tuple[np.ndarray, ...]) -> None:
    *_, soon, happened = shipped_replay
    assert ranking(soon, happened) > 0.85
