"""One site of 20, 50 and 100 cars in every shape: the structured solver beside HiGHS.

    python benchmarks/plan_site.py [--cars 20 50 100] [--seeds 3] [--repeats 3] [--shape WORDS ...] [--no-highs]

Solves each problem with both methods to the platform's gap and prints, by shape and number of cars, CPU milliseconds
of the solver (the median and the worst seed, each the best of some repeats, everything compiled), iterations and the
certified gap. Beneath stand the median and the worst over all shapes.

Cars come and go all day, stay some nine hours, and half of what has come gives power back unless the shape says other;
limits bind at the site and below it.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.plan.highs import HighsSolver
from backfeed.plan.problem import Commitments, Floats, Ints, Nodes, PlanProblem, Prices, Windows
from backfeed.plan.schedule import Schedule
from backfeed.plan.solve import Method, solve

GAP = 1e-4
"""What the platform asks for."""

ITERATION_LIMIT = 100_000
STAY_H = 9.0


@dataclass(frozen=True)
class Shape:
    """What a site looks like: how its tree is cut, over how many steps, and what is charged and promised."""

    tree: str = "flat"
    count: int = 96
    minutes: int = 15
    v2g: float = 0.5
    peak: bool = False
    promised: bool = False
    metered: bool = False
    second_metered: bool = False
    homes: bool = False
    pv: bool = True
    roomy: bool = False


SHAPES = {
    "one node": Shape("one"),
    "five circuits": Shape(),
    "a node for two cars": Shape("pairs"),
    "a line of ten nodes": Shape("line"),
    "each car its own chain": Shape("chains"),
    "24 steps of 60 minutes": Shape(count=24, minutes=60),
    "192 steps of 15 minutes": Shape(count=192),
    "288 steps of 5 minutes": Shape(count=288, minutes=5),
    "400 steps of 15 minutes": Shape(count=400),
    "one node, 400 steps": Shape("one", count=400),
    "own chains, 192 steps": Shape("chains", count=192),
    "own chains, 400 steps": Shape("chains", count=400),
    "peaks": Shape(peak=True),
    "promises": Shape(promised=True),
    "metered, with PV": Shape(metered=True),
    "chargers at five circuits": Shape("chargers"),
    "buildings, floors, circuits, chargers": Shape("buildings"),
    "deep random trees": Shape("random"),
    "every second circuit metered": Shape(second_metered=True),
    "every second chain metered": Shape("chains", second_metered=True),
    "homes with PV on five circuits": Shape("chargers", homes=True),
    "homes without PV": Shape("chargers", homes=True, pv=False),
    "homes with PV and room for it": Shape("chargers", homes=True, roomy=True),
    "no V2G": Shape(v2g=0.0),
    "all V2G": Shape(v2g=1.0),
}


def tree_of(shape: Shape, cars: int) -> tuple[list[int], Ints]:
    """Return the nodes' parents and every car's node."""
    every = np.arange(cars)
    if shape.tree == "one":
        return [-1], np.zeros(cars, np.int64)
    if shape.tree == "line":
        return [-1, *range(9)], every % 10
    if shape.tree == "pairs":
        return [-1, *[0] * (-(-cars // 2))], 1 + every // 2
    if shape.tree == "chains":
        above = [-1]
        for car in range(cars):
            above += [0, 3 * car + 1, 3 * car + 2]
        return above, 3 + 3 * every
    if shape.tree == "random":
        rng = Streams(cars).generator("plan-site-tree")
        return [-1, *(int(rng.integers(max(0, k - 6), k)) for k in range(1, cars))], rng.integers(0, cars, cars)
    return _circuits(shape, every)


def _circuits(shape: Shape, every: Ints) -> tuple[list[int], Ints]:
    """Return a site cut into circuits, every car there or at a charger of its own."""
    above = [-1, 0, 0, 0, 0, 0]
    if shape.tree == "buildings":  # two, of two floors of three circuits
        above = [-1, 0, 0, 1, 1, 2, 2, *np.repeat([3, 4, 5, 6], 3).tolist()]
    circuit = np.setdiff1d(np.arange(len(above)), above)[every % (len(above) - len(set(above)) + 1)]
    if shape.tree == "flat":
        return above, circuit
    return [*above, *circuit.tolist()], len(above) + every


def stays_of(shape: Shape, cars: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Return the car, the first step and the end of every stay: one a day, at some hour."""
    step_h = shape.minutes / 60
    days = max(1, round(shape.count * step_h / 24))
    car = np.repeat(np.arange(cars), days)
    begin_h = np.tile(24.0 * np.arange(days), cars) + np.repeat(rng.uniform(-3, 15, cars), days)
    stay_h = np.clip(rng.normal(STAY_H, 2.0, len(car)), 2.0, 13.0)
    first = np.clip(np.round(begin_h / step_h), 0, shape.count - 2).astype(np.int64)
    end = np.clip(np.round((begin_h + stay_h) / step_h), first + 1, shape.count).astype(np.int64)
    return car, first, end


