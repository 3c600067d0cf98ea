"""One car at given prices: the best plan of a chain of rows, exactly, as two levels of energy a step.

In step t storing a kWh costs `cost`, for up to `most_in` kWh, and taking one out earns `earn`, for up to `most_out`.
Let `V[t](e)` be the least that all that follows costs from an energy e at the step's end, `W[t](e)` from one before it:

    V[t](e) = g[t](e) + W[t+1](e - drain[t+1]),   low <= e <= high                      W[n] = 0
    W[t](e) = min over v of  phi[t](v) + V[t](e + v)
    phi(v)  = cost v,  0 <= v <= most_in;    earn v,  -most_out <= v <= 0

with g what energy costs: holding, missing reserves and targets, its value at departure. Where `earn <= cost` all of
these are convex and piecewise linear, and a function is told by its knots and its slopes, which ascend. Adding g cuts
pieces at its kinks and raises their slopes. The minimum is an infimal convolution, which merges the pieces of V and phi
in the order of their slopes (Rockafellar, Convex Analysis, 1970, section 5): pieces of V below `-cost` move down by
`most_in`, those above `-earn` up by `most_out`, and two pieces of these slopes and widths open between them.

So the best v charges up to one level and gives down to another, as far as power goes: the warehouse problem (Cahn,
Bull. AMS 54 (1948) 1073; Bellman, Management Science 2 (1956) 272), with limits on what a step may move (Secomandi,
Management Science 56 (2010) 449). The levels are all that is kept of a step. Of plans that cost the same the one that
holds most is taken: it charges early and gives late, which is worth most to a car that leaves unlooked for.

Where `earn > cost`, phi is replaced by its convex hull, the line from giving all to charging all. The plan that is best
for the hull is the best one if it nowhere stands within such a line; else there is none here.

Values of energy `y` prove it. The plan is the best one if in every step

    y[t] - y[t+1] is a slope of -g[t] at e[t],      y[t] is a slope of phi[t] at v[t]           y[n] = 0

Both leave an interval, which is narrowed from the end to the beginning; values are then chosen the other way.
"""

from backfeed.plan.compiled import nested
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.repair import share_of
from backfeed.plan.rows import (
    ARRIVE,
    LENGTH,
    ROW_CAPACITY,
    ROW_CHARGE,
    ROW_DISCHARGE,
    ROW_EMPTY,
    ROW_FLOOR,
    ROW_GAIN,
    ROW_HOLD,
    ROW_LOSS,
    ROW_MISSING,
    ROW_PRICED,
    ROW_START,
    ROW_TARGET,
    ROW_VALUE,
    ROW_WEAR,
    ZONE,
    Fleet,
)

ENTRY = (COST, EARN, MOST_IN, MOST_OUT, BOTH) = tuple(range(5))
"""A step's trade: what the hull of both directions costs at no power at all stands in BOTH, 0 where they are convex."""

CURVE = (HOLD, FLOOR, SHORT, TARGET, MISSED, WORTH, LOW, HIGH, BEGIN) = tuple(range(5, 14))
"""What energy costs: BEGIN is minus the drain before the step, in the first one the energy that the car comes with."""

PATH = (FILL, SPARE, ENERGY, CHANGE, LEAST_Y, MOST_Y, VALUE) = tuple(range(14, 21))
"""What is found of a step: its levels, the energy at its end, the change of it, its value between least and most."""

FIELDS = len(ENTRY) + len(CURVE) + len(PATH)

FAR = 1e18
"""Beyond every energy and price."""

KNOTS_PER_STEP = 4
"""A step cuts at two kinks and opens two pieces."""

ROUNDING = 1e-12
"""A hull that lies below what it is the hull of by no more is no other [currency]."""

KINK_KWH = 1e-9
"""Energies nearer than this to a kink, by rounding, stand at it."""


