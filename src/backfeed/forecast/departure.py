"""When will this car leave: history, the record of past forecasts and the driver's word, joined.

`presence` says how much longer cars stood at moments like this one; `hazard` corrects it hour by hour and
`calibration` level by level, both by the record of past forecasts; `statement` weighs what the driver has
said. `DepartureForecaster` keeps all in step: it learns from departures only, in the order in which they
become known.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H
from backfeed.forecast.calibration import PROBE_H, Calibration
from backfeed.forecast.distribution import DepartureDistribution
from backfeed.forecast.hazard import HazardRecord, habit_class
from backfeed.forecast.history import History, Known, PastKnownError, Stay
from backfeed.forecast.presence import ALL_ROWS, LOCATION_ROWS, USER_ROWS, rest_of_stay
from backfeed.forecast.statement import StatementRecord, Worth, with_statement


def departure_by_history(known: Known, user: str, location: str, arrival_ms: int, now_ms: int) -> DepartureDistribution:
    """Return the departure by what is known of past stays alone, without calibration.

    Raises
    ------
    PastKnownError
        If the view knows more than was known at `now_ms`.
    """
    if known.now_ms > now_ms:
        message = f"asked at {now_ms} with a history as of {known.now_ms}"
        raise PastKnownError(message)
    assert arrival_ms <= now_ms, "a car is forecast once it has arrived"
    cdf = rest_of_stay(
        known.rows_of_user(user, USER_ROWS),
        known.rows_at(location, LOCATION_ROWS),
        known.rows(ALL_ROWS),
        known.arrival_min,
        known.departure_min,
        known.clock.minute(arrival_ms),
        known.clock.minute(now_ms),
    )
    return DepartureDistribution(now_ms, cdf)


HABIT_ROWS = 30
"""How many of a driver's latest stays make his habit."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """The records of past forecasts that correct the next.

    Parameters
    ----------
    hazard
        Of forecasts by history alone, hour by hour.
    by_history, with_statement
        Of the levels of forecasts so corrected, and of those that heard a statement.
    """

    hazard: HazardRecord = field(default_factory=HazardRecord)
    by_history: Calibration = field(default_factory=Calibration)
    with_statement: Calibration = field(default_factory=Calibration)


def departure_distribution(
    history: History,
    record: StatementRecord,
    user: str,
    location: str,
    arrival_ms: int,
    now_ms: int,
    stated_ms: int | None = None,
    corrections: Corrections | None = None,
) -> DepartureDistribution:
    """Return when a car that is here will leave.

    Parameters
    ----------
    history
        Past stays; only those known at `now_ms` are looked at.
    record
        How drivers have kept their word.
    user, location
        Who and where; "" for an unknown user.
    arrival_ms, now_ms
        Since when the car is here, and the instant of the forecast.
    stated_ms
        The departure that the driver stated, None if he is silent.
    corrections
        The records that correct forecasts; without them they are taken as they are.
    """
    known = history.as_of(now_ms)
    forecast = _silent(known, user, location, arrival_ms, now_ms, corrections)
    if stated_ms is None:
        return forecast
    return _hearing(forecast, arrival_ms, stated_ms, record.worth(user), corrections)


def _habit(known: Known, user: str, arrival_ms: int) -> int:
    """Return a driver's class by the stays that were known at his arrival."""
    return habit_class(known.as_of(arrival_ms).lengths_of_user_h(user, HABIT_ROWS))


def _hour_by_hour(
    corrections: Corrections, forecast: DepartureDistribution, known: Known, arrival_ms: int, habit: int
) -> DepartureDistribution:
    """Return a forecast by history with its hazards corrected."""
    arrival, now = known.clock.minute(arrival_ms), known.clock.minute(forecast.now_ms)
    return DepartureDistribution(forecast.now_ms, corrections.hazard.correct(forecast.left_by, arrival, now, habit))


def _silent(
    known: Known, user: str, location: str, arrival_ms: int, now_ms: int, corrections: Corrections | None
) -> DepartureDistribution:
    """Return the corrected forecast that hears no statement."""
    forecast = departure_by_history(known, user, location, arrival_ms, now_ms)
    if corrections is None:
        return forecast
    hourly = _hour_by_hour(corrections, forecast, known, arrival_ms, _habit(known, user, arrival_ms))
    elapsed_h = (now_ms - arrival_ms) / MS_PER_H
    return DepartureDistribution(now_ms, corrections.by_history.correct(elapsed_h, hourly.left_by))


