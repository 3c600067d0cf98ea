"""What warranties allow perfect foresight to discharge: the budgets that also bind plan and dispatch.

A budget of energy is a row of the program over all stays of its car. A budget of hours is counted where energy flows,
however little, which no linear row can say: where a plan discharges in more hours than are left, the hours in which
it discharges most are kept, and it is planned again without the others. Budgets that no plan could use up are left
out, so that a window of some weeks costs nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.app.enrolment import Enrolment
from backfeed.app.foresight_grid import StayGrid
from backfeed.battery.warranty import WarrantyBudget, policy_for, remaining_budget
from backfeed.sim.columns import WorldSessions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Budgets = Mapping[str, tuple[str, WarrantyBudget]]
"""Whose budget every token draws on, and what is left of it."""

FLOWS_KW = 1e-6
"""Below this nothing is discharged."""


@dataclass(frozen=True)
class SharedBudget:
    """What one car may discharge in all of its stays.

    Parameters
    ----------
    entries
        The entries of the stays, ascending.
    energy_kwh, hours
        What is left at the window's begin [kWh AC at the EVSE, h]; infinite where nothing caps it.
    """

    entries: Ints
    energy_kwh: float
    hours: float


def budgets_at_start(enrolment: Enrolment, tokens: Sequence[str]) -> dict[str, tuple[str, WarrantyBudget]]:
    """Return whose budget every token draws on and what is left of it before the first discharge."""
    found = {}
    for token in dict.fromkeys(tokens):
        owner = enrolment.owner_of(token)
        policy = policy_for(owner.vehicle.model, enrolment.warranties)
        found[token] = owner.owner_id, remaining_budget(policy, owner.vehicle.warranty_use(0.0, 0.0))
    return found


def shared_budgets(sessions: WorldSessions, grid: StayGrid, budgets: Budgets) -> tuple[SharedBudget, ...]:
    """Return the budgets that could bind in a window, by owner."""
    rows: dict[str, list[int]] = {}
    left: dict[str, WarrantyBudget] = {}
    for row, token in enumerate(sessions.token):
        if token in budgets:
            owner, left[budgets[token][0]] = budgets[token]
            rows.setdefault(owner, []).append(row)
    found = []
    for owner, mine in rows.items():
        entries = np.concatenate([np.arange(grid.offsets[row], grid.offsets[row + 1]) for row in mine])
        hours, most_kw = grid.hours[entries], sessions.discharge_max_kw[grid.session[entries]]
        energy_kwh, hours_left = left[owner].energy_left_kwh, left[owner].hours
        if energy_kwh < float(hours @ most_kw) or hours_left < float(hours[most_kw > 0].sum()):
            found.append(SharedBudget(np.sort(entries), energy_kwh, hours_left))
    return tuple(found)


def without_hours_beyond(
    budgets: Sequence[SharedBudget], grid: StayGrid, discharge_kw: Floats, may: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """Return in which entries may still be discharged so that budgets of hours hold, None if a plan keeps them.

    Parameters
    ----------
    budgets
        Of the cars.
    grid
        The entries.
    discharge_kw
        The plan's, shape `(entry,)`.
    may
        Where discharging was allowed, shape `(entry,)`.
    """
    fewer, exceeded = may.copy(), False
    for budget in budgets:
        if not math.isfinite(budget.hours):
            continue
        used = budget.entries[discharge_kw[budget.entries] > FLOWS_KW]
        if grid.hours[used].sum() > budget.hours + 1e-9:
            best = used[np.argsort(-discharge_kw[used], kind="stable")]
            kept = best[np.cumsum(grid.hours[best]) <= budget.hours]
            fewer[budget.entries] = False
            fewer[kept] = may[kept]
            exceeded = True
    return fewer if exceeded else None
