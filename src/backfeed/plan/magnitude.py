"""The unit of power: the structured solver counts in kilowatts, and its tolerances and starts are made for cars.

Problems of chargers of another size, of a watt or of megawatts, are told in another unit of power and energy, so that
their chargers are of some ten units. It is a power of two, so that nothing is rounded; prices stay, and costs are
counted in as many currency units.
"""

from dataclasses import replace

import numpy as np

from backfeed.plan.problem import PlanProblem
from backfeed.plan.schedule import Schedule, price_plan

CARS_KW = 1.0, 128.0
"""Between these, chargers are of the size that the solver is made for."""

CHARGER_KW = 16.0
"""The usual charger, about."""

_OF_NODES = ("import_limit_kw", "export_limit_kw", "base_load_kw", "pv_kw")
_OF_WINDOWS = (
    "charge_max_kw",
    "discharge_max_kw",
    "energy_arrival_kwh",
    "energy_target_kwh",
    "energy_min_kwh",
    "energy_max_kwh",
    "drain_kwh",
)


def unit_of_power(problem: PlanProblem) -> float:
    """Return the unit that suits a problem's chargers [kW], 1 for those of cars.

    The mean of their powers is weighted by power: where large and small ones meet, the large ones decide what it costs.
    """
    power = np.maximum(problem.windows.charge_max_kw, problem.windows.discharge_max_kw)
    total = float(power.sum())
    mean = float((power / total * power).sum()) if total > 0 else CHARGER_KW
    return 1.0 if CARS_KW[0] <= mean <= CARS_KW[1] else float(2.0 ** round(np.log2(mean / CHARGER_KW)))


def in_unit(problem: PlanProblem, unit_kw: float) -> PlanProblem:
    """Return a problem whose powers and energies are counted in another unit."""
    if unit_kw == 1.0:
        return problem
    nodes, w, promised = problem.nodes, problem.windows, problem.commitments
    return replace(
        problem,
        nodes=replace(nodes, **{name: getattr(nodes, name) / unit_kw for name in _OF_NODES}),
        windows=replace(w, **{name: getattr(w, name) / unit_kw for name in _OF_WINDOWS}),
        commitments=replace(promised, power_kw=promised.power_kw / unit_kw),
    )


def in_kilowatts(problem: PlanProblem, told: Schedule, unit_kw: float) -> Schedule:
    """Return the schedule of a problem, `told` in another unit."""
    if unit_kw == 1.0:
        return told
    return price_plan(
        problem,
        told.energy_flat_kwh * unit_kw,
        told.curtailed_kw * unit_kw,
        told.duals,
        told.lower_bound * unit_kw,
        told.method,
        told.iterations,
    )
