"""Contracts: who has agreed to which offer since when, and whose account it settles to.

An agreement is by owner, or by site for whoever charges there without one of his own: a driver at a public site, a
visitor. The empty offer is a no: the car charges and never discharges. A fleet is one holder for many cars, with
one bill, one payout and one statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from backfeed.meter.interval import IntervalTable
from backfeed.settle.day import Parties
from backfeed.settle.offer import SHARE_OF_SPREAD, Offer
from backfeed.settle.offer_file import Agreement, offers_on


@dataclass(frozen=True)
class Contracts:
    """What has been agreed, over all days.

    Parameters
    ----------
    offers
        Every offer by id.
    default
        The offer of those who have agreed to none, or whose offer does not hold any more.
    of_holders
        Agreements by account holder: a fleet, or an owner who settles alone.
    of_cars
        The same by car, for whether it may be discharged: a fleet may have cars that stay out.
    of_sites
        Agreements by site.
    holders
        Whose account a car settles to; its owner's own where absent.
    """

    offers: Mapping[str, Offer] = field(default_factory=dict)
    default: Offer = SHARE_OF_SPREAD
    of_holders: tuple[Agreement, ...] = ()
    of_cars: tuple[Agreement, ...] = ()
    of_sites: tuple[Agreement, ...] = ()
    holders: Mapping[str, str] = field(default_factory=dict)

    def parties_on(self, day: date, parties: Parties) -> Parties:
        """Return who takes part on a local day, with the offers that hold on it."""
        return replace(
            parties,
            offers=offers_on(day, self.of_holders, self.offers),
            site_offers=offers_on(day, self.of_sites, self.offers),
            default_offer=self.default,
        )

    def consents(self, owner: str, site: str, day: date) -> bool:
        """Return whether a car may be discharged at a site on a local day: the last word by then, an owner's first."""
        for who, said in ((owner, self.of_cars), (site, self.of_sites)):
            words = [agreement for agreement in said if agreement.owner == who and agreement.since <= day]
            if words:
                return max(words, key=lambda agreement: agreement.since).offer_id != ""
        return True

    @property
    def has_opted_out(self) -> bool:
        """Whether anybody ever says no, so that it has to be asked."""
        return any(agreement.offer_id == "" for agreement in (*self.of_cars, *self.of_sites))

    def by_holder(self, table: IntervalTable) -> IntervalTable:
        """Return metered energy with account holders in the place of owners."""
        if not self.holders:
            return table
        keys = tuple(replace(key, owner=self.holders.get(key.owner, key.owner)) for key in table.keys)
        return replace(table, keys=keys)
