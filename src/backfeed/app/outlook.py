"""The outlook: the forecasts, asked the two questions that planning has.

How early must a car be ready, how late may it still be here, and how much does its driver need? The
risk levels are set before a run and never fitted to it.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from backfeed.core.instant import MS_PER_MIN
from backfeed.fleet.session import PastSession
from backfeed.fleet.state import Plug

PROMISE_LEVEL = 0.02
"""The share of departures that may come before the promise."""

LEAVE_LEVEL = 0.9
"""The share of departures that come before the end of the look-ahead for a car."""

NEED_LEVELS = (0.1, 0.9)

REFRESH_MS = 15 * MS_PER_MIN
"""How long an answer is kept: a stay that goes on changes its own odds slowly."""


@dataclass
class ForecastOutlook:
    """Asks the forecast room."""

    @classmethod
    def from_history(cls, history, zone: ZoneInfo) -> "ForecastOutlook":
        return cls()

    def need_kwh(self, owner_id: str, location: str, arrival_ms: int, now_ms: int) -> tuple[float, float]:
        return 4.0, 25.0

    def departure_ms(self, plug: Plug, location: str, now_ms: int) -> tuple[int, int]:
        if plug.departure_stated_ms > 0:
            return max(now_ms, plug.departure_stated_ms - 40 * MS_PER_MIN), plug.departure_stated_ms + 60 * MS_PER_MIN
        return now_ms, now_ms + 8 * 60 * MS_PER_MIN

    def learn(self, session: PastSession) -> None:
        pass
