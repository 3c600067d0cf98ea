"""The pilot's own problems, as its rolling plan asks them, on HiGHS and on the structured solver.

    python benchmarks/plan_rolling.py [--pilot examples/guangdong-homes/pilot.toml] [--problems 400] [--every 4]

Runs the V2G world of a pilot until so many plans have been asked for, keeps every few of them, solves each with both
methods to the platform's gap, and prints CPU milliseconds by size (steps of all rows): of problems whose cars nothing
joins, which the structured solver plans one by one, and of the others. Beneath stand `plan_scale`'s
fleets of a few cars, at which every limit binds. With `--problems 0` the pilot is left out.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from plan_scale import fleet

from backfeed.app import planning
from backfeed.app.dispatching import Policy
from backfeed.app.world import WorldSpec, run_world
from backfeed.plan.highs import HighsSolver
from backfeed.plan.problem import PlanProblem
from backfeed.plan.schedule import Schedule
from backfeed.plan.solve import Method, solve

ROOT = Path(__file__).parent.parent
FLEETS = (20, 30, 50, 100)
EDGES = (0, 100, 300, 1_000, 3_000, 10_000, 1_000_000)


class EnoughError(BaseException):
    """As many problems as were asked for."""


def problems_of(pilot: Path, count: int, every: int) -> list[PlanProblem]:
    """Run a pilot's V2G world until it has asked for so many plans."""
    kept: list[PlanProblem] = []
    asked = 0
    usual = planning.solve_plan

    def record(problem: PlanProblem) -> Schedule:
        nonlocal asked
        if asked % every == 0:
            kept.append(problem)
        asked += 1
        if asked >= count:
            raise EnoughError
        return usual(problem)

    planning.solve_plan = record
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_world(WorldSpec(pilot, None, Policy.V2G, "memory", Path(folder)), lambda _: None)
    except* EnoughError:
        pass
    finally:
        planning.solve_plan = usual
    return kept


def timed(problem: PlanProblem, method: Method, solver: HighsSolver) -> tuple[float, Schedule]:
    """Return the CPU milliseconds of the better of two solutions."""
    best = np.inf
    for _ in range(2):
        begun = time.process_time()
        schedule = solve(
            problem, planning.PLAN_GAP, method=method, iteration_limit=planning.ITERATION_LIMIT, solver=solver
        )
        best = min(best, time.process_time() - begun)
    return best * 1e3, schedule


def tell(problems: list[PlanProblem], solver: HighsSolver) -> None:
    """Solve problems with both methods and print what each took."""
    found = []
    for problem in (one for one in problems if one.windows.offsets[-1]):
        highs, exact = timed(problem, "highs", solver)
        own, near = timed(problem, "structured", solver)
        dearer = (near.objective - exact.objective) / max(1.0, abs(exact.objective))
        alone = near.method == "structured" and near.iterations == 0
        found.append((problem.windows.offsets[-1], len(problem.windows), highs, own, dearer, alone))
    table = np.array(found, dtype=np.float64)
    print(f"{len(table)} problems: HiGHS {table[:, 2].sum():.0f} ms,", end=" ")
    print(f"structured {table[:, 3].sum():.0f} ms, at most {table[:, 4].max():.1e} dearer")
    print(f"{'steps of all rows':>20}{'problems':>10}{'rows':>8}{'HiGHS ms':>10}{'structured ms':>15}{'ratio':>8}")
    for title, kind in (("cars alone", table[:, 5] == 1), ("joined", table[:, 5] == 0)):
        print(f"{title}:")
        for low, high in itertools.pairwise(EDGES):
            some = table[kind & (table[:, 0] > low) & (table[:, 0] <= high)]
            if len(some):
                mean = some.mean(axis=0)
                words, ratio = f"{low + 1}-{high}", mean[2] / mean[3]
                print(f"{words:>20}{len(some):>10}{mean[1]:>8.0f}{mean[2]:>10.2f}{mean[3]:>15.2f}{ratio:>8.2f}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pilot", type=Path, default=ROOT / "examples" / "guangdong-homes" / "pilot.toml")
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--every", type=int, default=4)
    asked = parser.parse_args()
    solver = HighsSolver()
    solve(fleet(20, 1), method="structured")
    if asked.problems:
        tell(problems_of(asked.pilot, asked.problems, asked.every), solver)
    for count in FLEETS:
        problem = fleet(count, 0)
        (highs, _), (own, _) = timed(problem, "highs", solver), timed(problem, "structured", solver)
        size = problem.windows.offsets[-1]
        print(f"{count} cars, {size} steps of all rows: HiGHS {highs:.1f} ms, structured {own:.1f} ms")


if __name__ == "__main__":
    main()