def _hearing(
    silent: DepartureDistribution, arrival_ms: int, stated_ms: int, worth: Worth, corrections: Corrections | None
) -> DepartureDistribution:
    """Return the corrected forecast that hears a statement."""
    forecast = with_statement(silent, arrival_ms, stated_ms, worth)
    if corrections is None:
        return forecast
    elapsed_h = (silent.now_ms - arrival_ms) / MS_PER_H
    return DepartureDistribution(silent.now_ms, corrections.with_statement.correct(elapsed_h, forecast.left_by))


def departure_quantiles(
    history: History,
    user: str,
    location: str,
    arrival_ms: int,
    now_ms: int,
    levels: NDArray[np.float64] | tuple[float, ...],
    corrections: Corrections | None = None,
) -> NDArray[np.int64]:
    """Return the instants by which a silent driver has left with the given probabilities, shape `(level,)`."""
    record = StatementRecord()
    return departure_distribution(
        history, record, user, location, arrival_ms, now_ms, corrections=corrections
    ).quantiles_ms(levels)


class DepartureForecaster:
    """Forecasts departures and learns from every one that becomes known.

    >>> forecaster = DepartureForecaster("Asia/Shanghai")
    >>> forecaster.learn(Stay("u", "home", 0, 36_000_000, 7.0), known_at_ms=36_000_000)
    >>> forecast = forecaster.distribution("u", "home", arrival_ms=86_400_000, now_ms=86_400_000)
    >>> bool(0.0 < forecast.left_share([86_400_000 + 36_000_000])[0] < 1.0)
    True
    """

    def __init__(self, timezone: str) -> None:
        """Begin knowing nothing of drivers who live by the clock of an IANA zone."""
        self.history = History(timezone)
        self.corrections = Corrections()
        self.record = StatementRecord()

    def learn(self, stay: Stay, known_at_ms: int) -> None:
        """Learn from a stay that has just ended: its levels, the driver's word, then the stay itself.

        Raises
        ------
        ValueError
            If the stay is not over at `known_at_ms` or a later one is known already.
        """
        probes_ms = [stay.arrival_ms + int(hours * MS_PER_H) for hours in PROBE_H]
        habit = _habit(self.history.as_of(known_at_ms), stay.user_id, stay.arrival_ms)
        forecasts = [self._looking_back(stay, at_ms, habit) for at_ms in probes_ms if at_ms < stay.departure_ms]
        for (_, hourly), probe_h in zip(forecasts, PROBE_H, strict=False):
            self._learn_levels(stay, probe_h, hourly, known_at_ms)
        if stay.stated_ms is not None:
            self.record.learn(stay.user_id, stay.arrival_ms, stay.stated_ms, stay.departure_ms)
        minute = self.history.clock.minute
        self.corrections.hazard.observe(
            [(minute(forecast.now_ms), forecast.left_by) for forecast, _ in forecasts],
            minute(stay.arrival_ms),
            minute(stay.departure_ms),
            habit,
            known_at_ms,
        )
        self.history.add(stay, known_at_ms)

    def _looking_back(self, stay: Stay, at_ms: int, habit: int) -> tuple[DepartureDistribution, DepartureDistribution]:
        """Return what history alone said of a stay at an instant, raw and corrected by what is known of hours now."""
        known = self.history.as_of(at_ms)
        forecast = departure_by_history(known, stay.user_id, stay.location, stay.arrival_ms, at_ms)
        return forecast, _hour_by_hour(self.corrections, forecast, known, stay.arrival_ms, habit)

    def _learn_levels(self, stay: Stay, probe_h: float, hourly: DepartureDistribution, known_at_ms: int) -> None:
        """Learn at which level the departure fell, without and with the driver's word."""
        departed = np.array([stay.departure_ms])
        by_history, with_word = self.corrections.by_history, self.corrections.with_statement
        by_history.observe(probe_h, float(hourly.left_share(departed)[0]), known_at_ms)
        if stay.stated_ms is not None:
            silent = DepartureDistribution(hourly.now_ms, by_history.correct(probe_h, hourly.left_by))
            heard = _hearing(silent, stay.arrival_ms, stay.stated_ms, self.record.worth(stay.user_id), None)
            with_word.observe(probe_h, float(heard.left_share(departed)[0]), known_at_ms)

    def distribution(
        self, user: str, location: str, arrival_ms: int, now_ms: int, stated_ms: int | None = None
    ) -> DepartureDistribution:
        """Return when a car that is here will leave; see `departure_distribution`."""
        forecast = _silent(self.history.as_of(now_ms), user, location, arrival_ms, now_ms, self.corrections)
        if stated_ms is None:
            return forecast
        return _hearing(forecast, arrival_ms, stated_ms, self.record.worth(user), self.corrections)

    def early_min(self, user: str) -> int:
        """Return how much earlier than stated a driver leaves at most who keeps the statement [min]."""
        return self.record.worth(user).early_min