def site(shape: Shape, cars: int, seed: int) -> PlanProblem:
    """Draw a site."""
    rng = Streams(seed).generator("plan-site")
    above, node_of = tree_of(shape, cars)
    count, step_h = shape.count, shape.minutes / 60
    nodes = Nodes.tree([f"n{k}" for k in range(len(above))], above, count)
    car, first, end = stays_of(shape, cars, rng)
    capacity, charge = rng.choice([40.0, 60.0, 77.0], cars)[car], rng.choice([7.4, 11.0, 22.0], cars)[car]
    start = capacity * rng.uniform(0.2, 0.6, len(car))
    target = np.minimum(capacity * rng.uniform(0.7, 0.95, len(car)), start + 0.8 * charge * step_h * (end - first))
    windows = Windows(
        vehicle=tuple(f"car {one}" for one in car),
        node=node_of[car],
        arrive_step=first,
        depart_step=end,
        charge_max_kw=charge,
        discharge_max_kw=np.where(rng.random(cars)[car] < shape.v2g, charge, 0.0),
        charge_efficiency=rng.uniform(0.93, 0.97, cars)[car],
        discharge_efficiency=rng.uniform(0.93, 0.97, cars)[car],
        energy_arrival_kwh=start,
        energy_target_kwh=target,
        energy_min_kwh=np.minimum(capacity * 0.2, start),
        energy_max_kwh=capacity,
        wear_per_kwh=rng.uniform(0.04, 0.06, cars)[car],
        hold_per_kwh_h=np.full(len(car), 1e-4),
    )
    hour = (np.arange(count) * step_h) % 24
    buy = 0.18 + 0.10 * np.cos((hour - 19) / 12 * np.pi) + 0.01 * rng.standard_normal(count)
    even = _even_powers(nodes, windows, step_h)
    if shape.metered:
        nodes.metered[0] = True
        nodes.pv_kw[0] = 3.0 * cars * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0.0)
    if shape.homes:
        home, sun = np.unique(node_of), np.maximum(np.sin((hour - 6) / 12 * np.pi), 0.0)
        nodes.metered[home] = True
        nodes.base_load_kw[home] = rng.gamma(2.0, 0.4, (len(home), count))
        nodes.pv_kw[home] = shape.pv * rng.choice([0.0, 3.0, 6.0], (len(home), 1)) * sun
    if shape.second_metered:
        nodes.metered[np.flatnonzero(nodes.parent == 0)[::2]] = True
    nodes.base_load_kw[0] = 0.5 * cars * (0.6 + 0.4 * np.exp(-(((hour - 19) / 2.5) ** 2)))
    most = nodes.sum_up(even).max(axis=1, keepdims=True)
    nodes.import_limit_kw[:] = nodes.sum_up(nodes.base_load_kw) + most * rng.uniform(1.1, 1.6, (len(above), count))
    nodes.export_limit_kw[:] = most * rng.uniform(0.2, 0.6, (len(above), 1))
    nodes.export_limit_kw[:] += nodes.sum_up(nodes.pv_kw) if shape.roomy else 0.0
    nodes.peak_charge_per_kw[:] = 0.3 if shape.peak else 0.0
    return PlanProblem(
        axis=TimeAxis(0, shape.minutes * MS_PER_MIN, count),
        prices=Prices(("zone",), buy[None], 0.9 * buy[None]),
        nodes=nodes,
        windows=windows,
        commitments=_promises(hour, cars) if shape.promised else Commitments.none(),
    )


