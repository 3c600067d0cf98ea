"""How healthy is a battery, as seen from the charger: energy at the meter and the SoC a car reports.

Between two states of charge a battery of capacity C moves C times their difference. Every session that
moves at least a fifth of the charge is one observation

    energy in the battery = C (1 - s q) * change of SoC,

q being the loss that the wear law foretells since enrolment and s how many times as fast this car
fades. Both sides have errors: the meter a share of the energy, the gauge its steps and its drift. Plain
least squares would blame all on the energy and find too small a battery; Deming's regression (a line
through the origin, errors on both axes in a known ratio) does not.

What can be known well is the fade **since enrolment**: an error of the assumed charger efficiency or a
gauge that counts from 5 % multiplies all of a car's capacities alike and cancels. The absolute capacity
keeps that error, unless the car also discharges: charging shows C over the efficiency, discharging C
times it, and the geometric mean of both is free of it.

Gauges lie and gauges are reset. Sessions far off the car's own line are set aside, and where the line
jumps (a recalibration after a workshop visit) a new segment begins with a capacity of its own: fade
goes on within segments and a jump is never taken for one.

References
----------
W. E. Deming, Statistical Adjustment of Data, 1943. W. A. Fuller, Measurement Error Models, 1987, 1.3.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.law import Floats
from backfeed.core.columns import Columns

LEAST_SOC_CHANGE = 0.2
"""Sessions that move less of the charge say too little."""
_OUTLIER_MADS = 5.0
_MAD_TO_SD = 1.4826
_LEAST_SESSIONS = 12
_LEAST_SEGMENT = 12
_LEAST_JUMP = 0.02
"""A step of the line by less than this share is not told from noise."""
_JUMP_SIGMAS = 6.0
_BESIDE_FADE_SIGMAS = 3.0
"""How clear a step must be if the line may also fall faster or slower than the law; the two are hard to tell apart."""
_PLAUSIBLE = (0.4, 1.4)
"""Apparent capacity over nominal; outside the session is a slip of the meter or the gauge."""
_SCALES = np.linspace(-4, 10, 561)
_LEAST_REMAINING = 0.05
_ONE_SIGMA = 0.6827
NARROWED = 0.75
"""A measured wear scale counts once its band is at most this share of the band of all cars of one law."""


@dataclass(frozen=True)
class CarRecords(Columns):
    """Sessions of one car as columns, shape `(session,)`, in any order.

    Parameters
    ----------
    at_ms
        The middle of the session [ms since 1970 UTC].
    energy_kwh
        AC at the EVSE [kWh], charging positive, discharging negative.
    soc_change
        Reported state of charge at the end less that at the start.
    hours
        How long energy flowed [h], for the standby.
    """

    at_ms: NDArray[np.int64]
    energy_kwh: Floats
    soc_change: Floats
    hours: Floats


@dataclass(frozen=True, slots=True)
class HealthAssumptions:
    """What is taken for known about the car and its charger.

    Parameters
    ----------
    capacity_nominal_kwh
        When new [kWh].
    charge_efficiency, discharge_efficiency
        Between the battery and AC at the EVSE.
    standby_kw
        Drawn by the car's electronics while energy flows [kW].
    soc_error
        Standard deviation of a reported SoC, its steps included.
    energy_error
        Standard deviation of a session's energy as a share of it.
    scale_sd
        How far cars of one law differ: the standard deviation of the logarithm of s.
    """

    capacity_nominal_kwh: float
    charge_efficiency: float = 0.9
    discharge_efficiency: float = 0.9
    standby_kw: float = 0.2
    soc_error: float = 0.01
    energy_error: float = 0.01
    scale_sd: float = 0.3
    efficiency_sd: float = 0.014
    """How far the assumed efficiencies may be off: chargers and cars of one kind differ by that."""
    uncancelled_sd: float = 0.004
    """What is left of that where charge and discharge cancel it: the two do not err quite alike."""


@dataclass(frozen=True, slots=True)
class HealthEstimate:
    """What the sessions of a car say.

    Parameters
    ----------
    capacity_kwh
        Now [kWh], with the error of the assumed efficiency unless `efficiency_cancelled`.
    capacity_sd_kwh
        Its standard error, that of the assumed efficiency included [kWh].
    fade
        Capacity lost since enrolment, as a share of that at enrolment, from the data alone.
    fade_sd
        Its standard error.
    scale, scale_low, scale_high
        How many times as fast as the law the car fades: median and 68 % band after weighing the data with
        what cars of this law do. Enters the wear law as `scale`.
    sessions
        How many sessions were used.
    set_aside
        How many were not, by reason.
    resets_ms
        Instants at which the gauge was found to be reset.
    efficiency_cancelled
        Whether charge and discharge were both seen.
    """

    capacity_kwh: float
    capacity_sd_kwh: float
    fade: float
    fade_sd: float
    scale: float
    scale_low: float
    scale_high: float
    sessions: int
    set_aside: tuple[tuple[str, int], ...]
    resets_ms: tuple[int, ...]
    efficiency_cancelled: bool


def deming_through_origin(x: Floats, y: Floats, variance_ratio: float) -> float:
    """Return the slope of a line through the origin with errors on both axes.

    Parameters
    ----------
    x, y
        Observations, shape `(session,)`.
    variance_ratio
        Variance of the errors of y over that of x.

    >>> round(deming_through_origin(np.array([1.0, 2.0]), np.array([2.0, 4.0]), 1.0), 9)
    2.0
    """
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    gap = yy - variance_ratio * xx
    return (gap + math.hypot(gap, 2 * math.sqrt(variance_ratio) * xy)) / (2 * xy)


def battery_energy_kwh(records: CarRecords, known: HealthAssumptions) -> Floats:
    """Return the energy that went into (positive) or came out of the battery, standby taken off [kWh]."""
    standby = known.standby_kw * records.hours
    return np.where(
        records.energy_kwh > 0,
        (records.energy_kwh - standby) * known.charge_efficiency,
        (records.energy_kwh - standby) / known.discharge_efficiency,
    )


def estimate_health(records: CarRecords, law_loss: Floats, known: HealthAssumptions) -> HealthEstimate | None:
    """Estimate capacity, fade since enrolment and wear scale of one car.

    Parameters
    ----------
    records
        Its sessions.
    law_loss
        The loss since enrolment that the wear law foretells for this car at each session, shape
        `(session,)`, as a share of the capacity at enrolment.
    known
        What is taken for known.

    Returns
    -------
    HealthEstimate or None
        None where fewer than a dozen sessions are good enough.
    """
    keep, reasons = _accepted(records, known)
    order = np.flatnonzero(keep)[np.argsort(records.at_ms[keep], kind="stable")]
    if order.size < _LEAST_SESSIONS:
        return None
    chosen, loss = records.select(order), law_loss[order]
    energy, change = np.abs(battery_energy_kwh(chosen, known)), np.abs(chosen.soc_change)
    gives = chosen.energy_kwh < 0
    efficiency_cancelled = min(gives.sum(), (~gives).sum()) >= _LEAST_SESSIONS
    if efficiency_cancelled:
        slopes = [_slope(change[side], energy[side], known) for side in (gives, ~gives)]
        middle = (slopes[0] * slopes[1]) ** 0.5
        energy = energy * middle / np.where(gives, *slopes)
    segment = _segments(np.log(energy / change) + loss, loss)
    good, spread = _near_line(change, energy, loss, segment)
    fits = _profile(change[good], energy[good], loss[good], segment[good], spread)
    last = segment == segment[-1]
    fade_scale, fade_sd = _peak(fits)
    reach = float(loss.max())
    part = good & last
    scale = _posterior(fits, known.scale_sd)
    now = _slope(change[part], energy[part] / (1 - scale[1] * loss[part]), known) * (1 - scale[1] * reach)
    # The line is surest amid its sessions; what the car has faded since then is known as well as its scale.
    errors = (
        spread / math.sqrt(float(change[part] @ change[part])),
        (scale[2] - scale[0]) / 2 * (reach - float(loss[part].mean())),
        known.uncancelled_sd if efficiency_cancelled else known.efficiency_sd,
    )
    starts = np.flatnonzero(np.diff(segment, prepend=0))
    return HealthEstimate(
        capacity_kwh=now,
        capacity_sd_kwh=now * math.hypot(*errors),
        fade=fade_scale * reach,
        fade_sd=fade_sd * reach,
        scale=scale[1],
        scale_low=scale[0],
        scale_high=scale[2],
        sessions=int(good.sum()),
        set_aside=(*reasons, ("far off the car's own line", int((~good).sum()))),
        resets_ms=tuple(chosen.at_ms[starts].tolist()),
        efficiency_cancelled=bool(efficiency_cancelled),
    )


def calibrated_scale(measured: HealthEstimate | None, known: HealthAssumptions) -> float:
    """Return the wear scale to reckon with: the measured one if the sessions have narrowed its band enough, else 1.

    Before that the estimate is little more than what was assumed of all cars, and would only pass noise on.
    """
    if measured is None:
        return 1.0
    width = math.log(measured.scale_high / measured.scale_low) / 2
    return measured.scale if width <= NARROWED * known.scale_sd else 1.0


def _accepted(records: CarRecords, known: HealthAssumptions) -> tuple[NDArray[np.bool_], tuple[tuple[str, int], ...]]:
    """Apply the acceptance rule; count what it sets aside, each session under its first reason."""
    with np.errstate(divide="ignore", invalid="ignore"):
        apparent = battery_energy_kwh(records, known) / records.soc_change / known.capacity_nominal_kwh
    tests = (
        ("no energy or no state of charge", np.isfinite(apparent) & (records.energy_kwh != 0)),
        ("moves too little charge", np.abs(records.soc_change) >= LEAST_SOC_CHANGE - 1e-9),
        ("energy and charge do not fit", (apparent > _PLAUSIBLE[0]) & (apparent < _PLAUSIBLE[1])),
    )
    keep = np.ones(records.at_ms.size, dtype=np.bool_)
    reasons = []
    for reason, good in tests:
        reasons.append((reason, int((keep & ~good).sum())))
        keep &= good
    return keep, tuple(reasons)


def _slope(change: Floats, energy: Floats, known: HealthAssumptions) -> float:
    """Return the capacity of a set of sessions [kWh]."""
    typical = float(np.sqrt(np.mean(energy**2)))
    return deming_through_origin(change, energy, (known.energy_error * typical) ** 2 / (2 * known.soc_error**2))


def _segments(log_ratio: Floats, loss: Floats) -> NDArray[np.int64]:
    """Return the number of each session's stretch between resets: split where the line jumps, the clearest first.

    `log_ratio` is that of the apparent capacities with the law's `loss` taken off.
    """
    centre = np.median(log_ratio)
    spread = _MAD_TO_SD * float(np.median(np.abs(np.diff(log_ratio)))) / 2**0.5 + 1e-12
    calm = np.clip(log_ratio, centre - 0.3, centre + 0.3)
    borders = sorted(_jumps(calm, loss, 0, calm.size, spread))
    return np.searchsorted(np.array(borders, dtype=np.int64), np.arange(calm.size), side="right").astype(np.int64)


def _jumps(values: Floats, loss: Floats, start: int, end: int, spread: float) -> list[int]:
    count = end - start
    if count < 2 * _LEAST_SEGMENT:
        return []
    sums = np.cumsum(values[start:end])
    left = np.arange(_LEAST_SEGMENT, count - _LEAST_SEGMENT + 1)
    step = sums[left - 1] / left - (sums[-1] - sums[left - 1]) / (count - left)
    clarity = np.abs(step) / (spread * np.sqrt(1 / left + 1 / (count - left)))
    best = int(np.argmax(clarity))
    if clarity[best] < _JUMP_SIGMAS or abs(step[best]) < _LEAST_JUMP:
        return []
    border = start + int(left[best])
    if not _jumps_beside_fade(values[start:end], loss[start:end], int(left[best]), spread):
        return []
    return [*_jumps(values, loss, start, border, spread), border, *_jumps(values, loss, border, end, spread)]


def _jumps_beside_fade(values: Floats, loss: Floats, left: int, spread: float) -> bool:
    """Return whether there is a step at a border if the line may also fall at a pace of its own.

    A car that fades several times as fast as the law falls along a slope, which cut in two looks like a step.
    """
    fade, step = loss - loss.mean(), np.zeros(values.size)
    step[left:] = 1.0
    step -= step.mean()
    moved = float(fade @ fade)
    if moved > 0:
        step -= float(step @ fade) / moved * fade
    weight = float(step @ step)
    if weight <= 0:
        return False
    rise = float(step @ values) / weight
    return abs(rise) >= _LEAST_JUMP and abs(rise) * weight**0.5 >= _BESIDE_FADE_SIGMAS * spread


def _near_line(
    change: Floats, energy: Floats, loss: Floats, segment: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], float]:
    """Set aside sessions far off their segment's line; return the others and the spread of SoC about it."""
    ratio = energy / (1 - loss) / change
    line = np.array([np.median(ratio[segment == each]) for each in range(int(segment[-1]) + 1)])
    off = energy / (1 - loss) / line[segment] - change
    centre = np.median(off)
    spread = max(_MAD_TO_SD * float(np.median(np.abs(off - centre))), 1e-4)
    return np.abs(off - centre) <= _OUTLIER_MADS * spread, spread


