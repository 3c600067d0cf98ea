"""Elimination of one vehicle from the Newton system.

A unit (a row, or rows that drives link) has entries t with `a` and `b`, the shares of full charge and
discharge, and energies in two pieces, `e = reference + up - down`:

    minimise   cost_a a + cost_b b + up_cost up + down_cost down  +  node price . (charge a - discharge b)
    such that  e[t] - e[t-1] - gain a + loss b = jump             (dual y[t], the value of energy)
               a, b >= 0,  a + b <= 1                             (duals za, zb, zj: the hull of one direction)
               0 <= up <= up_width,  0 <= down <= down_width      (duals zul, zuu, zdl, zdu)

With targets `tau` for the products of slacks and duals, the Newton step for given price steps `dp` is found by
eliminating everything but dy. With D the barrier's 2 x 2 Hessian of (a, b) and `ie = iu + id` the two pieces'
inverse Hessians,

    (da, db) = D^-1 ((gain, -loss) dy - (charge, -discharge) dp - (ra, rb))
    de[t]    = -ie[t] (dy[t] - dy[t+1]) - E[t]
    K dy     = h + w dp,     K tridiagonal: diagonal  g[t] + ie[t] + ie[t-1],  off-diagonal  -ie[t]

where g, w, v are the products of D^-1 with the vectors (gain, -loss) and (charge, -discharge). All of them are
sums of positive terms. K is factored without a subtraction: with d[t] = ie[t] + f[t] its pivots,

    f[t] = g[t] + m[t] f[t-1],   m[t] = ie[t-1] / d[t-1]

The unit's answer to prices is `dpower = -M dp + response`, `M = diag(v) - W K^-1 W`, and K^-1 is semiseparable:
above the diagonal, row t of it is row t+1 times m[t+1], so M is built by a recursion over rows in L^2/2 steps.
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.layout import Money, Rows
from backfeed.plan.problem import Floats, Ints

WIDTH_MIN_KWH = 1e-9
"""A piece narrower than this is held at 0."""

LANES = 8
"""Rows of M are updated in whole vectors; its width is padded by as many."""


class State(NamedTuple):
    """Iterates of all entries: primal, value of energy, duals, and the steps of the predictor and of the corrector."""

    a: Floats
    b: Floats
    up: Floats
    down: Floats
    y: Floats
    za: Floats
    zb: Floats
    zj: Floats
    zul: Floats
    zuu: Floats
    zdl: Floats
    zdu: Floats
    pa: Floats
    pb: Floats
    pu: Floats
    pd: Floats
    da: Floats
    db: Floats
    du: Floats
    dd: Floats
    dy: Floats


class Unit(NamedTuple):
    """One unit's entries, expanded from its rows: coefficients, then what elimination leaves."""

    step: Ints
    charge: Floats
    discharge: Floats
    gain: Floats
    loss: Floats
    cost_a: Floats
    cost_b: Floats
    reference: Floats
    up_width: Floats
    up_cost: Floats
    down_width: Floats
    down_cost: Floats
    jump: Floats
    v: Floats
    w: Floats
    pull: Floats
    ie: Floats
    h: Floats
    m: Floats
    inverse: Floats
    x: Floats


@compiled
def new_unit(size: int) -> Unit:
    """Return room for the entries of one unit."""
    n = size + LANES
    return Unit(
        np.zeros(n, np.int64),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
    )


