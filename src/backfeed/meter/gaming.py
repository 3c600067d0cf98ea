"""Was it earned honestly: checks on metered energy before anything is paid.

Ways to be paid for nothing are known from demand response and from feed-in tariffs: a baseline that was driven
up before a peak is shaved, or down before a valley is filled, sessions without a car, one car at two chargers,
and energy driven in a circle between cars behind one meter. Each check is a pure function that returns findings;
whoever settles decides what is kept unpaid until a person has cleared it. (Energy in a circle is priced at nothing
anyway, see `settle.energy`.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from backfeed.core.instant import MS_PER_MIN, format_instant
from backfeed.market.demand_response import Direction
from backfeed.meter.baseline import Baseline, History, baseline
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey

MOVED_RATIO = 0.25
"""Weekly habits move a baseline by some ten percent; more than a quarter is looked at."""
USUAL_DAYS_MIN = 3
"""From fewer days nobody can say what is usual."""
CABLES_CHANGED_MS = 5 * MS_PER_MIN
"""A driver who moves to another charger is seen at both as long as clocks differ and cables are handled."""
CYCLED_SHARE = 0.2
"""One car leaves while another feeds in: some sharing is the day's business."""
LEAST_WH = 1_000
"""Below a kilowatt-hour nothing is worth a look."""


