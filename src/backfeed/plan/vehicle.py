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

from backfeed.plan.compiled import nested
from backfeed.plan.meter import (
    add_own_price,
    advance_meter,
    eliminate_meter,
    measure_meter,
    step_meter,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.unit import (
    CA,
    CB,
    CDL,
    CDU,
    CHARGE,
    CJ,
    COST_A,
    COST_B,
    CUL,
    CUU,
    DA,
    DB,
    DD,
    DISCHARGE,
    DOWN,
    DOWN_COST,
    DOWN_THERE,
    DOWN_WIDTH,
    DP,
    DQ,
    DU,
    DY,
    E_PULL,
    ENERGY,
    GAIN,
    GD,
    GU,
    HELD,
    IA,
    IAA,
    IAB,
    IB,
    IBB,
    ID,
    IE,
    IJ,
    INV_A,
    INV_B,
    INV_DL,
    INV_DU,
    INV_J,
    INV_UL,
    INV_UU,
    INVERSE,
    IU,
    JUMP,
    LEAST,
    LOSS,
    METERED,
    MOST,
    PA,
    PB,
    PD,
    POWERED,
    PRICE,
    PU,
    PULL,
    RA,
    RB,
    REFERENCE,
    ROW,
    S1,
    S2,
    S3,
    UP,
    UP_COST,
    UP_THERE,
    UP_WIDTH,
    ZA,
    ZB,
    ZDL,
    ZDU,
    ZJ,
    ZUL,
    ZUU,
    A,
    B,
    F,
    G,
    H,
    M,
    Unit,
    V,
    W,
    Y,
    dual_step,
    padded,
)
from backfeed.plan.vectors import (
    LANES,
    greater,
    greatest,
    load,
    lowered,
    placed,
    spread,
    spread_from,
    store,
    total,
)


@nested
def eliminate(unit: Unit, n: int, tau: float, second: float) -> None:
    """Reduce an expanded and loaded unit's Newton system to `K dy = h + w dp`; K is not factored.

    Parameters
    ----------
    unit, n
        The unit and its number of entries.
    tau
        What the products of slack and dual are to become.
    second
        Weight of the predictor's second-order terms, 0 for the predictor itself.
    """
    u = unit.u
    _eliminate_powers(u, padded(n), tau, second)
    if u[METERED] > 0:
        eliminate_meter(u, padded(n), tau, second)
    _eliminate_pieces(u, padded(n), tau, second)
    u[H] += u[ENERGY] - u[JUMP] - u[E_PULL]
    for t in range(1, n):
        u[H + t] += u[ENERGY + t] - u[ENERGY + t - 1] - u[JUMP + t] - u[E_PULL + t] + u[E_PULL + t - 1]
    if u[POWERED] == 0:  # an arrival
        u[G], u[H] = HELD, 0.0


@nested
def _eliminate_powers(u: Floats, n: int, tau: float, second: float) -> None:
    """Eliminate the shares a and b of every entry; one division serves three slacks, one three duals."""
    for t in range(n):
        a, b, za, zb, zj = u[A + t], u[B + t], u[ZA + t], u[ZB + t], u[ZJ + t]
        c = 1.0 - a - b
        r = 1.0 / (a * b * c)
        xa, xb, xj = b * c * r, a * c * r, a * b * r
        r = 1.0 / (za * zb * zj)
        ia, ib, ij = a * zb * zj * r, b * za * zj * r, c * za * zb * r
        pa, pb = u[PA + t], u[PB + t]
        pj = -(pa + pb)
        ca = (tau + second * pa * za * (1.0 + xa * pa)) * xa
        cb = (tau + second * pb * zb * (1.0 + xb * pb)) * xb
        cj = (tau + second * pj * zj * (1.0 + xj * pj)) * xj
        charge, discharge, gain, loss = u[CHARGE + t], u[DISCHARGE + t], u[GAIN + t], u[LOSS + t]
        ra = u[COST_A + t] + charge * u[PRICE + t] - gain * u[Y + t] - ca + cj
        rb = u[COST_B + t] - discharge * u[PRICE + t] + loss * u[Y + t] - cb + cj
        scale = 1.0 / (ij + ia + ib)
        iaa, ibb, iab = ia * (ij + ib) * scale, ib * (ij + ia) * scale, ia * ib * scale
        ga, gb = gain * iaa + loss * iab, gain * iab + loss * ibb
        va, vb = charge * iaa + discharge * iab, charge * iab + discharge * ibb
        u[V + t], u[W + t], u[G + t] = charge * va + discharge * vb, gain * va + loss * vb, gain * ga + loss * gb
        u[PULL + t], u[H + t] = va * ra - vb * rb, ga * ra - gb * rb - gain * a + loss * b
        u[INV_A + t], u[INV_B + t], u[INV_J + t] = xa, xb, xj
        u[IA + t], u[IB + t], u[IJ + t] = ia, ib, ij
        u[CA + t], u[CB + t], u[CJ + t] = ca, cb, cj
        u[IAA + t], u[IBB + t], u[IAB + t] = iaa, ibb, iab
        u[RA + t], u[RB + t] = ra, rb


@nested
def _eliminate_pieces(u: Floats, n: int, tau: float, second: float) -> None:
    """Eliminate the two pieces of energy of every entry."""
    for t in range(n):
        slope = u[Y + t] - u[Y + t + 1]
        x, zl, zu, p = u[UP + t], u[ZUL + t], u[ZUU + t], u[PU + t]
        q = u[UP_WIDTH + t] - x
        r = 1.0 / (x * q)
        xl, xu = q * r, x * r
        cl = (tau + second * p * zl * (1.0 + xl * p)) * xl
        cu = (tau - second * p * zu * (1.0 - xu * p)) * xu
        iu, gu = u[UP_THERE + t] / (zl * xl + zu * xu), u[UP_COST + t] + slope - cl + cu
        u[INV_UL + t], u[INV_UU + t], u[CUL + t], u[CUU + t], u[IU + t], u[GU + t] = xl, xu, cl, cu, iu, gu
        y, zl, zu, p = u[DOWN + t], u[ZDL + t], u[ZDU + t], u[PD + t]
        q = u[DOWN_WIDTH + t] - y
        r = 1.0 / (y * q)
        xl, xu = q * r, y * r
        cl = (tau + second * p * zl * (1.0 + xl * p)) * xl
        cu = (tau - second * p * zu * (1.0 - xu * p)) * xu
        id_, gd = u[DOWN_THERE + t] / (zl * xl + zu * xu), u[DOWN_COST + t] - slope - cl + cu
        u[INV_DL + t], u[INV_DU + t], u[CDL + t], u[CDU + t], u[ID + t], u[GD + t] = xl, xu, cl, cu, id_, gd
        u[IE + t], u[E_PULL + t] = iu + id_, iu * gu - id_ * gd
        u[ENERGY + t] = u[REFERENCE + t] + u[UP_THERE + t] * x - u[DOWN_THERE + t] * y


@nested
def factor(unit: Unit, n: int) -> None:
    """Factor K: `f[t] = g[t] + m[t] f[t-1]`, `m[t+1] = ie[t] / (ie[t] + f[t])`.

    The recursion runs on f = p / q, which needs no division in its chain; both are scaled back every few steps.
    """
    u, p, q = unit.u, 0.0, 1.0
    for t in range(n):
        above = u[G + t] * q + p
        u[F + t] = above / q
        q = max(u[IE + t] * q + above, 1e-280)
        p = u[IE + t] * above
        if t % LANES == LANES - 1:
            scale = 1.0 / q
            p, q = p * scale, 1.0
    for t in range(n, padded(n)):
        u[F + t] = 0.0
    for t in range(padded(n)):
        pivot = u[IE + t] + u[F + t]
        u[INVERSE + t] = 1.0 / pivot if pivot > 1e-200 else 0.0  # noqa: PLR2004 an entry that nothing can move
    link_values(unit, n)


@nested
def link_values(unit: Unit, n: int) -> None:
    """Write the `m[t+1] = ie[t] / d[t]` that link one value to the next, the inverses of the pivots d known."""
    u = unit.u
    u[M] = 0.0
    for t in range(padded(n)):
        u[M + t + 1] = u[IE + t] * u[INVERSE + t]


@nested
def solve_values(unit: Unit, n: int, price_step: Floats, use: float) -> None:
    """Solve `K dy = h + use w dp`."""
    u, step = unit.u, unit.step
    n = padded(n)
    for t in range(n):
        u[DP + t] = use * price_step[max(step[t], 0)] if step[t] >= 0 else 0.0
    x = 0.0
    for t in range(n):
        x = u[H + t] + u[W + t] * u[DP + t] + u[M + t] * x
        u[DY + t] = x
    x = 0.0
    u[DY + n] = 0.0
    for t in range(n - 1, -1, -1):
        x = u[DY + t] * u[INVERSE + t] + u[M + t + 1] * x
        u[DY + t] = x


@nested
def add_response(unit: Unit, n: int, response: Floats) -> None:
    """Add `w K^-1 h - pull` to the node's right side."""
    u, step = unit.u, unit.step
    for t in range(n):
        if step[t] >= 0:
            response[step[t]] += u[W + t] * u[DY + t] - u[PULL + t]


@nested
def add_compliance(unit: Unit, n: int, matrix: Floats) -> None:
    """Add `diag(v) - W K^-1 W`, upper half, to the node's matrix.

    Row t of K^-1 W above the diagonal is row t + 1 times m[t + 1]; the buffer's ROW holds it, times w. Where steps
    follow each other, eight rows are taken at a time: what stands right of a block passes through it in registers.
    """
    u, step = unit.u, unit.step
    if not _is_one_run(step, n):
        _scatter_rows(unit, n, matrix)
        return
    whole, k = padded(n), 0.0
    for t in range(whole - LANES, -1, -LANES):
        for q in range(t + LANES, whole, LANES):
            _pass_block(u, t, q, matrix[step[0] + t :], step[0] + q)
        k = _start_block(u, t, k, matrix[step[0] + t :], step[0] + t)


@nested
def _is_one_run(step: Ints, n: int) -> bool:
    """Tell whether a unit's entries are steps that follow each other, and a departure."""
    for t in range(1, n - 1):
        if step[t] != step[t - 1] + 1:
            return False
    return bool(step[0] >= 0)


@nested
def _pass_block(u: Floats, t: int, q: int, target: Floats, at: int) -> None:
    """Take columns q to q + 7 of ROW from row t + 8 to row t, and subtract them from eight rows on the way."""
    row = load(u, ROW + q)
    for lane in range(LANES - 1, -1, -1):
        row = spread_from(u, M + t + lane + 1) * row
        less = lowered(spread_from(u, W + t + lane), row, load(target[lane], at))
        store(target[lane], at, less)
    store(u, ROW + q, row)


@nested
def _start_block(u: Floats, t: int, k: float, target: Floats, at: int) -> float:
    """Add rows t to t + 7 at their own eight columns; `k` is the diagonal of K^-1 at t + 8, that at t is returned."""
    row, none = spread(0.0), spread(0.0)
    for lane in range(LANES - 1, -1, -1):
        p = t + lane
        m, w = u[M + p + 1], u[W + p]
        k = u[INVERSE + p] + m * m * k
        row = placed(m * row, lane, w * k)
        more = load(target[lane], at) + placed(none, lane, u[V + p])
        store(target[lane], at, lowered(spread(w), row, more))
    store(u, ROW + t, row)
    return k


@nested
def _scatter_rows(unit: Unit, n: int, matrix: Floats) -> None:
    """Add a unit's compliance where its steps do not follow each other, or where some of them do not matter.

    Row t of K^-1 right of the diagonal is row t + 1 times m[t + 1]; ROW holds it at the steps that matter, from the
    unit's end, and `at` where they stand.
    """
    u, step, at = unit.u, unit.step, unit.at
    k, m, met = 0.0, 0.0, 0
    for t in range(n - 1, -1, -1):
        k = u[INVERSE + t] + m * m * k
        for q in range(met):
            u[ROW + q] *= m
        if step[t] >= 0:
            at[met], u[ROW + met] = step[t], u[W + t] * k
            met += 1
            matrix[step[t], step[t]] += u[V + t]
            for q in range(met):
                matrix[step[t], at[q]] -= u[W + t] * u[ROW + q]
        m = u[M + t]


@nested
def step_unit(unit: Unit, n: int) -> tuple[float, float, float, float, float]:
    """Find a unit's step; `eliminate` and `solve_values` must have been called for it.

    Returns the inverses of the greatest primal and
    dual steps that keep slacks and duals above 0, and the sums of dual times slack step, slack times dual step
    and product of both steps, which tell the predictor's gap.
    """
    u = unit.u
    n = padded(n)
    if u[METERED] > 0:
        add_own_price(u, n)
    _step_powers(u, n)
    _step_pieces(u, n)
    if u[METERED] > 0:
        step_meter(u, n)
    return greatest_of(u, MOST, n), greatest_of(u, LEAST, n), sum_of(u, S1, n), sum_of(u, S2, n), sum_of(u, S3, n)


@nested
def add_power_step(unit: Unit, n: int, power_step: Floats) -> None:
    """Add the step of a unit's power to its node's."""
    u, step = unit.u, unit.step
    for t in range(n):
        if step[t] >= 0:
            power_step[step[t]] += u[CHARGE + t] * u[DA + t] - u[DISCHARGE + t] * u[DB + t]
    if u[METERED] > 0:
        for t in range(n):
            if step[t] >= 0:
                power_step[step[t]] += u[DQ + t]


@nested
def _step_powers(u: Floats, n: int) -> None:
    """Find the steps of a and b; leave every entry's inverse greatest steps in MOST and LEAST, its sums in S1 to S3."""
    for t in range(n):
        ra = u[RA + t] + u[CHARGE + t] * u[DP + t] - u[GAIN + t] * u[DY + t]
        rb = u[RB + t] - u[DISCHARGE + t] * u[DP + t] + u[LOSS + t] * u[DY + t]
        da, db = u[IAB + t] * rb - u[IAA + t] * ra, u[IAB + t] * ra - u[IBB + t] * rb
        dj = -(da + db)
        za, zb, zj, xa, xb, xj = u[ZA + t], u[ZB + t], u[ZJ + t], u[INV_A + t], u[INV_B + t], u[INV_J + t]
        there = u[POWERED + t]
        dza = there * (u[CA + t] - za * (1.0 + xa * da))
        dzb = there * (u[CB + t] - zb * (1.0 + xb * db))
        dzj = there * (u[CJ + t] - zj * (1.0 + xj * dj))
        u[MOST + t] = max(-da * xa, -db * xb, -dj * xj)
        u[LEAST + t] = max(-dza * u[IA + t] * xa, -dzb * u[IB + t] * xb, -dzj * u[IJ + t] * xj)
        u[S1 + t] = za * da + zb * db + zj * dj
        u[S2 + t] = u[A + t] * dza + u[B + t] * dzb + (1.0 - u[A + t] - u[B + t]) * dzj
        u[S3 + t] = da * dza + db * dzb + dj * dzj
        u[DA + t], u[DB + t] = da, db


@nested
def _step_pieces(u: Floats, n: int) -> None:
    """Find the steps of both pieces of energy, and join what they say to MOST, LEAST and S1 to S3."""
    for t in range(n):
        slope = u[DY + t] - u[DY + t + 1]
        d = -u[IU + t] * (u[GU + t] + slope)
        x, zl, zu, xl, xu = u[UP + t], u[ZUL + t], u[ZUU + t], u[INV_UL + t], u[INV_UU + t]
        dl = u[UP_THERE + t] * (u[CUL + t] - zl * (1.0 + xl * d))
        du = u[UP_THERE + t] * (u[CUU + t] - zu * (1.0 - xu * d))
        r = 1.0 / (zl * zu)
        most, least = max(-d * xl, d * xu), max(-dl * zu * r, -du * zl * r)
        s1, s2, s3 = d * (zl - zu), x * dl + (u[UP_WIDTH + t] - x) * du, d * (dl - du)
        u[DU + t] = d
        d = -u[ID + t] * (u[GD + t] - slope)
        x, zl, zu, xl, xu = u[DOWN + t], u[ZDL + t], u[ZDU + t], u[INV_DL + t], u[INV_DU + t]
        dl = u[DOWN_THERE + t] * (u[CDL + t] - zl * (1.0 + xl * d))
        du = u[DOWN_THERE + t] * (u[CDU + t] - zu * (1.0 - xu * d))
        r = 1.0 / (zl * zu)
        u[MOST + t] = max(u[MOST + t], most, -d * xl, d * xu)
        u[LEAST + t] = max(u[LEAST + t], least, -dl * zu * r, -du * zl * r)
        u[S1 + t] += s1 + d * (zl - zu)
        u[S2 + t] += s2 + (x * dl + (u[DOWN_WIDTH + t] - x) * du)
        u[S3 + t] += s3 + d * (dl - du)
        u[DD + t] = d


@nested
def greatest_of(u: Floats, place: int, n: int) -> float:
    """Return the greatest of a quantity over all entries, at least 0."""
    most = spread(0.0)
    for t in range(0, n, LANES):
        most = greater(load(u, place + t), most)
    return float(greatest(most))


@nested
def sum_of(u: Floats, place: int, n: int) -> float:
    """Return the sum of a quantity over all entries, taken in eight parts."""
    sums = spread(0.0)
    for t in range(0, n, LANES):
        sums += load(u, place + t)
    return float(total(sums))


@nested
def advance_unit(unit: Unit, n: int, aim: tuple[float, float], primal: float, dual: float) -> None:
    """Move a unit's iterates along the corrector's step, both loaded; `aim` is its `(tau, second)`."""
    u = unit.u
    n = padded(n)
    for t in range(n):
        a, b, da, db, pa, pb = u[A + t], u[B + t], u[DA + t], u[DB + t], u[PA + t], u[PB + t]
        c = 1.0 - a - b
        r = 1.0 / (a * b * c)
        move = dual * u[POWERED + t]
        u[ZA + t] += move * dual_step(b * c * r, u[ZA + t], aim, pa, da)
        u[ZB + t] += move * dual_step(a * c * r, u[ZB + t], aim, pb, db)
        u[ZJ + t] += move * dual_step(a * b * r, u[ZJ + t], aim, -(pa + pb), -(da + db))
        u[A + t], u[B + t] = a + primal * da, b + primal * db
        u[Y + t] += dual * u[DY + t]
    for t in range(n):
        x, p, d, move = u[UP + t], u[PU + t], u[DU + t], dual * u[UP_THERE + t]
        q = u[UP_WIDTH + t] - x
        r = 1.0 / (x * q)
        u[ZUL + t] += move * dual_step(q * r, u[ZUL + t], aim, p, d)
        u[ZUU + t] += move * dual_step(x * r, u[ZUU + t], aim, -p, -d)
        u[UP + t] = x + primal * d
    for t in range(n):
        x, p, d, move = u[DOWN + t], u[PD + t], u[DD + t], dual * u[DOWN_THERE + t]
        q = u[DOWN_WIDTH + t] - x
        r = 1.0 / (x * q)
        u[ZDL + t] += move * dual_step(q * r, u[ZDL + t], aim, p, d)
        u[ZDU + t] += move * dual_step(x * r, u[ZDU + t], aim, -p, -d)
        u[DOWN + t] = x + primal * d
    if u[METERED] > 0:
        advance_meter(u, n, aim, primal, dual)


@nested
def measure_unit(unit: Unit, n: int, power: Floats) -> tuple[float, float, float]:
    """Add a loaded unit's power to its node's; return its complementarity, its cost and its worst broken dynamics."""
    u, step = unit.u, unit.step
    whole = padded(n)
    for t in range(whole):
        a, b = u[A + t], u[B + t]
        up, down = u[UP + t], u[DOWN + t]
        powers = u[POWERED + t] * (a * u[ZA + t] + b * u[ZB + t] + (1.0 - a - b) * u[ZJ + t])
        above = u[UP_THERE + t] * (up * u[ZUL + t] + (u[UP_WIDTH + t] - up) * u[ZUU + t])
        below = u[DOWN_THERE + t] * (down * u[ZDL + t] + (u[DOWN_WIDTH + t] - down) * u[ZDU + t])
        up, down = u[UP_THERE + t] * up, u[DOWN_THERE + t] * down
        u[S1 + t] = powers + above + below
        u[S2 + t] = u[COST_A + t] * a + u[COST_B + t] * b + u[UP_COST + t] * up + u[DOWN_COST + t] * down
        u[ENERGY + t] = u[REFERENCE + t] + up - down
        u[H + t] = u[GAIN + t] * a - u[LOSS + t] * b
        u[PULL + t] = u[CHARGE + t] * a - u[DISCHARGE + t] * b
    u[MOST] = abs(u[ENERGY] - u[JUMP] - u[H]) if u[POWERED] > 0 else 0.0
    for t in range(1, whole):
        broken = abs(u[ENERGY + t] - u[ENERGY + t - 1] - u[JUMP + t] - u[H + t])
        u[MOST + t] = broken if t < n else 0.0
    if u[METERED] > 0:
        measure_meter(u, whole)
    for t in range(n):
        if step[t] >= 0:
            power[step[t]] += u[PULL + t]
    return sum_of(u, S1, whole), sum_of(u, S2, whole), greatest_of(u, MOST, whole)
