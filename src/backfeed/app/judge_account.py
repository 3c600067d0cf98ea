"""What each session cost and earned: the accounts of the judge, one row a session.

All of it comes from the world's truth, never from what the platform believed or metered:

- energy bought at the price of its quarter-hour, energy sold likewise with granted subsidies;
- wear by the closed form on the realised path of the state of charge, the same law in every world;
- the end of the stay. `required` is arrival energy plus recorded energy times the charge efficiency.
  At a departure, what is missing is priced as shortfall; missing is counted from the energy that
  charging at once would have reached, because no control can be blamed for more. What lies above
  `required` is credited at the window's cheapest buy price. For a car that is still there when the
  window ends, energy below `required` is charged at the window's dearest buy price instead;
- valley energy, and how much of what was charged was discharged again in the same stay: a discharge
  takes what was charged last, first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.chemistry import Chemistry
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.temperature import CellTemperature
from backfeed.battery.wear import DEFAULT_VALUE_PER_KWH, SocPaths, path_costs
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H
from backfeed.market.price import PriceSeries
from backfeed.meter.cycled import cycled_kwh
from backfeed.sim.columns import WorldSessions
from backfeed.sim.truth import Segments, Truth
from backfeed.sim.vehicle import advance_fleet, drive_kw_fleet

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

VALLEY_WORDS: Final = frozenset(("valley", "deep", "low", "off", "night"))
"""A period is off-peak if its name has one of these words: valley, deep_valley, off_peak, ..."""


@dataclass(frozen=True, slots=True)
class JudgeTerms:
    """How the judge values things.

    Parameters
    ----------
    shortfall_per_kwh
        Price of battery energy missing at a departure [currency/kWh].
    value_per_kwh
        Worth of new battery capacity [currency/kWh].
    short_kwh
        A departure is short if it misses more than this [kWh in the battery].
    temperature
        How warm the cells are.
    """

    shortfall_per_kwh: float = 3.0
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH
    short_kwh: float = 1.0
    temperature: CellTemperature = field(default_factory=CellTemperature)


@dataclass(frozen=True)
class SessionAccounts:
    """Equal-length columns, row = session of the world, in its order. Money in currency, energy AC unless said.

    Parameters
    ----------
    charged_kwh, discharged_kwh
        At the meter, both magnitudes.
    subsidy
        The granted subsidies in `discharge_revenue`.
    energy_cost, discharge_revenue, wear_cost, shortfall_cost, terminal_adjustment
        The parts of the net value.
    departed
        Whether the stay ended inside the window.
    feasible
        Whether it departed and charging at once would have met its recorded energy.
    shortfall_kwh
        Battery energy missing at the departure [kWh].
    short
        Whether a feasible departure missed more than the tolerance.
    valley_kwh
        The part of `charged_kwh` in valley hours.
    cycled_kwh, cycled_valley_kwh
        The parts of `charged_kwh` and `valley_kwh` that were discharged again in the same stay.
    """

    charged_kwh: Floats
    discharged_kwh: Floats
    energy_cost: Floats
    discharge_revenue: Floats
    wear_cost: Floats
    shortfall_cost: Floats
    terminal_adjustment: Floats
    departed: Bools
    feasible: Bools
    shortfall_kwh: Floats
    short: Bools
    valley_kwh: Floats
    cycled_kwh: Floats
    cycled_valley_kwh: Floats
    subsidy: Floats

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        assert len({len(getattr(self, column.name)) for column in fields(self)}) == 1, "columns differ in length"

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.charged_kwh)

    @property
    def net_value(self) -> Floats:
        """Value of every session without demand response [currency], shape `(session,)`."""
        value: Floats = self.net_value_without_shortfalls - self.shortfall_cost
        return value

    @property
    def net_value_without_shortfalls(self) -> Floats:
        """The same if missing energy cost nothing."""
        value: Floats = self.discharge_revenue - self.energy_cost - self.wear_cost + self.terminal_adjustment
        return value


def account_sessions(truth: Truth, prices: PriceSeries, terms: JudgeTerms) -> SessionAccounts:
    """Judge every session of a world.

    Parameters
    ----------
    truth
        What happened.
    prices
        Prices of the whole window, on quarter-hours; the window is that of their axis.
    terms
        How shortfalls and wear are priced.
    """
    sessions, segments = truth.sessions, truth.segments
    count = len(sessions)
    step = steps_of(prices.axis, segments.from_ms)
    bought, sold = np.maximum(segments.energy_kwh, 0.0), np.maximum(-segments.energy_kwh, 0.0)
    earns_per_kwh = prices.sell_per_kwh + prices.subsidy_per_kwh
    valley = valley_steps(prices)[step]
    cycled, cycled_valley = _cycled_kwh(sessions, segments, valley)
    departed = sessions.departure_ms <= prices.axis.end_ms
    missing_kwh = np.maximum(owed_kwh(sessions) - truth.energy_departure_kwh, 0.0)
    shortfall_kwh = np.where(departed, missing_kwh, 0.0)
    feasible = departed & sessions.feasible

    def per_session(values: Floats) -> Floats:
        return np.bincount(segments.session, weights=values, minlength=count).astype(np.float64)

    return SessionAccounts(
        charged_kwh=per_session(bought),
        discharged_kwh=per_session(sold),
        energy_cost=per_session(bought * prices.buy_per_kwh[step]),
        discharge_revenue=per_session(sold * earns_per_kwh[step]),
        wear_cost=_wear_cost(truth, prices.axis, terms),
        shortfall_cost=shortfall_kwh * terms.shortfall_per_kwh,
        terminal_adjustment=_terminal_adjustment(truth, prices, departed),
        departed=departed,
        feasible=feasible,
        shortfall_kwh=shortfall_kwh,
        short=feasible & (shortfall_kwh > terms.short_kwh),
        valley_kwh=per_session(bought * valley),
        cycled_kwh=cycled,
        cycled_valley_kwh=cycled_valley,
        subsidy=per_session(sold * prices.subsidy_per_kwh[step]),
    )


def steps_of(axis: TimeAxis, at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the step of every instant; all must lie on the axis."""
    steps: NDArray[np.int64] = (at_ms - axis.start_ms) // axis.step_ms
    assert not len(steps) or (steps.min() >= 0 and steps.max() < axis.count), "an instant lies outside the prices"
    return steps


