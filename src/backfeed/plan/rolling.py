"""The rolling problem: what the fleet that is plugged in right now should do until it leaves.

When a car leaves is not known, only its odds are. The plan is therefore the best fixed plan over the
odds: with S(t) the chance that the car is still here at t,

    min  sum_t S(t) (energy cost + wear + holding)(t)  +  sum_t P(leaves at t) m (target - e(t))+

so that energy missing to the target costs `m` times the chance that the car leaves just then, and a
trade counts by the chance that it can be made. Odds are told by quantiles: between two of them a car
is one row of the planner's problem, linked to the row before, priced in the zone that carries S, with
its own price of missing energy at its end. Since the plan is made anew every quarter-hour and at every
change, a car that stays has its odds, and its plan, revised.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis, covering
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.plan.problem import Commitments, Nodes, Penalties, PlanProblem, Prices, Windows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS: Final = (0.002, 0.01, 0.03, 0.08, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Shares of departures at which the odds are told: dense where a missed promise is decided."""

KNOWN_LEVEL = LEVELS.index(0.08)
"""A car whose odds from this level on all fall into one step is known to leave in it: its row ends at the minute."""

SHORTEST_STEP_MS = MS_PER_MIN
"""What is left of a step below this is not planned: the orders of the step before still hold."""

ROOT = 0
"""Index of the fleet's own node; the sites follow, then the leaves that carry the odds."""


@dataclass(frozen=True)
class PluggedFleet:
    """The cars that are plugged in, as columns, row = car.

    Parameters
    ----------
    name
        Names, unique.
    site
        Index of the site of each car.
    energy_kwh, reserve_kwh, target_kwh, energy_max_kwh
        Energy believed now (the pessimistic edge), floor, promise, and the most that may be stored.
    charge_max_kw, discharge_max_kw, charge_efficiency, discharge_efficiency
        As in `Windows`.
    wear_per_kwh, hold_per_kwh_h
        The linearised wear of each car.
    left_by_ms
        The instants by which it has left with the chances of `LEVELS`, shape `(car, level)`, not decreasing.
    care
        How many times its price a kWh counts that is missing when the car leaves about then, shape `(car, level)`.
    above_share
        What a kWh between the promise and the most that may be stored counts, as a share of a missing one.
    shift_per_kwh
        What is added to the prices of energy for each car, to those of selling no more than 0, shape `(car, step)`;
        empty for nothing.
    """

    name: tuple[str, ...]
    site: Ints
    energy_kwh: Floats
    reserve_kwh: Floats
    target_kwh: Floats
    energy_max_kwh: Floats
    charge_max_kw: Floats
    discharge_max_kw: Floats
    charge_efficiency: Floats
    discharge_efficiency: Floats
    wear_per_kwh: Floats
    hold_per_kwh_h: Floats
    left_by_ms: Ints
    care: Floats
    above_share: Floats
    shift_per_kwh: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @cached_property
    def priced(self) -> Ints:
        """The cars that have prices of their own."""
        return np.flatnonzero(np.any(self.shift_per_kwh != 0, axis=1))

    def __len__(self) -> int:
        """Return the number of cars."""
        return len(self.name)


@dataclass(frozen=True)
class SiteLimits:
    """The sites over the plan's axis: magnitudes of the limits and the base load, all `(site, step)` [kW]."""

    name: tuple[str, ...]
    import_limit_kw: Floats
    export_limit_kw: Floats
    base_load_kw: Floats

    @property
    def bind(self) -> bool:
        """Whether any site has a limit at all."""
        return bool(np.isfinite(self.import_limit_kw).any() or np.isfinite(self.export_limit_kw).any())


@dataclass(frozen=True)
class FleetCommitment:
    """A bound on the fleet's net power, charging positive, over some steps of the axis.

    `upper` bounds it from above (a shaved peak), else from below (a filled valley).
    """

    steps: Ints
    net_kw: Floats
    upper: bool
    shortfall_per_kwh: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rolling plan pays and gets beside the prices of energy.

    Parameters
    ----------
    missing_per_kwh
        Price of a kWh missing at a departure that does happen.
    stored_per_kwh
        What a kWh above the target is worth when the car leaves or the look-ahead ends.
    penalties
        For reserves and limits.
    """

    missing_per_kwh: float
    stored_per_kwh: float
    penalties: Penalties = Penalties()  # noqa: RUF009 - frozen


def rolling_axis(now_ms: int, left_by_ms: Ints, until_ms: int, step_ms: int) -> TimeAxis:
    """Return the plan's axis: from the step that holds `now_ms` to the last likely departure, at most to `until_ms`."""
    left_ms = step_ms - now_ms % step_ms
    begin_ms = now_ms if left_ms >= SHORTEST_STEP_MS else now_ms + left_ms
    last_ms = min(int(left_by_ms.max(initial=begin_ms)), until_ms)
    return covering(begin_ms, max(last_ms, begin_ms + step_ms), step_ms)