def _profile(change: Floats, energy: Floats, loss: Floats, segment: NDArray[np.int64], spread: float) -> Floats:
    """Return the log-likelihood of every wear scale on the grid, each segment's capacity fitted to it.

    Energy is by far the surer of the two, so its error is counted with the gauge's: the change of SoC is
    the energy over the remaining capacity, with a spread found from the sessions themselves.
    """
    remaining = 1 - _SCALES[:, None] * loss[None, :]
    fits = np.zeros(_SCALES.size)
    for each in range(int(segment.max()) + 1):
        part = segment == each
        x, y = change[part], energy[part] / np.maximum(remaining[:, part], _LEAST_REMAINING)
        fits -= (x @ x - (y @ x) ** 2 / (y * y).sum(axis=1)) / (2 * spread**2)
    return fits


def _peak(fits: Floats) -> tuple[float, float]:
    """Return the most likely scale and its standard error from the curvature there."""
    best = int(np.clip(np.argmax(fits), 1, fits.size - 2))
    step = _SCALES[1] - _SCALES[0]
    curvature = (2 * fits[best] - fits[best - 1] - fits[best + 1]) / step**2
    offset = (fits[best + 1] - fits[best - 1]) / (2 * step) / max(curvature, 1e-12)
    return float(_SCALES[best] + np.clip(offset, -step, step)), float(max(curvature, 1e-12) ** -0.5)


def _posterior(fits: Floats, scale_sd: float) -> tuple[float, float, float]:
    """Weigh the likelihood with a lognormal prior about 1; return the lower, middle and upper scale."""
    positive = _SCALES > 0
    logs = np.log(_SCALES[positive])
    weight = fits[positive] - 0.5 * (logs / scale_sd) ** 2 - logs
    share = np.cumsum(np.exp(weight - weight.max()))
    quantiles = np.interp([(1 - _ONE_SIGMA) / 2, 0.5, (1 + _ONE_SIGMA) / 2], share / share[-1], _SCALES[positive])
    return float(quantiles[0]), float(quantiles[1]), float(quantiles[2])