def valley_steps(prices: PriceSeries) -> Bools:
    """Return whether each step is off-peak by the tariff of charging, shape `(step,)`."""
    offpeak = {
        name: bool(VALLEY_WORDS & set(re.split("[^a-z]+", name.lower()))) for name in dict.fromkeys(prices.period)
    }
    return np.array([offpeak[name] for name in prices.period], dtype=np.bool_)


def owed_kwh(sessions: WorldSessions) -> Floats:
    """Return the battery energy that each departure owes: what is required, or all that charging at once reaches."""
    cars = sessions.cars()
    hours = (sessions.departure_ms - sessions.arrival_ms) / MS_PER_H
    required = sessions.energy_required_kwh
    full_power = drive_kw_fleet(cars, cars.charge_max_kw)
    return np.minimum(required, advance_fleet(cars, sessions.energy_arrival_kwh, full_power, hours, required))


def damage_costs(
    chemistry: Sequence[Chemistry], paths: SocPaths, capacity_kwh: Floats, terms: JudgeTerms, day_start_ms: int
) -> tuple[Floats, Floats]:
    """Return what storage and cycling on each path cost under its own cell's law [currency], shape `(path,)`."""
    storage, cycling = np.zeros(len(paths)), np.zeros(len(paths))
    for cell in dict.fromkeys(chemistry):
        mine = np.array([each == cell for each in chemistry], dtype=np.bool_)
        samples = np.repeat(mine, np.diff(paths.offsets))
        length = np.diff(paths.offsets)[mine]
        offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        own = SocPaths(paths.at_ms[samples], paths.soc[samples], offsets)
        found = path_costs(
            WEAR_LAWS[cell],
            own,
            capacity_kwh[mine],
            temperature_c=terms.temperature.along(own.at_ms),
            value_per_kwh=terms.value_per_kwh,
            day_start_ms=day_start_ms,
        )
        storage[mine], cycling[mine] = found.calendar, found.cycling
    return storage, cycling


def _terminal_adjustment(truth: Truth, prices: PriceSeries, departed: Bools) -> Floats:
    above_kwh = truth.energy_departure_kwh - truth.sessions.energy_required_kwh
    credit = np.maximum(above_kwh, 0.0) * prices.buy_per_kwh.min()
    debit = np.where(departed, 0.0, np.maximum(-above_kwh, 0.0) * prices.buy_per_kwh.max())
    adjustment: Floats = credit - debit
    return adjustment


def _wear_cost(truth: Truth, axis: TimeAxis, terms: JudgeTerms) -> Floats:
    """Price every session's path."""
    sessions, paths = truth.sessions, session_paths(truth)
    storage, cycling = damage_costs(sessions.chemistry, paths, sessions.capacity_kwh, terms, axis.start_ms)
    cost: Floats = storage + cycling
    return cost


def session_paths(truth: Truth) -> SocPaths:
    """Return the path of every session: its arrival, then the end of each of its segments."""
    sessions, segments = truth.sessions, truth.segments
    count = len(sessions)
    length = np.bincount(segments.session, minlength=count) + 1
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    at_ms, energy_kwh = np.empty(offsets[-1], np.int64), np.empty(offsets[-1])
    at_ms[offsets[:-1]], energy_kwh[offsets[:-1]] = sessions.arrival_ms, sessions.energy_arrival_kwh
    later = np.arange(len(segments)) + segments.session + 1
    at_ms[later], energy_kwh[later] = segments.until_ms, segments.energy_end_kwh
    return SocPaths(at_ms, energy_kwh / np.repeat(sessions.capacity_kwh, length), offsets)


def _cycled_kwh(sessions: WorldSessions, segments: Segments, valley: Bools) -> tuple[Floats, Floats]:
    """Return how much of what each session charged it discharged again: of all, and of valley energy [kWh AC]."""
    cycled, cycled_valley = np.zeros(len(sessions)), np.zeros(len(sessions))
    bounds = np.searchsorted(segments.session, np.arange(len(sessions) + 1))
    for session in np.unique(segments.session[segments.energy_kwh < 0]):
        round_trip = sessions.charge_efficiency[session] * sessions.discharge_efficiency[session]
        own = slice(bounds[session], bounds[session + 1])
        flows = zip(segments.energy_kwh[own].tolist(), valley[own].tolist(), strict=True)
        cycled[session], cycled_valley[session] = cycled_kwh(flows, round_trip)
    return cycled, cycled_valley
