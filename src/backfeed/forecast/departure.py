"""When will this car leave: history, its calibration and the driver's word, joined.

`presence` says how much longer cars stood at moments like this one; `calibration` corrects the levels by
the record of past forecasts; `statement` weighs what the driver has said. `DepartureForecaster` keeps all
three in step: it learns from departures only, in the order in which they become known.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H
from backfeed.forecast.calibration import PROBE_H, Calibration
from backfeed.forecast.distribution import DepartureDistribution
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


_ARRIVALS_KEPT = 20_000  # more stays at once than any history forgets in time; then all are asked anew


@dataclass(frozen=True, slots=True)
class Corrections:
    """The records that correct levels: of forecasts by history alone, and of those that heard a statement."""

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
        The records that correct levels; without them they are taken as they are.
    """
    known = history.as_of(now_ms)
    forecast = _silent(known, user, location, arrival_ms, now_ms, corrections)
    if stated_ms is None:
        return forecast
    at_arrival = departure_by_history(history.as_of(arrival_ms), user, location, arrival_ms, arrival_ms)
    return _hearing(forecast, at_arrival, stated_ms, record.worth(user), corrections)


def _silent(
    known: Known, user: str, location: str, arrival_ms: int, now_ms: int, corrections: Corrections | None
) -> DepartureDistribution:
    """Return the corrected forecast that hears no statement."""
    forecast = departure_by_history(known, user, location, arrival_ms, now_ms)
    if corrections is None:
        return forecast
    elapsed_h = (now_ms - arrival_ms) / MS_PER_H
    return DepartureDistribution(now_ms, corrections.by_history.correct(elapsed_h, forecast.left_by))


def _hearing(
    silent: DepartureDistribution,
    at_arrival: DepartureDistribution,
    stated_ms: int,
    worth: Worth,
    corrections: Corrections | None,
) -> DepartureDistribution:
    """Return the corrected forecast that hears a statement; `at_arrival` is what history said on arrival."""
    here = 1.0 - float(at_arrival.left_share(np.array([silent.now_ms]))[0])
    forecast = with_statement(silent, here, stated_ms, worth)
    if corrections is None:
        return forecast
    elapsed_h = (silent.now_ms - at_arrival.now_ms) / MS_PER_H
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
        self._arrivals: dict[tuple[str, str, int], DepartureDistribution] = {}

    def learn(self, stay: Stay, known_at_ms: int) -> None:
        """Learn from a stay that has just ended: its levels, the driver's word, then the stay itself.

        Raises
        ------
        ValueError
            If the stay is not over at `known_at_ms` or a later one is known already.
        """
        departed = np.array([stay.departure_ms])
        at_arrival: DepartureDistribution | None = None
        for probe_h in PROBE_H:
            probe_ms = stay.arrival_ms + int(probe_h * MS_PER_H)
            if probe_ms >= stay.departure_ms:
                break
            known = self.history.as_of(probe_ms)
            forecast = departure_by_history(known, stay.user_id, stay.location, stay.arrival_ms, probe_ms)
            self.corrections.by_history.observe(probe_h, float(forecast.left_share(departed)[0]), known_at_ms)
            at_arrival = at_arrival or forecast
            if stay.stated_ms is not None:
                corrected = self.corrections.by_history.correct(probe_h, forecast.left_by)
                silent = DepartureDistribution(probe_ms, corrected)
                heard = _hearing(silent, at_arrival, stay.stated_ms, self.record.worth(stay.user_id), None)
                self.corrections.with_statement.observe(probe_h, float(heard.left_share(departed)[0]), known_at_ms)
        if stay.stated_ms is not None and at_arrival is not None:
            self.record.learn(stay.user_id, stay.stated_ms, stay.departure_ms, at_arrival)
        self._arrivals.pop((stay.user_id, stay.location, stay.arrival_ms), None)
        self.history.add(stay, known_at_ms)

    def distribution(
        self, user: str, location: str, arrival_ms: int, now_ms: int, stated_ms: int | None = None
    ) -> DepartureDistribution:
        """Return when a car that is here will leave; see `departure_distribution`."""
        forecast = _silent(self.history.as_of(now_ms), user, location, arrival_ms, now_ms, self.corrections)
        if stated_ms is None:
            return forecast
        return _hearing(
            forecast, self._on_arrival(user, location, arrival_ms), stated_ms, self.record.worth(user), self.corrections
        )

    def _on_arrival(self, user: str, location: str, arrival_ms: int) -> DepartureDistribution:
        """Return the forecast of an arrival, which is asked for at every step of the stay, from memory."""
        key = (user, location, arrival_ms)
        found = self._arrivals.get(key)
        if found is None:
            if len(self._arrivals) >= _ARRIVALS_KEPT:
                self._arrivals.clear()
            known = self.history.as_of(arrival_ms)
            found = self._arrivals[key] = departure_by_history(known, user, location, arrival_ms, arrival_ms)
        return found
