"""From a day's meter readings to transfers: who owes whom for the day.

One transfer per owner, day and code. The flow of a day, all over the aggregator's clearing account,
which ends every day at zero:

1. energy: the grid gives Wh to owners that charge and takes Wh from those that discharge, as metered;
2. owners pay the retailer for what it delivered, and their neighbours for energy shared behind the meter;
3. the grid pays for discharged energy, programmes pay for delivered flexibility (a promise made at the award
   is posted as far as it was kept, the rest is voided), named subsidies pay what was granted;
4. penalties go off;
5. the waterfall: wear to the owner first, then shares of owner, site and aggregator;
6. where an owner's floor was not earned, the aggregator tops it up from its own funds: a deficit stands
   in that account, and every payout is covered by something that was posted before it.

Rounding happens once per transfer. The retailer and the grid settle the fleet as one, so what the owners'
rounded amounts sum to beyond that goes to the rounding account.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np

from backfeed.core.money import MICRO, WH_PER_KWH, round_micro
from backfeed.market.demand_response import Award, Direction, DrPayment
from backfeed.market.price import PriceSeries
from backfeed.meter.interval import IntervalTable
from backfeed.settle.account import ENERGY_UNIT, Instrument, Role, account_id, instrument_unit, wear_unit
from backfeed.settle.energy import OwnerEnergy, owner_energy
from backfeed.settle.offer import CASH_ONLY, SHARE_OF_SPREAD, Offer
from backfeed.settle.transfer import Code, Phase, Transfer
from backfeed.settle.waterfall import Split, allocate, split_revenue

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part beside owners and sites, and what was agreed.

    Parameters
    ----------
    aggregator, retailer, grid
        Names of the holders.
    programme_payer
        Who pays for demand response.
    subsidy
        Name of the account that granted subsidies are paid from.
    offers, default_offer
        What owners were promised, by owner, and the offer of those who have none of their own.
    """

    aggregator: str = "backfeed"
    retailer: str = "retailer"
    grid: str = "grid"
    programme_payer: str = "demand-response"
    subsidy: str = "subsidy"
    offers: Mapping[str, Offer] = field(default_factory=dict)
    default_offer: Offer = SHARE_OF_SPREAD

    def offer(self, owner: str) -> Offer:
        """Return an owner's offer."""
        return self.offers.get(owner, self.default_offer)


@dataclass(frozen=True)
class DeliveredEvent:
    """An invitation that was delivered on the settled day.

    Parameters
    ----------
    award
        The promise; its pending transfer was posted with `award_transfer`.
    payment
        What the delivery earned and cost, from `market.demand_response.settle_delivery`.
    delivered_wh
        Each owner's contribution, the key to share the revenue by. Where it is empty, the energy metered in the
        event's direction is taken.
    """

    award: Award
    payment: DrPayment
    delivered_wh: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SettlementDay:
    """All that a day's settlement rests on.

    Parameters
    ----------
    day
        The local day, `YYYY-MM-DD`; it begins every transfer's id.
    at_ms
        When the transfers take effect.
    intervals
        The day's metered energy.
    prices
        On an axis that covers the intervals.
    wear_micro
        What discharging wore each owner's battery, 1e-6 of the currency; absent means 0.
    events
        Invitations that were delivered on the day.
    plugged_h
        Hours at the charger by owner, for offers that pay by the hour.
    subsidy_left_micro
        What the subsidy's cap still allows; absent means no cap.
    evidence
        Hash of the interval detail; stands in every transfer of the day.
    """

    day: str
    at_ms: int
    intervals: IntervalTable
    prices: PriceSeries
    wear_micro: Mapping[str, int]
    events: tuple[DeliveredEvent, ...] = ()
    plugged_h: Mapping[str, Decimal] = field(default_factory=dict)
    subsidy_left_micro: int | None = None
    evidence: str = ""


@dataclass(frozen=True)
class OwnerDay:
    """An owner's settled day at one site, in 1e-6 of the currency."""

    owner: str
    site: str
    import_wh: int
    export_wh: int
    bill_micro: int
    shared_bill_micro: int
    discharge_revenue_micro: int
    shared_revenue_micro: int
    subsidy_micro: int
    dr_revenue_micro: int
    wear_micro: int
    split: Split


