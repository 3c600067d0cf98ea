"""`backfeed plan`: solve a planner instance; `plan check`: judge a schedule; `plan explain`: tell why a car does so."""

import math
import os
import resource
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from backfeed.cli.outcome import QualityMissedError, say, write_result
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

if TYPE_CHECKING:
    from backfeed.plan.check import Verdict

VIOLATION_MAX = 1e-5
"""A hard bound broken by more than this [kW or kWh] makes a plan unusable."""


class Method(StrEnum):
    """How to solve."""

    AUTO = "auto"
    STRUCTURED = "structured"
    HIGHS = "highs"


class InstanceFirst(TyperGroup):
    """A group whose own argument may stand where a sub-command does: `plan INSTANCE` is `plan solve INSTANCE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 the library's own type moves
        """Put `solve` in front of anything that is not a sub-command."""
        if args and args[0] != "--help" and args[0] not in self.commands:
            args = ["solve", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=InstanceFirst,
    no_args_is_help=True,
    help="Solve a planner instance (plan INSTANCE --out DIR), check or explain a plan.",
)

_InstanceArgument = Annotated[Path, typer.Argument(help="Folder of the instance's tables.")]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def solve(
    instance: _InstanceArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for schedule, prices and summary.")],
    gap: Annotated[float, typer.Option(help="Relative gap to the proven bound that is good enough.")] = 1e-3,
    time_limit: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    method: Annotated[Method, typer.Option(help="How to solve.")] = Method.AUTO,
    as_json: _JsonOption = False,  # noqa: FBT002 typer's own form
) -> None:
    """Plan charge and discharge of a fleet at the least cost, with a proven bound.

    Exit code 3: a plan is written, but the gap that was asked for is not proven.
    """
    from backfeed.plan.answer import summarise, write_answer  # noqa: PLC0415 --help must not wait for numpy
    from backfeed.plan.check import check, proposal_of  # noqa: PLC0415
    from backfeed.plan.instance import read_instance  # noqa: PLC0415
    from backfeed.plan.solve import solve as solve_problem  # noqa: PLC0415

    _require_numbers(gap, time_limit)
    problem = read_instance(instance)
    # Made before the work, so that nobody waits for a plan that can not be written.
    _writable(out)
    say(f"{len(problem.windows)} rows at {len(problem.nodes)} nodes over {problem.axis.count} steps")
    wall, cpu = time.perf_counter(), time.process_time()
    schedule = solve_problem(
        problem,
        gap,
        time_limit,
        method.value,
        threads=len(os.sched_getaffinity(0)),
        stop=None if time_limit is None else lambda: time.perf_counter() - wall > time_limit,
    )
    run = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    verdict = check(problem, proposal_of(schedule))
    summary = summarise(schedule, verdict, run)
    try:
        write_answer(problem, schedule, out, summary)
    except OSError as error:
        message = f"{out}: can not be written: {error.strerror or error}"
        raise EnvironmentProblemError(message) from error
    write_result(summary, f"{_words(verdict, schedule.method)}; written to {out}", as_json=as_json)
    _require_quality(verdict, gap)


@app.command(name="check")
def check_command(
    instance: _InstanceArgument,
    answer: Annotated[Path, typer.Argument(help="Folder that holds schedule.parquet.")],
    gap: Annotated[float, typer.Option(help="Relative gap above which the exit code is 3.")] = 1e-3,
    as_json: _JsonOption = False,  # noqa: FBT002 typer's own form
) -> None:
    """Recompute objective, violations and lower bound of a schedule from the files alone."""
    from backfeed.plan.answer import read_proposal  # noqa: PLC0415 --help must not wait for numpy
    from backfeed.plan.check import check  # noqa: PLC0415
    from backfeed.plan.instance import read_instance  # noqa: PLC0415

    _require_numbers(gap, None)
    problem = read_instance(instance)
    verdict = check(problem, read_proposal(problem, answer))
    document = {
        "objective": verdict.objective,
        "lower_bound": verdict.lower_bound,
        "gap": verdict.gap,
        "max_violation_kw": verdict.max_violation_kw,
        "max_violation_kwh": verdict.max_violation_kwh,
        "terms": verdict.terms,
    }
    write_result(document, _words(verdict, "checked"), as_json=as_json)
    _require_quality(verdict, gap)


@app.command(name="explain")
def explain_command(
    instance: _InstanceArgument,
    answer: Annotated[Path, typer.Argument(help="Folder that holds schedule.parquet and the prices.")],
    vehicle: Annotated[str, typer.Option(help="The vehicle, as the instance names it.")],
    step: Annotated[int, typer.Option(help="The step, counted from 0.")],
    as_json: _JsonOption = False,  # noqa: FBT002 typer's own form
) -> None:
    """Tell why a car charges, gives or rests in a step: which limit, price or promise made it so."""
    from backfeed.plan.answer import read_schedule  # noqa: PLC0415 --help must not wait for numpy
    from backfeed.plan.explain import explain  # noqa: PLC0415
    from backfeed.plan.instance import read_instance  # noqa: PLC0415

    problem = read_instance(instance)
    w = problem.windows
    rows = [row for row, name in enumerate(w.vehicle) if name == vehicle]
    if not rows:
        raise InputError([Problem("--vehicle", f"the vehicle {vehicle!r} is unknown")])
    here = [row for row in rows if w.arrive_step[row] <= step < w.depart_step[row]]
    if not here:
        stays = ", ".join(f"{w.arrive_step[row]} to {w.depart_step[row] - 1}" for row in rows)
        raise InputError([Problem("--step", f"{vehicle} is not connected in step {step}; it is in {stays}")])
    told = explain(problem, read_schedule(problem, answer), here[0], step)
    document = {
        "vehicle": vehicle,
        "row": here[0],
        "step": step,
        "power_kw": told.power_kw,
        "energy_kwh": told.energy_kwh,
        "reasons": [
            {"kind": reason.kind, "amount": reason.amount, "unit": reason.unit, "words": reason.words}
            for reason in told.reasons
        ],
    }
    words = f"{vehicle}, step {step}: {told.power_kw:+.2f} kW, {told.energy_kwh:.2f} kWh at its end. {told}"
    write_result(document, words, as_json=as_json)


def _require_numbers(gap: float, time_limit: float | None) -> None:
    """Refuse a gap or a time that none is."""
    problems = []
    if not 0 <= gap < math.inf:
        problems.append(Problem("--gap", f"expected 0 or more, found {gap}"))
    if time_limit is not None and not 0 <= time_limit < math.inf:
        problems.append(Problem("--time-limit", f"expected 0 or more seconds, found {time_limit}"))
    if problems:
        raise InputError(problems)


def _writable(out: Path) -> None:
    """Make the folder of an answer."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{out}: can not be written: {error.strerror}"
        raise EnvironmentProblemError(message) from error


def _words(verdict: "Verdict", method: str) -> str:
    """Return a verdict as a line for people."""
    return (
        f"{method}: objective {verdict.objective:.6f}, lower bound {verdict.lower_bound:.6f}, gap {verdict.gap:.2e}, "
        f"violations {verdict.max_violation_kw:.1e} kW and {verdict.max_violation_kwh:.1e} kWh"
    )


def _require_quality(verdict: "Verdict", gap: float) -> None:
    """Raise if the plan breaks a hard bound or is not proven to be within the gap."""
    if max(verdict.max_violation_kw, verdict.max_violation_kwh) > VIOLATION_MAX:
        message = f"the plan breaks a hard bound by {verdict.max_violation_kw} kW or {verdict.max_violation_kwh} kWh"
        raise QualityMissedError(message)
    if not verdict.gap <= gap:
        message = f"the gap asked for is {gap:g}, the gap proven is {verdict.gap:.3g}"
        raise QualityMissedError(message)
