"""Backtests: nothing looks ahead, and on real stays the forecasts keep what they promise fold by fold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backfeed.cli.forecast import stays_of
from backfeed.core.instant import MS_PER_H
from backfeed.core.rng import Streams
from backfeed.feeds.sessions import read_sessions
from backfeed.forecast.backtest import LEVELS, Backtest, backtest, fold_scores, score
from backfeed.forecast.history import Stay

SHIPPED = Path(__file__).parents[2] / "examples" / "guangdong-homes" / "sessions.csv"


def some_stays(count: int, *, stated: bool = False) -> list[Stay]:
    stays = []
    for number in range(count):
        dice = Streams(9).generator("stay", number)
        arrival = number * 3 * MS_PER_H + int(dice.integers(0, MS_PER_H))
        length = int(dice.gamma(4.0, 2.0 * MS_PER_H)) + 60_000
        word = arrival + length + int(dice.normal(0, MS_PER_H)) if stated and number % 2 else None
        stays.append(Stay(f"u{number % 4}", "A", arrival, arrival + length, 5.0, word))
    return stays


def columns(cases: Backtest, until_ms: int) -> list[np.ndarray]:
    early = cases.where(cases.at_ms < until_ms)
    return [early.at_ms, early.stay, early.quantiles_h, early.soon, early.naive_h, early.stated_h]


@pytest.mark.parametrize("stated", [False, True])
def test_altering_a_stay_changes_no_case_before_it_ended(stated: bool) -> None:  # noqa: FBT001
    stays = some_stays(60, stated=stated)
    altered = [
        replace(stay, departure_ms=stay.departure_ms + 5 * MS_PER_H, energy_kwh=9.0) if number == 40 else stay
        for number, stay in enumerate(stays)
    ]
    until_ms = stays[40].departure_ms
    plain, other = (columns(backtest(each[:10], each[10:], "UTC"), until_ms) for each in (stays, altered))
    assert all(np.array_equal(one, two, equal_nan=True) for one, two in zip(plain, other, strict=True))


def test_every_hour_of_a_stay_is_a_case() -> None:
    stays = [Stay("u", "A", 0, 5 * MS_PER_H // 2, 1.0), Stay("v", "A", MS_PER_H, 100 * MS_PER_H, 1.0)]
    cases = backtest([], stays, "UTC")
    assert len(cases) == 3 + 72
    assert cases.is_arrival.sum() == 2
    assert np.allclose(cases.rest_h[cases.stay == 0], [2.5, 1.5, 0.5])
    assert np.isnan(cases.stated_h).all()
    assert len(backtest(stays, [], "UTC")) == 0


def test_a_driver_who_leaves_four_hours_early_is_not_believed() -> None:
    """In 73 % of cases he leaves hours before his word; the forecast that has seen it beats the word by far."""
    stays = []
    for day in range(120):
        dice = Streams(4).generator("early", day)
        arrival = day * 24 * MS_PER_H + 8 * MS_PER_H
        length = int((9.0 + dice.normal(0, 0.5)) * MS_PER_H)
        early = dice.random() < 0.73
        error_ms = int(((4 if early else 0) + dice.normal(0, 0.3)) * MS_PER_H)
        stays.append(Stay("u", "A", arrival, arrival + length, 5.0, arrival + length + error_ms))
    cases = score(backtest(stays[:60], stays[60:], "UTC"))
    assert cases.pinball_h < 0.5 * cases.stated_h
    assert cases.off < 0.15


@pytest.mark.nightly
def test_levels_are_within_three_points_on_every_fold_of_real_stays() -> None:
    stays = stays_of(read_sessions(SHIPPED).table)
    first = int(0.4 * len(stays))
    cases = backtest(stays[:first], stays[first:], "Europe/Oslo")
    for part in (cases, cases.where(cases.is_arrival)):
        for fold in fold_scores(part, 4):
            assert np.abs(fold.coverage - LEVELS).max() < 0.03
            assert fold.pinball_h < 0.5 * fold.naive_h
    assert score(cases).soon_ranking > 0.885
