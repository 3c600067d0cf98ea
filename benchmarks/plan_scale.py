"""The structured solver against HiGHS HiPO, side by side on one fleet, each in a process of its own.

    python benchmarks/plan_scale.py --vehicles 10000 --gap 1e-6 [--hipo PYTHON] [--threads 2] [--family NAME]

Prints one JSON line per solver: CPU seconds, wall seconds, peak memory, iterations, objective, certified gap.
`--hipo` names an interpreter that has `highspy[extras]` installed; without it only the structured solver runs.
The fleet: 50 cars a site, ten sites a substation, cities, a region; 60 % of the cars give power back; limits
bind on every level, peaks are charged, and for two hours in the evening the fleet has promised to inject. `--family`
takes other prices: `negative` (a quarter lower), `burning` (-0.60 from 10 to 16 h both ways), `inverted` (selling up to
0.10 above or below buying), `subsidy` (0.30 above it from 17 to 21 h), and the last two at sites with meters and PV;
`free` leaves out limits, peaks and the promise.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.rng import Streams
from backfeed.plan.check import check, proposal_of
from backfeed.plan.lowered import lower
from backfeed.plan.problem import Commitments, Nodes, PlanProblem, Prices, Windows
from backfeed.plan.program import build
from backfeed.plan.solve import solve

STEPS, STEP_H = 96, 0.25
SITE_SIZE = 50


def fleet(vehicles: int, seed: int) -> PlanProblem:
    """Draw the benchmark's fleet."""
    rng = Streams(seed).generator("plan-benchmark")
    sites = max(1, vehicles // SITE_SIZE)
    stations = max(1, sites // 10)
    cities = max(1, min(63, stations // 3))
    parent = np.concatenate(
        (
            [-1],
            np.zeros(cities, np.int64),
            1 + np.arange(stations) * cities // stations,
            1 + cities + np.arange(sites) * stations // sites,
        )
    )
    nodes = Nodes.tree([f"n{k}" for k in range(len(parent))], parent, STEPS)
    first_site = 1 + cities + stations
    site = np.minimum(np.arange(vehicles) // SITE_SIZE, sites - 1)
    at_work = (rng.random(sites) < 0.25)[site]
    home = np.clip(np.round((rng.normal(6.0, 1.5, vehicles)) * 4), 0, 60)
    leave = np.clip(np.round((rng.normal(19.5, 1.0, vehicles)) * 4), 62, 96)
    arrive = np.where(at_work, 0, home).astype(np.int64)
    depart = np.where(at_work, np.clip(np.round(rng.normal(5.5, 1.0, vehicles) * 4), 8, 40), leave).astype(np.int64)
    capacity = rng.choice([40.0, 60.0, 77.0], vehicles)
    charge = rng.choice([7.4, 11.0, 22.0], vehicles, p=[0.5, 0.35, 0.15])
    start = capacity * rng.uniform(0.2, 0.7, vehicles)
    reach = start + 0.85 * charge * STEP_H * (depart - arrive)
    target = np.minimum(capacity * rng.uniform(0.7, 0.95, vehicles), reach)
    hour = (12 + np.arange(STEPS) * STEP_H) % 24
    night, evening = (hour >= 23) | (hour < 6), (hour >= 17) & (hour < 21)
    buy = np.where(night, 0.10, np.where(evening, 0.32, 0.18))
    rate = np.maximum(target - start, 0) / (0.95 * STEP_H * (depart - arrive))
    flat = np.zeros((len(parent), STEPS + 1))
    np.add.at(flat, (first_site + site, arrive), rate)
    np.add.at(flat, (first_site + site, depart), -rate)
    flat = np.cumsum(flat, axis=1)[:, :-1]
    base = np.zeros_like(flat)
    base[first_site:] = SITE_SIZE * 0.5 * (0.6 + 0.4 * np.exp(-(((hour - 19) / 2.5) ** 2)))
    nodes.base_load_kw[:] = base
    own_limit = (flat + base).max(axis=1, keepdims=True) * rng.uniform(1.1, 1.5, (len(parent), 1))
    total = nodes.sum_up(flat + base)
    nodes.import_limit_kw[:] = np.maximum(total * 1.04 + 1, 0.9 * nodes.sum_up(np.repeat(own_limit, STEPS, axis=1)))
    nodes.import_limit_kw[first_site:] = own_limit[first_site:]
    own_export = np.zeros_like(base)
    own_export[first_site:] = SITE_SIZE
    nodes.export_limit_kw[:] = nodes.sum_up(own_export)
    nodes.peak_charge_per_kw[first_site:] = 0.08
    event = np.flatnonzero((hour >= 18.5) & (hour < 20.5))
    return PlanProblem(
        axis=TimeAxis(0, 900_000, STEPS),
        prices=Prices(("z",), buy[None], 0.9 * buy[None]),
        nodes=nodes,
        windows=Windows(
            vehicle=tuple(f"v{i}" for i in range(vehicles)),
            node=first_site + site,
            arrive_step=arrive,
            depart_step=depart,
            charge_max_kw=charge,
            discharge_max_kw=np.where(rng.random(vehicles) < 0.6, charge, 0.0),
            charge_efficiency=rng.uniform(0.93, 0.97, vehicles),
            discharge_efficiency=rng.uniform(0.93, 0.97, vehicles),
            energy_arrival_kwh=start,
            energy_target_kwh=target,
            energy_min_kwh=np.minimum(capacity * 0.2, start),
            energy_max_kwh=capacity,
            wear_per_kwh=rng.uniform(0.04, 0.06, vehicles),
            hold_per_kwh_h=np.zeros(vehicles),
        ),
        commitments=Commitments(
            node=np.zeros(len(event), np.int64),
            step=event,
            up=np.ones(len(event), np.bool_),
            power_kw=np.full(len(event), 0.4 * vehicles),
            shortfall_per_kwh=np.full(len(event), 0.6),
        ),
    )


FAMILIES = ("usual", "free", "negative", "burning", "inverted", "subsidy", "inverted meters", "subsidised meters")


def priced(problem: PlanProblem, family: str) -> PlanProblem:
    """Return the fleet at a family's prices."""
    hour = (12 + np.arange(STEPS) * STEP_H) % 24
    buy, sell = problem.prices.buy_per_kwh, problem.prices.sell_per_kwh
    nodes = problem.nodes
    if family == "negative":
        buy = buy - 0.25
        sell = np.where(buy > 0, 0.9, 1.1) * buy
    elif family == "burning":
        buy = np.where((hour >= 10) & (hour < 16), -0.6, buy)
        sell = np.where(buy > 0, 0.9, 1.0) * buy
    elif family.startswith("inverted"):
        sell = buy + Streams(0).generator("plan-benchmark-prices").uniform(-0.1, 0.1, buy.shape)
    elif family.startswith("subsid"):
        sell = np.where((hour >= 17) & (hour < 21), buy + 0.3, 0.9 * buy)
    if family == "free":
        nodes.import_limit_kw[:] = nodes.export_limit_kw[:] = np.inf
        nodes.peak_charge_per_kw[:] = 0.0
        return replace(problem, commitments=Commitments.none())
    if family.endswith("meters"):
        site = ~np.isin(np.arange(len(nodes)), nodes.parent)
        nodes.metered[:] = site
        nodes.pv_kw[site] = 1.5 * SITE_SIZE * np.exp(-(((hour - 13) / 2.5) ** 2))
    return replace(problem, prices=Prices(problem.prices.zone, buy, sell))


def run_structured(vehicles: int, gap: float, threads: int, family: str) -> dict[str, float]:
    """Solve with the structured solver, compiled beforehand, and let the judge certify."""
    solve(priced(fleet(100, 1), family), gap, method="structured", threads=threads)
    problem = priced(fleet(vehicles, 0), family)
    wall, cpu = time.perf_counter(), time.process_time()
    schedule = solve(problem, gap, method="structured", threads=threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    verdict = check(problem, proposal_of(schedule))
    limits = [slack for slack in schedule.slacks if slack.kind.endswith("limit")]
    return {
        "vehicles": vehicles,
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_mb": peak,
        "iterations": schedule.iterations,
        "objective": verdict.objective,
        "gap": schedule.gap,
        "judged_gap": verdict.gap,
        "limits_broken": len(limits),
        "violation": max(verdict.max_violation_kw, verdict.max_violation_kwh),
    }


HIPO = """
import json, resource, sys, time
import highspy, numpy as np
z = np.load(sys.argv[1])
h = highspy.Highs()
h.setOptionValue("output_flag", False)
n, m = len(z["cost"]), len(z["row_lower"])
h.passModel(n, m, len(z["value"]), 2, 1, 0.0, z["cost"], z["column_lower"], z["column_upper"], z["row_lower"],
            z["row_upper"], z["start"].astype(np.int32), z["index"].astype(np.int32), z["value"], np.zeros(n, np.int32))
h.setOptionValue("solver", "hipo")
h.setOptionValue("run_crossover", "off")
wall, cpu = time.perf_counter(), time.process_time()
h.run()
info = h.getInfo()
print(json.dumps({"solver": "hipo", "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu,
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  "objective_lp": info.objective_function_value, "iterations": info.ipm_iteration_count,
                  "simplex_iterations": info.simplex_iteration_count,
                  "status": h.modelStatusToString(h.getModelStatus())}))
"""


def run_hipo(vehicles: int, interpreter: str) -> dict[str, float]:
    """Hand the same linear program to HiPO in another interpreter."""
    lowered = lower(fleet(vehicles, 0))
    program = build(lowered)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "program.npz"
        names = ("cost", "column_lower", "column_upper", "row_lower", "row_upper", "start", "index", "value")
        np.savez(file, **{name: getattr(program, name) for name in names})
        script = Path(folder) / "hipo.py"
        script.write_text(HIPO)
        words = [interpreter, str(script), str(file)]
        ran = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 our own script
    result = json.loads(ran.stdout.splitlines()[-1])
    result["objective"] = result.pop("objective_lp") + lowered.energy.constant
    return result


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=10_000)
    parser.add_argument("--gap", type=float, default=1e-6)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--hipo", help="interpreter with highspy[extras]")
    parser.add_argument("--family", choices=FAMILIES, default="usual")
    parser.add_argument("--only", choices=["structured"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        found = run_structured(asked.vehicles, asked.gap, asked.threads, asked.family)
        print(json.dumps({"solver": "structured", "family": asked.family, **found}))
        return
    words = [sys.executable, __file__, "--only", "structured", "--vehicles", str(asked.vehicles)]
    words += ["--gap", str(asked.gap), "--threads", str(asked.threads), "--family", asked.family]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 this very script
    print(ran.stdout, end="")
    if asked.hipo and asked.family == "usual":
        print(json.dumps(run_hipo(asked.vehicles, asked.hipo)))


if __name__ == "__main__":
    main()
