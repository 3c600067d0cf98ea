"""Where offers come from: TOML files, and which offer an owner has agreed to on a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from backfeed.core.problem import InputError, Problem
from backfeed.market.table import Table, read_rule_file
from backfeed.settle.account import Instrument
from backfeed.settle.offer import CASH_ONLY, Offer
from backfeed.settle.waterfall import Shares

_ZERO = Decimal(0)


def load_offers(path: Path) -> Mapping[str, Offer]:
    """Read the offers of a file, a `[[offers]]` table each, by id.

    Raises
    ------
    InputError
        With every problem of the file.
    """
    return read_rule_file(path, build_offers)


def build_offers(table: Table) -> Mapping[str, Offer]:
    """Build offers from the top table of their file, adding what is wrong to the table's problems."""
    offers: dict[str, Offer] = {}
    for item in table.tables("offers"):
        offer = _offer(item)
        if offer.offer_id in offers:
            item.problem(f"id: {offer.offer_id!r} is taken")
        offers[offer.offer_id] = offer
        item.finish()
    if not offers:
        table.problem("offers: expected at least one, found none")
    return offers


def _offer(table: Table) -> Offer:
    owner, site = table.number("owner_share", least=_ZERO) or _ZERO, table.number("site_share", least=_ZERO) or _ZERO
    if owner + site > 1:
        table.problem(f"owner_share {owner} and site_share {site} give away more than there is")
        owner = site = _ZERO
    first, last = table.day("valid_from"), table.day("valid_until")
    if first and last and first > last:
        table.problem(f"valid_from {first} lies after valid_until {last}")
    return Offer(
        offer_id=table.text("id"),
        shares=Shares(owner, site),
        of_spread=table.choice("share_of", ("spread", "revenue"), "spread") == "spread",
        per_kwh=table.number("per_kwh", least=_ZERO) or _ZERO,
        per_plugged_h=table.number("per_plugged_h", least=_ZERO) or _ZERO,
        per_event=table.number("per_event", least=_ZERO) or _ZERO,
        points_per_kwh=table.number("points_per_kwh", least=_ZERO) or _ZERO,
        paid_in=_paid_in(table),
        expires_after_days=table.whole("expires_after_days", 365, least=1),
        valid_from=first,
        valid_until=last,
    )


def _paid_in(table: Table) -> tuple[tuple[Instrument, Decimal], ...]:
    if not table.has("paid_in"):
        return CASH_ONLY
    inner = table.table("paid_in")
    found = [(instrument, inner.number(instrument.value, least=_ZERO)) for instrument in Instrument]
    inner.finish()
    parts = tuple((instrument, share) for instrument, share in found if share)
    if sum((share for _, share in parts), _ZERO) != 1:
        inner.problem("the shares have to sum to 1")
        return CASH_ONLY
    return parts


@dataclass(frozen=True, slots=True)
class Agreement:
    """An owner's or a site's yes to an offer, from a day on; the empty offer is a no: cars charge, never discharge."""

    owner: str
    offer_id: str
    since: date


def offers_on(day: date, agreements: Sequence[Agreement], offers: Mapping[str, Offer]) -> dict[str, Offer]:
    """Return every owner's offer on a day: the last agreement made by then, if the offer holds on that day.

    Raises
    ------
    InputError
        If an agreement names an offer that does not exist.
    """
    unknown = [
        Problem(agreement.owner, f"agreed to {agreement.offer_id!r}, which is no offer")
        for agreement in agreements
        if agreement.offer_id and agreement.offer_id not in offers
    ]
    if unknown:
        raise InputError(unknown)
    last: dict[str, Agreement] = {}
    for agreement in sorted(agreements, key=lambda a: (a.owner, a.since)):
        if agreement.since <= day:
            last[agreement.owner] = agreement
    return {
        owner: offers[agreement.offer_id]
        for owner, agreement in last.items()
        if agreement.offer_id and offers[agreement.offer_id].holds_on(day)
    }
