"""Retail offers: what an owner is promised, as data.

One form covers what the market sells: a share of the spread, a floor and a share, a fixed price per kWh,
a price per plugged hour, points per kWh, a bonus per invitation, and what it is paid in. A part that is
absent is zero. However an offer is made, the owner is never paid less than the wear of what was taken.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from backfeed.settle.account import Instrument
from backfeed.settle.waterfall import Shares

_ZERO = Decimal(0)
CASH_ONLY: tuple[tuple[Instrument, Decimal], ...] = ((Instrument.CASH, Decimal(1)),)
"""What an offer is paid in unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What an owner is promised.

    Parameters
    ----------
    offer_id
        Name of the offer.
    shares
        How the surplus above the floor is shared between owner, site and aggregator.
    of_spread
        Whether what is shared is the spread, which is what selling earned above the day's cheapest price of
        charging the same energy, or all that selling earned. The cost of that energy is then part of the floor.
    per_kwh
        Fixed payment per discharged kWh.
    per_plugged_h
        Fixed payment per hour at the charger.
    per_event
        Bonus for an invitation in which the owner's car took part.
    points_per_kwh
        Loyalty points per discharged kWh, beside all payments.
    paid_in
        How the part above the wear is paid: instruments and their shares, which sum to 1. Wear is always paid
        in cash.
    expires_after_days
        When coupons, credit and points lapse.
    valid_from, valid_until
        Local days on which the offer holds, both included.
    """

    offer_id: str
    shares: Shares
    of_spread: bool = True
    per_kwh: Decimal = _ZERO
    per_plugged_h: Decimal = _ZERO
    per_event: Decimal = _ZERO
    points_per_kwh: Decimal = _ZERO
    paid_in: tuple[tuple[Instrument, Decimal], ...] = CASH_ONLY
    expires_after_days: int = 365
    valid_from: date | None = None
    valid_until: date | None = None

    def __post_init__(self) -> None:
        """Refuse instruments that do not make up the whole."""
        if sum(share for _, share in self.paid_in) != 1:
            message = f"{self.offer_id}: the instruments' shares have to sum to 1, found {self.paid_in}"
            raise ValueError(message)

    def holds_on(self, day: date) -> bool:
        """Say whether the offer holds on a local day."""
        return (self.valid_from is None or day >= self.valid_from) and (
            self.valid_until is None or day <= self.valid_until
        )


SHARE_OF_SPREAD = Offer("share-of-spread", Shares(owner=Decimal("0.7"), site=Decimal("0.1")))
"""The offer that holds where nobody has agreed on another: wear and the energy's cost to the owner, then 70 % owner,
10 % site, 20 % aggregator."""
