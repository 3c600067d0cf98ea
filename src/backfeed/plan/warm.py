"""Compile the planner's kernels before they are needed: `./dev setup` does, so that nobody waits at the first plan."""

from dataclasses import replace

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.plan.alone import plan_alone
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import lay_out
from backfeed.plan.problem import Nodes, PlanProblem, Prices, Windows
from backfeed.plan.structured import solve_structured

STEPS = 16


def warm() -> None:
    """Solve a problem that needs every kernel, and the same one without its drive, whose tree may be a narrow one."""
    problem = every_kernel_s_problem()
    solve_structured(problem, gap=1e-2)
    plan_alone(problem)
    staying = replace(problem, windows=replace(problem.windows, drain_kwh=np.full(4, np.nan)))
    InteriorPoint(lay_out(staying), narrow_only=True).pursue(1e-3, np.inf, 1, None)


def every_kernel_s_problem() -> PlanProblem:
    """Return a problem of a car that drives between two others' places, at hard prices and under limits that bind.

    The drive joins the places' units, selling above buying leaves a gap that turns are tried for, and the first plan
    that is repaired from the iterates passes its limits.
    """
    four = np.ones(4)
    prices = np.full((1, STEPS), 0.2)
    nodes = Nodes.tree(["site", "here", "there"], [-1, 0, 0], STEPS)
    nodes.import_limit_kw[:] = nodes.export_limit_kw[:] = 1.0
    return PlanProblem(
        axis=TimeAxis(0, 15 * MS_PER_MIN, STEPS),
        prices=Prices(("zone",), prices, 1.5 * prices),
        nodes=nodes,
        windows=Windows(
            vehicle=("car", "car", "here", "there"),
            node=np.array([1, 2, 1, 2]),
            arrive_step=np.array([0, STEPS // 2, 0, 0]),
            depart_step=np.array([STEPS // 2, STEPS, STEPS, STEPS]),
            charge_max_kw=10.0 * four,
            discharge_max_kw=10.0 * four,
            charge_efficiency=0.95 * four,
            discharge_efficiency=0.95 * four,
            energy_arrival_kwh=20.0 * four,
            energy_target_kwh=25.0 * four,
            energy_min_kwh=10.0 * four,
            energy_max_kwh=40.0 * four,
            wear_per_kwh=0.0 * four,
            hold_per_kwh_h=0.0 * four,
            drain_kwh=np.array([np.nan, 2.0, np.nan, np.nan]),
        ),
    )
