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

from backfeed.settle.day import (
    DaySettlement,
    DeliveredEvent,
    OwnerDay,
    Parties,
    SettlementDay,
    award_transfer,
)
from backfeed.settle.daybook import DayBook
from backfeed.settle.energy import owner_energy
from backfeed.settle.owner_day import event_micro, owner_days

__all__ = [
    "DaySettlement",
    "DeliveredEvent",
    "OwnerDay",
    "Parties",
    "SettlementDay",
    "award_transfer",
    "settle_day",
]


def settle_day(day: SettlementDay, parties: Parties) -> DaySettlement:
    """Return the transfers of a day: the same for the same input, whatever the order of its rows.

    Raises
    ------
    IndexError
        If an interval lies outside the axis of the prices.
    """
    energies = owner_energy(day.intervals, day.prices)
    owners = owner_days(day, parties, energies)
    book = DayBook(day, parties)
    for event in day.events:
        book.post_event(event)
    for energy, owner in zip(energies, owners, strict=True):
        book.post_energy(energy, owner)
        book.post_revenue(owner)
    book.post_rounding(energies, owners)
    for energy, owner in zip(energies, owners, strict=True):
        book.post_payout(energy, owner)
    book.post_unshared(event_micro(day) - sum(owner.dr_revenue_micro for owner in owners))
    return DaySettlement(tuple(book.transfers), owners)