@compiled
def expand(rows: Rows, money: Money, first: int, stop: int, u: Unit) -> int:
    """Write the entries of the unit with rows `first <= r < stop`; return how many there are."""
    p = 0
    for r in range(first, stop):
        length = rows.entry[r + 1] - rows.entry[r] - 1
        zone, priced = rows.zone[r], rows.priced[r]
        floor, capacity, empty = rows.floor_kwh[r], rows.capacity_kwh[r], rows.empty_kwh[r]
        reserve = money.reserve_per_kwh_h * money.step_h
        hold = rows.hold[r] * money.step_h
        u.jump[p] = rows.start_kwh[r]
        for k in range(length):
            t = rows.arrive[r] + k
            q = p + k
            u.step[q] = t
            u.charge[q] = rows.charge_kw[r]
            u.discharge[q] = rows.discharge_kw[r]
            u.cost_a[q] = priced * money.buy[zone, t]
            u.cost_b[q] = rows.wear[r] - priced * money.sell[zone, t]
            u.reference[q] = floor
            u.up_width[q] = capacity - floor
            u.up_cost[q] = hold
            u.down_width[q] = floor - empty
            u.down_cost[q] = reserve - hold
            if k > 0:
                u.jump[q] = 0.0
        _shorten(u, p, rows.first_share[r])
        if length > 1:
            _shorten(u, p + length - 1, rows.last_share[r])
        for q in range(p, p + length):
            u.gain[q] = rows.gain[r] * u.charge[q]
            u.loss[q] = rows.loss[r] * u.discharge[q]
            u.cost_a[q] *= u.charge[q]
            u.cost_b[q] *= u.discharge[q]
        p += length
        target = rows.target_kwh[r]
        u.step[p] = -1
        u.jump[p] = 0.0
        u.charge[p] = u.discharge[p] = u.gain[p] = u.loss[p] = u.cost_a[p] = u.cost_b[p] = 0.0
        u.reference[p] = target
        u.up_width[p] = capacity - target
        u.up_cost[p] = -rows.value[r]
        u.down_width[p] = target - empty
        u.down_cost[p] = money.departure_per_kwh
        p += 1
    return p


@compiled
def _shorten(u: Unit, q: int, share: float) -> None:
    """Scale an entry at which the vehicle is connected for a share of the step."""
    u.charge[q] *= share
    u.discharge[q] *= share
    u.up_cost[q] *= share
    u.down_cost[q] *= share


@compiled
def eliminate(u: Unit, n: int, s: State, o: int, price: Floats, tau: float, second: float) -> None:
    """Reduce a unit's Newton system to `K dy = h + w dp`.

    Parameters
    ----------
    u, n
        The expanded unit and its number of entries.
    s, o
        The iterates, and where the unit's entries begin in them.
    price
        Node price of a kW and step, `(step,)`.
    tau
        What the products of slack and dual are to become.
    second
        1 to take the predictor's second-order terms into account, else 0.
    """
    before = u.jump[0]
    f = m = ie_before = e_before = 0.0
    for t in range(n):
        j = o + t
        v = w = pull = rp = g = hp = 0.0
        if u.step[t] >= 0:
            p = price[u.step[t]]
            a, b = s.a[j], s.b[j]
            c = 1.0 - a - b
            za, zb, zj = s.za[j], s.zb[j], s.zj[j]
            ta, tb, tj = za / a, zb / b, zj / c
            pa, pb = second * s.pa[j], second * s.pb[j]
            pj = -(pa + pb)
            ca = (tau + pa * (za + ta * pa)) / a
            cb = (tau + pb * (zb + tb * pb)) / b
            cj = (tau + pj * (zj + tj * pj)) / c
            ra = u.cost_a[t] + u.charge[t] * p - u.gain[t] * s.y[j] - ca + cj
            rb = u.cost_b[t] - u.discharge[t] * p + u.loss[t] * s.y[j] - cb + cj
            ia, ib, ij = 1.0 / ta, 1.0 / tb, 1.0 / tj
            scale = 1.0 / (ij + ia + ib)
            iaa, ibb, iab = ia * (ij + ib) * scale, ib * (ij + ia) * scale, ia * ib * scale
            ga, gb = u.gain[t] * iaa + u.loss[t] * iab, u.gain[t] * iab + u.loss[t] * ibb
            va, vb = u.charge[t] * iaa + u.discharge[t] * iab, u.charge[t] * iab + u.discharge[t] * ibb
            v = u.charge[t] * va + u.discharge[t] * vb
            w = u.gain[t] * va + u.loss[t] * vb
            g = u.gain[t] * ga + u.loss[t] * gb
            pull = va * ra - vb * rb
            hp = ga * ra - gb * rb
            rp = -u.gain[t] * a + u.loss[t] * b
        iu, ru = piece(s.up[j], u.up_width[t], s.zul[j], s.zuu[j], tau, second * s.pu[j])
        id_, rd = piece(s.down[j], u.down_width[t], s.zdl[j], s.zdu[j], tau, second * s.pd[j])
        following = s.y[j + 1] if t + 1 < n else 0.0
        slope = s.y[j] - following
        e_pull = iu * (ru + u.up_cost[t] + slope) - id_ * (rd + u.down_cost[t] - slope)
        ie = iu + id_
        energy = u.reference[t] + s.up[j] - s.down[j]
        rp += energy - before
        u.v[t], u.w[t], u.pull[t], u.ie[t] = v, w, pull, ie
        u.h[t] = rp + hp - e_pull + e_before
        f = g + m * f
        d = ie + f
        u.m[t] = m
        u.inverse[t] = 1.0 / d if d > 0 else 0.0
        m = ie * u.inverse[t]
        e_before = e_pull
        before = energy + u.jump[t + 1] if t + 1 < n else 0.0