def rolling_problem(
    now_ms: int,
    axis: TimeAxis,
    fleet: PluggedFleet,
    sites: SiteLimits,
    buy_per_kwh: Floats,
    sell_per_kwh: Floats,
    terms: Terms,
    commitments: tuple[FleetCommitment, ...] = (),
) -> PlanProblem:
    """Build the planner's problem for the cars that are plugged in.

    Parameters
    ----------
    now_ms
        The present; the first step counts only from here on.
    axis
        From `rolling_axis`.
    fleet, sites
        Who is here, and the limits they share.
    buy_per_kwh, sell_per_kwh
        Prices, shape `(step,)`.
    terms
        What else is paid.
    commitments
        Promises of the whole fleet.
    """
    return PlanProblem(
        axis=axis,
        prices=_prices(fleet, buy_per_kwh, sell_per_kwh),
        nodes=_nodes(axis, sites, fleet),
        windows=_windows(now_ms, axis, fleet, _leaves(fleet, len(sites.name)), terms),
        commitments=_commitments(commitments),
        penalties=terms.penalties,
    )


@cache
def stays_chances() -> Floats:
    """Return the mean chance that a car is still here between each quantile of `LEVELS` and the one before."""
    levels = np.array(LEVELS)
    chances: Floats = 1.0 - (np.append(0.0, levels[:-1]) + levels) / 2
    chances.setflags(write=False)
    return chances


def _prices(fleet: PluggedFleet, buy_per_kwh: Floats, sell_per_kwh: Floats) -> Prices:
    """Return the zones that carry the odds: those of all cars, then those of every car with prices of its own."""
    shift = np.stack([np.zeros(len(buy_per_kwh)), *(fleet.shift_per_kwh[car] for car in fleet.priced)])
    chances = stays_chances()
    whose = ("", *(f"{fleet.name[car]} " for car in fleet.priced))
    shape = len(whose) * len(chances), len(buy_per_kwh)
    return Prices(
        tuple(name + zone for name in whose for zone in _zones()),
        (chances[:, None] * (buy_per_kwh + shift)[:, None]).reshape(shape),
        (chances[:, None] * (sell_per_kwh + np.minimum(shift, 0.0))[:, None]).reshape(shape),
    )


@cache
def _zones() -> tuple[str, ...]:
    """Return the names of the zones that carry the odds."""
    return tuple(f"stays {chance:.3f}" for chance in stays_chances())


def _leaves(fleet: PluggedFleet, sites: int) -> Ints:
    """Return the first leaf of every car: that of its site, or one of its own."""
    group = fleet.site.copy()
    group[fleet.priced] = sites + np.arange(len(fleet.priced))
    leaves: Ints = 1 + sites + group * len(LEVELS)
    return leaves


def _nodes(axis: TimeAxis, sites: SiteLimits, fleet: PluggedFleet) -> Nodes:
    """Return the fleet's root, its sites, and below each site a leaf for every price zone."""
    count, zones, priced = len(sites.name), len(LEVELS), fleet.priced
    names = (*sites.name, *(f"{sites.name[fleet.site[car]]} {fleet.name[car]}" for car in priced))
    above = (*range(count), *fleet.site[priced].tolist())
    leaves = [f"{name} {level}" for name in names for level in range(zones)]
    parent = [-1, *([ROOT] * count), *(1 + site for site in above for _ in range(zones))]
    nodes = Nodes.tree(("fleet", *sites.name, *leaves), parent, axis.count)
    common = 1 + count + count * zones
    nodes.zone[1 + count : common] = np.tile(np.arange(zones), count)
    nodes.zone[common:] = zones + np.arange(len(priced) * zones)
    nodes.import_limit_kw[1 : 1 + count] = sites.import_limit_kw
    nodes.export_limit_kw[1 : 1 + count] = sites.export_limit_kw
    nodes.base_load_kw[1 : 1 + count] = sites.base_load_kw
    return nodes


