"""Solve a planning problem: choose the way, get an answer whatever happens.

`solve` is what everybody calls. Cars that nothing joins are planned one by one. Of the other problems HiGHS
answers the small ones, the structured solver the large ones. If a solver gives nothing usable, the rule-based
plan stands in and says so in `status`.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from backfeed.plan.heuristic import plan_by_rule
from backfeed.plan.highs import HighsSolver, SolverFailedError
from backfeed.plan.lowered import Lowered, lower
from backfeed.plan.problem import PlanProblem
from backfeed.plan.schedule import Duals, Schedule, price_plan
from backfeed.plan.validate import require_valid

Method = Literal["auto", "structured", "highs"]

MIP_PAIRS_MAX = 400
"""Up to how many (row, step) pairs one direction per step is searched for with binaries."""

SMALL_ENTRIES = 1_000
"""Below so many steps of all rows HiGHS is as quick, exact, and starts without compiled code."""

SECOND_ENTRIES = 5_000
"""Up to so many HiGHS, within half a second, is asked as well where the structured solver has not proven the gap."""


def solve(
    problem: PlanProblem,
    gap: float = 1e-3,
    time_limit_s: float | None = None,
    method: Method = "auto",
    iteration_limit: int | None = None,
    solver: HighsSolver | None = None,
    threads: int = 1,
    stop: Callable[[], bool] | None = None,
) -> Schedule:
    """Solve a planning problem.

    Parameters
    ----------
    problem
        What is asked.
    gap
        Relative gap between the plan's cost and the proven bound that is good enough.
    time_limit_s
        Wall time after which HiGHS gives up and the rule-based plan is returned; leave it out where runs must
        repeat. The structured solver does not read the clock: it asks `stop`.
    method
        `highs`, `structured`, or `auto`: structured where every car can be planned alone or the problem is large,
        HiGHS for what is small or what the tree can not carry, and both where the structured solver has not proven the
        gap of a problem that HiGHS can have soon. A problem without vehicles always goes to HiGHS.
    iteration_limit
        The limit to set where runs must repeat to the byte.
    solver
        A HiGHS instance to reuse; one that is kept saves a millisecond a call.
    threads
        Threads of the structured solver; the schedule does not depend on it.
    stop
        Asked by the structured solver before every iteration whether to return the best plan so far.

    Raises
    ------
    InputError
        If the problem is malformed, with every reason.
    """
    require_valid(problem)
    size = int(problem.windows.offsets[-1])
    if size and method != "highs" and (alone := _solve_alone(problem, gap)) is not None:
        return alone
    found = None
    if size and (method == "structured" or (method == "auto" and size > SMALL_ENTRIES)):
        found = _solve_structured(problem, gap, iteration_limit, threads, stop)
        if found is not None and (method == "structured" or found.gap <= gap or size > SECOND_ENTRIES):
            return found
    lowered = lower(problem)
    exact = _solve_with_highs(lowered, gap, time_limit_s, iteration_limit, solver or HighsSolver())
    return exact if found is None or exact.gap <= found.gap else found


def _solve_alone(problem: PlanProblem, gap: float) -> Schedule | None:
    """Plan every car by itself; None where something joins them."""
    if len(problem.commitments) or np.any(problem.nodes.peak_charge_per_kw > 0):
        return None
    from backfeed.plan.alone import plan_alone  # noqa: PLC0415 numba loads slowly, and some problems do without

    found = plan_alone(problem)
    return found if found is not None and found.gap <= gap else None


def _solve_structured(
    problem: PlanProblem, gap: float, iteration_limit: int | None, threads: int, stop: Callable[[], bool] | None
) -> Schedule | None:
    """Solve with the structured solver; None where HiGHS has to."""
    from backfeed.plan.layout import NotStructuredError  # noqa: PLC0415 numba loads slowly, and small problems do without
    from backfeed.plan.structured import solve_structured  # noqa: PLC0415

    try:
        return solve_structured(problem, gap, iteration_limit, threads, stop)
    except NotStructuredError:
        return None


def solve_by_rule(problem: PlanProblem) -> Schedule:
    """Return the rule-based plan: feasible, without bound, in milliseconds."""
    require_valid(problem)
    return _ruled(lower(problem), "by rule")


def _ruled(lowered: Lowered, status: str) -> Schedule:
    """Settle the rule-based plan."""
    zero = np.zeros_like(lowered.nodes.fixed_kw)
    energy = plan_by_rule(lowered)
    return price_plan(lowered.problem, energy, zero, Duals.none(lowered), -np.inf, "rule", status=status)


def _solve_with_highs(
    lowered: Lowered, gap: float, time_limit_s: float | None, iteration_limit: int | None, solver: HighsSolver
) -> Schedule:
    """Solve with HiGHS, or by rule if it fails."""
    try:
        answer = solver.solve(lowered, gap, time_limit_s, iteration_limit, MIP_PAIRS_MAX)
    except SolverFailedError as failure:
        return _ruled(lowered, str(failure))
    bound = answer.bound + lowered.energy.constant
    return price_plan(lowered.problem, answer.energy, answer.curtailed, answer.duals, bound, "highs", answer.iterations)