@dataclass(frozen=True)
class DaySettlement:
    """A settled day: the transfers to post, in order, and the values they come from."""

    transfers: tuple[Transfer, ...]
    owners: tuple[OwnerDay, ...]


def award_transfer(award: Award, currency: str, parties: Parties) -> Transfer:
    """Return the promise of an award: a pending transfer over its full payment."""
    payer = account_id(Role.GRID, parties.programme_payer, currency)
    clearing = account_id(Role.CLEARING, parties.aggregator, currency)
    amount = round_micro(award.price_per_kwh * award.promised_wh / WH_PER_KWH)
    return Transfer(
        id=f"award/{award.invitation.id}",
        debit=payer,
        credit=clearing,
        amount=amount,
        unit=currency,
        code=Code.DR_AWARD,
        at_ms=award.at_ms,
        evidence=f"invitation {award.invitation.id}, {award.promised_wh} Wh at {award.price_per_kwh}",
        phase=Phase.PENDING,
    )


def settle_day(day: SettlementDay, parties: Parties) -> DaySettlement:
    """Return the transfers of a day: the same for the same input, whatever the order of its rows.

    Raises
    ------
    IndexError
        If an interval lies outside the axis of the prices.
    """
    energies = owner_energy(day.intervals, day.prices)
    owners = _owner_days(day, parties, energies)
    book = _Book(day, parties)
    for event in day.events:
        book.post_event(event)
    for energy, owner in zip(energies, owners, strict=True):
        book.post_energy(energy, owner)
        book.post_revenue(owner)
    book.post_rounding(energies, owners)
    for owner in owners:
        book.post_payout(owner)
    book.post_unshared(_event_micro(day) - sum(owner.dr_revenue_micro for owner in owners))
    return DaySettlement(tuple(book.transfers), owners)


def _owner_days(day: SettlementDay, parties: Parties, energies: Sequence[OwnerEnergy]) -> tuple[OwnerDay, ...]:
    exported = [energy.export_wh for energy in energies]
    wear = _wear_by_row(day.wear_micro, energies)
    subsidies = _capped([round_micro(energy.subsidy) for energy in energies], day.subsidy_left_micro)
    dr = [0] * len(energies)
    joined = [0] * len(energies)
    for event in day.events:
        weights = _event_weights(event, day.intervals, energies)
        earned = max(event.payment.net_micro, 0)
        if sum(weights):
            dr = [before + part for before, part in zip(dr, allocate(earned, weights), strict=True)]
            joined = [before + (weight > 0) for before, weight in zip(joined, weights, strict=True)]
    owners = []
    for row, energy in enumerate(energies):
        offer = parties.offer(energy.owner)
        fixed = round_micro(
            offer.per_kwh * exported[row] / WH_PER_KWH
            + offer.per_plugged_h * day.plugged_h.get(energy.owner, _ZERO)
            + offer.per_event * joined[row]
        )
        revenue, shared = round_micro(energy.revenue), round_micro(energy.shared_revenue)
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
                subsidy_micro=subsidies[row],
                dr_revenue_micro=dr[row],
                wear_micro=wear[row],
                split=split_revenue(revenue + shared + subsidies[row] + dr[row], max(wear[row], fixed), offer.shares),
            )
        )
    return tuple(owners)


def _event_micro(day: SettlementDay) -> int:
    return sum(max(event.payment.net_micro, 0) for event in day.events)


def _capped(amounts: list[int], left: int | None) -> list[int]:
    if left is None or sum(amounts) <= left:
        return amounts
    return allocate(left, amounts)


def _wear_by_row(wear_micro: Mapping[str, int], energies: Sequence[OwnerEnergy]) -> list[int]:
    """Divide each owner's wear over the sites where the owner discharged, by energy."""
    rows: dict[str, list[int]] = {}
    for row, energy in enumerate(energies):
        rows.setdefault(energy.owner, []).append(row)
    wear = [0] * len(energies)
    for owner, amount in wear_micro.items():
        assert owner in rows or amount == 0, f"wear of {owner}, who was not metered"
        own = rows.get(owner, [])
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