class Scheme(StrEnum):
    """What a finding points to."""

    RAISED_BASELINE = "raised baseline"
    LOWERED_BASELINE = "lowered baseline"
    TWO_CHARGERS = "one car at two chargers"
    GHOST_SESSION = "ghost session"
    CYCLED_ENERGY = "cycled energy"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to be looked at before it is paid.

    Parameters
    ----------
    scheme
        What it points to.
    where
        The invitation, transaction or site.
    energy_wh
        How much energy is in doubt.
    what
        What was expected and what was found, for people.
    """

    scheme: Scheme
    where: str
    energy_wh: int
    what: str


def moved_baseline(
    invitation: str, direction: Direction, history: History, used: Baseline, invited_at_ms: int, notice_ms: int
) -> tuple[Finding, ...]:
    """Compare a baseline with the one that would have held before the event was to be expected.

    Delivery counts from the baseline: a higher one earns more where load is to be shaved, a lower one where a valley
    is to be filled. The other way it only costs, and is nothing to be looked at.

    Parameters
    ----------
    invitation
        Name of the invitation.
    direction
        Which way it asked to move.
    history
        The metered history that the baseline was made from.
    used
        The baseline in use.
    invited_at_ms
        When the invitation became known.
    notice_ms
        How long before the invitation an owner may have expected it: hot days are forecast a week ahead.
    """
    before = baseline(used.method, history, used.axis, invited_at_ms - notice_ms)
    if len(before.days) < USUAL_DAYS_MIN or before.days == used.days:
        return ()
    usual, claimed = int(before.net_wh.sum()), int(used.net_wh.sum())
    shaves = direction is Direction.PEAK_SHAVE
    moved = claimed - usual if shaves else usual - claimed
    if moved < LEAST_WH or moved <= MOVED_RATIO * abs(usual):
        return ()
    earlier = format_instant(invited_at_ms - notice_ms)
    what = f"expected about {usual} Wh as on the days before {earlier}, found {claimed} Wh"
    return (Finding(Scheme.RAISED_BASELINE if shaves else Scheme.LOWERED_BASELINE, invitation, moved, what),)


@dataclass(frozen=True, slots=True)
class Stay:
    """What is known of a car at a charger beside its meter.

    Parameters
    ----------
    key
        The transaction.
    from_ms, until_ms
        From plugged in to unplugged, as the connector's state says.
    authorised
        Whether a driver showed a token that was accepted.
    vehicle
        Which car is enrolled with the token that was shown; empty where that is not known.
    capacity_kwh
        Usable energy of the car's battery; 0 where it is not known.
    """

    key: MeterKey
    from_ms: int
    until_ms: int
    authorised: bool
    vehicle: str = ""
    capacity_kwh: float = 0.0


def ghost_sessions(stays: Sequence[Stay], table: IntervalTable) -> tuple[Finding, ...]:
    """Return the transactions whose energy no car can have taken or given.

    That is energy without a stay or a driver, energy in quarter-hours in which no car was plugged in, and more given
    than the battery holds beyond what it took.
    """
    of_key = {stay.key: stay for stay in stays}
    findings: list[Finding] = []
    order = np.lexsort((table.start_ms, table.key))
    bounds = np.searchsorted(table.key[order], np.arange(len(table.keys) + 1))
    for number, key in enumerate(table.keys):
        rows = order[bounds[number] : bounds[number + 1]]
        imported, exported = table.import_wh[rows], table.export_wh[rows]
        moved = imported + exported
        total = int(moved.sum())
        stay = of_key.get(key)
        if not total:
            continue
        if stay is None or not stay.authorised:
            reason = "no car was plugged in" if stay is None else "no driver was authorised"
            findings.append(_ghost(key, total, reason))
            continue
        starts = table.start_ms[rows]
        outside = int(moved[(starts >= stay.until_ms) | (starts + INTERVAL_MS <= stay.from_ms)].sum())
        if outside:
            findings.append(_ghost(key, outside, "energy was metered when no car was plugged in"))
        surplus = int(np.max(np.cumsum(exported - imported), initial=0))
        if stay.capacity_kwh and surplus > stay.capacity_kwh * 1000:
            findings.append(_ghost(key, surplus, f"more was given than a battery of {stay.capacity_kwh:g} kWh holds"))
    return tuple(findings)


def _ghost(key: MeterKey, energy_wh: int, what: str) -> Finding:
    return Finding(Scheme.GHOST_SESSION, f"{key.station} {key.transaction}", energy_wh, what)


def two_chargers(stays: Sequence[Stay], table: IntervalTable) -> tuple[Finding, ...]:
    """Return the later of two stays of one car that overlap, for longer than changing cables takes.

    It may be a copied card, a card lent to somebody else, or a second car that nobody has enrolled: its battery is
    not the one that reserve, warranty and wear are reckoned with.
    """
    number = {key: i for i, key in enumerate(table.keys)}
    last: dict[str, Stay] = {}
    findings = []
    for stay in sorted(stays, key=lambda s: (s.vehicle, s.from_ms, s.key.station)):
        before = last.get(stay.vehicle) if stay.vehicle else None
        if before is not None and stay.from_ms + CABLES_CHANGED_MS < before.until_ms and stay.key in number:
            rows = table.key == number[stay.key]
            energy = int((table.import_wh[rows] + table.export_wh[rows]).sum())
            where = f"{stay.key.station} {stay.key.transaction}"
            since = format_instant(before.from_ms)
            what = f"the car of {stay.vehicle} stood at {before.key.station} as well, since {since}"
            findings.append(Finding(Scheme.TWO_CHARGERS, where, energy, what))
        if before is None or stay.until_ms > before.until_ms:
            last[stay.vehicle] = stay
    return tuple(findings)


def cycled_energy(table: IntervalTable) -> tuple[Finding, ...]:
    """Return the sites at which a notable part of what was given was taken again in the same quarter-hour."""
    sites = sorted({key.site for key in table.keys})
    index: Mapping[str, int] = {site: i for i, site in enumerate(sites)}
    site = np.array([index[key.site] for key in table.keys], dtype=np.int64)[table.key]
    starts, step = np.unique(table.start_ms, return_inverse=True)
    shape = (len(sites), len(starts))
    size = len(sites) * len(starts)
    group = site * len(starts) + step
    imported = np.bincount(group, table.import_wh, size).reshape(shape)
    exported = np.bincount(group, table.export_wh, size).reshape(shape)
    cycled, given = np.minimum(imported, exported).sum(axis=1), exported.sum(axis=1)
    return tuple(
        Finding(
            Scheme.CYCLED_ENERGY,
            name,
            int(cycled[i]),
            f"of {int(given[i])} Wh given, {int(cycled[i])} Wh were taken again behind the same meter",
        )
        for i, name in enumerate(sites)
        if cycled[i] >= max(LEAST_WH, CYCLED_SHARE * given[i])
    )
