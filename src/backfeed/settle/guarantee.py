"""The guarantee: nobody ends worse off than if the car had charged unmanaged, after wear.

Over a period an owner pays bills, is paid out and has a battery that wore. Unmanaged, there would have been a
bill only, for charging at once (`settle.unmanaged`). Where bill less payout plus wear is more than that bill, the
difference is owed: the aggregator pays it from its own funds, and the books name it.

All of it is read from the books. A payout in coupons or charging credit counts at its face value, since cash stands
behind it; points count nothing. What is held back until a doubt is cleared counts as paid: otherwise the guarantee
would pay what the doubt holds.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backfeed.settle.account import Instrument, Role, holder_of, instrument_unit, wear_unit
from backfeed.settle.own_funds import OwnFunds
from backfeed.settle.transfer import Code, Phase, Transfer, net_effect, original_id

_BILLS = frozenset({Code.CHARGING_BILL, Code.SHARED_ENERGY})
_NO_PAYOUT = frozenset({Code.GUARANTEE, Code.PROMPT_BONUS, Code.REDEMPTION, Code.EXPIRY, Code.BANK_PAYMENT})


@dataclass(frozen=True, slots=True)
class OwnerPeriod:
    """What a period was to an owner, in 1e-6 of the currency."""

    owner: str
    bill_micro: int
    payout_micro: int
    wear_micro: int
    unmanaged_bill_micro: int

    @property
    def gain_micro(self) -> int:
        """What the owner is better off by than unmanaged, after wear, before the guarantee."""
        return self.unmanaged_bill_micro - self.bill_micro + self.payout_micro - self.wear_micro


def owner_periods(
    transfers: Iterable[Transfer], currency: str, days: tuple[str, str], unmanaged_bill_micro: Mapping[str, int]
) -> list[OwnerPeriod]:
    """Add the books up by owner; owners without an unmanaged bill are left out.

    Parameters
    ----------
    transfers
        The books.
    currency
        What is added up.
    days
        The first and the last local day of the period, `YYYY-MM-DD`. A correction counts on the day that it corrects.
    unmanaged_bill_micro
        What charging at once would have cost each owner over the same period, for the same energy.
    """
    paid_units = {instrument_unit(currency, each) for each in Instrument if each is not Instrument.POINTS}
    worn_unit = wear_unit(currency)
    sums: dict[str, list[int]] = {}
    for transfer in transfers:
        day = original_id(transfer.id).partition("/")[0]
        if not days[0] <= day <= days[1] or not _counts(transfer):
            continue
        for side, sign in ((transfer.credit, 1), (transfer.debit, -1)):
            role, holder, unit = holder_of(side)
            if role is not Role.OWNER:
                continue
            held = sums.setdefault(holder, [0, 0, 0])
            if unit == worn_unit:
                held[2] -= sign * transfer.amount
            elif transfer.code in _BILLS:
                held[0] -= sign * transfer.amount
            elif unit in paid_units and transfer.code not in _NO_PAYOUT:
                held[1] += sign * transfer.amount
    return [
        OwnerPeriod(owner, sums[owner][0], sums[owner][1], sums[owner][2], unmanaged_bill_micro[owner])
        for owner in sorted(sums)
        if owner in unmanaged_bill_micro
    ]


def _counts(transfer: Transfer) -> bool:
    """Return whether a transfer moves something, or will if a doubt is cleared."""
    return transfer.phase in (Phase.SINGLE, Phase.PENDING)


def guarantee_transfers(
    periods: list[OwnerPeriod], day: str, at_ms: int, currency: str, aggregator: str = "backfeed"
) -> tuple[Transfer, ...]:
    """Return the transfers that make up what owners lost, from the aggregator's own funds.

    Parameters
    ----------
    periods
        Every owner's period.
    day
        The last day of the period, `YYYY-MM-DD`, to which the transfers belong.
    at_ms
        When they take effect.
    currency
        Unit of the amounts.
    aggregator
        Whose funds.
    """
    funds = OwnFunds(aggregator, currency, day, at_ms)
    return tuple(
        funds.pay(
            Code.GUARANTEE,
            period.owner,
            period.owner,
            -period.gain_micro,
            f"bill {period.bill_micro} - payout {period.payout_micro} + wear {period.wear_micro} "
            f"against {period.unmanaged_bill_micro} unmanaged",
        )
        for period in periods
        if period.gain_micro < 0
    )


_EVIDENCE = re.compile(r"bill (-?\d+) - payout (-?\d+) \+ wear (-?\d+) against (-?\d+) unmanaged")


def made_whole(transfers: Iterable[Transfer]) -> list[OwnerPeriod]:
    """Return the periods for which owners were made whole, corrections taken in, as the books tell them."""
    found = []
    latest: dict[str, str] = {}
    made = []
    for transfer in transfers:
        if transfer.code is Code.GUARANTEE:
            made.append(transfer)
            latest[original_id(transfer.id)] = transfer.evidence
    for name, transfer in net_effect(made).items():
        told = _EVIDENCE.search(latest[name])
        if told is not None and transfer.amount:
            bill, payout, wear, unmanaged = map(int, told.groups())
            found.append(OwnerPeriod(name.split("/", 2)[2], bill, payout, wear, unmanaged))
    return found