def _windows(now_ms: int, axis: TimeAxis, fleet: PluggedFleet, leaf: Ints, terms: Terms) -> Windows:
    """Return a chain of linked rows for every car, one for each stretch between two of its quantiles."""
    ends = np.clip((fleet.left_by_ms - axis.start_ms) // axis.step_ms, 1, axis.count)
    # Quantiles that fall into one step make one row: it opens with the first of them and closes with the last.
    closes = np.append(ends[:, 1:] > ends[:, :-1], np.ones((len(fleet), 1), np.bool_), axis=1)
    car, level = np.nonzero(closes)
    depart = ends[car, level]
    first = np.append(True, car[1:] != car[:-1])
    arrive = np.where(first, 0, np.append(0, depart[:-1]))
    opens = np.where(first, 0, np.append(0, level[:-1] + 1))
    # Until a row ends, only those have left who left before it began, so it takes the zone in which it opens.
    chance = stays_chances()[opens]
    target, reserve = fleet.target_kwh[car], fleet.reserve_kwh[car]
    last = np.append(first[1:], True)
    rest_ms = fleet.left_by_ms[car, opens] - axis.start_ms - depart * axis.step_ms
    begun = last & (opens <= KNOWN_LEVEL) & (depart < axis.count)
    begun &= (rest_ms >= SHORTEST_STEP_MS) & (rest_ms < axis.step_ms)
    first_h = (axis.start_ms + axis.step_ms - max(now_ms, axis.start_ms)) / MS_PER_H
    left_share = _left_share(opens, level, last)
    missing_per_kwh = left_share * fleet.care[car, level] * terms.missing_per_kwh
    return Windows(
        vehicle=tuple(fleet.name[i] for i in car),
        node=leaf[car] + opens,
        arrive_step=arrive,
        depart_step=depart + begun,
        charge_max_kw=fleet.charge_max_kw[car],
        discharge_max_kw=fleet.discharge_max_kw[car],
        charge_efficiency=fleet.charge_efficiency[car],
        discharge_efficiency=fleet.discharge_efficiency[car],
        energy_arrival_kwh=fleet.energy_kwh[car],
        energy_target_kwh=target,
        # A car that comes in below its reserve is not discharged, but need not be charged at once either.
        energy_min_kwh=np.minimum(np.minimum(reserve, target), fleet.energy_kwh[car]),
        energy_max_kwh=fleet.energy_max_kwh[car],
        wear_per_kwh=chance * fleet.wear_per_kwh[car],
        hold_per_kwh_h=chance * fleet.hold_per_kwh_h[car],
        drain_kwh=np.where(first, np.nan, 0.0),
        first_step_h=np.where(first, first_h, np.nan),
        last_step_h=np.where(begun, rest_ms / MS_PER_H, np.nan),
        energy_value_per_kwh=np.maximum(left_share * terms.stored_per_kwh, fleet.above_share[car] * missing_per_kwh),
        missing_per_kwh=missing_per_kwh,
    )


def _left_share(opens: Ints, closes: Ints, last: NDArray[np.bool_]) -> Floats:
    """Return the chance to lay on the end of each row.

    The quantiles from `opens` to `closes` fall on the end of the row: what lies between them leaves just there. Of the
    stretch to the row before and of that to the row after it bears half each. What lies before the first end is
    all laid on it, and what is left at the last end all on that.
    """
    levels = np.array(LEVELS)
    before = np.where(opens == 0, 0.0, (levels[opens] + levels[opens - 1]) / 2)
    after = np.where(last, 1.0, (levels[closes] + levels[np.minimum(closes + 1, len(levels) - 1)]) / 2)
    share: Floats = after - before
    return share


def _commitments(commitments: tuple[FleetCommitment, ...]) -> Commitments:
    """Return promises of the root: a bound from above is a promise to inject its negative."""
    if not commitments:
        return Commitments.none()
    steps = np.concatenate([c.steps for c in commitments])
    up = np.concatenate([np.full(len(c.steps), c.upper) for c in commitments])
    net_kw = np.concatenate([c.net_kw for c in commitments])
    return Commitments(
        node=np.full(len(steps), ROOT, np.int64),
        step=steps,
        up=up,
        power_kw=np.where(up, -net_kw, net_kw),
        shortfall_per_kwh=np.concatenate([np.full(len(c.steps), c.shortfall_per_kwh) for c in commitments]),
    )
