"""Budgets in the plan: no car is planned to discharge more than its warranty still allows.

The planner's problem bounds powers, not a car's energy over the whole look-ahead. So a plan that gives more than a
budget is made again with less power: first scaled to the budget, which keeps the best hours; at last with what would
keep it if the car gave without a break. Budgets end once in a car's life, so this costs next to nothing.
"""

import math
from dataclasses import replace

import numpy as np

from backfeed.app.knowledge import Car
from backfeed.app.plan_path import FleetPlan
from backfeed.core.instant import MS_PER_H
from backfeed.dispatch.bounds import METERING_ERROR

TRIES = 3
"""How often a plan is made until every budget holds for certain."""

_ROUNDING_KWH = 1e-6


def within_budgets(now_ms: int, plan: FleetPlan, *, for_certain: bool) -> list[Car] | None:
    """Return the cars with as much discharging power as keeps them within their budgets, None if the plan does already.

    Parameters
    ----------
    now_ms
        The present.
    plan
        What was planned.
    for_certain
        Whether any plan of the returned cars must keep the budgets, or only one that is busy in the same hours.
    """
    begins_ms, ends_ms = np.maximum(plan.axis.starts_ms, now_ms), plan.axis.starts_ms + plan.axis.step_ms
    hours = np.maximum(ends_ms - begins_ms, 0) / MS_PER_H
    given_kwh = np.nan_to_num(np.maximum(-plan.power_kw, 0.0)) @ hours
    cars, exceeded = list(plan.cars), False
    for k, car in enumerate(cars):
        by_hours_kwh = car.discharge_left_h * car.discharge_max_kw if math.isfinite(car.discharge_left_h) else math.inf
        allowed_kwh = min(car.discharge_left_kwh / (1 + METERING_ERROR), by_hours_kwh)
        if given_kwh[k] > allowed_kwh + _ROUNDING_KWH:
            longest_h = float(hours[~np.isnan(plan.power_kw[k])].sum())
            share_kw = allowed_kwh / longest_h if for_certain else car.discharge_max_kw * allowed_kwh / given_kwh[k]
            cars[k], exceeded = replace(car, discharge_max_kw=min(share_kw, car.discharge_max_kw)), True
    return cars if exceeded else None