@compiled
def piece(x: float, width: float, zl: float, zu: float, tau: float, p: float) -> tuple[float, float]:
    """Return the inverse Hessian of a box piece and the barrier's part of its gradient."""
    if width < WIDTH_MIN_KWH:
        return 0.0, 0.0
    q = width - x
    tl, tu = zl / x, zu / q
    cl = (tau + p * (zl + tl * p)) / x
    cu = (tau - p * (zu - tu * p)) / q
    return 1.0 / (tl + tu), cu - cl


@compiled
def solve_values(u: Unit, n: int, price_step: Floats, use: float) -> None:
    """Solve `K x = h + use w dp` into `u.x`."""
    x = 0.0
    for t in range(n):
        right = u.h[t]
        if u.step[t] >= 0 and use > 0:
            right += u.w[t] * price_step[u.step[t]]
        x = right + u.m[t] * x
        u.x[t] = x
    x = m = 0.0
    for t in range(n - 1, -1, -1):
        x = u.x[t] * u.inverse[t] + m * x
        u.x[t] = x
        m = u.m[t]


@compiled
def add_response(u: Unit, n: int, response: Floats) -> None:
    """Add `w K^-1 h - pull` to the node's right side."""
    for t in range(n):
        if u.step[t] >= 0:
            response[u.step[t]] += u.w[t] * u.x[t] - u.pull[t]


@compiled
def add_compliance(u: Unit, n: int, matrix: Floats, row: Floats) -> None:
    """Add `diag(v) - W K^-1 W`, upper half, to the node's matrix.

    Row t of K^-1 W above the diagonal is row t + 1 times m[t + 1]; `row` holds it, times w.
    """
    straight = True
    for t in range(n - 1):
        straight &= u.step[t] == u.step[0] + t
    whole = (n + LANES - 1) // LANES * LANES
    for q in range(whole):
        row[q] = 0.0
    k = m = 0.0
    for t in range(n - 1, -1, -1):
        k = u.inverse[t] + m * m * k
        w = u.w[t]
        start = t // LANES * LANES
        if straight and u.step[t] >= 0:
            target = matrix[u.step[t], u.step[0] :]
            for block in range(start, whole, LANES):
                for lane in range(LANES):
                    r = row[block + lane] * m
                    row[block + lane] = r
                    target[block + lane] -= w * r
        else:
            for q in range(start, whole):
                row[q] *= m
            if u.step[t] >= 0:
                for q in range(t + 1, n):
                    if u.step[q] >= 0:
                        matrix[u.step[t], u.step[q]] -= w * row[q]
        row[t] = w * k
        if u.step[t] >= 0:
            matrix[u.step[t], u.step[t]] += u.v[t] - w * w * k
        m = u.m[t]


