"""Coupons, charging credit and points after they were paid out: redeemed against charging, or lapsed.

They are the owner's in units of their own; the cash behind coupons and credit waits in the aggregator's
reserve. Redeeming gives the instrument back and pays cash from the reserve towards the owner's charging.
What is not redeemed in time lapses: the oldest is used first and lapses first, and the cash behind it goes
to the aggregator.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from backfeed.core.problem import InputError, Problem
from backfeed.settle.account import POINTS_UNIT, Instrument, Role, account_id, holder_of, instrument_unit
from backfeed.settle.transfer import Code, Phase, Transfer, transfer_day


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of an instrument that was paid out on a day."""

    owner: str
    unit: str
    day: str
    amount: int


def lots(transfers: Iterable[Transfer], unit: str) -> tuple[Lot, ...]:
    """Return what owners still hold of an instrument, by owner and day of payout, the oldest first."""
    held: dict[str, deque[Lot]] = {}
    for transfer in transfers:
        if transfer.unit != unit or transfer.phase is not Phase.SINGLE:
            continue
        role, holder, _ = holder_of(transfer.credit)
        if role is Role.OWNER:
            held.setdefault(holder, deque()).append(Lot(holder, unit, transfer_day(transfer), transfer.amount))
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
            own.appendleft(Lot(oldest.owner, oldest.unit, oldest.day, oldest.amount - used))


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
        problems.append(Problem(wish.owner, f"holds {held} of {unit}, can not redeem {wish.amount}"))
    if problems:
        raise InputError(problems)
    what = f"{wish.day}/{Code.REDEMPTION}/{wish.owner}/{wish.instrument}/{wish.number}"
    return _back(what, Code.REDEMPTION, (wish.owner, unit, wish.amount, wish.at_ms), (currency, aggregator))


def expire(
    transfers: Iterable[Transfer],
    unit: str,
    today: date,
    after_days: int,
    at_ms: int,
    currency: str,
    aggregator: str = "backfeed",
) -> tuple[Transfer, ...]:
    """Return the transfers by which everything older than `after_days` lapses; one per owner and day of payout."""
    last = (today - timedelta(days=after_days)).isoformat()
    made: list[Transfer] = []
    for lot in lots(transfers, unit):
        if lot.day <= last:
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
