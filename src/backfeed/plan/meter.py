"""A row's own meter: what it buys at `b` and sells at `s <= b`, with a load or PV behind it that its power meets.

Where a car has a meter for itself (`plan/folding.py`), what is fixed there moves the meter's kink to a power `kink` of
the car's own, and what of its PV is curtailed, q, adds to the car's power p. The meter costs `b (p + q)` and what is
lost by selling m: `rise m`, `rise = b - s >= 0`, with

    rest = m + p + q - kink >= 0,   0 <= m <= sold_max,   0 <= q <= spare_max        duals zr, zsl, zsu, zql, zqu

and the car's price of power is b - zr. So such a row has two variables more at these steps. With `is` and `iq` the
inverse Hessians of their boxes, `gs = rise - csl + csu` and `gq = b + price - cql + cqu` their gradients (c: what
duals aim at), `tr = zr / rest` and `scale = 1 / (1 + tr is)`, eliminating m leaves on the power n = p + q

    theta = tr scale        g = theta missing - scale (cr + tr is gs)        missing = m + p + q - kink - rest

On the entries' shares (a, b), p has the gradient (charge, -discharge). PV stands beside the car, the meter above both:
what `plan/vehicle.py` makes of the shares becomes, with `share = 1 / (1 + theta (v + iq))`,

    v' = share (v + iq)     w' = share w     g' = share (g + theta (delta + iq g))
    pull' = share (pull + iq gq + g (v + iq))

with `delta = g v - w w` told without a subtraction, as `plan/narrow.py` does where cars meet at nodes: it is the
determinant of D^-1 times the square of what p's gradient and (gain, -loss) span. What nodes need of it is, behind the
meter, `g' v' - w' w' = share (delta + iq g)`. The car itself then sees as its
price's step

    share (dp + g + theta (w dy - pull - iq gq))

which is free of differences, too. A variable whose range is empty stands still: its inverse Hessian is 0. Quantities
stand in an array of their own, a unit's at its place in it, only for units that have such a meter.
"""

from backfeed.plan.compiled import nested
from backfeed.plan.problem import Floats
from backfeed.plan.rows import KINK, Fleet
from backfeed.plan.unit import (
    AT_KINK,
    BOUGHT,
    CHARGE,
    CQL,
    CQU,
    CR,
    CSL,
    CSU,
    DA,
    DB,
    DISCHARGE,
    DP,
    DQ,
    DR,
    DS,
    DY,
    GAIN,
    GQ,
    GS,
    IA,
    IAA,
    IAB,
    IB,
    IBB,
    IJ,
    INV_QL,
    INV_QU,
    INV_R,
    INV_SL,
    INV_SU,
    IQ,
    IS,
    JOINT,
    LEAST,
    LOSS,
    METER_GIVEN,
    METER_MOVED,
    METERED,
    MISSING,
    MOST,
    OWN_DY,
    OWN_PUSH,
    OWN_SHARE,
    PQ,
    PR,
    PRICE,
    PS,
    PULL,
    RA,
    RB,
    REST,
    RISE,
    S1,
    S2,
    S3,
    SCALE,
    SOLD,
    SOLD_MAX,
    SPARE_MAX,
    SPARED,
    STRIDE,
    ZQL,
    ZQU,
    ZR,
    ZSL,
    ZSU,
    A,
    B,
    G,
    H,
    Unit,
    V,
    W,
    dual_step,
)
from backfeed.plan.vectors import LANES, load, store

GIVEN, MOVED = len(METER_GIVEN), len(METER_MOVED)
"""How many quantities are given, and how many move: first these, then those, then the three steps of each kind."""

STEPS = 3

FAR = 1e30
"""More than anything costs."""

Three = tuple[float, float, float]
Four = tuple[float, float, float, float]


def count_meters(given: Floats) -> int:
    """Return the number of products of slack and dual of all meters; `given` is the fleet's `meters`."""
    _, rise, _, sold_max, spare_max = given
    return int((rise >= 0).sum() + 2 * (sold_max > 0).sum() + 2 * (spare_max > 0).sum())


@nested
def load_meters(unit: Unit, n: int, fleet: Fleet, first: int, meters: Floats) -> None:
    """Copy what is known of the meters of the unit with this first row into its buffer, if it has any."""
    u, at = unit.u, fleet.places[first, KINK]
    u[METERED] = 1.0 if at >= 0 else 0.0
    if at >= 0:
        for q in range(len(meters)):
            for t in range(0, n, LANES):
                store(u, AT_KINK + q * STRIDE + t, load(meters[q], at + t))