@nested
def expand_chain(fleet: Fleet, node: Ints, price: Floats, rows: tuple[int, int], u: Floats) -> int:
    """Write the figures of every step of linked rows; return the steps.

    `price` is what nodes ask beyond a row's own price, `(node, step)` [currency/kWh].
    """
    n = 0
    for r in range(rows[0], rows[1]):
        figure, length, zone = fleet.figures[r], fleet.places[r, LENGTH], fleet.places[r, ZONE]
        gain, loss, own = figure[ROW_GAIN], figure[ROW_LOSS], figure[ROW_PRICED]
        for k in range(length):
            step, share = fleet.places[r, ARRIVE] + k, share_of(fleet, r, k, length)
            asked = fleet.step_h * price[node[r], step]
            most_in, most_out = share * figure[ROW_CHARGE] * gain, share * figure[ROW_DISCHARGE] * loss
            cost = (own * fleet.buy[zone, step] + asked) / gain if most_in > 0 else FAR
            earn = (own * fleet.sell[zone, step] + asked - figure[ROW_WEAR]) / loss if most_out > 0 else -FAR
            both = 0.0
            if earn > cost:
                slope = (most_in * cost + most_out * earn) / (most_in + most_out)
                both = most_in * (cost - slope)
                cost = earn = slope
            hours, last = share * fleet.step_h, k == length - 1
            u[COST, n], u[EARN, n], u[MOST_IN, n], u[MOST_OUT, n], u[BOTH, n] = cost, earn, most_in, most_out, both
            u[HOLD, n] = hours * figure[ROW_HOLD]
            u[FLOOR, n], u[SHORT, n] = figure[ROW_FLOOR], hours * fleet.reserve_per_kwh_h
            u[TARGET, n] = figure[ROW_TARGET]
            u[MISSED, n], u[WORTH, n] = (figure[ROW_MISSING], figure[ROW_VALUE]) if last else (0.0, 0.0)
            u[LOW, n], u[HIGH, n] = figure[ROW_EMPTY], figure[ROW_CAPACITY]
            u[BEGIN, n] = figure[ROW_START] if k == 0 else 0.0
            n += 1
    return n


@nested
def slope_of(u: Floats, t: int, energy: float) -> float:
    """Return the slope of g right of an energy."""
    slope = u[HOLD, t]
    slope -= u[SHORT, t] if energy < u[FLOOR, t] else 0.0
    slope -= u[MISSED, t] if energy < u[TARGET, t] else u[WORTH, t]
    return float(slope)


@nested
def add_holding(u: Floats, t: int, m: int, after: Floats, out: Floats) -> int:
    """Write V[t] given W[t+1] of m pieces in the energy at the end of t; return V's pieces, -1 where no energy is left.

    A function's knots stand in its first row, the slopes right of them in its second.
    """
    low, high = max(u[LOW, t], after[0, 0]), min(u[HIGH, t], after[0, m])
    if low > high:
        return -1
    out[0, 0], at, pieces, i = low, low, 0, 0
    while at < high:
        while after[0, i + 1] <= at:
            i += 1
        end = min(after[0, i + 1], high)
        for kink in (u[FLOOR, t], u[TARGET, t]):
            if at < kink < end:
                end = kink
        out[1, pieces] = after[1, i] + slope_of(u, t, at)
        pieces += 1
        out[0, pieces] = at = end
    return pieces


@nested
def _move(held: Floats, some: tuple[int, int], by: float, out: Floats, pieces: int) -> int:
    """Write some pieces, moved, after those that are there; return how many there are then."""
    for k in range(some[0], some[1]):
        out[0, pieces], out[1, pieces] = held[0, k] + by, held[1, k]
        pieces += 1
    return pieces


@nested
def add_trading(u: Floats, t: int, m: int, held: Floats, out: Floats) -> int:
    """Write W[t] given V[t] of m pieces, in the energy at the end of the step before; return its pieces.

    Keeps the levels at which the two pieces open.
    """
    i = 0
    while i < m and held[1, i] <= -u[COST, t]:
        i += 1
    j = i
    while j < m and held[1, j] <= -u[EARN, t]:
        j += 1
    u[FILL, t], u[SPARE, t] = held[0, i], held[0, j]
    drained = -u[BEGIN, t] if t > 0 else 0.0
    down, up = drained - u[MOST_IN, t], drained + u[MOST_OUT, t]
    pieces = _move(held, (0, i), down, out, 0)
    if u[MOST_IN, t] > 0:
        out[0, pieces], out[1, pieces] = held[0, i] + down, -u[COST, t]
        pieces += 1
    pieces = _move(held, (i, j), drained, out, pieces)
    if u[MOST_OUT, t] > 0:
        out[0, pieces], out[1, pieces] = held[0, j] + drained, -u[EARN, t]
        pieces += 1
    pieces = _move(held, (j, m), up, out, pieces)
    out[0, pieces] = held[0, m] + up
    return pieces


