"""The last check before a setpoint leaves the house. It does not trust the planner, nor the allocation.

It knows ratings and static limits only: no plan, no belief about batteries, no promise. Whatever asks for
power, by error or by intent, can move the fleet no faster and no further than this. In order:

1. a setpoint that is not a number becomes 0;
2. every EVSE is held to its rating;
3. the fleet's sum moves by at most the ramp since the last orders, all EVSEs giving way by the same share;
4. site, then feeder, then fleet: where the sum passes a limit, the powers on that side of zero shrink by the
   same factor. Shrinking towards zero can not break a limit of the same side at another place, and what it
   adds on the other side is why each place is looked at for import and then for export again.

A guard that never speaks is the normal state: every intervention is reported, and is a fault above it.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backfeed.dispatch.columns import Floats

RAMP_SHARE_PER_MIN = 0.10
"""Default ramp: share of the fleet's rating by which its sum may move in a minute. Some 30 MW moved in
one step were enough to break the frequency of a modelled grid."""

TOLERANCE_KW = 1e-6
SECONDS_PER_MINUTE = 60.0
ROUNDS = 50
"""More than places usually need to agree: each round only shrinks powers, most fleets need one. Where charging and
discharging at different places lean on each other they would shrink for ever; then neither counts for the other."""


@dataclass(frozen=True, slots=True)
class Place:
    """Limits of one kind of place: sites, feeders, or the fleet as a single one.

    Parameters
    ----------
    kind
        `site`, `feeder` or `fleet`.
    names
        Name of each place.
    member
        The place of every EVSE, shape `(evse,)`.
    base_load_kw, import_limit_kw, export_limit_kw
        Per place; limits are magnitudes, infinity where there is none.
    """

    kind: str
    names: tuple[str, ...]
    member: NDArray[np.int64]
    base_load_kw: Floats
    import_limit_kw: Floats
    export_limit_kw: Floats


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What the guard holds the fleet to.

    Parameters
    ----------
    charge_max_kw, discharge_max_kw
        Ratings of every EVSE, magnitudes.
    places
        From the narrowest to the widest.
    ramp_share_per_min
        Share of the fleet's rating by which its sum may move in a minute; infinity for no ramp.
    """

    charge_max_kw: Floats
    discharge_max_kw: Floats
    places: tuple[Place, ...]
    ramp_share_per_min: float = RAMP_SHARE_PER_MIN


@dataclass(frozen=True, slots=True)
class Intervention:
    """One thing that the guard did not let pass."""

    kind: str
    where: str
    wanted_kw: float
    allowed_kw: float


@dataclass(frozen=True, slots=True)
class Guarded:
    """Setpoints that may leave the house, and what was changed to make them so."""

    power_kw: Floats
    interventions: tuple[Intervention, ...] = field(default=())


def guard(wanted_kw: Floats, previous_kw: Floats, elapsed_s: float, limits: GuardLimits) -> Guarded:
    """Return setpoints that break no static limit.

    Parameters
    ----------
    wanted_kw
        What is about to be ordered, charging positive, shape `(evse,)`.
    previous_kw
        What the same EVSEs were last ordered; 0 for a new one.
    elapsed_s
        How long ago that was [s].
    limits
        Ratings, places, ramp.
    """
    found: list[Intervention] = []
    power = np.where(np.isfinite(wanted_kw), wanted_kw, 0.0)
    if broken := int(np.sum(~np.isfinite(wanted_kw))):
        found.append(Intervention("not_a_number", f"{broken} EVSEs", float("nan"), 0.0))
    rated = np.clip(power, -limits.discharge_max_kw, limits.charge_max_kw)
    if (beyond := np.abs(power - rated) > TOLERANCE_KW).any():
        found.append(_sum_of("rating", f"{int(beyond.sum())} EVSEs", power, rated))
    ramped = _ramp(rated, np.clip(previous_kw, -limits.discharge_max_kw, limits.charge_max_kw), elapsed_s, limits)
    if np.abs(ramped - rated).max(initial=0.0) > TOLERANCE_KW:
        found.append(_sum_of("ramp", "fleet", rated, ramped))
    held = _hold_places(ramped, limits.places, found)
    return Guarded(held, tuple(found))


def _sum_of(kind: str, where: str, before: Floats, after: Floats) -> Intervention:
    """Report an intervention by the fleet's sum before and after it."""
    return Intervention(kind, where, float(before.sum()), float(after.sum()))


def _ramp(power: Floats, previous: Floats, elapsed_s: float, limits: GuardLimits) -> Floats:
    """Go only as far from the previous orders as the ramp allows."""
    rating_kw = float(np.maximum(limits.charge_max_kw, limits.discharge_max_kw).sum())
    allowed_kw = limits.ramp_share_per_min * rating_kw * elapsed_s / SECONDS_PER_MINUTE
    step_kw = abs(float((power - previous).sum()))
    if step_kw <= allowed_kw:
        return power
    return np.asarray(previous + (power - previous) * (allowed_kw / step_kw), dtype=np.float64)


def _hold_places(power: Floats, places: tuple[Place, ...], found: list[Intervention]) -> Floats:
    """Shrink powers until every place keeps both its limits, or only its base load is left to blame."""
    held = power
    for _ in range(ROUNDS):
        before = held
        for place in places:
            for direction in (1, -1):
                held = _shrink(held, place, direction, found)
        if held is before:
            return held
    for place in places:
        for direction in (1, -1):
            held = _shrink(held, place, direction, found, alone=True)
    return held


def _shrink(power: Floats, place: Place, direction: int, found: list[Intervention], *, alone: bool = False) -> Floats:
    """Shrink the charging (+1) or discharging (-1) powers of the places that pass that limit, or would `alone`."""
    limit = place.import_limit_kw if direction > 0 else place.export_limit_kw
    same = np.maximum(direction * power, 0.0)
    counted = direction * same if alone else power
    count = len(place.names)
    net = direction * (place.base_load_kw + np.bincount(place.member, weights=counted, minlength=count))
    side = np.bincount(place.member, weights=same, minlength=count)
    over = (net - limit > TOLERANCE_KW) & (side > TOLERANCE_KW)
    if not over.any():
        return power
    kept = np.ones(count)
    kept[over] = np.maximum(side[over] - (net[over] - limit[over]), 0.0) / side[over]
    for index in np.flatnonzero(over):
        allowed = net[index] - side[index] * (1.0 - kept[index])
        kind = f"{place.kind}_{'import' if direction > 0 else 'export'}"
        found.append(Intervention(kind, place.names[index], direction * float(net[index]), direction * float(allowed)))
    factor = np.where(direction * power > 0.0, kept[place.member], 1.0)
    return np.asarray(power * factor, dtype=np.float64)
