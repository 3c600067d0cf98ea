"""The judge on forecasts: how good they were in this run, and what was gained and missed at which risk.

The forecasts are made again, from what was known at each hour: the stays of the past and those of the window that had
ended, with what drivers had said of their own accord. Nothing of it reads the platform under judgement.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.app.judge_captured import JudgedWorld, statement_masks
from backfeed.fleet.session import PastSession
from backfeed.forecast.backtest import LEVELS, Backtest, backtest, score
from backfeed.forecast.history import Stay
from backfeed.report.run_report import DepartureForecasts, ForecastGroup, MissedRow, RiskBand
from backfeed.report.summary import WorldName
from backfeed.sim.columns import WorldSessions

PAST_MAX: Final = 4_000
"""How many of the latest stays of the past are learnt from: more than any forecast asks."""

ASKED_MAX: Final = 2_000
"""How many sessions of the window are forecast, the first: enough for three digits, and seconds at most."""

STEP_H: Final = 2

BANDS: Final = (0.0, 0.05, 0.2, 0.5, 0.8, 1.0)
"""Edges of the chances by which a departure is counted as early or late."""

CASES_MIN: Final = 50


def departure_forecasts(
    past: Sequence[PastSession], sessions: WorldSessions, timezone: str, worlds: Mapping[WorldName, JudgedWorld]
) -> DepartureForecasts | None:
    """Return how good forecasts of the window's departures were; None where there is too little to tell.

    Parameters
    ----------
    past
        The stays of the past.
    sessions
        The true sessions of the window.
    timezone
        IANA zone by whose clock the drivers live.
    worlds
        What the worlds were worth.
    """
    latest = sorted(past, key=lambda stay: stay.departure_ms)[-PAST_MAX:]
    asked = [_stay_of(sessions, index) for index in range(min(len(sessions), ASKED_MAX))]
    cases = backtest([Stay.of(stay) for stay in latest], asked, timezone, step_h=STEP_H)
    groups = [
        _group(name, cases.where(chosen))
        for name, chosen in (
            ("silent_arrivals", ~cases.is_stated & cases.is_arrival),
            ("silent_hourly", ~cases.is_stated),
            ("stated_arrivals", cases.is_stated & cases.is_arrival),
            ("stated_hourly", cases.is_stated),
        )
        if int(chosen.sum()) >= CASES_MIN
    ]
    if not groups:
        return None
    return DepartureForecasts(tuple(LEVELS.tolist()), tuple(groups), _bands(cases, worlds))


def _stay_of(sessions: WorldSessions, index: int) -> Stay:
    stated_ms = int(sessions.statement_ms[index])
    return Stay(
        sessions.token[index],
        sessions.location[index],
        int(sessions.arrival_ms[index]),
        int(sessions.departure_ms[index]),
        float(sessions.recorded_kwh[index]),
        stated_ms if stated_ms >= 0 else None,
    )


def _group(name: str, cases: Backtest) -> ForecastGroup:
    found = score(cases)
    return ForecastGroup(
        name=name,
        cases=found.cases,
        coverage=tuple(found.coverage.tolist()),
        width_h=found.width_h,
        pinball_h=found.pinball_h,
        naive_h=found.naive_h,
        stated_h=None if np.isnan(found.stated_h) else found.stated_h,
        ranking=None if np.isnan(found.soon_ranking) else found.soon_ranking,
    )


def _bands(cases: Backtest, worlds: Mapping[WorldName, JudgedWorld]) -> tuple[RiskBand, ...]:
    """Return value by the chance, told on arrival, that the car would be gone when it went."""
    if not {"unmanaged", "v2g", "foresight"} <= set(worlds):
        return ()
    base, reached, best = (worlds[name].sessions for name in ("unmanaged", "v2g", "foresight"))
    arrivals = cases.where(cases.is_arrival)
    bands = []
    for low, high in pairwise(BANDS):
        last = high >= BANDS[-1]
        mine = arrivals.stay[(arrivals.level >= low) & ((arrivals.level < high) | last)]
        bands.append(
            RiskBand(
                low=low,
                high=high,
                sessions=len(mine),
                gained=_sum(reached.net_value - base.net_value, mine),
                possible=_sum(best.net_value - base.net_value, mine),
                shortfall_cost=_sum(reached.shortfall_cost, mine),
            )
        )
    return tuple(bands)


def missed_rows(worlds: Mapping[WorldName, JudgedWorld], sessions: WorldSessions) -> tuple[MissedRow, ...]:
    """Return what V2G missed of foresight by what was known of a session, and in what; empty if a world is missing."""
    if not {"v2g", "foresight"} <= set(worlds):
        return ()
    reached, best = worlds["v2g"].sessions, worlds["foresight"].sessions
    traded = (best.discharge_revenue - best.energy_cost) - (reached.discharge_revenue - reached.energy_cost)
    rows = []
    for statement, mask in statement_masks(sessions).items():
        for tells_soc in (True, False):
            mine = np.flatnonzero(mask & (sessions.reports_soc == tells_soc))
            if len(mine):
                rows.append(
                    MissedRow(
                        statement=statement,
                        tells_soc=tells_soc,
                        sessions=len(mine),
                        energy=_sum(traded, mine),
                        shortfall=_sum(reached.shortfall_cost - best.shortfall_cost, mine),
                        wear=_sum(reached.wear_cost - best.wear_cost, mine),
                        leftover=_sum(best.terminal_adjustment - reached.terminal_adjustment, mine),
                    )
                )
    return tuple(rows)


def _sum(values: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    return float(values[rows].sum())