@nested
def store_meters(unit: Unit, n: int, fleet: Fleet, first: int, meters: Floats) -> None:
    """Keep the iterates of a unit's meters."""
    at = fleet.places[first, KINK]
    if at >= 0:
        for q in range(MOVED):
            for t in range(0, n, LANES):
                store(meters[GIVEN + q], at + t, load(unit.u, SOLD + q * STRIDE + t))


@nested
def store_meters_steps(unit: Unit, n: int, fleet: Fleet, first: int, meters: Floats, second: float) -> None:
    """Keep the steps of a unit's meters: the predictor's where `second` is 0, else the corrector's."""
    at = fleet.places[first, KINK]
    if at >= 0:
        kind = GIVEN + MOVED + (STEPS if second > 0 else 0)
        for q in range(STEPS):
            for t in range(0, n, LANES):
                store(meters[kind + q], at + t, load(unit.u, DS + q * STRIDE + t))


@nested
def _there(u: Floats, t: int) -> tuple[float, float, float]:
    """Return 1 where an entry has a meter of its own, where it can sell, and where it can curtail; else 0."""
    return (
        1.0 if u[RISE + t] >= 0.0 else 0.0,
        1.0 if u[SOLD_MAX + t] > 0.0 else 0.0,
        1.0 if u[SPARE_MAX + t] > 0.0 else 0.0,
    )


@nested
def _reduce_meter(u: Floats, n: int, tau: float, second: float) -> None:
    """Write what eliminating m and q needs: inverses of slacks, what duals aim at, inverse Hessians, gradients."""
    for t in range(n):
        there, sells, spares = _there(u, t)
        m, q, rest, ps, pq, pr = u[SOLD + t], u[SPARED + t], u[REST + t], u[PS + t], u[PQ + t], u[PR + t]
        zsl, zsu, zql, zqu, zr = u[ZSL + t], u[ZSU + t], u[ZQL + t], u[ZQU + t], u[ZR + t]
        m_left, q_left = u[SOLD_MAX + t] - m, u[SPARE_MAX + t] - q
        of_m, of_q = m * m_left, q * q_left
        r = 1.0 / (of_m * of_q * rest)
        ir, beside_m, beside_q = of_m * of_q * r, of_q * rest * r, of_m * rest * r
        sl, su, ql, qu = m_left * beside_m, m * beside_m, q_left * beside_q, q * beside_q
        csl = (tau + second * ps * zsl * (1.0 + sl * ps)) * sl
        csu = (tau - second * ps * zsu * (1.0 - su * ps)) * su
        cql = (tau + second * pq * zql * (1.0 + ql * pq)) * ql
        cqu = (tau - second * pq * zqu * (1.0 - qu * pq)) * qu
        cr = (tau + second * pr * zr * (1.0 + ir * pr)) * ir
        hs, hq = zsl * sl + zsu * su, zql * ql + zqu * qu
        r = 1.0 / (hs * hq)
        u[INV_SL + t], u[INV_SU + t], u[INV_QL + t], u[INV_QU + t], u[INV_R + t] = sl, su, ql, qu, ir
        u[CSL + t], u[CSU + t], u[CQL + t], u[CQU + t], u[CR + t] = csl, csu, cql, cqu, cr
        u[IS + t], u[GS + t] = sells * hq * r, u[RISE + t] - csl + csu
        u[IQ + t], u[GQ + t] = spares * hs * r, u[BOUGHT + t] + u[PRICE + t] - cql + cqu
        u[SCALE + t] = there / (1.0 + zr * ir * (sells * hq * r))
        power = u[CHARGE + t] * u[A + t] - u[DISCHARGE + t] * u[B + t]
        u[MISSING + t] = sells * m + power + spares * q - u[AT_KINK + t] - rest


