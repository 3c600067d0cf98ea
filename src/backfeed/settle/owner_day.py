"""What a day is to every owner: revenue attributed, the floor that is owed, and the split."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from backfeed.core.instant import MS_PER_DAY
from backfeed.core.money import WH_PER_KWH, round_micro
from backfeed.market.demand_response import Direction
from backfeed.meter.interval import IntervalTable
from backfeed.settle.day import DeliveredEvent, OwnerDay, Parties, SettlementDay
from backfeed.settle.energy import OwnerEnergy
from backfeed.settle.waterfall import allocate, split_revenue

_ZERO = Decimal(0)


def owner_days(day: SettlementDay, parties: Parties, energies: Sequence[OwnerEnergy]) -> tuple[OwnerDay, ...]:
    """Return every owner's day at every site, in the order of `energies`."""
    sold = [energy.export_wh - energy.shared_out_wh for energy in energies]
    wear = _wear_by_row(day.wear_micro, energies)
    subsidies = _subsidies(day, energies)
    dr = [0] * len(energies)
    joined = [0] * len(energies)
    for event in day.events:
        weights = _event_weights(event, day.intervals, energies)
        earned = max(event.payment.net_micro, 0)
        if sum(weights):
            dr = [before + part for before, part in zip(dr, allocate(earned, weights), strict=True)]
            joined = [before + (weight > 0) for before, weight in zip(joined, weights, strict=True)]
    cheapest = _cheapest_buy(day)
    owners = []
    for row, energy in enumerate(energies):
        offer = parties.offer(energy.owner, energy.site)
        cost = round_micro(cheapest * energy.export_wh / WH_PER_KWH) if offer.of_spread else 0
        fixed = round_micro(
            offer.per_kwh * sold[row] / WH_PER_KWH
            + offer.per_plugged_h * day.plugged_h.get((energy.owner, energy.site), _ZERO)
            + offer.per_event * joined[row]
        )
        revenue, shared = round_micro(energy.revenue), round_micro(energy.shared_revenue)
        granted = sum(amount for _, amount in subsidies[row])
        owners.append(
            OwnerDay(
                owner=energy.owner,
                site=energy.site,
                import_wh=energy.import_wh,
                export_wh=energy.export_wh,
                bill_micro=round_micro(energy.bill),
                shared_bill_micro=round_micro(energy.shared_bill),
                discharge_revenue_micro=revenue,
                shared_revenue_micro=shared,
                subsidies=subsidies[row],
                dr_revenue_micro=dr[row],
                wear_micro=wear[row],
                split=split_revenue(revenue + shared + granted + dr[row], max(wear[row] + cost, fixed), offer.shares),
            )
        )
    return tuple(owners)


def _cheapest_buy(day: SettlementDay) -> Decimal:
    """Return the day's cheapest price of charging, at least 0: what the energy that was sold cost to charge."""
    axis = day.prices.axis
    first = max((day.at_ms - MS_PER_DAY - axis.start_ms) // axis.step_ms, 0)
    until = max((day.at_ms - axis.start_ms) // axis.step_ms, 0)
    return max(min(day.prices.buy[first:until], default=_ZERO), _ZERO)


def event_micro(day: SettlementDay) -> int:
    """Return what a day's events earned after penalties, 1e-6 of the currency; a loss is the aggregator's."""
    return sum(max(event.payment.net_micro, 0) for event in day.events)


def _subsidies(day: SettlementDay, energies: Sequence[OwnerEnergy]) -> list[tuple[tuple[str, int], ...]]:
    """Return what each subsidy pays every row; a cap that is reached is divided in proportion."""
    rows: list[list[tuple[str, int]]] = [[] for _ in energies]
    for number, series in enumerate(day.prices.subsidies):
        amounts = [round_micro(energy.subsidies[number][1]) for energy in energies]
        left = day.subsidies_left_micro.get(series.name)
        if left is not None and sum(amounts) > left:
            amounts = allocate(left, amounts)
        for row, amount in zip(rows, amounts, strict=True):
            row.append((series.name, amount))
    return [tuple(row) for row in rows]


def _wear_by_row(wear_micro: Mapping[str, int], energies: Sequence[OwnerEnergy]) -> list[int]:
    """Divide each owner's wear over the sites where the owner discharged, by energy."""
    rows: dict[str, list[int]] = {}
    for row, energy in enumerate(energies):
        rows.setdefault(energy.owner, []).append(row)
    wear = [0] * len(energies)
    for owner, amount in wear_micro.items():
        if not amount:
            continue
        assert owner in rows, f"wear of {owner}, who was not metered"
        own = rows[owner]
        weights = [energies[row].export_wh for row in own]
        for row, part in zip(own, allocate(amount, weights if sum(weights) else [1] * len(own)), strict=True):
            wear[row] = part
    return wear


def _event_weights(event: DeliveredEvent, intervals: IntervalTable, energies: Sequence[OwnerEnergy]) -> list[int]:
    """Return what each row contributed to an event [Wh]; an owner given by name counts at the first site."""
    if event.delivered_wh:
        seen: set[str] = set()
        weights = []
        for energy in energies:
            weights.append(0 if energy.owner in seen else max(event.delivered_wh.get(energy.owner, 0), 0))
            seen.add(energy.owner)
        return weights
    invitation = event.award.invitation
    table = intervals.between(invitation.start_ms, invitation.end_ms)
    moved = table.export_wh if invitation.kind is Direction.PEAK_SHAVE else table.import_wh
    by_key = np.bincount(table.key, moved, len(table.keys)).astype(np.int64)
    total: dict[tuple[str, str], int] = {}
    for key, energy_wh in zip(table.keys, by_key.tolist(), strict=True):
        total[key.owner, key.site] = total.get((key.owner, key.site), 0) + energy_wh
    return [total.get((energy.owner, energy.site), 0) for energy in energies]
