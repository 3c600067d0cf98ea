"""The iterations as one compiled loop, and what is decided between them.

    average = products / barriers                                   where the iterates are
    left = products + a s1 + b s2 + a b s3                          what the predictor's step would leave of it
    aim = average (left / products)^4                               how near to the centre the corrector goes
    a, b = the greatest steps, shortened a little                   primal and dual

A problem of a few cars takes some ten iterations of a few microseconds: called one by one, its passes would wait for
the interpreter. What is decided here is what several threads, which share each pass, are told as well.
"""

from typing import NamedTuple

from backfeed.plan.compiled import compiled, compiled_for_any
from backfeed.plan.drives import ARRIVING, LEAVING, Drives
from backfeed.plan.elimination import Move, Room, Work, ascend, ascend_again, descend, settle
from backfeed.plan.node import Aim, Nodes, advance_nodes
from backfeed.plan.problem import Ints
from backfeed.plan.rows import Fleet
from backfeed.plan.unit import State

STEP_SHARE_MIN = 0.99
STEP_SHARE_MAX = 0.9995
"""How much of the way to the nearest bound a step goes."""

CENTRING_MIN = 1e-6
CENTRING_POWER = 4.0
"""The aim is this power of what the predictor would leave of the gap; 3 is usual, and takes a few iterations more."""

FIRST_LOOK = 4.0
"""A certificate is tried when complementarity is below this many gaps, and then each time it has halved."""

CONVERGED = 1e-10
"""Relative complementarity below which iterating only adds rounding."""

ENOUGH = 1e-2
"""What is left of the gap when complementarity is below this share of it, iterating does not close: it is the price of
running one way."""

STRAYED = 10.0
"""Complementarity that has risen by this factor since a certificate was tried is rounding's."""

BROKEN_MAX_KWH = 1e-3
BROKEN_MAX_KW = 1e-1

VERDICTS = (GO_ON, LOOK, DONE) = tuple(range(3))
"""What to do next: iterate, try a certificate, or leave it there."""


class Progress(NamedTuple):
    """What the iterates have come to: complementarity, cost estimate, worst broken dynamics and balance."""

    products: float
    cost: float
    broken_kwh: float
    broken_kw: float


class System(NamedTuple):
    """What the iterations work on: nodes from the leaves up and from the roots down, iterates, and room.

    `barriers` is the number of products of slack and dual,
    `low_cost` what the nodes' lowest powers cost.
    """

    upwards: Ints
    downwards: Ints
    fleet: Fleet
    state: State
    drives: Drives
    nodes: Nodes
    work: Work
    barriers: float
    low_cost: float
    room: Room


@compiled
def progress_of(s: System) -> Progress:
    """Return what the iterates have come to, measured by both passes."""
    products, cost, broken_kwh, broken_kw = 0.0, s.low_cost, 0.0, 0.0
    for k in range(len(s.work.measured)):
        products += s.work.measured[k, 0] + s.work.measured_nodes[k, 0]
        cost += s.work.measured[k, 1] + s.work.measured_nodes[k, 1]
        broken_kwh, broken_kw = max(broken_kwh, s.work.measured[k, 2]), max(broken_kw, s.work.measured[k, 3])
    for q in range(len(s.drives.value)):
        broken_kwh = max(broken_kwh, abs(s.drives.energy[q, ARRIVING] - s.drives.energy[q, LEAVING]))
    return Progress(products, cost, broken_kwh, broken_kw)


@compiled
def _longest(s: System) -> tuple[float, float]:
    """Return the greatest primal and dual steps that keep slacks and duals above 0."""
    primal = dual = 1e-12
    for k in range(len(s.work.found)):
        primal = max(primal, s.work.found[k, 0], s.work.found_nodes[k, 0])
        dual = max(dual, s.work.found[k, 1], s.work.found_nodes[k, 1])
    return 1.0 / primal, 1.0 / dual


@compiled
def aim_of(s: System, products: float) -> Aim:
    """Return what the corrector aims at, the predictor's step found."""
    primal, dual = _longest(s)
    primal, dual = min(primal, 1.0), min(dual, 1.0)
    s1 = s2 = s3 = 0.0
    for k in range(len(s.work.found)):
        units, own = s.work.found[k], s.work.found_nodes[k]
        s1, s2, s3 = s1 + (units[2] + own[2]), s2 + (units[3] + own[3]), s3 + (units[4] + own[4])
    left = products + primal * s1 + dual * s2 + primal * dual * s3
    centring = min(max(max(left / products, 0.0) ** CENTRING_POWER, CENTRING_MIN), 1.0)
    return Aim(centring * (products / s.barriers), 1.0)


@compiled
def move_of(s: System, aim: Aim, products: float) -> Move:
    """Return how far to go, the corrector's step found."""
    primal, dual = _longest(s)
    share = min(max(STEP_SHARE_MIN, 1.0 - products / s.barriers), STEP_SHARE_MAX)
    return Move(aim, min(1.0, share * primal), min(1.0, share * dual))


@compiled_for_any
def verdict_on(progress: Progress, gap: float, looked: float) -> int:
    """Return what to do next; `looked` is the complementarity at which a certificate was tried last."""
    products, size = progress.products, max(abs(progress.cost), 1.0)
    if looked < max(ENOUGH * gap, CONVERGED) * size or not CONVERGED * size < products <= STRAYED * looked:
        return DONE
    if progress.broken_kwh > BROKEN_MAX_KWH or progress.broken_kw > BROKEN_MAX_KW:
        return GO_ON
    return LOOK if products < FIRST_LOOK * gap * size and products < 0.5 * looked else GO_ON


@compiled
def find_step(s: System, products: float) -> Move:
    """Find the next step by predictor and corrector, alone."""
    aim = Aim(0.0, 0.0)
    descend(s.downwards, s.fleet, s.state, s.drives, s.nodes, s.work, aim, s.room)
    settle(s.upwards, s.nodes, s.work, aim, s.room)
    aim = aim_of(s, products)
    ascend_again(s.upwards, s.fleet, s.state, s.drives, s.nodes, s.work, aim, s.room)
    descend(s.downwards, s.fleet, s.state, s.drives, s.nodes, s.work, aim, s.room)
    settle(s.upwards, s.nodes, s.work, aim, s.room)
    return move_of(s, aim, products)


@compiled
def advance(s: System, move: Move) -> Progress:
    """Take the step that was found, eliminate for the next one, and return what the iterates have come to, alone."""
    advance_nodes(s.upwards, s.nodes, s.work.price_step, move.aim, move.primal, move.dual, s.work.measured_nodes)
    ascend(s.upwards, s.fleet, s.state, s.drives, s.nodes, s.work, move, s.room)
    return progress_of(s)


@compiled
def walk(s: System, progress: Progress, iterations: int, gap: float, looked: float) -> tuple[int, int, Progress]:
    """Iterate at most so many times from where `progress` was measured.

    Returns the verdict, the number of iterations, and the progress.
    """
    verdict, done = GO_ON, 0
    while verdict == GO_ON and done < iterations:
        progress = advance(s, find_step(s, progress.products))
        done += 1
        verdict = verdict_on(progress, gap, looked)
    return verdict, done, progress