def _even_powers(nodes: Nodes, w: Windows, step_h: float) -> Floats:
    """Return the power of charging at an even rate, `(node, step)`."""
    rate = np.maximum(w.energy_target_kwh - w.energy_arrival_kwh, 0.0)
    rate /= w.charge_efficiency * step_h * (w.depart_step - w.arrive_step)
    edge = np.zeros((len(nodes), nodes.base_load_kw.shape[1] + 1))
    np.add.at(edge, (w.node, w.arrive_step), rate)
    np.add.at(edge, (w.node, w.depart_step), -rate)
    even: Floats = np.cumsum(edge, axis=1)[:, :-1]
    return even


def _promises(hour: Floats, cars: int) -> Commitments:
    """Return promises to inject in the evening and to take around noon."""
    evening, noon = np.flatnonzero((hour >= 18) & (hour < 20)), np.flatnonzero((hour >= 12) & (hour < 13))
    step = np.concatenate((evening, noon))
    return Commitments(
        node=np.zeros(len(step), np.int64),
        step=step,
        up=np.isin(step, evening),
        power_kw=np.where(np.isin(step, evening), 0.5, 2.0) * cars,
        shortfall_per_kwh=np.full(len(step), 0.6),
    )


def timed(problem: PlanProblem, method: Method, solver: HighsSolver, repeats: int) -> tuple[float, Schedule]:
    """Return the CPU milliseconds of the best of some solutions, and what was found."""
    best = np.inf
    for _ in range(repeats):
        begun = time.process_time()
        schedule = solve(problem, GAP, method=method, iteration_limit=ITERATION_LIMIT, solver=solver)
        best = min(best, time.process_time() - begun)
    return best * 1e3, schedule


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cars", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", nargs="+", choices=sorted(SHAPES), default=list(SHAPES))
    parser.add_argument("--no-highs", action="store_true", help="time the structured solver only")
    asked = parser.parse_args()
    solver, all_own = HighsSolver(), []
    solve(site(Shape(), 5, 1), method="structured")
    print(f"{'shape':<38}{'cars':>5}{'row-steps':>11}{'ms':>8}{'worst':>8}{'HiGHS':>9}{'iterations':>12}{'gap':>10}")
    for name in asked.shape:
        for cars in asked.cars:
            problems = [site(SHAPES[name], cars, seed) for seed in range(asked.seeds)]
            own = [timed(problem, "structured", solver, asked.repeats) for problem in problems]
            ms = np.array([one[0] for one in own])
            highs = np.nan if asked.no_highs else float(np.median([timed(p, "highs", solver, 1)[0] for p in problems]))
            size = int(np.median([problem.windows.offsets[-1] for problem in problems]))
            iterations, gap = max(one[1].iterations for one in own), max(one[1].gap for one in own)
            words = f"{name:<38}{cars:>5}{size:>11}{np.median(ms):>8.1f}{ms.max():>8.1f}{highs:>9.1f}"
            print(f"{words}{iterations:>12}{gap:>10.1e}", flush=True)
            all_own.append((cars, np.median(ms), ms.max()))
    table = np.array(all_own)
    for cars in asked.cars:
        own = table[table[:, 0] == cars]
        print(f"{cars} cars: median of all shapes {np.median(own[:, 1]):.1f} ms, worst {own[:, 2].max():.1f} ms")


if __name__ == "__main__":
    main()
