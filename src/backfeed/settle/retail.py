"""Coupons, charging credit and points after they were paid out: redeemed against charging, or lapsed.

They are the owner's in units of their own; the cash behind coupons and credit waits in the aggregator's
reserve. Redeeming gives the instrument back and pays cash from the reserve towards the owner's charging.
What is not redeemed in time lapses: the oldest is used first and lapses first, and the cash behind it goes
to the aggregator.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from backfeed.core.money import format_micro
from backfeed.core.problem import InputError, Problem
from backfeed.settle.account import POINTS_UNIT, Instrument, Role, account_id, holder_of, instrument_unit
from backfeed.settle.transfer import Code, Phase, Transfer, transfer_day


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of an instrument that was paid out on a day; `lapses` is the last day on which it is good."""

    owner: str
    unit: str
    day: str
    amount: int
    lapses: date | None = None


def expiry_words(lapses: date) -> str:
    """Return what a payout's evidence says of when it lapses; `lots` reads it there."""
    return f"good until {lapses.isoformat()}"


_LAPSES = re.compile(r"good until (\d{4}-\d\d-\d\d)")


def lots(transfers: Iterable[Transfer], unit: str) -> tuple[Lot, ...]:
    """Return what owners still hold of an instrument, by owner and day of payout, the oldest first."""
    held: dict[str, deque[Lot]] = {}
    for transfer in transfers:
        if transfer.unit != unit or transfer.phase is not Phase.SINGLE:
            continue
        role, holder, _ = holder_of(transfer.credit)
        if role is Role.OWNER:
            told = _LAPSES.search(transfer.evidence)
            lapses = date.fromisoformat(told.group(1)) if told else None
            held.setdefault(holder, deque()).append(Lot(holder, unit, transfer_day(transfer), transfer.amount, lapses))
            continue
        _, giver, _ = holder_of(transfer.debit)
        _use(held.setdefault(giver, deque()), transfer.amount)
    return tuple(lot for owner in sorted(held) for lot in held[owner])


def _use(own: deque[Lot], amount: int) -> None:
    while amount and own:
        oldest = own.popleft()
        used = min(amount, oldest.amount)
        amount -= used
        if oldest.amount > used:
            own.appendleft(replace(oldest, amount=oldest.amount - used))


@dataclass(frozen=True, slots=True)
class Redemption:
    """An owner's wish to use an instrument, in 1e-6 of its unit; `day` and `number` make the transfers' ids."""

    owner: str
    instrument: Instrument
    amount: int
    day: str
    number: int
    at_ms: int


def redeem(
    transfers: Iterable[Transfer], wish: Redemption, currency: str, aggregator: str = "backfeed"
) -> tuple[Transfer, ...]:
    """Return the transfers of a redemption: the instrument back, the cash behind it to the owner.

    Raises
    ------
    InputError
        If the owner holds less, or the instrument has no cash behind it.
    """
    unit = instrument_unit(currency, wish.instrument)
    held = sum(lot.amount for lot in lots(transfers, unit) if lot.owner == wish.owner)
    problems = []
    if wish.instrument not in (Instrument.COUPON, Instrument.CREDIT):
        problems.append(Problem(wish.owner, f"{wish.instrument.value} can not be redeemed against charging"))
    elif not 0 < wish.amount <= held:
        problems.append(
            Problem(wish.owner, f"holds {format_micro(held)} {unit}, can not redeem {format_micro(wish.amount)}")
        )
    if problems:
        raise InputError(problems)
    what = f"{wish.day}/{Code.REDEMPTION}/{wish.owner}/{wish.instrument}/{wish.number}"
    return _back(what, Code.REDEMPTION, (wish.owner, unit, wish.amount, wish.at_ms), (currency, aggregator))