@compiled
def step_unit(
    u: Unit, n: int, s: State, o: int, price: Floats, price_step: Floats, tau: float, second: float
) -> tuple[float, float, float, float, float]:
    """Write a unit's step into the state, from the values' steps in `u.x`.

    Returns the greatest primal and dual step that keep slacks and duals above 0 (as inverses), and the sums of
    dual times slack step, slack times dual step and product of both steps, which tell the predictor's gap.
    """
    primal = dual = s1 = s2 = s3 = 0.0
    for t in range(n):
        j = o + t
        dy = u.x[t]
        if u.step[t] >= 0:
            p, dp = price[u.step[t]], price_step[u.step[t]]
            a, b = s.a[j], s.b[j]
            c = 1.0 - a - b
            za, zb, zj = s.za[j], s.zb[j], s.zj[j]
            ta, tb, tj = za / a, zb / b, zj / c
            pa, pb = second * s.pa[j], second * s.pb[j]
            pj = -(pa + pb)
            ca = (tau + pa * (za + ta * pa)) / a
            cb = (tau + pb * (zb + tb * pb)) / b
            cj = (tau + pj * (zj + tj * pj)) / c
            ra = u.cost_a[t] + u.charge[t] * (p + dp) - u.gain[t] * (s.y[j] + dy) - ca + cj
            rb = u.cost_b[t] - u.discharge[t] * (p + dp) + u.loss[t] * (s.y[j] + dy) - cb + cj
            ia, ib, ij = 1.0 / ta, 1.0 / tb, 1.0 / tj
            scale = 1.0 / (ij + ia + ib)
            da = -(ia * (ij + ib) * scale * ra - ia * ib * scale * rb)
            db = -(ib * (ij + ia) * scale * rb - ia * ib * scale * ra)
            dj = -(da + db)
            dza, dzb, dzj = ca - za - ta * da, cb - zb - tb * db, cj - zj - tj * dj
            primal = max(primal, max(-da / a, max(-db / b, -dj / c)))
            dual = max(dual, max(-dza / za, max(-dzb / zb, -dzj / zj)))
            s1 += za * da + zb * db + zj * dj
            s2 += a * dza + b * dzb + c * dzj
            s3 += da * dza + db * dzb + dj * dzj
            if second > 0:
                s.da[j], s.db[j] = da, db
            else:
                s.pa[j], s.pb[j] = da, db
        following = u.x[t + 1] if t + 1 < n else 0.0
        y_following = s.y[j + 1] if t + 1 < n else 0.0
        slope = (s.y[j] + dy) - (y_following + following)
        du, found = step_piece(s.up[j], u.up_width[t], u.up_cost[t] + slope, s.zul[j], s.zuu[j], tau, second * s.pu[j])
        primal, dual = max(primal, found[0]), max(dual, found[1])
        s1, s2, s3 = s1 + found[2], s2 + found[3], s3 + found[4]
        dd, found = step_piece(
            s.down[j], u.down_width[t], u.down_cost[t] - slope, s.zdl[j], s.zdu[j], tau, second * s.pd[j]
        )
        primal, dual = max(primal, found[0]), max(dual, found[1])
        s1, s2, s3 = s1 + found[2], s2 + found[3], s3 + found[4]
        if second > 0:
            s.du[j], s.dd[j], s.dy[j] = du, dd, dy
        else:
            s.pu[j], s.pd[j] = du, dd
    return primal, dual, s1, s2, s3


