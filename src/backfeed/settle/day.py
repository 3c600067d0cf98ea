"""What a day's settlement rests on and what it gives: the values, without the reckoning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from backfeed.core.money import WH_PER_KWH, round_micro
from backfeed.market.demand_response import Award, DrPayment
from backfeed.market.price import PriceSeries
from backfeed.meter.interval import IntervalTable
from backfeed.settle.account import Role, account_id
from backfeed.settle.offer import SHARE_OF_SPREAD, Offer
from backfeed.settle.transfer import Code, Phase, Transfer
from backfeed.settle.waterfall import Split


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part beside owners and sites, and what was agreed.

    Parameters
    ----------
    aggregator, retailer, grid
        Names of the holders.
    programme_payer
        Who pays for demand response.
    offers, site_offers, default_offer
        What owners were promised, by owner; what those without an offer of their own are promised at a site, by site;
        and the offer of all others.
    """

    aggregator: str = "backfeed"
    retailer: str = "retailer"
    grid: str = "grid"
    programme_payer: str = "demand-response"
    offers: Mapping[str, Offer] = field(default_factory=dict)
    site_offers: Mapping[str, Offer] = field(default_factory=dict)
    default_offer: Offer = SHARE_OF_SPREAD

    def offer(self, owner: str, site: str) -> Offer:
        """Return an owner's offer at a site."""
        return self.offers.get(owner) or self.site_offers.get(site, self.default_offer)


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
        The end of the local day, when the transfers take effect.
    intervals
        The day's metered energy.
    prices
        On an axis that covers the intervals.
    wear_micro
        What discharging wore each owner's battery, 1e-6 of the currency; absent means 0.
    events
        Invitations that were delivered on the day.
    plugged_h
        Hours at the charger by owner and site, for offers that pay by the hour.
    subsidies_left_micro
        What each subsidy's cap still allows, by name; absent means no cap.
    evidence
        Hash of the interval detail; stands in every transfer of the day.
    """

    day: str
    at_ms: int
    intervals: IntervalTable
    prices: PriceSeries
    wear_micro: Mapping[str, int]
    events: tuple[DeliveredEvent, ...] = ()
    plugged_h: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    subsidies_left_micro: Mapping[str, int] = field(default_factory=dict)
    evidence: str = ""


@dataclass(frozen=True)
class OwnerDay:
    """An owner's settled day at one site, in 1e-6 of the currency; `subsidies` by name, those that paid nothing too."""

    owner: str
    site: str
    import_wh: int
    export_wh: int
    bill_micro: int
    shared_bill_micro: int
    discharge_revenue_micro: int
    shared_revenue_micro: int
    subsidies: tuple[tuple[str, int], ...]
    dr_revenue_micro: int
    wear_micro: int
    split: Split

    @property
    def subsidy_micro(self) -> int:
        """What all subsidies paid together."""
        return sum(amount for _, amount in self.subsidies)


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
