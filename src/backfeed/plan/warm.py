"""Compile the planner's kernels before they are needed: `./dev setup` does, so that nobody waits at the first plan."""

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.plan.problem import Nodes, PlanProblem, Prices, Windows
from backfeed.plan.structured import solve_structured

STEPS = 8


def warm() -> None:
    """Solve a problem of one car, which compiles everything that has not been."""
    one = np.ones(1)
    prices = np.full((1, STEPS), 0.2)
    problem = PlanProblem(
        axis=TimeAxis(0, 15 * MS_PER_MIN, STEPS),
        prices=Prices(("zone",), prices, 0.5 * prices),
        nodes=Nodes.tree(["site"], [-1], STEPS),
        windows=Windows(
            vehicle=("car",),
            node=np.zeros(1, np.int64),
            arrive_step=np.zeros(1, np.int64),
            depart_step=np.full(1, STEPS),
            charge_max_kw=10.0 * one,
            discharge_max_kw=10.0 * one,
            charge_efficiency=0.95 * one,
            discharge_efficiency=0.95 * one,
            energy_arrival_kwh=20.0 * one,
            energy_target_kwh=25.0 * one,
            energy_min_kwh=10.0 * one,
            energy_max_kwh=40.0 * one,
            wear_per_kwh=0.05 * one,
            hold_per_kwh_h=0.0 * one,
        ),
    )
    solve_structured(problem, gap=1e-3)