@compiled
def step_piece(
    x: float, width: float, gradient: float, zl: float, zu: float, tau: float, p: float
) -> tuple[float, tuple[float, float, float, float, float]]:
    """Return a box piece's step and `(primal, dual, s1, s2, s3)` as in `step_unit`."""
    if width < WIDTH_MIN_KWH:
        return 0.0, (0.0, 0.0, 0.0, 0.0, 0.0)
    q = width - x
    tl, tu = zl / x, zu / q
    cl = (tau + p * (zl + tl * p)) / x
    cu = (tau - p * (zu - tu * p)) / q
    d = -(gradient - cl + cu) / (tl + tu)
    dl, du = cl - zl - tl * d, cu - zu + tu * d
    return d, (
        max(-d / x, d / q),
        max(-dl / zl, -du / zu),
        d * (zl - zu),
        x * dl + q * du,
        d * (dl - du),
    )


@compiled
def advance_unit(u: Unit, n: int, s: State, o: int, tau: float, primal: float, dual: float) -> None:
    """Move a unit's iterates along the corrector's step."""
    for t in range(n):
        j = o + t
        s.y[j] += dual * s.dy[j]
        if u.step[t] >= 0:
            a, b = s.a[j], s.b[j]
            c = 1.0 - a - b
            da, db = s.da[j], s.db[j]
            pa, pb = s.pa[j], s.pb[j]
            s.za[j] += dual * dual_step(a, s.za[j], tau, pa, da)
            s.zb[j] += dual * dual_step(b, s.zb[j], tau, pb, db)
            s.zj[j] += dual * dual_step(c, s.zj[j], tau, -(pa + pb), -(da + db))
            s.a[j], s.b[j] = a + primal * da, b + primal * db
        if u.up_width[t] >= WIDTH_MIN_KWH:
            x, q = s.up[j], u.up_width[t] - s.up[j]
            s.zul[j] += dual * dual_step(x, s.zul[j], tau, s.pu[j], s.du[j])
            s.zuu[j] += dual * dual_step(q, s.zuu[j], tau, -s.pu[j], -s.du[j])
            s.up[j] = x + primal * s.du[j]
        if u.down_width[t] >= WIDTH_MIN_KWH:
            x, q = s.down[j], u.down_width[t] - s.down[j]
            s.zdl[j] += dual * dual_step(x, s.zdl[j], tau, s.pd[j], s.dd[j])
            s.zdu[j] += dual * dual_step(q, s.zdu[j], tau, -s.pd[j], -s.dd[j])
            s.down[j] = x + primal * s.dd[j]


@compiled
def dual_step(x: float, z: float, tau: float, p: float, d: float) -> float:
    """Return the step of the dual z of a slack x that steps by d, second-order terms from the predictor's p."""
    t = z / x
    return (tau + p * (z + t * p)) / x - z - t * d


@compiled
def measure_unit(u: Unit, n: int, s: State, o: int, power: Floats) -> tuple[float, float, float]:
    """Add a unit's power to its node's; return its complementarity, its cost and its worst broken dynamics."""
    products = cost = worst = 0.0
    before = u.jump[0]
    for t in range(n):
        j = o + t
        flow = 0.0
        if u.step[t] >= 0:
            a, b = s.a[j], s.b[j]
            products += a * s.za[j] + b * s.zb[j] + (1.0 - a - b) * s.zj[j]
            cost += u.cost_a[t] * a + u.cost_b[t] * b
            power[u.step[t]] += u.charge[t] * a - u.discharge[t] * b
            flow = u.gain[t] * a - u.loss[t] * b
        if u.up_width[t] >= WIDTH_MIN_KWH:
            products += s.up[j] * s.zul[j] + (u.up_width[t] - s.up[j]) * s.zuu[j]
        if u.down_width[t] >= WIDTH_MIN_KWH:
            products += s.down[j] * s.zdl[j] + (u.down_width[t] - s.down[j]) * s.zdu[j]
        cost += u.up_cost[t] * s.up[j] + u.down_cost[t] * s.down[j]
        energy = u.reference[t] + s.up[j] - s.down[j]
        worst = max(worst, abs(energy - before - flow))
        before = energy + u.jump[t + 1] if t + 1 < n else 0.0
    return products, cost, worst
