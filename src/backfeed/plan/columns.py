"""A node's columns: its net power at every step, and its vehicles' power where a promise needs it by itself.

A promise asks the vehicles. Where no PV under it may be curtailed, their power is the net power less a constant, and
the promise is a kink of the net power. Else the vehicles' power v is a flow of its own beside the net power n:

    n[t] = vehicles[t] + children's n[t] + fixed[t] + curtailed[t]      columns 0 to T - 1
    v[s] = vehicles[t] + children's v[s],   t = slots[s]                columns T to T + S - 1

A slot stands for a step at which some promise needs it. A vehicle adds its power to both flows and pays the sum of both
prices: with E = (I; P), P picking the slots' steps,

    price of the vehicles = E' p,   power = E power of the vehicles,   M = E M_vehicles E'
"""

import numpy as np

from backfeed.plan.compiled import nested
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vectors import LANES

COLUMN = (GAMMA, FREE, PRICE_STEP, POWER_STEP, HD, TH, OWN, SPREAD, PULL, RESIDUAL, POWER) = tuple(range(11))
"""What elimination keeps of a node's columns (`plan/balance.py`).

What it hands up (gamma), its price's step at a parent's step of 0 and that step, the step of its vehicles' power, `hd`
and `th` of H^-1, its gradient r, what curtailment adds to M's diagonal and to b, what enters it beyond its net power,
and what its vehicles take.
"""


def whole_columns(columns: int) -> int:
    """Return columns rounded up to whole vectors, at least one of these."""
    return max(-(-columns // LANES), 1) * LANES


def aligned(*shape: int) -> Floats:
    """Return zeros that begin with a line of the processor's cache: no whole vector of them stands in two."""
    size = int(np.prod(shape))
    wide = np.zeros(size + LANES)
    first = -wide.ctypes.data // wide.itemsize % LANES
    return wide[first : first + size].reshape(shape)


def in_whole_columns(x: Floats) -> Floats:
    """Return rows padded with zeros to whole vectors, or as they are if they are whole."""
    count = x.shape[1]
    if count == whole_columns(count):
        return x
    whole = aligned(len(x), whole_columns(count))
    whole[:, :count] = x
    return whole


@nested
def copy(x: Floats, y: Floats) -> None:
    """Write `y = x`; an assignment of numpy's also says what is wrong with lengths, which takes long to compile."""
    for t in range(len(x)):
        y[t] = x[t]


@nested
def add(x: Floats, y: Floats) -> None:
    """Write `y = y + x`."""
    for t in range(len(x)):
        y[t] += x[t]


@nested
def gather_price(slots: Ints, price: Floats, out: Floats) -> None:
    """Write `E' price`: what the vehicles of a node pay at every step."""
    count = len(out)
    for t in range(count):
        out[t] = price[t]
    for s in range(len(slots)):
        out[slots[s]] += price[count + s]


@nested
def spread_power(slots: Ints, count: int, power: Floats) -> None:
    """Complete `E power`, whose first `count` columns are there."""
    for s in range(len(slots)):
        power[count + s] = power[slots[s]]


@nested
def spread_matrix(slots: Ints, count: int, matrix: Floats) -> None:
    """Complete the upper half of `E M E'`, whose first `count` rows and columns are there; slots ascend."""
    for s in range(len(slots)):
        t, column = slots[s], count + s
        for q in range(count):
            matrix[q, column] = matrix[min(q, t), max(q, t)]
        for r in range(s + 1):
            matrix[count + r, column] = matrix[slots[r], t]
