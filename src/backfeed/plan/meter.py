"""A row's own meter: what it buys at `b` and sells at `s < b`, with a load or PV behind it that its power meets.

Where a car has a meter for itself (`plan/folding.py`), what is fixed there moves the meter's kink to a power `kink` of
the car's own. With p its power, the meter costs `b p` and what is lost by selling: `rise m`, `rise = b - s > 0`, with

    m >= 0,   rest = m + p - kink >= 0          duals zm, zr; rise = zm + zr; the car's price of power is b - zr

So such a row has one variable more at these steps. With `tm = zm / m` and `tr = zr / rest`, eliminating it leaves on p
a Hessian and a gradient,

    theta = tm tr / (tm + tr)        g = (tr (cm - rise) - tm cr) / (tm + tr) + theta (m + p - kink - rest)

with cm and cr what the duals aim at. On the entries' shares (a, b), q = (charge, -discharge), that is `theta q q'`,
which changes what `plan/vehicle.py` makes of them by `share = 1 / (1 + theta v)`:

    v' = share v     w' = share w     g' = share (g + theta delta)     pull' = share (pull + g v)

with `delta = g v - w w` told without a subtraction, as `plan/narrow.py` does where cars meet at nodes: it is the
determinant of D^-1 times the square of what q and (gain, -loss) span. The car itself then sees as its price's step

    share (dp + g + theta (w dy - pull))

which is free of differences, too. Iterates stand by row and step in an array of their own, only for rows that need it.
"""

from backfeed.plan.compiled import nested
from backfeed.plan.problem import Floats
from backfeed.plan.rows import ARRIVE, KINK, LENGTH, Fleet
from backfeed.plan.unit import (
    AT_KINK,
    CHARGE,
    CR,
    CX,
    DA,
    DB,
    DISCHARGE,
    DP,
    DR,
    DX,
    DY,
    GAIN,
    IA,
    IAA,
    IAB,
    IB,
    IBB,
    IJ,
    INV_R,
    INV_X,
    LEAST,
    LOSS,
    METERED,
    MISSING,
    MOST,
    OWN_DY,
    OWN_PUSH,
    OWN_SHARE,
    PR,
    PULL,
    PX,
    RA,
    RB,
    REST,
    RISE,
    S1,
    S2,
    S3,
    SOLD,
    STRIDE,
    ZR,
    ZX,
    A,
    B,
    G,
    H,
    Unit,
    V,
    W,
    dual_step,
    padded,
)

MOVED, PREDICTED, CORRECTED = (2, 6, 2), (8, 10, 6), (8, 10, 8)
"""What `store_meters` keeps of METER: the iterates, a step as the predictor's, a step as the corrector's."""


@nested
def load_meters(unit: Unit, n: int, fleet: Fleet, rows: tuple[int, int], lead: int, meters: Floats) -> None:
    """Copy what is known of the meters of a unit's rows into its buffer, if they have any."""
    u = unit.u
    u[METERED] = 1.0 if fleet.places[rows[0], KINK] >= 0 else 0.0
    if u[METERED] == 0:
        return
    for q in range(meters.shape[1]):
        usual = 1.0 if MOVED[0] <= q < MOVED[1] else 0.0
        for t in range(padded(n)):
            u[AT_KINK + q * STRIDE + t] = usual
    p = lead
    for r in range(rows[0], rows[1]):
        length, arrive, place = fleet.places[r, LENGTH], fleet.places[r, ARRIVE], fleet.places[r, KINK]
        for q in range(meters.shape[1]):
            for k in range(length):
                u[AT_KINK + q * STRIDE + p + k] = meters[place, q, arrive + k]
        p += length + 1


@nested
def store_meters(
    unit: Unit, fleet: Fleet, rows: tuple[int, int], lead: int, meters: Floats, some: tuple[int, int, int]
) -> None:
    """Keep quantities of a unit's meters: `some` are the first, the one after the last, and where the first goes."""
    if unit.u[METERED] == 0:
        return
    p = lead
    for r in range(rows[0], rows[1]):
        length, arrive, place = fleet.places[r, LENGTH], fleet.places[r, ARRIVE], fleet.places[r, KINK]
        for q in range(some[0], some[1]):
            for k in range(length):
                meters[place, q - some[0] + some[2], arrive + k] = unit.u[AT_KINK + q * STRIDE + p + k]
        p += length + 1


@nested
def eliminate_meter(u: Floats, n: int, tau: float, second: float) -> None:
    """Eliminate the meter of every entry whose shares are eliminated."""
    for t in range(n):
        there = 1.0 if u[RISE + t] > 0.0 else 0.0
        x, rest, zx, zr, px, pr = u[SOLD + t], u[REST + t], u[ZX + t], u[ZR + t], u[PX + t], u[PR + t]
        r = 1.0 / (x * rest)
        ix, ir = rest * r, x * r
        cx = (tau + second * px * zx * (1.0 + ix * px)) * ix
        cr = (tau + second * pr * zr * (1.0 + ir * pr)) * ir
        tx, tr = zx * ix, zr * ir
        r = there / (tx + tr)
        charge, discharge, gain, loss = u[CHARGE + t], u[DISCHARGE + t], u[GAIN + t], u[LOSS + t]
        missing = x + charge * u[A + t] - discharge * u[B + t] - u[AT_KINK + t] - rest
        theta = tx * tr * r
        g = (tr * (cx - u[RISE + t]) - tx * cr) * r + theta * missing
        ia, ib, ij, ra, rb = u[IA + t], u[IB + t], u[IJ + t], u[RA + t], u[RB + t]
        apart, turn = ia * ib * ij / (ia + ib + ij), charge * loss - discharge * gain
        ga, gb = gain * u[IAA + t] + loss * u[IAB + t], gain * u[IAB + t] + loss * u[IBB + t]
        v, w, pull = u[V + t], u[W + t], u[PULL + t]
        share = 1.0 / (1.0 + theta * v)
        pushed = ga * ra - gb * rb + g * w - theta * apart * turn * (charge * rb + discharge * ra)
        u[H + t] = share * pushed - gain * u[A + t] + loss * u[B + t]
        u[V + t], u[W + t], u[G + t] = share * v, share * w, share * (u[G + t] + theta * apart * turn * turn)
        u[PULL + t] = share * (pull + g * v)
        u[OWN_SHARE + t], u[OWN_PUSH + t], u[OWN_DY + t] = share, share * (g - theta * pull), theta * share * w
        u[INV_X + t], u[INV_R + t], u[CX + t], u[CR + t], u[MISSING + t] = ix, ir, cx, cr, missing


