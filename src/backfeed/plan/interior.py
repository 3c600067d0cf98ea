"""The structured interior point: Mehrotra's predictor and corrector on the whole problem.

Each iteration takes the step that the last one has found and eliminates vehicles into nodes and nodes into parents in
one pass (`elimination.ascend`), finds the predictor's step, aims at the centre as far as the predictor has shown to be
needed, and finds the corrector's step with the same factors. Primal and dual steps have lengths of their own. It stops
when the caller, who is shown the iterates, is content: the certificate is not this module's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backfeed.plan.border import Border
from backfeed.plan.drives import ARRIVING, LEAVING, new_drives
from backfeed.plan.elimination import Move, ascend, ascend_again, descend, new_work, settle
from backfeed.plan.layout import Layout
from backfeed.plan.node import WIDTH, Aim, advance_nodes
from backfeed.plan.problem import Floats
from backfeed.plan.rows import LENGTH, ROW_CAPACITY, ROW_CHARGE, ROW_EMPTY, ROW_FLOOR, ROW_TARGET
from backfeed.plan.start import start, start_nodes
from backfeed.plan.threads import Threads
from backfeed.plan.unit import new_state

ITERATIONS_MAX = 200
STEP_SHARE_MIN = 0.99
STEP_SHARE_MAX = 0.9995
"""How much of the way to the nearest bound a step goes."""

START_SHARE = 0.3
"""Products of slack and dual at the start, as a share of the least reduced cost of full power."""

CENTRING_MIN = 1e-6
CENTRING_POWER = 4
"""The aim is this power of what the predictor would leave of the gap; 3 is usual, and takes a few iterations more."""


@dataclass
class Progress:
    """What the iterates have come to: complementarity, cost estimate, worst broken dynamics and balance."""

    iteration: int
    products: float
    cost: float
    broken_kwh: float
    broken_kw: float


class InteriorPoint:
    """The iterates of one problem.

    Parameters
    ----------
    layout
        The problem, laid out.
    threads
        How many threads share the nodes of a level; the result does not depend on it.
    """

    def __init__(self, layout: Layout, threads: int = 1) -> None:
        self.layout, self.threads = layout, Threads(threads)
        levels = layout.forest.levels
        self.fleet = layout.fleet
        price = max(float(np.median(layout.problem.prices.buy_per_kwh)), 1e-2)
        delta = 0.2 * price * layout.fleet.step_h
        product = START_SHARE * delta * max(float(self.fleet.figure(ROW_CHARGE).mean()), 1.0)
        self.upwards, self.downwards = levels[::-1], levels
        self.nodes_count, self.count = len(layout.forest.parent), layout.problem.axis.count
        columns = self.count + len(layout.pieces.slots)
        self.work = new_work(self.nodes_count, columns)
        self.drives = new_drives(layout.chain, self.fleet, self.work.hd.shape[1], price / 0.95)
        self.state = new_state(layout.entries)
        self.vehicles = (self.fleet, self.state, self.drives)
        self.border = Border(layout.forest, self.drives, self.work.hd.shape[1])
        power = np.zeros((self.nodes_count, self.count))
        self.threads.share_levels(start, levels, *self.vehicles, price / 0.95, delta, product, power)
        self.nodes = start_nodes(layout, power, product)
        self.measured, self.measured_nodes = np.zeros((self.nodes_count, 4)), np.zeros((self.nodes_count, 2))
        self.found, self.found_nodes = np.zeros((self.nodes_count, 5)), np.zeros((self.nodes_count, 5))
        self.barriers = self._count_barriers()
        self.move = Move(Aim(0.0, 0.0), 0.0, 0.0)

    def _count_barriers(self) -> int:
        """Return the number of products of slack and dual."""
        fleet, boxes = self.fleet, self.nodes.boxes
        floor, target = fleet.figure(ROW_FLOOR), fleet.figure(ROW_TARGET)
        empty, capacity = fleet.figure(ROW_EMPTY), fleet.figure(ROW_CAPACITY)
        wide, ends = ((capacity > at).astype(int) + (at > empty) for at in (floor, target))
        vehicles = int((fleet.places[:, LENGTH] * (3 + 2 * wide)).sum() + 2 * ends.sum())
        peaks = len(self.nodes.heads) * (1 + self.count)
        return vehicles + 2 * int((boxes[:, WIDTH] > 0).sum()) + peaks + 2 * len(self.drives.value)

    def run(self, content: Callable[["InteriorPoint", Progress], bool], iterations_max: int = ITERATIONS_MAX) -> int:
        """Iterate until the caller is content; return how many iterations that took."""
        for iteration in range(iterations_max + 1):
            progress = self._advance(iteration)
            if content(self, progress) or iteration == iterations_max:
                return iteration
            self._find_step(progress.products)
        return iterations_max

    def _advance(self, iteration: int) -> Progress:
        """Take the step that was found, eliminate for the next one, and return what the iterates have come to."""
        move, work, drives = self.move, self.work, self.drives
        drives.value[:] += move.dual * drives.step
        self.threads.share_levels(advance_nodes, self.upwards, self.nodes, work.price_step, *move, self.measured_nodes)
        self.threads.share_levels(ascend, self.upwards, *self.vehicles, self.nodes, work, move, self.measured)
        broken_kwh = np.append(self.measured[:, 2], np.abs(drives.energy[:, ARRIVING] - drives.energy[:, LEAVING]))
        return Progress(
            iteration=iteration,
            products=float(self.measured[:, 0].sum() + self.measured_nodes[:, 0].sum()),
            cost=float(self.measured[:, 1].sum() + self.measured_nodes[:, 1].sum() + self.layout.pieces.low_cost.sum()),
            broken_kwh=float(broken_kwh.max()),
            broken_kw=float(self.measured[:, 3].max(initial=0.0)),
        )

    def _find_step(self, products: float) -> None:
        """Find the next step by predictor and corrector; it is taken by `_advance`."""
        average = products / self.barriers
        self.border.factor(self.nodes, self.work)
        primal, dual, sums = self._descend(Aim(0.0, 0.0))
        primal, dual = min(primal, 1.0), min(dual, 1.0)
        left = products + primal * sums[0] + dual * sums[1] + primal * dual * sums[2]
        centring = min(max(max(left / products, 0.0) ** CENTRING_POWER, CENTRING_MIN), 1.0)
        aim = Aim(centring * average, 1.0)
        self.threads.share_levels(ascend_again, self.upwards, *self.vehicles, self.nodes, self.work, aim)
        primal, dual, _ = self._descend(aim)
        share = min(max(STEP_SHARE_MIN, 1.0 - average), STEP_SHARE_MAX)
        self.move = Move(aim, min(1.0, share * primal), min(1.0, share * dual))

    def _descend(self, aim: Aim) -> tuple[float, float, Floats]:
        """Hand prices down and find all steps; return their greatest primal and dual lengths and `step_unit`'s sums."""
        self.border.find_values(self.nodes, self.work)
        vehicles, own = self.found, self.found_nodes
        self.threads.share_levels(descend, self.downwards, *self.vehicles, self.nodes, self.work, aim, vehicles)
        self.threads.share_levels(settle, self.upwards, self.nodes, self.work, aim, own)
        most = np.maximum(vehicles.max(axis=0, initial=0.0), own.max(axis=0, initial=0.0))
        sums: Floats = vehicles[:, 2:].sum(axis=0) + own[:, 2:].sum(axis=0)
        return 1.0 / max(float(most[0]), 1e-12), 1.0 / max(float(most[1]), 1e-12), sums
