"""The rolling problem: what the fleet that is plugged in right now should do until it leaves.

A departure is not known, only judged, so every car is two linked rows of the planner's problem:

    [now, promise)    the car may go down to its reserve, and must stand at its target at the end
    [promise, leave)  it may already be gone: the target has become the floor

`promise` is an early quantile of the departure, `leave` a late one; both are handed in. Between the
two a car can still give what it holds above its target, and loses nothing if it is gone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis, covering
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.plan.problem import Commitments, Nodes, Penalties, PlanProblem, Prices, Windows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHORTEST_STEP_MS = MS_PER_MIN
"""What is left of a step below this is not planned: the orders of the step before still hold."""

ROOT = 0
"""Index of the fleet's own node; the sites follow."""


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
    promise_ms, leave_ms
        The early and the late quantile of the departure.
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
    promise_ms: Ints
    leave_ms: Ints

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


@dataclass(frozen=True)
class FleetCommitment:
    """A bound on the fleet's net power, charging positive, over some steps of the axis.

    `upper` bounds it from above (a shaved peak), else from below (a filled valley).
    """

    steps: Ints
    net_kw: Floats
    upper: bool
    shortfall_per_kwh: float


def rolling_axis(now_ms: int, leave_ms: Ints, horizon_ms: int, step_ms: int) -> TimeAxis:
    """Return the plan's axis: from the step that holds `now_ms` to the last departure, within the horizon."""
    left_ms = step_ms - now_ms % step_ms
    begin_ms = now_ms if left_ms >= SHORTEST_STEP_MS else now_ms + left_ms
    last_ms = int(leave_ms.max(initial=begin_ms + step_ms))
    return covering(begin_ms, min(max(last_ms, begin_ms + step_ms), begin_ms + horizon_ms), step_ms)


def rolling_problem(  # noqa: PLR0913 - the parts of one problem, each a value of its own
    now_ms: int,
    axis: TimeAxis,
    fleet: PluggedFleet,
    sites: SiteLimits,
    buy_per_kwh: Floats,
    sell_per_kwh: Floats,
    commitments: tuple[FleetCommitment, ...] = (),
    penalties: Penalties = Penalties(),  # noqa: B008 - frozen
    stored_value_per_kwh: float = 0.0,
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
    commitments
        Promises of the whole fleet.
    stored_value_per_kwh
        What energy above the target is worth when the car leaves or the horizon ends.
    """
    return PlanProblem(
        axis=axis,
        prices=Prices(("",), buy_per_kwh[None, :], sell_per_kwh[None, :]),
        nodes=_nodes(axis, sites),
        windows=_windows(now_ms, axis, fleet, stored_value_per_kwh),
        commitments=_commitments(commitments),
        penalties=penalties,
    )


def _nodes(axis: TimeAxis, sites: SiteLimits) -> Nodes:
    """Return the fleet's root and a child for every site."""
    count = len(sites.name)
    nodes = Nodes.tree(("fleet", *sites.name), [-1, *([ROOT] * count)], axis.count)
    nodes.import_limit_kw[1:] = sites.import_limit_kw
    nodes.export_limit_kw[1:] = sites.export_limit_kw
    nodes.base_load_kw[1:] = sites.base_load_kw
    return nodes


def _windows(now_ms: int, axis: TimeAxis, fleet: PluggedFleet, stored_value_per_kwh: float) -> Windows:
    """Return two linked rows for a car, one where its promise lies at or beyond the end of the axis."""
    promise = np.clip((fleet.promise_ms - axis.start_ms) // axis.step_ms, 1, axis.count)
    leave = np.clip(-((axis.start_ms - fleet.leave_ms) // axis.step_ms), promise, axis.count)
    stays_on = leave > promise
    car = np.concatenate((np.arange(len(fleet)), np.flatnonzero(stays_on)))
    second = np.arange(len(car)) >= len(fleet)
    order = np.lexsort((second, car))
    car, second = car[order], second[order]
    target = fleet.target_kwh[car]
    first_h = (axis.start_ms + axis.step_ms - max(now_ms, axis.start_ms)) / MS_PER_H
    return Windows(
        vehicle=tuple(fleet.name[i] for i in car),
        node=fleet.site[car] + 1,
        arrive_step=np.where(second, promise[car], 0),
        depart_step=np.where(second, leave[car], promise[car]),
        charge_max_kw=fleet.charge_max_kw[car],
        discharge_max_kw=fleet.discharge_max_kw[car],
        charge_efficiency=fleet.charge_efficiency[car],
        discharge_efficiency=fleet.discharge_efficiency[car],
        energy_arrival_kwh=fleet.energy_kwh[car],
        energy_target_kwh=target,
        energy_min_kwh=np.where(second, target, np.minimum(fleet.reserve_kwh[car], target)),
        energy_max_kwh=fleet.energy_max_kwh[car],
        wear_per_kwh=fleet.wear_per_kwh[car],
        hold_per_kwh_h=fleet.hold_per_kwh_h[car],
        drain_kwh=np.where(second, 0.0, np.nan),
        first_step_h=np.where(second, np.nan, first_h),
        last_step_h=np.full(len(car), np.nan),
        energy_value_per_kwh=np.where(second | ~stays_on[car], stored_value_per_kwh, 0.0),
    )


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