@nested
def eliminate_meter(u: Floats, n: int, tau: float, second: float) -> None:
    """Eliminate the meter of every entry whose shares are eliminated."""
    _reduce_meter(u, n, tau, second)
    for t in range(n):
        tr, scale, iq, gq = u[ZR + t] * u[INV_R + t], u[SCALE + t], u[IQ + t], u[GQ + t]
        theta = tr * scale
        g = theta * u[MISSING + t] - scale * (u[CR + t] + tr * u[IS + t] * u[GS + t])
        charge, discharge, gain, loss = u[CHARGE + t], u[DISCHARGE + t], u[GAIN + t], u[LOSS + t]
        ia, ib, ij, ra, rb = u[IA + t], u[IB + t], u[IJ + t], u[RA + t], u[RB + t]
        apart, turn = ia * ib * ij / (ia + ib + ij), charge * loss - discharge * gain
        ga, gb = gain * u[IAA + t] + loss * u[IAB + t], gain * u[IAB + t] + loss * u[IBB + t]
        v, w, pull, pushed = u[V + t] + iq, u[W + t], u[PULL + t] + iq * gq, ga * ra - gb * rb
        share = 1.0 / (1.0 + theta * v)
        beside = iq * (pushed - w * gq) - apart * turn * (charge * rb + discharge * ra)
        u[H + t] = share * (pushed + g * w + theta * beside) - gain * u[A + t] + loss * u[B + t]
        u[V + t], u[W + t] = share * v, share * w
        joint = apart * turn * turn + iq * u[G + t]
        u[G + t], u[JOINT + t] = share * (u[G + t] + theta * joint), share * joint
        u[PULL + t] = share * (pull + g * v)
        u[OWN_SHARE + t], u[OWN_PUSH + t], u[OWN_DY + t] = share, share * (g - theta * pull), theta * share * w


@nested
def add_own_price(u: Floats, n: int) -> None:
    """Make of the node's price steps those that the car sees behind its meter."""
    for t in range(n):
        u[DP + t] = u[OWN_SHARE + t] * u[DP + t] + u[OWN_PUSH + t] + u[OWN_DY + t] * u[DY + t]


@nested
def step_meter(u: Floats, n: int) -> None:
    """Find the meter's steps once those of a and b are known, and join what they say to MOST, LEAST and S1 to S3."""
    for t in range(n):
        there, sells, spares = _there(u, t)
        zsl, zsu, zql, zqu, zr = u[ZSL + t], u[ZSU + t], u[ZQL + t], u[ZQU + t], u[ZR + t]
        sl, su, ql, qu, ir = u[INV_SL + t], u[INV_SU + t], u[INV_QL + t], u[INV_QU + t], u[INV_R + t]
        dq = -u[IQ + t] * (u[GQ + t] + u[DP + t])
        power = u[CHARGE + t] * u[DA + t] - u[DISCHARGE + t] * u[DB + t] + dq + u[MISSING + t]
        wanted, inverse, scale = u[CR + t] - u[GS + t], u[IS + t], u[SCALE + t]
        dm, dr = scale * inverse * (wanted - zr * ir * power), scale * (inverse * wanted + power)
        dzsl, dzsu = sells * (u[CSL + t] - zsl * (1.0 + sl * dm)), sells * (u[CSU + t] - zsu * (1.0 - su * dm))
        dzql, dzqu = spares * (u[CQL + t] - zql * (1.0 + ql * dq)), spares * (u[CQU + t] - zqu * (1.0 - qu * dq))
        dzr = there * (u[CR + t] - zr * (1.0 + ir * dr))
        of_s, of_q = zsl * zsu, zql * zqu
        r = 1.0 / (of_s * of_q * zr)
        of_s, of_q, own = of_q * zr * r, of_s * zr * r, of_s * of_q * r
        u[MOST + t] = max(u[MOST + t], -dm * sl, dm * su, -dq * ql, dq * qu, -dr * ir)
        least = max(-dzsl * zsu * of_s, -dzsu * zsl * of_s, -dzql * zqu * of_q, -dzqu * zql * of_q, -dzr * own)
        u[LEAST + t] = max(u[LEAST + t], least)
        m, q = u[SOLD + t], u[SPARED + t]
        u[S1 + t] += dm * (zsl - zsu) + dq * (zql - zqu) + zr * dr
        u[S2 + t] += m * dzsl + (u[SOLD_MAX + t] - m) * dzsu + q * dzql + (u[SPARE_MAX + t] - q) * dzqu
        u[S2 + t] += u[REST + t] * dzr
        u[S3 + t] += dm * (dzsl - dzsu) + dq * (dzql - dzqu) + dr * dzr
        u[DS + t], u[DR + t], u[DQ + t] = dm, dr, dq


