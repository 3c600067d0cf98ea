"""Accounts: whose position it is, in which unit.

An account's id is its role, its holder and its unit: `owner:user-3:CNY`. Everything that is counted
has a unit of its own and never mixes: energy in Wh, cash in 1e-6 of a currency, coupons, charging
credit and points in 1e-6 of theirs, and wear in 1e-6 of a currency that nobody pays in cash
(`CNY-wear`): it shows beside a payout what the battery gave for it.

A balance is credits less debits: what the holder has received less what it has given.
"""

from dataclasses import dataclass
from enum import StrEnum

ENERGY_UNIT = "Wh"
POINTS_UNIT = "points"


class Role(StrEnum):
    """What a holder is in the flow of energy and money."""

    OWNER = "owner"
    SITE = "site"
    AGGREGATOR = "aggregator"
    CLEARING = "clearing"
    RETAILER = "retailer"
    GRID = "grid"
    QUARANTINE = "quarantine"
    WEAR = "wear"
    SUBSIDY = "subsidy"
    ROUNDING = "rounding"
    BANK = "bank"


class Instrument(StrEnum):
    """What an owner is paid in."""

    CASH = "cash"
    COUPON = "coupon"
    CREDIT = "credit"
    POINTS = "points"


@dataclass(frozen=True, slots=True)
class Account:
    """One holder's position in one unit; `code` is the holder's role."""

    id: str
    unit: str
    code: Role


def account(role: Role, holder: str, unit: str) -> Account:
    """Return the account of a holder in a unit.

    >>> account(Role.OWNER, "user-3", "CNY").id
    'owner:user-3:CNY'
    """
    return Account(account_id(role, holder, unit), unit, role)


def account_id(role: Role, holder: str, unit: str) -> str:
    """Return the id of a holder's account in a unit."""
    return f"{role}:{holder}:{unit}"


def holder_of(account_id: str) -> tuple[Role, str, str]:
    """Return role, holder and unit of an account's id; a holder may itself contain colons."""
    role, _, rest = account_id.partition(":")
    holder, _, unit = rest.rpartition(":")
    return Role(role), holder, unit


def instrument_unit(currency: str, instrument: Instrument) -> str:
    """Return the unit that an instrument is counted in.

    >>> instrument_unit("CNY", Instrument.COUPON), instrument_unit("CNY", Instrument.CASH)
    ('CNY-coupon', 'CNY')
    """
    if instrument is Instrument.CASH:
        return currency
    if instrument is Instrument.POINTS:
        return POINTS_UNIT
    return f"{currency}-{instrument.value}"


def wear_unit(currency: str) -> str:
    """Return the unit that wear is counted in."""
    return f"{currency}-wear"
