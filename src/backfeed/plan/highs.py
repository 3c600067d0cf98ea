"""The reference route: HiGHS on the linear program.

One direction per row and step is not linear. Its convex hull is `c / c_max + x / x_max <= 1`. These
rows are added only where an answer breaks them, which is nowhere unless energy is worth burning
(prices below about -0.46 per kWh) or selling pays more than buying. For small problems the same
pairs get a binary instead, which may take seconds. A solve that has to repeat takes the relaxed
answer step by step instead and lets each go the way that keeps the sum of the shares so far (sum-up
rounding, Sager et al., Math. Program. 133 (2012) 1), then solves once more with these ways fixed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from backfeed.plan.lowered import Lowered
from backfeed.plan.problem import Bools, Floats, Ints
from backfeed.plan.program import LinearProgram, build
from backfeed.plan.schedule import Duals

ROWWISE = 2
MINIMISE = 1
BOTH_WAYS_KW = 1e-6
"""Charging and discharging in one step below this is rounding."""

HULL_TOLERANCE = 1e-7
"""HiGHS's own tolerance on rows."""

ROUNDS_MAX = 3
"""How often ways are fixed: what then still runs both ways is taken as the difference of the two."""

MIP_NODES_MAX = 50
"""Where the search for ways ends. Most are found at once; five cars over 48 steps had not ended in ten minutes."""

PRESOLVE_FROM_COLUMNS = 10_000
"""Below this the simplex is done before presolve would be."""


class SolverFailedError(Exception):
    """HiGHS returned no usable answer by any of the ways tried."""


@dataclass(frozen=True)
class Answer:
    """What HiGHS found: averages [kW] as flat columns, curtailed PV `(node, step)`, and the bound.

    `bound` is the objective of the relaxation without the energy curve's constant; `duals` its prices.
    """

    charge: Floats
    discharge: Floats
    energy: Floats
    curtailed: Floats
    duals: Duals
    bound: float
    iterations: int


class HighsSolver:
    """One HiGHS instance, kept between problems so that its options are set once.

    The number of threads is left alone: HiGHS has one scheduler per process, and refuses to run where another
    instance has asked for a different number.
    """

    def __init__(self, mip_nodes_max: int = MIP_NODES_MAX) -> None:
        import highspy  # noqa: PLC0415 the library takes 0.1 s to load and small commands do without

        self._library: Any = highspy
        self._highs: Any = self._library.Highs()
        self._highs.setOptionValue("output_flag", False)  # noqa: FBT003 HiGHS's own signature
        self._highs.setOptionValue("parallel", "off")
        self._highs.setOptionValue("mip_max_nodes", mip_nodes_max)

    def solve(
        self,
        lowered: Lowered,
        gap: float,
        time_limit_s: float | None = None,
        iteration_limit: int | None = None,
        mip_pairs_max: int = 0,
    ) -> Answer:
        """Solve a lowered problem.

        Parameters
        ----------
        lowered
            The problem.
        gap
            Relative gap asked of the binaries, where there are any.
        time_limit_s, iteration_limit
            Where to stop; a stop without an answer is a failure. With a limit on iterations directions are rounded
            instead of searched for.
        mip_pairs_max
            Up to how many (row, step) pairs that run both ways get a binary.

        Raises
        ------
        SolverFailedError
            If no way of solving it gave an answer.
        """
        program = build(lowered)
        self._set_limits(time_limit_s, iteration_limit, gap)
        self._pass(program)
        solution = self._run_any_way(program)
        hulled = np.zeros(len(program.pair_first), np.bool_)
        while (broken := _pairs_outside_hull(program, solution) & ~hulled).any():
            hulled |= broken
            self._add_hull(program, np.flatnonzero(broken))
            solution = self._run_any_way(program)
        bound = float(self._highs.getInfo().objective_function_value)
        iterations = max(int(self._highs.getInfo().simplex_iteration_count), 0)  # -1 where there was nothing to do
        dual = np.asarray(self._highs.getSolution().row_dual)
        if iteration_limit is not None:
            solution = self._rounded(program, solution)
        elif _pairs_both_ways(program, solution).any() and len(program.pair_first) <= mip_pairs_max:
            solution = self._one_direction(program, solution)
        return _answer(lowered, program, solution, dual, (bound, iterations))

    def _set_limits(self, time_limit_s: float | None, iteration_limit: int | None, gap: float) -> None:
        """Set the limits of the next problem."""
        highs = self._highs
        highs.setOptionValue("time_limit", float("inf") if time_limit_s is None else float(time_limit_s))
        highs.setOptionValue("simplex_iteration_limit", 2**31 - 1 if iteration_limit is None else iteration_limit)
        highs.setOptionValue("mip_rel_gap", gap)

    def _pass(self, program: LinearProgram) -> None:
        """Hand the program over."""
        columns, rows = len(program.cost), len(program.row_lower)
        self._highs.clearSolver()
        self._highs.passModel(
            columns,
            rows,
            len(program.value),
            ROWWISE,
            MINIMISE,
            0.0,
            program.cost,
            program.column_lower,
            program.column_upper,
            program.row_lower,
            program.row_upper,
            program.start.astype(np.int32),
            program.index.astype(np.int32),
            program.value,
            np.zeros(columns, np.int32),
        )

    def _run_any_way(self, program: LinearProgram) -> Floats:
        """Run until some way gives an optimum: as set, presolve toggled, interior point."""
        highs, status = self._highs, self._library.HighsModelStatus
        small = len(program.cost) <= PRESOLVE_FROM_COLUMNS
        ways = (
            ("choose", "off" if small else "on"),
            ("simplex", "on" if small else "off"),
            ("ipm", "on"),
        )
        for solver, presolve in ways:
            highs.setOptionValue("solver", solver)
            highs.setOptionValue("presolve", presolve)
            highs.run()
            if highs.getModelStatus() in (status.kOptimal, status.kModelEmpty):  # empty: nothing is to be decided
                return np.asarray(highs.getSolution().col_value)
            highs.clearSolver()
        message = f"HiGHS found no optimum: {highs.modelStatusToString(highs.getModelStatus())}"
        raise SolverFailedError(message)

    def _add_hull(self, program: LinearProgram, pairs: Ints) -> None:
        """Add `first / first_max + second / second_max <= 1` for some pairs."""
        first, second = program.pair_first[pairs], program.pair_second[pairs]
        count = len(pairs)
        index = np.column_stack((first, second)).ravel()
        value = 1.0 / np.maximum(program.column_upper[index], 1e-12)
        start = 2 * np.arange(count)
        self._highs.addRows(
            count,
            np.full(count, -np.inf),
            np.ones(count),
            2 * count,
            start.astype(np.int32),
            index.astype(np.int32),
            value,
        )

    def _rounded(self, program: LinearProgram, relaxed: Floats) -> Floats:
        """Fix the way of every pair that runs both ways and solve again; the answer before stands if that fails."""
        solution = relaxed
        for _ in range(ROUNDS_MAX):
            both = np.flatnonzero(_pairs_both_ways(program, solution))
            if not len(both):
                break
            is_first = _rounded_shares(program, solution, both)
            shut = np.where(is_first, program.pair_second[both], program.pair_first[both]).astype(np.int32)
            self._highs.changeColsBounds(len(shut), shut, program.column_lower[shut], np.zeros(len(shut)))
            try:
                solution = self._run_any_way(program)
            except SolverFailedError:
                break
        return solution

    def _one_direction(self, program: LinearProgram, relaxed: Floats) -> Floats:
        """Give every pair a binary and solve; the relaxed answer stands if that fails."""
        highs, count = self._highs, len(program.pair_first)
        columns = len(program.cost)
        binary = columns + np.arange(count)
        empty = np.zeros(0, np.int32)
        highs.addCols(count, np.zeros(count), np.zeros(count), np.ones(count), 0, empty, empty, np.zeros(0))
        highs.changeColsIntegrality(count, binary.astype(np.int32), np.ones(count, np.uint8))
        wide = program.column_upper
        for column, sign, right in ((program.pair_first, -1.0, 0.0), (program.pair_second, 1.0, 1.0)):
            index = np.column_stack((column, binary)).ravel()
            value = np.column_stack((np.ones(count), sign * wide[column])).ravel()
            highs.addRows(
                count,
                np.full(count, -np.inf),
                right * wide[column],
                2 * count,
                (2 * np.arange(count)).astype(np.int32),
                index.astype(np.int32),
                value,
            )
        highs.setOptionValue("presolve", "on")
        highs.setOptionValue("solver", "choose")
        highs.run()
        found = highs.getInfo().primal_solution_status == self._library.SolutionStatus.kSolutionStatusFeasible
        return np.asarray(highs.getSolution().col_value) if found else relaxed