@nested
def advance_meter(u: Floats, n: int, aim: tuple[float, float], primal: float, dual: float) -> None:
    """Move the meter's iterates along the corrector's step."""
    for t in range(n):
        there, sells, spares = _there(u, t)
        m, q, rest, dm, dq, dr = u[SOLD + t], u[SPARED + t], u[REST + t], u[DS + t], u[DQ + t], u[DR + t]
        m_left, q_left, ps, pq = u[SOLD_MAX + t] - m, u[SPARE_MAX + t] - q, u[PS + t], u[PQ + t]
        of_m, of_q = m * m_left, q * q_left
        r = 1.0 / (of_m * of_q * rest)
        of_m, of_q, own = of_q * rest * r, of_m * rest * r, of_m * of_q * r
        u[ZSL + t] += sells * dual * dual_step(m_left * of_m, u[ZSL + t], aim, ps, dm)
        u[ZSU + t] += sells * dual * dual_step(m * of_m, u[ZSU + t], aim, -ps, -dm)
        u[ZQL + t] += spares * dual * dual_step(q_left * of_q, u[ZQL + t], aim, pq, dq)
        u[ZQU + t] += spares * dual * dual_step(q * of_q, u[ZQU + t], aim, -pq, -dq)
        u[ZR + t] += there * dual * dual_step(own, u[ZR + t], aim, u[PR + t], dr)
        u[SOLD + t], u[SPARED + t], u[REST + t] = m + primal * dm, q + primal * dq, rest + primal * dr


@nested
def measure_meter(u: Floats, n: int) -> None:
    """Add the meter's products, cost and curtailed PV to S1, S2 and PULL."""
    for t in range(n):
        there, sells, spares = _there(u, t)
        m, q = u[SOLD + t], u[SPARED + t]
        of_m = m * u[ZSL + t] + (u[SOLD_MAX + t] - m) * u[ZSU + t]
        of_q = q * u[ZQL + t] + (u[SPARE_MAX + t] - q) * u[ZQU + t]
        u[S1 + t] += sells * of_m + spares * of_q + there * u[REST + t] * u[ZR + t]
        u[S2 + t] += sells * u[RISE + t] * m + spares * u[BOUGHT + t] * q
        u[PULL + t] += spares * q


@nested
def least_with_meter(u: Floats, t: int, ra: float, rb: float) -> float:
    """Return the least that an entry's shares and meter cost at reduced costs ra and rb."""
    if u[RISE + t] < 0.0:
        return min(0.0, ra, rb)
    kink, reduced = u[AT_KINK + t], (ra, rb, u[BOUGHT + t] + u[PRICE + t])
    powers = u[CHARGE + t], u[DISCHARGE + t], u[SPARE_MAX + t]
    return best_less(reduced, powers, (kink, u[RISE + t], u[SOLD_MAX + t] - kink, 0.0), (0.0, FAR))[1]


@nested
def best_less(reduced: Three, powers: Three, meter: Four, ends: tuple[float, float]) -> tuple[float, float]:
    """Return by how much less than what is bought a kW behind a meter is worth, and the Lagrangian, which is greatest.

    That is concave and piecewise linear, so one of its kinks is best, or the end that is nearest to it.

    Parameters
    ----------
    reduced
        What charging and giving in full and a kW of curtailed PV cost at what is bought [currency and step].
    powers
        What can be charged, given and curtailed [kW].
    meter
        The power at which it turns, what is lost by selling, and what limits let out and in, as powers given and taken.
    ends
        The least and the greatest that it may be less.
    """
    (ra, rb, spared), (charge, discharge, _), rise = reduced, powers, meter[1]
    charging = ra / charge if charge > 0.0 else 0.0
    giving = -rb / discharge if discharge > 0.0 else 0.0
    both = (ra - rb) / (charge + discharge) if charge + discharge > 0.0 else 0.0
    best, most = 0.0, -FAR
    for kink in (charging, giving, spared, rise, 0.0, both):
        less = min(max(kink, ends[0]), ends[1])
        proven = _proven(less, reduced, powers, meter)
        if proven > most:
            best, most = less, proven
    return best, most


@nested
def _proven(less: float, reduced: Three, powers: Three, meter: Four) -> float:
    """Return the Lagrangian where a kW behind a meter is worth so much less than what is bought."""
    (ra, rb, spared), (charge, discharge, spare), (kink, rise, outlet, inlet) = reduced, powers, meter
    own = min(0.0, ra - less * charge, rb + less * discharge) + spare * min(0.0, spared - less)
    return own + min(max(less, 0.0), rise) * kink - outlet * max(less - rise, 0.0) - inlet * max(-less, 0.0)
