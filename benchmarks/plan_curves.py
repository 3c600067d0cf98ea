"""Time and memory of the structured solver against fleet and horizon: a table and a drawing.

    python benchmarks/plan_curves.py [--vehicles N ...] [--steps T ...] [--at 1000] [--gap 1e-3] [--redraw]

Solves `plan_scale`'s fleet, each size in a process of its own with compiled code, on one thread: over 96 steps for
every number of vehicles, and for `--at` vehicles over every number of steps in which the same day is cut. Writes
`plan_curves.csv` beside this file and `docs/images/plan-curves.svg`. What other runs have measured stays in the table
unless it is measured anew; `--redraw` measures nothing. The gap in the table is the judge's.
"""

import argparse
import csv
import dataclasses
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from plan_scale import STEPS, fleet

from backfeed.core.axis import TimeAxis
from backfeed.plan.check import check, proposal_of
from backfeed.plan.problem import Commitments, PlanProblem, Prices
from backfeed.plan.structured import solve_structured

TABLE = Path(__file__).with_suffix(".csv")
DRAWING = Path(__file__).parent.parent / "docs" / "images" / "plan-curves.svg"
COLUMNS = ("vehicles", "steps", "cpu_s", "peak_mb", "iterations", "gap")
WIDTH, HEIGHT, LEFT, TOP, GAP = 340, 230, 60, 34, 70

Row = dict[str, float]


def cut(problem: PlanProblem, count: int) -> PlanProblem:
    """Return the same day in another number of steps."""
    old = np.arange(count) * STEPS // count
    nodes, w, promised = problem.nodes, problem.windows, problem.commitments
    series = ("base_load_kw", "pv_kw", "import_limit_kw", "export_limit_kw")
    arrive = np.minimum(w.arrive_step * count // STEPS, count - 1)
    steps = np.flatnonzero(np.isin(old, promised.step))
    return dataclasses.replace(
        problem,
        axis=TimeAxis(0, 86_400_000 // count, count),
        prices=Prices(problem.prices.zone, problem.prices.buy_per_kwh[:, old], problem.prices.sell_per_kwh[:, old]),
        nodes=dataclasses.replace(nodes, **{name: getattr(nodes, name)[:, old] for name in series}),
        windows=dataclasses.replace(
            w, arrive_step=arrive, depart_step=np.clip(-(-w.depart_step * count // STEPS), arrive + 1, count)
        ),
        commitments=Commitments(
            node=np.zeros(len(steps), np.int64),
            step=steps,
            up=np.ones(len(steps), np.bool_),
            power_kw=np.full(len(steps), promised.power_kw[0]),
            shortfall_per_kwh=np.full(len(steps), promised.shortfall_per_kwh[0]),
        ),
    )


def measure(vehicles: int, steps: int, gap: float) -> Row:
    """Solve one size in this process."""
    solve_structured(fleet(100, 1), 1e-2)
    problem = cut(fleet(vehicles, 0), steps)
    begun = time.process_time()
    schedule = solve_structured(problem, gap)
    cpu = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    verdict = check(problem, proposal_of(schedule))
    values = (vehicles, steps, round(cpu, 3), round(peak), schedule.iterations, float(f"{verdict.gap:.2e}"))
    return dict(zip(COLUMNS, values, strict=True))


def apart(vehicles: int, steps: int, gap: float) -> Row:
    """Solve one size in a process of its own, whose memory nobody else has used."""
    words = [sys.executable, __file__, "--one", str(vehicles), str(steps), "--gap", str(gap)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 this very script
    row: Row = json.loads(ran.stdout)
    return row


def read() -> dict[tuple[int, int], Row]:
    """Return what has been measured before."""
    if not TABLE.exists():
        return {}
    with TABLE.open(encoding="utf-8") as lines:
        rows = [{name: float(value) for name, value in line.items()} for line in csv.DictReader(lines)]
    return {(int(row["vehicles"]), int(row["steps"])): row for row in rows}


def write(rows: dict[tuple[int, int], Row]) -> None:
    """Write the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows({name: f"{rows[key][name]:g}" for name in COLUMNS} for key in sorted(rows))


def panel(points: list[tuple[float, float]], words: tuple[str, str], left: float, top: float) -> str:
    """Return one drawing on two logarithmic scales, the slope between its ends written beside the line."""
    (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*points, strict=True))
    y0, y1 = 10 ** math.floor(math.log10(y0)), 10 ** math.ceil(math.log10(y1 * 1.001))
    x = lambda value: left + WIDTH * math.log(value / x0) / math.log(x1 / x0)  # noqa: E731
    y = lambda value: top + HEIGHT * (1 - math.log(value / y0) / math.log(y1 / y0))  # noqa: E731
    shape = [f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>']
    for power in range(round(math.log10(y0)), round(math.log10(y1)) + 1):
        at = y(10.0**power)
        shape.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        shape.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for value, _ in points:
        shape.append(f'<text x="{x(value):.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{value:,.0f}</text>')
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    shape.append(f'<polyline points="{line}" fill="none" stroke="#0b6" stroke-width="2"/>')
    shape += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="#0b6"/>' for a, b in points]
    slope = math.log(points[-1][1] / points[0][1]) / math.log(x1 / x0)
    shape.append(f'<text x="{left}" y="{top - 10}">{words[0]} (grows with the power {slope:.2f})</text>')
    shape.append(f'<text x="{left + WIDTH / 2}" y="{top + HEIGHT + 34}" text-anchor="middle">{words[1]}</text>')
    return "".join(shape)


def draw(rows: dict[tuple[int, int], Row], at: int) -> None:
    """Draw time and memory, against vehicles and against steps."""
    by_fleet = [rows[key] for key in sorted(rows) if key[1] == STEPS]
    by_steps = [rows[key] for key in sorted(rows) if key[0] == at]
    shapes = []
    told = (("cpu_s", "CPU-seconds"), ("peak_mb", "peak memory, MB"))
    for column, (chosen, name, words) in enumerate(
        ((by_fleet, "vehicles", f"vehicles, {STEPS} steps"), (by_steps, "steps", f"steps of a day, {at:,} vehicles"))
    ):
        for line, (value, unit) in enumerate(told):
            if len(chosen) > 1:
                points = [(row[name], row[value]) for row in chosen]
                left, top = LEFT + column * (WIDTH + GAP), TOP + line * (HEIGHT + GAP)
                shapes.append(panel(points, (unit, words), left, top))
    width, height = LEFT + 2 * WIDTH + GAP + 20, TOP + 2 * HEIGHT + GAP + 50
    DRAWING.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="#fff"/>{"".join(shapes)}</svg>\n',
        encoding="utf-8",
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, nargs="+", default=[300, 1_000, 3_000])
    parser.add_argument("--steps", type=int, nargs="+", default=[24, 48, 96, 192])
    parser.add_argument("--at", type=int, default=1_000)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--redraw", action="store_true")
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(*asked.one, asked.gap)))
        return
    rows = read()
    if not asked.redraw:
        sizes = {*((vehicles, STEPS) for vehicles in asked.vehicles), *((asked.at, steps) for steps in asked.steps)}
        for size in sorted(sizes):
            rows[size] = apart(*size, asked.gap)
            print(json.dumps(rows[size]), flush=True)
        write(rows)
    draw(rows, asked.at)


if __name__ == "__main__":
    main()
