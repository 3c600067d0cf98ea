"""The guarantee: nobody ends worse off than if the car had charged unmanaged, after wear.

Over a period an owner pays bills, is paid out and has a battery that wore. Unmanaged, there would have been a
bill only, for charging at once. Where bill less payout plus wear is more than that bill, the difference is owed:
by default the aggregator pays it from its own funds, and the books name it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from backfeed.settle.account import Role, account_id
from backfeed.settle.day import OwnerDay
from backfeed.settle.transfer import Code, Transfer


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
        """What the owner is better off by than unmanaged, after wear."""
        return self.unmanaged_bill_micro - self.bill_micro + self.payout_micro - self.wear_micro


def owner_periods(
    days: Mapping[str, tuple[OwnerDay, ...]], unmanaged_bill_micro: Mapping[str, int]
) -> list[OwnerPeriod]:
    """Add settled days up by owner; owners without an unmanaged bill are left out.

    Parameters
    ----------
    days
        The settled days of the period, by day.
    unmanaged_bill_micro
        What charging at once would have cost each owner over the same period, for the same energy.
    """
    sums: dict[str, list[int]] = {}
    for day in sorted(days):
        for row in days[day]:
            held = sums.setdefault(row.owner, [0, 0, 0])
            held[0] += row.bill_micro + row.shared_bill_micro
            held[1] += row.split.owner_micro
            held[2] += row.wear_micro
    return [
        OwnerPeriod(owner, sums[owner][0], sums[owner][1], sums[owner][2], unmanaged_bill_micro[owner])
        for owner in sorted(sums)
        if owner in unmanaged_bill_micro
    ]


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
    return tuple(
        Transfer(
            id=f"{day}/{Code.GUARANTEE}/{period.owner}",
            debit=account_id(Role.AGGREGATOR, aggregator, currency),
            credit=account_id(Role.OWNER, period.owner, currency),
            amount=-period.gain_micro,
            unit=currency,
            code=Code.GUARANTEE,
            at_ms=at_ms,
            evidence=(
                f"bill {period.bill_micro} - payout {period.payout_micro} + wear {period.wear_micro} "
                f"against {period.unmanaged_bill_micro} unmanaged"
            ),
        )
        for period in periods
        if period.gain_micro < 0
    )
