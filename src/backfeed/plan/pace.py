"""What is decided between the passes of an iteration: where to aim, how far to go, and when to stop.

    average = products / barriers                                   where the iterates are
    left = products + a s1 + b s2 + a b s3                          what the predictor's step would leave of it
    aim = average (left / products)^4                               how near to the centre the corrector goes
    a, b = the greatest steps, shortened a little                   primal and dual

What the nodes have measured and found is joined in the order of nodes, whatever the number of threads.
"""

from typing import NamedTuple

from backfeed.plan.compiled import compiled, nested
from backfeed.plan.problem import Floats

STEP_SHARE_MIN = 0.99
STEP_SHARE_MAX = 0.9995
"""How much of the way to the nearest bound a step goes."""

CENTRING_MIN = 1e-6
CENTRING_POWER = 4.0
"""The aim is this power of what the predictor would leave of the gap; 3 is usual, and takes a few iterations more."""

SHORT = 0.02
"""A predictor's step of which less than this can be taken has its second order weighted by the square of that."""

FIRST_LOOK = 4.0
"""A certificate is tried when complementarity is below this many gaps, and then each time it has halved."""

CONVERGED = 1e-10
"""Relative complementarity below which iterating only adds rounding."""

ENOUGH = 1e-2
"""What is left of the gap when complementarity is below this share of it, iterating does not close: it is the price of
running one way."""

STRAYED = 10.0
"""Complementarity that has risen by this factor since a certificate was tried is rounding's."""

STALLED = 1e-3
"""Where what is fixed is kept and neither step goes on by more than this, rounding is all that moves."""

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


@compiled
def progress_of(vehicles: Floats, nodes: Floats, on_the_way: Floats, low_cost: float) -> Progress:
    """Return what the iterates have come to.

    `vehicles` `(node, 4)` and `nodes` `(node, 2)` are what both passes have measured (`elimination.Work`), `on_the_way`
    the drives' energies `(drive, end)`, `low_cost` what the nodes' lowest powers cost.
    """
    products, cost, broken_kwh, broken_kw = 0.0, low_cost, 0.0, 0.0
    for k in range(len(vehicles)):
        products += vehicles[k, 0] + nodes[k, 0]
        cost += vehicles[k, 1] + nodes[k, 1]
        broken_kwh, broken_kw = max(broken_kwh, vehicles[k, 2]), max(broken_kw, vehicles[k, 3])
    for q in range(len(on_the_way)):
        broken_kwh = max(broken_kwh, abs(on_the_way[q, 1] - on_the_way[q, 0]))
    return Progress(products, cost, broken_kwh, broken_kw)


@nested
def _longest(vehicles: Floats, nodes: Floats) -> tuple[float, float]:
    """Return the greatest primal and dual steps that keep slacks and duals above 0."""
    primal = dual = 1e-12
    for k in range(len(vehicles)):
        primal = max(primal, vehicles[k, 0], nodes[k, 0])
        dual = max(dual, vehicles[k, 1], nodes[k, 1])
    return 1.0 / primal, 1.0 / dual


@compiled
def centring_of(vehicles: Floats, nodes: Floats, products: float) -> tuple[float, float]:
    """Return how much of the average product the corrector aims at, and with how much of the second order.

    What the predictor's step would add in second order is worth something as far as that step can be taken; where it
    can be by next to nothing, it is all there is (Colombo and Gondzio, Comput. Optim. Appl. 41 (2008) 277).

    `vehicles` and `nodes` `(node, 5)` are what both passes have found of it.
    """
    primal, dual = _longest(vehicles, nodes)
    primal, dual = min(primal, 1.0), min(dual, 1.0)
    s1 = s2 = s3 = 0.0
    for k in range(len(vehicles)):
        units, own = vehicles[k], nodes[k]
        s1, s2, s3 = s1 + (units[2] + own[2]), s2 + (units[3] + own[3]), s3 + (units[4] + own[4])
    left = products + primal * s1 + dual * s2 + primal * dual * s3
    shortest = min(primal, dual)
    second = 1.0 if shortest >= SHORT else shortest * shortest
    return float(min(max(max(left / products, 0.0) ** CENTRING_POWER, CENTRING_MIN), 1.0)), second


@compiled
def lengths_of(vehicles: Floats, nodes: Floats, average: float) -> tuple[float, float]:
    """Return how far to go, primal and dual, the corrector's step found; `average` is that of the products."""
    primal, dual = _longest(vehicles, nodes)
    share = min(max(STEP_SHARE_MIN, 1.0 - average), STEP_SHARE_MAX)
    return min(1.0, share * primal), min(1.0, share * dual)


def verdict_on(progress: Progress, length: float, gap: float, looked: float, cost_min: float) -> int:
    """Return what to do next.

    Parameters
    ----------
    progress
        What the iterates have come to.
    length
        How far the last step went, of primal and dual the longer one.
    gap
        Relative gap that is to be proven.
    looked
        Complementarity at which a certificate was tried last.
    cost_min
        What gaps are relative to at least [currency].
    """
    products, size = progress.products, max(abs(progress.cost), cost_min)
    if looked < max(ENOUGH * gap, CONVERGED) * size or not CONVERGED * size < products <= STRAYED * looked:
        return DONE
    if progress.broken_kwh > BROKEN_MAX_KWH or progress.broken_kw > BROKEN_MAX_KW:
        return GO_ON
    if length < STALLED:
        return DONE
    return LOOK if products < FIRST_LOOK * gap * size and products < 0.5 * looked else GO_ON
