"""The structured interior point: Mehrotra's predictor and corrector on the whole problem.

Each iteration eliminates vehicles into nodes and nodes into parents (`elimination`), finds the predictor's
step, aims at the centre as far as the predictor has shown to be needed, and finds the corrector's step with
the same factors. Primal and dual steps have lengths of their own. It stops when the caller, who is shown the
iterates, is content: the certificate is not this module's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backfeed.plan.elimination import Fleet, Work, advance, ascend, descend
from backfeed.plan.layout import LANES, Layout
from backfeed.plan.node import NodeTerms
from backfeed.plan.problem import Floats, inner
from backfeed.plan.start import new_state, start
from backfeed.plan.threads import Threads

ITERATIONS_MAX = 200
STEP_SHARE_MIN = 0.99
STEP_SHARE_MAX = 0.9995
"""How much of the way to the nearest bound a step goes."""

START_SHARE = 0.3
"""Products of slack and dual at the start, as a share of the least reduced cost of full power."""

CENTRING_MIN = 1e-6


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
        rows = layout.rows
        forest = layout.forest
        self.fleet = Fleet(
            rows,
            layout.money,
            layout.unit_ptr,
            layout.node_ptr,
            forest.parent,
            forest.child_ptr,
            forest.child,
        )
        price = max(float(np.median(layout.problem.prices.buy_per_kwh)), 1e-2)
        delta = 0.2 * price * layout.money.step_h
        product = START_SHARE * delta * max(float(rows.charge_kw.mean()), 1.0)
        self.state = new_state(layout.entries)
        self.everything = np.arange(len(forest.parent))
        self.threads.share(start, self.everything, self.fleet, self.state, price / 0.95, delta, product)
        self.nodes_count, self.count = len(forest.parent), layout.problem.axis.count
        self.power = np.zeros((self.nodes_count, self.count))
        self.measured = np.zeros((self.nodes_count, 3))
        self._advance((0.0, 0.0, 0.0, 0.0))
        self.nodes = NodeTerms(layout, self.power, product)
        self.work = _new_work(self.nodes_count, self.count)
        self.found = np.zeros((self.nodes_count, 5))
        self.barriers = self._count_barriers()

    def _count_barriers(self) -> int:
        """Return the number of products of slack and dual."""
        rows = self.layout.rows
        wide = (rows.capacity_kwh > rows.floor_kwh).astype(int) + (rows.floor_kwh > rows.empty_kwh)
        ends = (rows.capacity_kwh > rows.target_kwh).astype(int) + (rows.target_kwh > rows.empty_kwh)
        vehicles = int((rows.length * (3 + 2 * wide)).sum() + 2 * ends.sum())
        return vehicles + sum(slack.size for slack, _, _, _ in self.nodes.pairs())

    def progress(self, iteration: int) -> Progress:
        """Return what the iterates have come to."""
        products = float(self.measured[:, 0].sum())
        products += sum(inner(slack, dual) for slack, _, dual, _ in map(_flat, self.nodes.pairs()))
        return Progress(
            iteration=iteration,
            products=products,
            cost=float(self.measured[:, 1].sum()) + self.nodes.cost(),
            broken_kwh=float(self.measured[:, 2].max(initial=0.0)),
            broken_kw=float(np.abs(self.nodes.residual(self.power)).max(initial=0.0)),
        )

    def run(self, content: Callable[["InteriorPoint", Progress], bool], iterations_max: int = ITERATIONS_MAX) -> int:
        """Iterate until the caller is content; return how many iterations that took."""
        for iteration in range(iterations_max):
            progress = self.progress(iteration)
            if content(self, progress):
                return iteration
            self.iterate(progress.products)
        return iterations_max

    def iterate(self, products: float) -> None:
        """Take one step of predictor and corrector."""
        average = products / self.barriers
        primal, dual, sums = self._step(0.0, 0.0, refactor=True)
        primal, dual = min(primal, 1.0), min(dual, 1.0)
        left = products + primal * sums[0] + dual * sums[1] + primal * dual * sums[2]
        centring = min(max(max(left / products, 0.0) ** 3, CENTRING_MIN), 1.0)
        tau = centring * average
        primal, dual, _ = self._step(tau, 1.0, refactor=False)
        share = min(max(STEP_SHARE_MIN, 1.0 - average), STEP_SHARE_MAX)
        primal, dual = min(1.0, share * primal), min(1.0, share * dual)
        self.steps = (primal, dual, centring)
        self.nodes.advance(primal, dual)
        self._advance((tau, 1.0, primal, dual))

    def _advance(self, steps: tuple[float, float, float, float]) -> None:
        """Move all vehicles and measure them."""
        self.threads.share(advance, self.everything, self.fleet, self.state, self.power, steps, self.measured)

    def _step(self, tau: float, second: float, *, refactor: bool) -> tuple[float, float, tuple[float, float, float]]:
        """Find a step for all variables; return its greatest primal and dual lengths and `step_unit`'s sums."""
        nodes, work, count = self.nodes, self.work, self.count
        nodes.eliminate(tau, second)
        work.hd[:, :count], work.th[:, :count], work.coef[:] = nodes.hd, nodes.th, nodes.coef
        work.own[:, :count], work.spread[:, :count] = nodes.own, nodes.spread
        work.right[:, :count] = nodes.residual(self.power) + nodes.pull
        levels = self.layout.forest.levels
        for level in reversed(levels):
            self.threads.share(ascend, level, self.fleet, self.state, nodes.price, work, tau, second, refactor)
        for level in levels:
            self.threads.share(descend, level, self.fleet, self.state, nodes.price, work, tau, second, self.found)
        nodes.set_step(work.price_step[:, :count], self.power, work.power_step[:, :count], second)
        primal = float(self.found[:, 0].max(initial=0.0))
        dual = float(self.found[:, 1].max(initial=0.0))
        s1, s2, s3 = (float(self.found[:, i].sum()) for i in (2, 3, 4))
        for slack, step, z, dz in map(_flat, nodes.pairs()):
            if slack.size:
                primal = max(primal, float((-step / slack).max()))
                dual = max(dual, float((-dz / z).max()))
                s1, s2, s3 = s1 + inner(z, step), s2 + inner(slack, dz), s3 + inner(step, dz)
        return 1.0 / max(primal, 1e-12), 1.0 / max(dual, 1e-12), (s1, s2, s3)


def _flat(pair: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Return arrays as one dimension each."""
    return tuple(values.ravel() for values in pair)


def _new_work(nodes: int, count: int) -> Work:
    """Return room for the elimination, steps padded; padding has an inverse Hessian of 1 and no coupling."""
    size = -(-count // LANES) * LANES
    vectors = {
        name: np.zeros((nodes, size))
        for name in ("gamma", "free", "price_step", "power_step", "th", "own", "right", "spread")
    }
    return Work(
        root=np.zeros((nodes, size, size)),
        upward=np.zeros((nodes, size, size)),
        hd=np.ones((nodes, size)),
        coef=np.zeros(nodes),
        **vectors,
    )
