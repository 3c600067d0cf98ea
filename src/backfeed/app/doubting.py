"""Doubting: which of a day's energy is held back, and what would be paid for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from backfeed.app.demand import DemandDesk
from backfeed.app.knowledge import Knowledge
from backfeed.market.demand_response import Direction
from backfeed.meter.gaming import Finding, cycled_energy, ghost_sessions, two_chargers
from backfeed.meter.interval import IntervalTable, MeterKey
from backfeed.settle.contract import Contracts
from backfeed.settle.postings import DeliveredEvent, SettlementDay


@dataclass(frozen=True)
class Doubts:
    """What is doubted of a day: transactions and invitations with the reason, and all that was found.

    Energy driven in a circle is found and not held: it is priced at nothing anyway. One car at two chargers is told and
    not held either: it was metered, and a household with two cars and one card is no fraud.
    """

    stays: Mapping[MeterKey, str]
    events: Mapping[str, str]
    findings: tuple[Finding, ...]


def doubts_of(
    knowledge: Knowledge, demand: DemandDesk, intervals: IntervalTable, events: tuple[DeliveredEvent, ...]
) -> Doubts:
    """Return what is doubted of a day's intervals and events."""
    owners = [knowledge.owner_of_transaction(key) for key in intervals.keys]
    stays = [
        stay
        for key, owner in zip(intervals.keys, owners, strict=True)
        if (stay := knowledge.stays.stay(key, owner.vehicle.capacity_kwh, owner.owner_id)) is not None
    ]
    ghosts = ghost_sessions(stays, intervals)
    reasons: dict[str, str] = {}
    for finding in ghosts:
        reasons.setdefault(finding.where, f"{finding.scheme}: {finding.what}")
    named = {f"{key.station} {key.transaction}": key for key in intervals.keys}
    moved = [finding for event in events for finding in demand.moved(event.award.invitation)]
    return Doubts(
        stays={named[where]: reason for where, reason in reasons.items()},
        events={finding.where: f"{finding.scheme}: {finding.what}" for finding in moved},
        findings=(*ghosts, *moved, *two_chargers(stays, intervals), *cycled_energy(intervals)),
    )


def without_doubted(intervals: IntervalTable, doubts: Doubts) -> IntervalTable:
    """Return the intervals without what doubted transactions gave; what they took is billed all the same."""
    if not doubts.stays:
        return intervals
    doubted = np.array([key in doubts.stays for key in intervals.keys], dtype=np.bool_)[intervals.key]
    return replace(intervals, export_wh=np.where(doubted, 0, intervals.export_wh))


def held_days(
    believed: SettlementDay,
    doubts: Doubts,
    intervals: IntervalTable,
    events: tuple[DeliveredEvent, ...],
    contracts: Contracts,
    wear_micro: Mapping[str, int],
) -> dict[str, tuple[SettlementDay, str]]:
    """Return what to hold of a day, by what it is called, each with its reason.

    Parameters
    ----------
    believed
        The day as it is settled.
    doubts
        What is doubted of it.
    intervals, events
        All that was metered and delivered.
    contracts
        Whose account a car settles to.
    wear_micro
        What the doubted transactions wore, by account holder.
    """
    held: dict[str, tuple[SettlementDay, str]] = {}
    rows = np.array([key in doubts.stays for key in intervals.keys], dtype=np.bool_)[intervals.key]
    given = contracts.by_holder(replace(intervals, import_wh=np.zeros_like(intervals.import_wh)))
    for owner, site in sorted({(given.keys[i].owner, given.keys[i].site) for i in np.unique(given.key[rows])}):
        mine = rows & np.array([(key.owner, key.site) == (owner, site) for key in given.keys])[given.key]
        table = IntervalTable(
            given.keys, given.key[mine], given.start_ms[mine], given.import_wh[mine], given.export_wh[mine]
        )
        if not table.export_wh.any():
            continue
        reason = next(doubts.stays[intervals.keys[i]] for i in np.unique(table.key))
        wear = {owner: wear_micro.get(owner, 0)}
        day = replace(believed, intervals=_of(table, owner, site), wear_micro=wear, events=(), plugged_h={})
        held[f"{owner}@{site}"] = day, reason
    for event in events:
        name = event.award.invitation.id
        if name in doubts.events:
            day = replace(believed, intervals=_empty(believed.intervals), wear_micro={}, plugged_h={})
            held[name] = replace(day, events=(_by_name(event, believed.intervals),)), doubts.events[name]
    return held


def _of(table: IntervalTable, owner: str, site: str) -> IntervalTable:
    """Return a table's rows with the keys of one owner at one site alone."""
    keys = [i for i, key in enumerate(table.keys) if (key.owner, key.site) == (owner, site)]
    number = {i: new for new, i in enumerate(keys)}
    renumbered = np.array([number[i] for i in table.key.tolist()], dtype=np.int64)
    return replace(table, keys=tuple(table.keys[i] for i in keys), key=renumbered)


def _empty(table: IntervalTable) -> IntervalTable:
    """Return a table with the same transactions and no energy."""
    _, first = np.unique(table.key, return_index=True)
    nothing = np.zeros(len(first), dtype=np.int64)
    return IntervalTable(table.keys, table.key[first], table.start_ms[first], nothing, nothing)


def _by_name(event: DeliveredEvent, intervals: IntervalTable) -> DeliveredEvent:
    """Return an event whose contributions are given by owner, so that it can be settled without the day's energy."""
    if event.delivered_wh:
        return event
    invitation = event.award.invitation
    table = intervals.between(invitation.start_ms, invitation.end_ms)
    moved = table.export_wh if invitation.kind is Direction.PEAK_SHAVE else table.import_wh
    given: dict[str, int] = {}
    for number, energy_wh in zip(table.key.tolist(), moved.tolist(), strict=True):
        owner = table.keys[number].owner
        given[owner] = given.get(owner, 0) + energy_wh
    return replace(event, delivered_wh=given)
