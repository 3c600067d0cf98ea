"""Contracting: the pilot file's offers and contracts, read and checked."""

from backfeed.app.config import ContractTable, Pilot
from backfeed.core.problem import InputError, Problem
from backfeed.settle.contract import Contracts
from backfeed.settle.offer import SHARE_OF_SPREAD, Offer
from backfeed.settle.offer_file import Agreement, load_offers


def contracts_of(pilot: Pilot, sites: frozenset[str]) -> Contracts:
    """Return what the pilot file says about offers and who has agreed to them.

    Parameters
    ----------
    pilot
        The pilot file.
    sites
        Ids of its sites.

    Raises
    ------
    InputError
        If the offers' file can not be used, or a contract names an offer, site or fleet that does not fit.
    """
    offers = {SHARE_OF_SPREAD.offer_id: SHARE_OF_SPREAD}
    if pilot.offers.file is not None:
        offers |= load_offers(pilot.resolve(pilot.offers.file))
    problems = _default_problems(pilot, offers)
    holders: dict[str, str] = {}
    for number, contract in enumerate(pilot.contracts, 1):
        where = f"{pilot.path} [[contracts]] {number}"
        problems += [Problem(where, what) for what in _faults(contract, offers, sites, holders)]
        holders |= dict.fromkeys(contract.owners, contract.holder) if contract.holder else {}
    for number, contract in enumerate(pilot.contracts, 1):
        where = f"{pilot.path} [[contracts]] {number}"
        own = tuple(owner for owner in contract.owners if owner in holders and not contract.holder)
        if own and contract.offer:
            what = "these settle with a fleet: name its holder, or keep them from discharging by the empty offer"
            problems.append(Problem(where, what, own))
    if problems:
        raise InputError(problems)
    return Contracts(
        offers=offers,
        default=offers[pilot.offers.default],
        of_holders=tuple(
            Agreement(who, contract.offer, contract.since)
            for contract in pilot.contracts
            for who in ((contract.holder,) if contract.holder else contract.owners)
            if contract.holder or who not in holders
        ),
        of_cars=tuple(
            Agreement(owner, contract.offer, contract.since)
            for contract in pilot.contracts
            for owner in contract.owners
        ),
        of_sites=tuple(
            Agreement(site, contract.offer, contract.since) for contract in pilot.contracts for site in contract.sites
        ),
        holders=holders,
    )


def _default_problems(pilot: Pilot, offers: dict[str, Offer]) -> list[Problem]:
    if pilot.offers.default in offers:
        return []
    what = f"expected one of {', '.join(sorted(offers))}, found {pilot.offers.default!r}"
    return [Problem(f"{pilot.path} [offers] default", what)]


def _faults(
    contract: ContractTable, offers: dict[str, Offer], sites: frozenset[str], holders: dict[str, str]
) -> list[str]:
    """Return what is wrong with one contract, given the fleets of those before it."""
    faults = []
    if bool(contract.owners) == bool(contract.sites):
        faults.append("expected owners or sites, one of the two")
    if contract.offer and contract.offer not in offers:
        faults.append(f"offer: expected one of {', '.join(sorted(offers))}, found {contract.offer!r}")
    faults += [
        f"sites: expected some of {', '.join(sorted(sites))}, found {site!r}"
        for site in contract.sites
        if site not in sites
    ]
    if contract.holder and contract.sites:
        faults.append("holder: a fleet is made of owners, not of sites")
    faults += [
        f"owners: {owner!r} settles with {holders[owner]!r} already"
        for owner in contract.owners
        if contract.holder and holders.get(owner, contract.holder) != contract.holder
    ]
    return faults
