"""Months: closed when everything in them is settled, reopened only on the record.

Closing a month is itself a transfer, of nothing, from the clearing account to the aggregator's: it stands in
the chain like all others, and its evidence is the hash of the month's trial balance. From then on nothing new
may be posted that belongs to the month. Reopening is such a transfer too. Which months are closed follows from
the books alone.
"""

import hashlib
import re
from collections.abc import Iterable

from backfeed.core.problem import InputError, Problem
from backfeed.settle.account import Role, account_id, holder_of
from backfeed.settle.transfer import Code, Phase, Transfer, balances, reservations, transfer_day

MONTH_LENGTH = len("2026-07")
_MONTH_MARK = re.compile(r"(close|reopen)/(\d{4}-\d\d)/(\d+)")


def month_of(transfer: Transfer) -> str:
    """Return the month that a transfer belongs to, `YYYY-MM`."""
    return transfer_day(transfer)[:MONTH_LENGTH]


def closed_months(marks: Iterable[str]) -> frozenset[str]:
    """Return the closed months, given the ids of closing and reopening transfers in the order of the books.

    >>> sorted(closed_months(["close/2026-06/1", "close/2026-07/1", "reopen/2026-06/1"]))
    ['2026-07']
    """
    closed: set[str] = set()
    for mark in marks:
        match = _MONTH_MARK.fullmatch(mark)
        assert match is not None, mark
        kind, month, _ = match.groups()
        if kind == "close":
            closed.add(month)
        else:
            closed.discard(month)
    return frozenset(closed)


def trial_balance(transfers: Iterable[Transfer], month: str) -> dict[str, int]:
    """Return what a month changed every account by, by account id, sorted."""
    return balances(transfer for transfer in transfers if month_of(transfer) == month)


def balance_hash(held: dict[str, int]) -> str:
    """Return the SHA-256 of a trial balance, as hex."""
    text = "".join(f"{account}\t{amount}\n" for account, amount in sorted(held.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def close_month(
    transfers: Iterable[Transfer], month: str, currency: str, at_ms: int, aggregator: str = "backfeed"
) -> Transfer:
    """Return the transfer that closes a month.

    Raises
    ------
    InputError
        If the month is closed already, holds no transfers, leaves money in a clearing account, or a promise
        made in it is neither delivered nor voided.
    """
    books = list(transfers)
    marks = [t.id for t in books if t.code in (Code.MONTH_CLOSE, Code.MONTH_REOPEN)]
    held = trial_balance(books, month)
    problems = []
    if month in closed_months(marks):
        problems.append(Problem(month, "is closed already"))
    if not held:
        problems.append(Problem(month, "holds no transfers"))
    problems += [
        Problem(month, f"{account} holds {amount} and should hold 0")
        for account, amount in held.items()
        if holder_of(account)[0] is Role.CLEARING and amount
    ]
    made = {t.id for t in books if t.phase is Phase.PENDING and month_of(t) == month}
    unsettled = tuple(name for name, left in reservations(books).items() if left and name in made)
    if unsettled:
        problems.append(Problem(month, "promises are neither delivered nor voided", unsettled))
    if problems:
        raise InputError(problems)
    return _mark(Code.MONTH_CLOSE, month, marks, at_ms, _accounts(currency, aggregator), balance_hash(held))


def reopen_month(
    transfers: Iterable[Transfer], month: str, currency: str, at_ms: int, reason: str, aggregator: str = "backfeed"
) -> Transfer:
    """Return the transfer that reopens a month; its evidence is the reason.

    Raises
    ------
    InputError
        If the month is not closed or no reason is given.
    """
    marks = [t.id for t in transfers if t.code in (Code.MONTH_CLOSE, Code.MONTH_REOPEN)]
    problems = [] if month in closed_months(marks) else [Problem(month, "is not closed")]
    problems += [] if reason.strip() else [Problem(month, "reopening a month needs a reason")]
    if problems:
        raise InputError(problems)
    return _mark(Code.MONTH_REOPEN, month, marks, at_ms, _accounts(currency, aggregator), reason)


def _accounts(currency: str, aggregator: str) -> tuple[str, str]:
    return account_id(Role.CLEARING, aggregator, currency), account_id(Role.AGGREGATOR, aggregator, currency)


def _mark(code: Code, month: str, marks: list[str], at_ms: int, accounts: tuple[str, str], evidence: str) -> Transfer:
    kind = "close" if code is Code.MONTH_CLOSE else "reopen"
    number = 1 + sum(mark.startswith(f"{kind}/{month}/") for mark in marks)
    return Transfer(
        id=f"{kind}/{month}/{number}",
        debit=accounts[0],
        credit=accounts[1],
        amount=0,
        unit=holder_of(accounts[0])[2],
        code=code,
        at_ms=at_ms,
        evidence=evidence,
    )
