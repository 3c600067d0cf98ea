"""Statements: what the books say about one holder, for people.

A statement is made from transfers alone, so that it says what was posted and nothing else. Lines are sums
by day, code and unit; amounts are integers, positive where the holder received.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from backfeed.settle.account import Role, holder_of
from backfeed.settle.bonus import Reason, reason_of
from backfeed.settle.transfer import Code, Phase, Transfer, transfer_day

_Key = tuple[str, Code, str]
_Reasons = dict[_Key, list[tuple[int, Reason]]]


@dataclass(frozen=True, slots=True)
class Line:
    """What one code moved on one day in one unit; positive where the holder received.

    `wear_micro` is what giving it wore the owner's battery [1e-6 of the currency]; None on lines that are no
    discharged energy. On an owner's line for answers, `reasons` say what each was paid [1e-6 of the
    currency], and why.
    """

    day: str
    code: Code
    unit: str
    amount: int
    wear_micro: int | None = None
    reasons: tuple[tuple[int, Reason], ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """A holder's lines and their sums by unit.

    Parameters
    ----------
    role, holder
        Whose statement it is.
    period
        The days or the month it covers, as a prefix of the local day: `2026-07`, or "" for all.
    lines
        By day, code and unit.
    totals
        Sum of the lines by unit: what the holder's balance changed by.
    transfers
        How many transfers it rests on.
    """

    role: Role
    holder: str
    period: str
    lines: tuple[Line, ...]
    totals: tuple[tuple[str, int], ...]
    transfers: int


def make_statement(transfers: Iterable[Transfer], role: Role, holder: str, period: str = "") -> Statement:
    """Return a holder's statement over the days whose name begins with `period`."""
    return next(
        (s for s in make_statements(transfers, role, period) if s.holder == holder),
        Statement(role, holder, period, (), (), 0),
    )


def make_statements(transfers: Iterable[Transfer], role: Role, period: str = "") -> tuple[Statement, ...]:
    """Return the statements of all holders of a role, in the order of their names."""
    sums: dict[str, dict[_Key, int]] = {}
    reasons: dict[str, _Reasons] = {}
    counts: dict[str, int] = {}
    for transfer in transfers:
        day = transfer_day(transfer)
        if transfer.phase not in (Phase.SINGLE, Phase.POST) or not day.startswith(period):
            continue
        for account_id, amount in ((transfer.debit, -transfer.amount), (transfer.credit, transfer.amount)):
            at, holder, unit = holder_of(account_id)
            if at is role:
                lines = sums.setdefault(holder, {})
                key = (day, transfer.code, unit)
                lines[key] = lines.get(key, 0) + amount
                counts[holder] = counts.get(holder, 0) + 1
                answers = role is Role.OWNER and transfer.code is Code.PROMPT_BONUS
                reason = reason_of(transfer.evidence) if answers else None
                if reason is not None:
                    reasons.setdefault(holder, {}).setdefault(key, []).append((amount, reason))
    return tuple(
        _statement(Statement(role, holder, period, (), (), counts[holder]), sums[holder], reasons.get(holder, {}))
        for holder in sorted(sums)
    )


def _statement(head: Statement, sums: dict[_Key, int], reasons: _Reasons) -> Statement:
    worn: dict[str, int] = {}
    for (day, code, _), amount in sums.items():
        if code is Code.WEAR:
            worn[day] = worn.get(day, 0) - amount
    lines = tuple(
        Line(
            day,
            code,
            unit,
            amount,
            worn.get(day, 0) if head.role is Role.OWNER and code is Code.ENERGY_DISCHARGED else None,
            tuple(reasons.get((day, code, unit), ())),
        )
        for (day, code, unit), amount in sorted(sums.items())
    )
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.unit] = totals.get(line.unit, 0) + line.amount
    return replace(head, lines=lines, totals=tuple(sorted(totals.items())))
