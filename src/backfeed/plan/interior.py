"""The structured interior point: Mehrotra's predictor and corrector on the whole problem.

Each iteration takes the step that the last one has found and eliminates vehicles into nodes and nodes into parents in
one pass (`elimination.ascend`), finds the predictor's step, aims at the centre as far as the predictor has shown to be
needed, and finds the corrector's step with the same factors. Primal and dual steps have lengths of their own. It pauses
where a certificate is worth trying (`pace.verdict_on`): the certificate is not this module's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backfeed.plan.balance import new_room, new_work
from backfeed.plan.border import Border
from backfeed.plan.compiled import entry_of
from backfeed.plan.drives import new_drives
from backfeed.plan.elimination import Move, ascend, ascend_again, descend, settle
from backfeed.plan.lanes import lay_lanes
from backfeed.plan.layout import Layout
from backfeed.plan.meter import count_meters
from backfeed.plan.narrow import factor_trees, solve_trees
from backfeed.plan.node import WIDTH, Aim, Nodes, advance_nodes
from backfeed.plan.pace import DONE, GO_ON, STALLED, Progress, centring_of, lengths_of, progress_of, verdict_on
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import LENGTH, ROW_CAPACITY, ROW_CHARGE, ROW_EMPTY, ROW_FLOOR, ROW_TARGET
from backfeed.plan.start import start, start_nodes
from backfeed.plan.threads import Threads
from backfeed.plan.unit import new_state

ITERATIONS_MAX = 200

START_SHARE = 0.3
"""Products of slack and dual at the start, as a share of the least reduced cost of full power."""


class InteriorPoint:
    """The iterates of one problem.

    Parameters
    ----------
    layout
        The problem, laid out.
    threads
        How many threads share the nodes of a level; the result does not depend on it.
    narrow_only
        Whether every tree that may be is eliminated in the order of time, where that is quicker or not.
    cost_min
        What gaps are relative to at least [currency].
    """

    def __init__(self, layout: Layout, threads: int = 1, *, narrow_only: bool = False, cost_min: float = 1.0) -> None:
        self.layout, self.threads, self.iteration, self._cost_min = layout, Threads(threads), 0, cost_min
        levels, fleet = layout.forest.levels, layout.fleet
        self.upwards, self.downwards = self.threads.joined(levels[::-1]), self.threads.joined(levels)
        self._entries: dict[Callable[..., None], Callable[..., None]] = {}
        self.nodes_count, self.count = len(layout.forest.parent), len(layout.steps)
        lanes = lay_lanes(layout, narrow_only=narrow_only)
        self._trees = np.flatnonzero((lanes.narrow > 0) & (layout.forest.parent < 0))
        self.columns = self.count + len(layout.pieces.slots)
        self._rooms = [new_room(self.count, self.columns)]
        price = max(float(np.median(layout.problem.prices.buy_per_kwh)), 1e-2)
        delta = 0.2 * price * fleet.step_h
        product = START_SHARE * delta * max(float(fleet.figure(ROW_CHARGE).mean()), 1.0)
        self.work = new_work(self.nodes_count, self.columns, layout.span, lanes)
        self.drives = new_drives(layout.chain, fleet, self.work.columns.shape[2], price / 0.95)
        self.state = new_state(layout.entries, fleet.meters)
        self.vehicles = (fleet, self.state, self.drives)
        self.border = Border(layout.forest, self.drives, self.count, self.work.columns.shape[2])
        power = np.zeros((self.nodes_count, self.count))
        self.share(start, *self.vehicles, price / 0.95, (delta, product), power)
        self.nodes = start_nodes(layout, power, product)
        self._barriers = _count_barriers(layout, self.nodes) + 2 * len(self.drives.value)
        self._low_cost = float(layout.within.low_cost.sum())
        self._length = 1.0
        self.progress = self._advance(Move(Aim(0.0, 0.0), 0.0, 0.0))

    @property
    def price(self) -> Floats:
        """The nodes' prices, `(node, column)` without padding [currency/kW and step]."""
        return self.nodes.price[:, : self.columns]

    @property
    def stalled(self) -> bool:
        """Whether rounding is all that has moved."""
        return self._length < STALLED

    def pursue(self, gap: float, looked: float, iterations_max: int, stop: Callable[[], bool] | None) -> int:
        """Iterate until a certificate is worth trying or nothing is to be gained; return the verdict.

        Parameters
        ----------
        gap
            Relative gap that is to be proven.
        looked
            Complementarity at which a certificate was tried last.
        iterations_max
            How many iterations there may be in all.
        stop
            Asked before every iteration whether to leave it there.
        """
        while (verdict := verdict_on(self.progress, self._length, gap, looked, self._cost_min)) == GO_ON:
            if self.iteration >= iterations_max or (stop is not None and stop()):
                return DONE
            move = self._find_step()
            self._length = max(move.primal, move.dual)
            self.progress = self._advance(move)
            self.iteration += 1
        return verdict

    def share(self, function: Callable[..., None], *arguments: Any, some: Ints | None = None) -> None:  # noqa: ANN401
        """Call `function(nodes, *arguments, room)` for all nodes, or for some, in no order."""
        nodes = np.arange(self.nodes_count) if some is None else some
        self.threads.share(self.in_room(function), nodes, *arguments)

    def _share_levels(self, function: Callable[..., None], levels: tuple[Ints, ...], *arguments: Any) -> None:  # noqa: ANN401
        """Call `function(nodes, *arguments, room)` level after level."""
        for nodes in levels:
            self.threads.share(self.in_room(function), nodes, *arguments)

    def in_room(self, function: Callable[..., None]) -> Callable[..., None]:
        """Return a function that also gets room to work in, which no other thread has meanwhile."""
        entered = self._entered(function)

        def call(*arguments: Any) -> None:  # noqa: ANN401
            try:
                room = self._rooms.pop()
            except IndexError:
                room = new_room(self.count, self.columns)
            entered(*arguments, room)
            self._rooms.append(room)

        return call

    def _entered(self, function: Callable[..., None]) -> Callable[..., None]:
        """Return a compiled function, from its second call on without a look at its arguments: their types stay."""
        known = self._entries.get(function)
        if known is not None:
            return known

        def first(*arguments: Any) -> None:  # noqa: ANN401
            function(*arguments)
            self._entries[function] = entry_of(function)

        return first

    def _advance(self, move: Move) -> Progress:
        """Take a step, eliminate for the next one, and return what the iterates have come to."""
        nodes, work, drives = self.nodes, self.work, self.drives
        drives.value[:] += move.dual * drives.step
        for some in self.upwards:
            self.threads.share(self._entered(advance_nodes), some, nodes, work.columns, *move, work.measured_nodes)
        self._share_levels(ascend, self.upwards, *self.vehicles, nodes, work, move)
        if len(self._trees):
            tree = nodes.child_ptr, nodes.child, work.span, work.columns, work.lanes
            self.threads.share(self._entered(factor_trees), self._trees, *tree)
        return progress_of(work.measured, work.measured_nodes, drives.energy, self._low_cost)

    def _find_step(self) -> Move:
        """Find the next step by predictor and corrector."""
        work, average = self.work, self.progress.products / self._barriers
        self.border.factor(self.nodes, work)
        self._descend(Aim(0.0, 0.0))
        centring, second = centring_of(work.found, work.found_nodes, self.progress.products)
        aim = Aim(centring * average, second)
        self._share_levels(ascend_again, self.upwards, *self.vehicles, self.nodes, work, aim)
        self._descend(aim)
        return Move(aim, *lengths_of(work.found, work.found_nodes, average))

    def _descend(self, aim: Aim) -> None:
        """Hand prices down and find all steps."""
        nodes, work, fleet = self.nodes, self.work, self.vehicles[0]
        self.border.find_values(nodes, work)
        if len(self._trees):
            tree = nodes.parent, nodes.child_ptr, nodes.child, work.span, work.columns, work.lanes
            self.threads.share(self._entered(solve_trees), self._trees, fleet, *tree)
        self._share_levels(descend, self.downwards, *self.vehicles, nodes, work, aim)
        self._share_levels(settle, self.upwards, nodes, work, aim)


def _count_barriers(layout: Layout, nodes: Nodes) -> int:
    """Return the number of products of slack and dual."""
    fleet = layout.fleet
    floor, target = fleet.figure(ROW_FLOOR), fleet.figure(ROW_TARGET)
    empty, capacity = fleet.figure(ROW_EMPTY), fleet.figure(ROW_CAPACITY)
    wide, ends = ((capacity > at).astype(int) + (at > empty) for at in (floor, target))
    vehicles = int((fleet.places[:, LENGTH] * (3 + 2 * wide)).sum() + 2 * ends.sum())
    boxes = 2 * int((nodes.boxes[:, WIDTH] > 0).sum())
    peaks: int = nodes.heads.shape[0] * (1 + nodes.heads.shape[2])
    return vehicles + count_meters(fleet.meters) + boxes + peaks