@nested
def add_own_price(u: Floats, n: int) -> None:
    """Make of the node's price steps those that the car sees behind its meter."""
    for t in range(n):
        u[DP + t] = u[OWN_SHARE + t] * u[DP + t] + u[OWN_PUSH + t] + u[OWN_DY + t] * u[DY + t]


@nested
def step_meter(u: Floats, n: int) -> None:
    """Find the meter's steps once those of a and b are known, and join what they say to MOST, LEAST and S1 to S3."""
    for t in range(n):
        there = 1.0 if u[RISE + t] > 0.0 else 0.0
        x, rest, zx, zr, ix, ir = u[SOLD + t], u[REST + t], u[ZX + t], u[ZR + t], u[INV_X + t], u[INV_R + t]
        tx, tr, wanted = zx * ix, zr * ir, u[CX + t] + u[CR + t] - u[RISE + t]
        power = u[CHARGE + t] * u[DA + t] - u[DISCHARGE + t] * u[DB + t] + u[MISSING + t]
        r = there / (tx + tr)
        dx, dr = (wanted - tr * power) * r, (wanted + tx * power) * r
        dzx, dzr = there * (u[CX + t] - zx * (1.0 + ix * dx)), there * (u[CR + t] - zr * (1.0 + ir * dr))
        r = 1.0 / (zx * zr)
        u[MOST + t] = max(u[MOST + t], -dx * ix, -dr * ir)
        u[LEAST + t] = max(u[LEAST + t], -dzx * zr * r, -dzr * zx * r)
        u[S1 + t] += zx * dx + zr * dr
        u[S2 + t] += x * dzx + rest * dzr
        u[S3 + t] += dx * dzx + dr * dzr
        u[DX + t], u[DR + t] = dx, dr


@nested
def advance_meter(u: Floats, n: int, aim: tuple[float, float], primal: float, dual: float) -> None:
    """Move the meter's iterates along the corrector's step."""
    for t in range(n):
        move = dual if u[RISE + t] > 0.0 else 0.0
        x, rest, dx, dr = u[SOLD + t], u[REST + t], u[DX + t], u[DR + t]
        r = 1.0 / (x * rest)
        u[ZX + t] += move * dual_step(rest * r, u[ZX + t], aim, u[PX + t], dx)
        u[ZR + t] += move * dual_step(x * r, u[ZR + t], aim, u[PR + t], dr)
        u[SOLD + t], u[REST + t] = x + primal * dx, rest + primal * dr


@nested
def measure_meter(u: Floats, n: int) -> None:
    """Add the meter's products and cost to S1 and S2."""
    for t in range(n):
        there = 1.0 if u[RISE + t] > 0.0 else 0.0
        u[S1 + t] += there * (u[SOLD + t] * u[ZX + t] + u[REST + t] * u[ZR + t])
        u[S2 + t] += u[RISE + t] * u[SOLD + t]


@nested
def start_meter(u: Floats, n: int, product: float, price: int) -> None:
    """Start the meter in the middle at the powers a and b; write what it adds to the car's price at `price`.

    The middle is where both products are one and the duals make up the rise. That is at most half of what the rise
    comes to over the whole range of powers, so that what is sold stays near to it.
    """
    for t in range(n):
        rise = u[RISE + t]
        if rise > 0.0:
            charge, discharge = u[CHARGE + t], u[DISCHARGE + t]
            power = charge * u[A + t] - discharge * u[B + t] - u[AT_KINK + t]
            size = min(product, 0.5 * rise * (charge + discharge))
            far = rise * abs(power)
            more = (2.0 * size + far + (far * far + 4.0 * size * size) ** 0.5) / (2.0 * rise)
            less = size * more / (rise * more - size)
            u[SOLD + t], u[REST + t] = (less, more) if power >= 0.0 else (more, less)
            u[ZX + t], u[ZR + t] = size / u[SOLD + t], size / u[REST + t]
            u[price + t] = -u[ZR + t]


@nested
def least_with_meter(u: Floats, t: int, ra: float, rb: float) -> float:
    """Return the least that an entry's shares cost at reduced costs ra and rb, with what selling loses.

    It stands at a corner of the shares' triangle, or where the kink's line meets one of its sides.
    """
    rise, kink, charge, discharge = u[RISE + t], u[AT_KINK + t], u[CHARGE + t], u[DISCHARGE + t]
    least = min(rise * max(kink, 0.0), ra + rise * max(kink - charge, 0.0), rb + rise * max(kink + discharge, 0.0))
    if 0.0 < kink <= charge:
        least = min(least, ra * kink / charge)
    if 0.0 > kink >= -discharge:
        least = min(least, -rb * kink / discharge)
    if -discharge <= kink <= charge and charge + discharge > 0.0:
        share = (kink + discharge) / (charge + discharge)
        least = min(least, share * ra + (1.0 - share) * rb)
    return float(least)