class _Book:
    """Writes a day's transfers down, in order."""

    def __init__(self, day: SettlementDay, parties: Parties) -> None:
        self._day, self._parties = day, parties
        self._currency = day.prices.currency
        self._clearing = self._cash(Role.CLEARING, parties.aggregator)
        self._own = self._cash(Role.AGGREGATOR, parties.aggregator)
        self._retailer = self._cash(Role.RETAILER, parties.retailer)
        self._grid = self._cash(Role.GRID, parties.grid)
        self._grid_energy = account_id(Role.GRID, parties.grid, ENERGY_UNIT)
        self._subsidy = self._cash(Role.SUBSIDY, parties.subsidy)
        self._wear_unit = wear_unit(self._currency)
        self._battery = account_id(Role.WEAR, "battery", self._wear_unit)
        self.transfers: list[Transfer] = []

    def _cash(self, role: Role, holder: str) -> str:
        return account_id(role, holder, self._currency)

    def _move(self, code: Code, what: str, giver: str, taker: str, amount: int) -> None:
        """Write a transfer down; a negative amount flows the other way, nothing is not written."""
        if amount:
            debit, credit = (giver, taker) if amount > 0 else (taker, giver)
            unit = giver.rpartition(":")[2]
            self.transfers.append(
                Transfer(
                    id=f"{self._day.day}/{code}/{what}",
                    debit=debit,
                    credit=credit,
                    amount=abs(amount),
                    unit=unit,
                    code=code,
                    at_ms=self._day.at_ms,
                    evidence=self._day.evidence,
                )
            )

    def post_event(self, event: DeliveredEvent) -> None:
        """Post the promise as far as it was kept, void the rest; take the penalty off."""
        promise = award_transfer(event.award, self._currency, self._parties)
        kept = min(event.payment.revenue_micro, promise.amount)
        name = event.award.invitation.id
        for phase, amount in ((Phase.POST, kept), (Phase.VOID, promise.amount - kept)):
            if amount:
                self.transfers.append(
                    replace(
                        promise,
                        id=f"{self._day.day}/{Code.DR_REVENUE.value}/{name}/{phase.value}",
                        amount=amount,
                        code=Code.DR_REVENUE,
                        at_ms=self._day.at_ms,
                        evidence=f"delivered {event.payment.delivered_wh} of {event.payment.promised_wh} Wh",
                        pending_id=promise.id,
                        phase=phase,
                    )
                )
        payer = self._cash(Role.GRID, self._parties.programme_payer)
        self._move(Code.DR_REVENUE, f"{name}/above", payer, self._clearing, event.payment.revenue_micro - kept)
        earned = min(event.payment.penalty_micro, event.payment.revenue_micro)
        self._move(Code.DR_PENALTY, name, self._clearing, payer, earned)
        self._move(Code.DR_PENALTY, f"{name}/own", self._own, payer, event.payment.penalty_micro - earned)

    def post_energy(self, energy: OwnerEnergy, owner: OwnerDay) -> None:
        """Post metered energy as it was metered, and what the owner pays for it."""
        who = f"{owner.owner}@{owner.site}"
        grid = self._grid_energy
        vehicle = account_id(Role.OWNER, owner.owner, ENERGY_UNIT)
        self._move(Code.ENERGY_CHARGED, who, grid, vehicle, energy.import_wh)
        self._move(Code.ENERGY_DISCHARGED, who, vehicle, grid, energy.export_wh)
        purse = self._cash(Role.OWNER, owner.owner)
        self._move(Code.CHARGING_BILL, who, purse, self._retailer, owner.bill_micro)
        self._move(Code.SHARED_ENERGY, who, purse, self._clearing, owner.shared_bill_micro)

    def post_revenue(self, owner: OwnerDay) -> None:
        """Post what the grid and the subsidy pay for an owner's discharged energy."""
        who = f"{owner.owner}@{owner.site}"
        self._move(Code.DISCHARGE_REVENUE, who, self._grid, self._clearing, owner.discharge_revenue_micro)
        self._move(Code.SUBSIDY, who, self._subsidy, self._clearing, owner.subsidy_micro)
        self._move(Code.TOP_UP, who, self._own, self._clearing, owner.split.top_up_micro)

    def post_payout(self, owner: OwnerDay) -> None:
        """Pay the owner, the site and the aggregator their parts, and note the wear."""
        who = f"{owner.owner}@{owner.site}"
        worn = account_id(Role.OWNER, owner.owner, self._wear_unit)
        self._move(Code.WEAR, who, worn, self._battery, owner.wear_micro)
        offer = self._parties.offer(owner.owner)
        for instrument, amount in _instruments(owner, offer):
            self._pay(owner, instrument, amount)
        if offer.points_per_kwh:
            points = round_micro(offer.points_per_kwh * owner.export_wh / WH_PER_KWH)
            self._issue(f"{who}/bonus-points", owner.owner, Instrument.POINTS, points)
        self._move(Code.SITE_SHARE, who, self._clearing, self._cash(Role.SITE, owner.site), owner.split.site_micro)
        self._move(Code.AGGREGATOR_SHARE, who, self._clearing, self._own, owner.split.aggregator_micro)

    def _pay(self, owner: OwnerDay, instrument: Instrument, amount: int) -> None:
        who = f"{owner.owner}@{owner.site}"
        if instrument is Instrument.CASH:
            self._move(Code.PAYOUT, who, self._clearing, self._cash(Role.OWNER, owner.owner), amount)
            return
        reserve = self._cash(Role.AGGREGATOR, f"{self._parties.aggregator}/reserve")
        self._move(Code.PAYOUT_BACKING, f"{who}/{instrument.value}", self._clearing, reserve, amount)
        self._issue(f"{who}/{instrument.value}", owner.owner, instrument, amount)

    def _issue(self, what: str, owner: str, instrument: Instrument, amount: int) -> None:
        unit = instrument_unit(self._currency, instrument)
        issuer = account_id(Role.AGGREGATOR, self._parties.aggregator, unit)
        self._move(Code.PAYOUT, what, issuer, account_id(Role.OWNER, owner, unit), amount)

    def post_unshared(self, amount: int) -> None:
        """Give the aggregator what events earned and nobody contributed to by meter."""
        self._move(Code.AGGREGATOR_SHARE, "events", self._clearing, self._own, amount)

    def post_rounding(self, energies: Sequence[OwnerEnergy], owners: Sequence[OwnerDay]) -> None:
        """Settle retailer and grid for the fleet as one; the owners' rounding goes to an account of its own."""
        rounding = self._cash(Role.ROUNDING, self._parties.aggregator)
        bills = round_micro(sum((e.bill for e in energies), _ZERO)) - sum(o.bill_micro for o in owners)
        self._move(Code.ROUNDING, "retailer", rounding, self._retailer, bills)
        revenues = round_micro(sum((e.revenue for e in energies), _ZERO))
        revenues -= sum(o.discharge_revenue_micro for o in owners)
        self._move(Code.ROUNDING, "grid", self._grid, rounding, revenues)
        shared = sum(o.shared_revenue_micro - o.shared_bill_micro for o in owners)
        self._move(Code.ROUNDING, "shared", rounding, self._clearing, shared)


def _instruments(owner: OwnerDay, offer: Offer) -> list[tuple[Instrument, int]]:
    """Divide a payout over instruments: wear in cash, the rest as the offer says."""
    if offer.paid_in == CASH_ONLY:
        return [(Instrument.CASH, owner.split.owner_micro)]
    wear = min(owner.wear_micro, owner.split.owner_micro)
    above = owner.split.owner_micro - wear
    parts = allocate(above, [int(share * MICRO) for _, share in offer.paid_in])
    paid = {Instrument.CASH: wear}
    for (instrument, _), part in zip(offer.paid_in, parts, strict=True):
        paid[instrument] = paid.get(instrument, 0) + part
    return list(paid.items())
