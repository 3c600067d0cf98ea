"""A pilot for a session file that nobody prepared: which weeks, moved to when, at what power.

The draft takes whole weeks from a Monday on, the busiest ones that leave a fifth of the file before them
as history; a file that is too short for that is taken where it is busiest. The weeks are moved to the
same season of the year in which the preset tariff holds. The power of the chargers is the least usual
size that the file's own powers fit under: recorded ones, or the mean powers of stays, and then 7.4 kW at least.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H, local_datetime
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.redate import redate
from backfeed.feeds.session_file import SessionFile
from backfeed.fleet.session import SessionTable

TARIFF = "guangdong-v2g"
TARIFF_TIMEZONE = "Asia/Shanghai"
TARIFF_CURRENCY = "CNY"
BONUS = 1.0
"""What the draft pays a driver for a departure that was asked for and kept [`TARIFF_CURRENCY`]."""
CHARGE_BONUS = 1.0
"""What it pays for a state of charge that was asked for and proves right [`TARIFF_CURRENCY`]."""

TARIFF_END = date(2026, 12, 31)
"""The preset of the draft, and the last day on which it holds."""

DAYS_MAX = 400
"""The longest window of a pilot: a year, and what it takes to see it whole."""

HISTORY_SHARE = 0.2
POWERS_KW = (3.7, 7.4, 11.0, 22.0, 50.0, 75.0, 100.0, 150.0, 250.0, 350.0)
COMMON_POWER_KW = 7.4
_POWER_SLACK = 1.05
_RECORDED_LEVEL = 0.9
_MEAN_LEVEL = 0.99
_MEAN_STAY_LEAST_H = 0.5
_WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class PilotDraft:
    """What a new pilot file says; `start` is the first day after the shift."""

    name: str
    timezone: str
    start: date
    days: int
    shift_weeks: int
    power_kw: float
    sessions: int


def draft_pilot(file: SessionFile, name: str, timezone: str, days: int, where: str) -> PilotDraft:
    """Return a pilot that runs on a file.

    Parameters
    ----------
    file
        The judged file.
    name
        What to call the pilot.
    timezone
        IANA zone of the pilot.
    days
        The length that is wished for; a shorter file gets less.
    where
        What a problem calls the file.

    Raises
    ------
    InputError
        If no session of the file can be served, or `days` is not 1 to `DAYS_MAX`.
    """
    if not 1 <= days <= DAYS_MAX:
        raise InputError([Problem("--days", f"expected 1 to {DAYS_MAX}, found {days}")])
    zone = ZoneInfo(timezone)
    moved = redate(file, 0, timezone)
    table = moved.table
    if len(table) == 0:
        what = f"expected sessions that can be served, found none in {file.total} rows"
        told = (Problem(f"row {p.row}, {p.field}", p.reason) for p in moved.problems[:5])
        raise InputError([Problem(where, what), *told])
    arrivals = np.array([local_datetime(int(at), zone).date().toordinal() for at in table.arrival_ms], dtype=np.int64)
    first, length = _busiest_weeks(np.sort(arrivals), days)
    inside = (arrivals >= first) & (arrivals < first + length)
    start = date.fromordinal(first)
    shift = _weeks_into_tariff(start, length)
    return PilotDraft(
        name=name,
        timezone=timezone,
        start=start + timedelta(weeks=shift),
        days=length,
        shift_weeks=shift,
        power_kw=_power_kw(table.select(inside)),
        sessions=int(inside.sum()),
    )


def pilot_toml(draft: PilotDraft, sessions_file: str) -> str:
    """Return the text of the pilot file; `sessions_file` is the path that it names, relative to itself."""
    return f"""# Written by `backfeed pilot new`. Every key that is left out here has a default.

[pilot]
name = {json.dumps(draft.name, ensure_ascii=False)}
timezone = {json.dumps(draft.timezone)}
start = {draft.start.isoformat()}
days = {draft.days}
seed = 1
currency = "{TARIFF_CURRENCY}"

[sessions]
file = {json.dumps(sessions_file, ensure_ascii=False)}
shift_weeks = {draft.shift_weeks}
history_days = 365

[chargers]
power_kw = {draft.power_kw}
v2g_share = 1.0

[drivers]
statement_share = 0.8

[prompts]
bonus = {BONUS}
charge_bonus = {CHARGE_BONUS}

[tariff]
preset = "{TARIFF}"
"""


def _busiest_weeks(arrivals: NDArray[np.int64], days: int) -> tuple[int, int]:
    """Return the first day (ordinal) and the length of the window; `arrivals` are sorted days."""

    def busiest(starts: NDArray[np.int64]) -> tuple[int, int]:
        """Return the first of the starts behind which most arrivals lie, and how many."""
        counts = np.searchsorted(arrivals, starts + days) - np.searchsorted(arrivals, starts)
        return int(starts[np.argmax(counts)]), int(counts.max())

    first, last = int(arrivals[0]), int(arrivals[-1])
    after_history = max(first + 1, int(arrivals[int(HISTORY_SHARE * len(arrivals))]))
    mondays = np.unique(arrivals - (arrivals - 1) % _WEEK_DAYS)
    mondays = mondays[(mondays >= after_history) & (mondays + days <= last + 1)]
    if len(mondays):
        monday, count = busiest(mondays)
        if count:
            return monday, days
    start, count = busiest(np.unique(arrivals))
    end = int(arrivals[np.searchsorted(arrivals, start) + count - 1])
    return start, end - start + 1


def _weeks_into_tariff(start: date, days: int) -> int:
    """Return the weeks from `start` to the same season of the tariff's last year, the window ending in it."""
    day_of_year = min(
        (start - start.replace(month=1, day=1)).days, (TARIFF_END - TARIFF_END.replace(month=1, day=1)).days
    )
    target = TARIFF_END.replace(month=1, day=1) + timedelta(days=day_of_year)
    weeks = round((target - start).days / _WEEK_DAYS)
    over = (start + timedelta(weeks=weeks, days=days - 1) - TARIFF_END).days
    return weeks - max(0, -(-over // _WEEK_DAYS))


def _power_kw(table: SessionTable) -> float:
    """Return the least usual charger size that the window's powers fit under."""
    recorded = table.power_max_kw[~np.isnan(table.power_max_kw)]
    stay_h = (table.departure_ms - table.arrival_ms) / MS_PER_H
    mean = (table.energy_kwh / stay_h)[stay_h >= _MEAN_STAY_LEAST_H]
    if 2 * len(recorded) >= len(table):
        power = float(np.quantile(recorded, _RECORDED_LEVEL))
    else:
        # A car that stands idle hides its charger's power: the mean only ever raises the common size.
        power = max(COMMON_POWER_KW, float(np.quantile(mean, _MEAN_LEVEL)) if len(mean) else 0.0)
    return next((size for size in POWERS_KW if size * _POWER_SLACK >= power), POWERS_KW[-1])