def redemptions_on(transfers: Iterable[Transfer], owner: str, day: str) -> int:
    """Return how often an owner has redeemed something on a local day: the number of the last redemption."""
    prefix = f"{day}/{Code.REDEMPTION}/{owner}/"
    return sum(transfer.id.startswith(prefix) and transfer.id.endswith("/given") for transfer in transfers)


def redeem_credit(
    transfers: Iterable[Transfer], day: date, at_ms: int, currency: str, aggregator: str = "backfeed"
) -> tuple[Transfer, ...]:
    """Return the transfers by which charging credit pays a day's bills as far as it reaches, owner by owner.

    Credit is there for charging and needs no wish; a coupon waits until its owner redeems it.
    """
    books = list(transfers)
    unit = instrument_unit(currency, Instrument.CREDIT)
    held: dict[str, int] = {}
    for lot in lots(books, unit):
        held[lot.owner] = held.get(lot.owner, 0) + lot.amount
    bills: dict[str, int] = {}
    for transfer in books if held else ():
        if transfer.code in (Code.CHARGING_BILL, Code.SHARED_ENERGY) and transfer_day(transfer) == day.isoformat():
            for side, sign in ((transfer.debit, 1), (transfer.credit, -1)):
                role, holder, _ = holder_of(side)
                if role is Role.OWNER:
                    bills[holder] = bills.get(holder, 0) + sign * transfer.amount
    made: list[Transfer] = []
    for owner in sorted(held):
        amount = min(held[owner], bills.get(owner, 0))
        if amount > 0:
            what = f"{day.isoformat()}/{Code.REDEMPTION}/{owner}/{Instrument.CREDIT}/bill"
            made += _back(what, Code.REDEMPTION, (owner, unit, amount, at_ms), (currency, aggregator))
    return tuple(made)


def expire(
    transfers: Iterable[Transfer],
    unit: str,
    today: date,
    at_ms: int,
    currency: str,
    aggregator: str = "backfeed",
) -> tuple[Transfer, ...]:
    """Return the transfers by which everything lapses that is good until today; one per owner and day of payout."""
    made: list[Transfer] = []
    for lot in lots(transfers, unit):
        if lot.lapses is not None and lot.lapses <= today:
            what = f"{today.isoformat()}/{Code.EXPIRY}/{lot.owner}/{unit}/{lot.day}"
            made += _back(what, Code.EXPIRY, (lot.owner, unit, lot.amount, at_ms), (currency, aggregator))
    return tuple(_numbered(made))


def _numbered(transfers: list[Transfer]) -> list[Transfer]:
    """Tell transfers that would share an id apart by number: several payouts of one owner on one day."""
    seen: dict[str, int] = {}
    numbered: list[Transfer] = []
    for transfer in transfers:
        number = seen[transfer.id] = seen.get(transfer.id, 0) + 1
        numbered.append(transfer if number == 1 else replace(transfer, id=f"{transfer.id}/{number}"))
    return numbered


def _back(what: str, code: Code, given: tuple[str, str, int, int], parties: tuple[str, str]) -> tuple[Transfer, ...]:
    """Return the instrument's way back and, where cash stands behind it, the way of the cash."""
    owner, unit, amount, at_ms = given
    currency, aggregator = parties
    back = Transfer(
        id=f"{what}/given",
        debit=account_id(Role.OWNER, owner, unit),
        credit=account_id(Role.AGGREGATOR, aggregator, unit),
        amount=amount,
        unit=unit,
        code=code,
        at_ms=at_ms,
    )
    if unit == POINTS_UNIT:
        return (back,)
    to_owner = code is Code.REDEMPTION
    cash = Transfer(
        id=f"{what}/cash",
        debit=account_id(Role.AGGREGATOR, f"{aggregator}/reserve", currency),
        credit=account_id(Role.OWNER if to_owner else Role.AGGREGATOR, owner if to_owner else aggregator, currency),
        amount=amount,
        unit=currency,
        code=code,
        at_ms=at_ms,
    )
    return back, cash