def _pairs_both_ways(program: LinearProgram, solution: Floats) -> Bools:
    """Return the pairs of which both are above rounding."""
    return np.minimum(solution[program.pair_first], solution[program.pair_second]) > BOTH_WAYS_KW


def _rounded_shares(program: LinearProgram, solution: Floats, pairs: Ints) -> Bools:
    """Return which pairs go the first way so that the sum of the shares so far is kept to within a half."""
    wide = np.maximum(program.column_upper, 1e-12)
    first = solution[program.pair_first[pairs]] / wide[program.pair_first[pairs]]
    second = solution[program.pair_second[pairs]] / wide[program.pair_second[pairs]]
    until = np.cumsum(first / (first + second))
    return np.diff(np.floor(until + 0.5), prepend=0.0) > 0


def _pairs_outside_hull(program: LinearProgram, solution: Floats) -> Bools:
    """Return the pairs that break `first / first_max + second / second_max <= 1`."""
    first, second = program.pair_first, program.pair_second
    wide = np.maximum(program.column_upper, 1e-12)
    share = solution[first] / wide[first] + solution[second] / wide[second]
    return _pairs_both_ways(program, solution) & (share > 1.0 + HULL_TOLERANCE)


def _answer(
    lowered: Lowered, program: LinearProgram, solution: Floats, dual: Floats, found: tuple[float, int]
) -> Answer:
    """Read the answer out of the columns; where none stands, at -1, there is nothing."""
    values, prices = np.append(solution, 0.0), np.append(dual, 0.0)

    def read(columns: Ints) -> Floats:
        return values[columns]

    step_h = lowered.problem.axis.step_h
    balance = prices[program.balance_row]
    duals = Duals(-prices[program.dynamics_row], balance / step_h, prices[program.promise_row] / step_h)
    return Answer(
        charge=read(program.charge),
        discharge=read(program.discharge),
        energy=lowered.energy.reference_kwh + read(program.up) - read(program.down) - read(program.deep),
        curtailed=read(program.curtail),
        duals=duals,
        bound=found[0],
        iterations=found[1],
    )