@nested
def find_levels(u: Floats, n: int, one: Floats, other: Floats) -> bool:
    """Find the levels of every step, from the last to the first; return whether there is a plan."""
    other[0, 0], other[0, 1], other[1, 0], m = -FAR, FAR, 0.0, 1
    for t in range(n - 1, -1, -1):
        m = add_holding(u, t, m, other, one)
        if m < 0:
            return False
        m = add_trading(u, t, m, one, other)
    return True


@nested
def follow_levels(u: Floats, n: int) -> bool:
    """Follow the levels from the first step to the last; return whether energies keep bounds, and powers directions."""
    energy = 0.0
    for t in range(n):
        energy += u[BEGIN, t]
        change = 0.0
        if energy < u[FILL, t]:
            change = min(u[FILL, t] - energy, u[MOST_IN, t])
        elif energy > u[SPARE, t]:
            change = max(u[SPARE, t] - energy, -u[MOST_OUT, t])
        energy += change
        if u[BOTH, t] < -ROUNDING and -u[MOST_OUT, t] + KINK_KWH < change < u[MOST_IN, t] - KINK_KWH:
            return False
        if energy < u[LOW, t] - KINK_KWH or energy > u[HIGH, t] + KINK_KWH:
            return False
        u[ENERGY, t], u[CHANGE, t] = energy, change
    return True


@nested
def value_energy(u: Floats, n: int) -> None:
    """Write values of energy that prove the path: intervals from the end to the beginning, then one value of each."""
    least = most = 0.0
    for t in range(n - 1, -1, -1):
        energy, change = u[ENERGY, t], u[CHANGE, t]
        most -= slope_of(u, t, energy - KINK_KWH) if energy > u[LOW, t] + KINK_KWH else -FAR
        least -= slope_of(u, t, energy + KINK_KWH) if energy < u[HIGH, t] - KINK_KWH else FAR
        if change > -u[MOST_OUT, t] + KINK_KWH:
            least = max(least, u[COST, t] if change > KINK_KWH else u[EARN, t])
        if change < u[MOST_IN, t] - KINK_KWH:
            most = min(most, u[EARN, t] if change < -KINK_KWH else u[COST, t])
        u[LEAST_Y, t], u[MOST_Y, t] = least, most
    value = 0.0
    for t in range(n):
        value = min(max(value, u[LEAST_Y, t]), u[MOST_Y, t])
        u[VALUE, t] = value
        energy = u[ENERGY, t]
        least = value + slope_of(u, t, energy - KINK_KWH) if energy > u[LOW, t] + KINK_KWH else -FAR
        most = value + slope_of(u, t, energy + KINK_KWH) if energy < u[HIGH, t] - KINK_KWH else FAR
        value = min(max(value, least), most)


@nested
def chain_bound(u: Floats, n: int) -> float:
    """Return the Lagrangian at the values of energy, in closed form: no plan of the chain costs less."""
    total = 0.0
    for t in range(n):
        y, slope = u[VALUE, t], u[VALUE, t] - (u[VALUE, t + 1] if t + 1 < n else 0.0)
        total -= y * u[BEGIN, t]
        charged, given = (u[COST, t] - y) * u[MOST_IN, t], (y - u[EARN, t]) * u[MOST_OUT, t]
        total += min(0.0, u[BOTH, t] + charged, u[BOTH, t] + given)
        least = FAR
        for energy in (u[LOW, t], u[FLOOR, t], min(max(u[TARGET, t], u[LOW, t]), u[HIGH, t]), u[HIGH, t]):
            short, missed = max(u[FLOOR, t] - energy, 0.0), max(u[TARGET, t] - energy, 0.0)
            spare = max(energy - u[TARGET, t], 0.0)
            held = (u[HOLD, t] + slope) * energy
            least = min(least, held + u[SHORT, t] * short + u[MISSED, t] * missed - u[WORTH, t] * spare)
        total += least
    return total


@nested
def plan_chain(u: Floats, n: int, one: Floats, other: Floats) -> bool:
    """Plan a chain of n steps: write energies, their changes and their values; return whether there is a plan."""
    if not find_levels(u, n, one, other) or not follow_levels(u, n):
        return False
    value_energy(u, n)
    return True
