"""Statements: what the books say about one holder, for people.

A statement is made from transfers alone, so that it says what was posted and nothing else. Lines are sums
by day, code and unit; amounts are integers, positive where the holder received.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from backfeed.settle.account import Role, holder_of
from backfeed.settle.transfer import Code, Phase, Transfer, transfer_day


@dataclass(frozen=True, slots=True)
class Line:
    """What one code moved on one day in one unit; positive where the holder received.

    `wear_micro` is what giving it wore the owner's battery [1e-6 of the currency]; None on lines that are no
    discharged energy.
    """

    day: str
    code: Code
    unit: str
    amount: int
    wear_micro: int | None = None


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
    sums: dict[str, dict[tuple[str, Code, str], int]] = {}
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
    return tuple(_statement(role, holder, period, sums[holder], counts[holder]) for holder in sorted(sums))


def _statement(role: Role, holder: str, period: str, sums: dict[tuple[str, Code, str], int], count: int) -> Statement:
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
            worn.get(day, 0) if role is Role.OWNER and code is Code.ENERGY_DISCHARGED else None,
        )
        for (day, code, unit), amount in sorted(sums.items())
    )
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.unit] = totals.get(line.unit, 0) + line.amount
    return Statement(role, holder, period, lines, tuple(sorted(totals.items())), count)
