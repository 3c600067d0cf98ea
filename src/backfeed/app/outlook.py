"""The outlook: the forecasts, asked the two questions that planning has.

What are the odds that a car has left by some time, and how much does its driver need? The levels are set
before a run and never fitted to it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_MIN
from backfeed.fleet.session import PastSession
from backfeed.fleet.state import Plug
from backfeed.forecast.departure import DepartureForecaster
from backfeed.forecast.energy_need import EnergyDistribution, energy_need
from backfeed.forecast.history import Stay
from backfeed.plan.rolling import LEVELS

Ints = NDArray[np.int64]

REFRESH_MS = 15 * MS_PER_MIN
"""How long an answer is kept: a stay that goes on changes its own odds slowly."""


@dataclass(frozen=True, slots=True)
class _Answer:
    until_ms: int
    stated_ms: int
    left_by_ms: Ints


class ForecastOutlook:
    """Asks the forecasts, with what is known at the time of the question."""

    def __init__(self, past: Iterable[PastSession], timezone: str) -> None:
        """Begin with sessions that the platform did not meter itself; each becomes known at its own time."""
        self._waiting = deque(sorted(past, key=lambda session: session.known_at_ms))
        self._forecaster = DepartureForecaster(timezone)
        self._answers: dict[tuple[str, str], _Answer] = {}

    def need(self, owner_id: str, location: str, arrival_ms: int, now_ms: int) -> EnergyDistribution:
        """Return the energy that this driver takes, AC at the meter, by what is known now."""
        self._catch_up(now_ms)
        return energy_need(self._forecaster.history.as_of(now_ms), owner_id, location, arrival_ms)

    def left_by_ms(self, plug: Plug, location: str, now_ms: int) -> Ints:
        """Return by when a car that is still here will have left, with the chances of the rolling plan's levels."""
        key = (plug.station, plug.transaction)
        answer = self._answers.get(key)
        if answer is None or now_ms >= answer.until_ms or answer.stated_ms != plug.departure_stated_ms:
            answer = self._ask(plug, location, now_ms)
            self._answers[key] = answer
        return answer.left_by_ms

    def left_by_if_stated_ms(self, plug: Plug, location: str, now_ms: int, stated_ms: int) -> Ints:
        """Return the same if its driver stated a departure now."""
        return self._left_by_ms(plug, location, now_ms, stated_ms)

    def early_ms(self, owner_id: str) -> int:
        """Return how much earlier than stated a driver leaves at most who keeps the statement."""
        return self._forecaster.early_min(owner_id) * MS_PER_MIN

    def learn(self, session: PastSession) -> None:
        """Add a session that is over to the history."""
        self._catch_up(session.known_at_ms)
        self._teach(session)

    def _ask(self, plug: Plug, location: str, now_ms: int) -> _Answer:
        stated_ms = plug.departure_stated_ms
        return _Answer(now_ms + REFRESH_MS, stated_ms, self._left_by_ms(plug, location, now_ms, stated_ms))

    def _left_by_ms(self, plug: Plug, location: str, now_ms: int, stated_ms: int) -> Ints:
        self._catch_up(now_ms)
        distribution = self._forecaster.distribution(
            plug.token, location, min(plug.since_ms, now_ms), now_ms, stated_ms if stated_ms >= 0 else None
        )
        return distribution.quantiles_ms(np.array(LEVELS))

    def _catch_up(self, now_ms: int) -> None:
        while self._waiting and self._waiting[0].known_at_ms <= now_ms:
            self._teach(self._waiting.popleft())

    def _teach(self, session: PastSession) -> None:
        self._forecaster.learn(Stay.of(session), session.known_at_ms)
