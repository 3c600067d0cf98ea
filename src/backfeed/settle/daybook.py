"""Writing a settled day down as transfers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from backfeed.core.money import MICRO, WH_PER_KWH, round_micro
from backfeed.settle.account import ENERGY_UNIT, Instrument, Role, account_id, instrument_unit, wear_unit
from backfeed.settle.day import DeliveredEvent, OwnerDay, Parties, SettlementDay, award_transfer
from backfeed.settle.energy import OwnerEnergy
from backfeed.settle.offer import CASH_ONLY, Offer
from backfeed.settle.retail import expiry_words
from backfeed.settle.transfer import Code, Phase, Transfer
from backfeed.settle.waterfall import allocate

_ZERO = Decimal(0)


class DayBook:
    """Writes a day's transfers down, in order."""

    def __init__(self, day: SettlementDay, parties: Parties) -> None:
        """Begin with no transfer."""
        self._day, self._parties = day, parties
        self._currency = day.prices.currency
        self._clearing = self._cash(Role.CLEARING, parties.aggregator)
        self._own = self._cash(Role.AGGREGATOR, parties.aggregator)
        self._retailer = self._cash(Role.RETAILER, parties.retailer)
        self._grid = self._cash(Role.GRID, parties.grid)
        self._grid_energy = account_id(Role.GRID, parties.grid, ENERGY_UNIT)
        self._wear_unit = wear_unit(self._currency)
        self._battery = account_id(Role.WEAR, "battery", self._wear_unit)
        self.transfers: list[Transfer] = []

    def _cash(self, role: Role, holder: str) -> str:
        return account_id(role, holder, self._currency)

    def _move(self, code: Code, what: str, giver: str, taker: str, amount: int, told: str = "") -> None:
        """Write a transfer down; a negative amount flows the other way, nothing is not written.

        What is told stands in the evidence before the hash of the day's detail.
        """
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
                    evidence=f"{told}; {self._day.evidence}" if told else self._day.evidence,
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
        for name, amount in owner.subsidies:
            self._move(Code.SUBSIDY, f"{who}/{name}", self._cash(Role.SUBSIDY, name), self._clearing, amount)
        self._move(Code.TOP_UP, who, self._own, self._clearing, owner.split.top_up_micro)

    def post_payout(self, energy: OwnerEnergy, owner: OwnerDay) -> None:
        """Pay the owner, the site and the aggregator their parts, and note the wear."""
        who = f"{owner.owner}@{owner.site}"
        worn = account_id(Role.OWNER, owner.owner, self._wear_unit)
        self._move(Code.WEAR, who, worn, self._battery, owner.wear_micro)
        offer = self._parties.offer(owner.owner, owner.site)
        for instrument, amount in _instruments(owner, offer):
            self._pay(owner, offer, instrument, amount)
        if offer.points_per_kwh:
            points = round_micro(offer.points_per_kwh * (energy.export_wh - energy.shared_out_wh) / WH_PER_KWH)
            self._issue(f"{who}/bonus-points", owner.owner, offer, Instrument.POINTS, points)
        self._move(Code.SITE_SHARE, who, self._clearing, self._cash(Role.SITE, owner.site), owner.split.site_micro)
        self._move(Code.AGGREGATOR_SHARE, who, self._clearing, self._own, owner.split.aggregator_micro)

    def _pay(self, owner: OwnerDay, offer: Offer, instrument: Instrument, amount: int) -> None:
        who = f"{owner.owner}@{owner.site}"
        if instrument is Instrument.CASH:
            self._move(Code.PAYOUT, who, self._clearing, self._cash(Role.OWNER, owner.owner), amount)
            return
        reserve = self._cash(Role.AGGREGATOR, f"{self._parties.aggregator}/reserve")
        self._move(Code.PAYOUT_BACKING, f"{who}/{instrument.value}", self._clearing, reserve, amount)
        self._issue(f"{who}/{instrument.value}", owner.owner, offer, instrument, amount)

    def _issue(self, what: str, owner: str, offer: Offer, instrument: Instrument, amount: int) -> None:
        unit = instrument_unit(self._currency, instrument)
        issuer = account_id(Role.AGGREGATOR, self._parties.aggregator, unit)
        lapses = date.fromisoformat(self._day.day) + timedelta(days=offer.expires_after_days)
        self._move(Code.PAYOUT, what, issuer, account_id(Role.OWNER, owner, unit), amount, told=expiry_words(lapses))

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
