"""Transfers: the only way a balance changes.

A transfer debits one account and credits another by an integer amount of their common unit. It is never
altered or deleted; a correction is a new transfer. It is idempotent by its id: posting the same one
again changes nothing, posting another one under its id is refused.

A promise is a `PENDING` transfer: it reserves an amount without moving a balance. Delivery posts it
(`POST`, at most what is still reserved), shortfall voids the rest (`VOID`). Both name it by `pending_id`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from backfeed.core.instant import to_datetime


class Phase(StrEnum):
    """What a transfer does to balances and reservations."""

    SINGLE = "single"
    PENDING = "pending"
    POST = "post"
    VOID = "void"


_MOVING = (Phase.SINGLE, Phase.POST)


class Code(StrEnum):
    """What a transfer is for."""

    ENERGY_CHARGED = "energy_charged"
    ENERGY_DISCHARGED = "energy_discharged"
    CHARGING_BILL = "charging_bill"
    SHARED_ENERGY = "shared_energy"
    DISCHARGE_REVENUE = "discharge_revenue"
    SUBSIDY = "subsidy"
    DR_AWARD = "dr_award"
    DR_REVENUE = "dr_revenue"
    DR_PENALTY = "dr_penalty"
    WEAR = "wear"
    PAYOUT = "payout"
    PAYOUT_BACKING = "payout_backing"
    SITE_SHARE = "site_share"
    AGGREGATOR_SHARE = "aggregator_share"
    TOP_UP = "top_up"
    GUARANTEE = "guarantee"
    PROMPT_BONUS = "prompt_bonus"
    WEAR_TRUE_UP = "wear_true_up"
    REDEMPTION = "redemption"
    EXPIRY = "expiry"
    ROUNDING = "rounding"
    QUARANTINE = "quarantine"
    DETAIL = "detail"
    BANK_PAYMENT = "bank_payment"
    MONTH_CLOSE = "month_close"
    MONTH_REOPEN = "month_reopen"


@dataclass(frozen=True, slots=True)
class Transfer:
    """An amount that moves from `debit` to `credit`.

    Parameters
    ----------
    id
        Unique for all time; made from day, code and holder, so that settling again gives the same ids.
    debit, credit
        Ids of the giving and the receiving account.
    amount
        Whole number of the unit's parts, >= 0: Wh, or 1e-6 of a currency.
    unit
        Unit of both accounts.
    code
        What it is for.
    at_ms
        When it takes effect.
    evidence
        What shows that it is due: the hash of interval detail, an invitation, the transfer it corrects.
    pending_id
        With `Phase.POST` and `Phase.VOID` the promise it belongs to.
    phase
        What it does to balances and reservations.
    """

    id: str
    debit: str
    credit: str
    amount: int
    unit: str
    code: Code
    at_ms: int
    evidence: str = ""
    pending_id: str = ""
    phase: Phase = Phase.SINGLE

    def canonical(self) -> bytes:
        """Return the bytes that hashes are taken over: all fields, length-prefixed, in order."""
        fields = (
            self.id,
            self.debit,
            self.credit,
            str(self.amount),
            self.unit,
            self.code.value,
            str(self.at_ms),
            self.evidence,
            self.pending_id,
            self.phase.value,
        )
        return b"".join(b"%d:%b," % (len(text), text) for text in (field.encode() for field in fields))


def chain_hash(before: bytes, transfer: Transfer) -> bytes:
    """Return the link of a hash chain: SHA-256 over the link before and the transfer's canonical bytes."""
    return hashlib.sha256(before + transfer.canonical()).digest()


GENESIS = hashlib.sha256(b"backfeed ledger 1").digest()
"""The link before the first transfer."""


def faults(transfer: Transfer) -> list[str]:
    """Return everything that makes a transfer unpostable on its own; nothing if it is well formed."""
    checks = (
        (transfer.id != "", "it has no id"),
        (transfer.amount >= 0, f"its amount is negative: {transfer.amount}"),
        (transfer.debit != transfer.credit, f"it debits and credits the same account {transfer.debit}"),
        (transfer.debit.endswith(f":{transfer.unit}"), f"{transfer.debit} is not counted in {transfer.unit}"),
        (transfer.credit.endswith(f":{transfer.unit}"), f"{transfer.credit} is not counted in {transfer.unit}"),
        (
            (transfer.pending_id != "") == (transfer.phase in (Phase.POST, Phase.VOID)),
            f"phase {transfer.phase.value} does not go with pending_id {transfer.pending_id!r}",
        ),
    )
    return [fault for holds, fault in checks if not holds]


def balances(transfers: Iterable[Transfer]) -> dict[str, int]:
    """Return every account's credits less debits, by account id; pending and void move nothing."""
    totals: dict[str, int] = {}
    for transfer in transfers:
        if transfer.phase in _MOVING:
            totals[transfer.debit] = totals.get(transfer.debit, 0) - transfer.amount
            totals[transfer.credit] = totals.get(transfer.credit, 0) + transfer.amount
    return dict(sorted(totals.items()))


def reservations(transfers: Iterable[Transfer]) -> dict[str, int]:
    """Return what every pending transfer still reserves, by its id; settled promises give 0."""
    left: dict[str, int] = {}
    for transfer in transfers:
        if transfer.phase is Phase.PENDING:
            left[transfer.id] = transfer.amount
        elif transfer.phase in (Phase.POST, Phase.VOID):
            left[transfer.pending_id] = left.get(transfer.pending_id, 0) - transfer.amount
    return left


_REVISION = re.compile(r"r\d+(?:@(\d{4}-\d\d-\d\d))?\|(.*)", re.DOTALL)
_HASH = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)/.*", re.DOTALL)


def revision_prefix(revision: int, booked_on: str = "") -> str:
    """Return what the ids of a correction begin with; see `corrections`."""
    return f"r{revision}@{booked_on}|" if booked_on else f"r{revision}|"


def corrections(
    posted: Mapping[str, Transfer], settled_again: Iterable[Transfer], revision: int, booked_on: str = ""
) -> list[Transfer]:
    """Return the transfers that turn what was posted into what it should have been.

    A larger amount is made up by a transfer in the same direction, a smaller one by one in the opposite
    direction; a transfer that should not have been is moved back in full. The ids of corrections begin with
    `r{revision}|`, or `r{revision}@{day}|`, and their evidence names the corrected transfer.

    Parameters
    ----------
    posted
        What the books say for the corrected days, by id, earlier corrections folded in by `net_effect`.
    settled_again
        The same days settled with what is known now.
    revision
        Number of the correction, from 1.
    booked_on
        The local day that the corrections belong to, where the corrected day's month is closed; by default they
        belong to the corrected day.
    """
    prefix = revision_prefix(revision, booked_on)
    made: list[Transfer] = []
    wanted = {transfer.id: _as_single(transfer) for transfer in settled_again if transfer.phase in _MOVING}
    for transfer_id in sorted(posted.keys() | wanted.keys()):
        like = wanted.get(transfer_id) or posted[transfer_id]
        due = wanted[transfer_id].amount if transfer_id in wanted else 0
        change = due - (_along(like, posted[transfer_id]) if transfer_id in posted else 0)
        if change:
            debit, credit = (like.debit, like.credit) if change > 0 else (like.credit, like.debit)
            new_id, evidence = f"{prefix}{transfer_id}", f"corrects {transfer_id}; {like.evidence}"
            made.append(replace(like, id=new_id, debit=debit, credit=credit, amount=abs(change), evidence=evidence))
    return made


def net_effect(transfers: Iterable[Transfer]) -> dict[str, Transfer]:
    """Fold corrections into what they correct: what moved, by original id, with the amount now in force.

    A promise that was posted counts as the single transfer that it amounts to. Where corrections have turned an
    amount round, debit and credit change places.
    """
    net: dict[str, Transfer] = {}
    for transfer in transfers:
        if transfer.phase not in _MOVING:
            continue
        original = original_id(transfer.id)
        if original == transfer.id:
            net[transfer.id] = _as_single(transfer)
            continue
        amount = transfer.amount + (_along(transfer, net[original]) if original in net else 0)
        debit, credit = (transfer.debit, transfer.credit) if amount >= 0 else (transfer.credit, transfer.debit)
        net[original] = replace(transfer, id=original, debit=debit, credit=credit, amount=abs(amount))
    return net


def _as_single(transfer: Transfer) -> Transfer:
    return replace(transfer, phase=Phase.SINGLE, pending_id="")


def original_id(transfer_id: str) -> str:
    """Return the id that a correction corrects, or the id itself.

    >>> original_id("r2|2026-07-06/payout/a"), original_id("2026-07-06/payout/a")
    ('2026-07-06/payout/a', '2026-07-06/payout/a')
    """
    correction = _REVISION.fullmatch(transfer_id)
    return correction.group(2) if correction else transfer_id


def transfer_day(transfer: Transfer) -> str:
    """Return the local day that a transfer belongs to.

    It stands first in the ids of a settled day's transfers; a correction may name another day, on which it was
    booked. Other transfers belong to the UTC day on which they take effect.

    >>> transfer_day(Transfer("r1|2026-07-06/payout/a", "owner:a:CNY", "owner:b:CNY", 1, "CNY", Code.PAYOUT, 0))
    '2026-07-06'
    """
    correction = _REVISION.fullmatch(transfer.id)
    if correction and correction.group(1):
        return correction.group(1)
    day = _DAY.fullmatch(original_id(transfer.id))
    return day.group(1) if day else to_datetime(transfer.at_ms).date().isoformat()


SETTLED_BESIDE: frozenset[str] = frozenset(
    {Code.GUARANTEE, Code.PROMPT_BONUS, Code.REDEMPTION, Code.EXPIRY, Code.QUARANTINE, "cleared", "rejected"}
)
"""What belongs to a day and is not made by settling it, so that settling it again does not take it back."""


def is_of_settled_day(transfer: Transfer, day: str) -> bool:
    """Return whether a transfer was made by settling a local day, or corrects one that was.

    >>> made = Transfer("r1|2026-07-06/payout/a", "owner:a:CNY", "owner:b:CNY", 1, "CNY", Code.PAYOUT, 0)
    >>> is_of_settled_day(made, "2026-07-06")
    True
    """
    of_day, _, rest = original_id(transfer.id).partition("/")
    return of_day == day and rest.partition("/")[0] not in SETTLED_BESIDE


def detail_hash(transfer: Transfer) -> str:
    """Return the hash of the interval detail that a transfer's evidence ends with, empty if it names none."""
    if not _DAY.fullmatch(original_id(transfer.id)):
        return ""
    last = transfer.evidence.rpartition("; ")[2]
    return last if _HASH.fullmatch(last) else ""


def detail_mark(day: str, evidence: str, at_ms: int, accounts: tuple[str, str]) -> Transfer:
    """Return the transfer, of nothing, that names a day's new detail where readings changed after it was settled.

    It is posted beside the corrections, and alone where energy only moved from one quarter-hour to another and no
    amount has changed. `accounts` are any two of the same unit.
    """
    return Transfer(
        id=f"{day}/{Code.DETAIL}",
        debit=accounts[0],
        credit=accounts[1],
        amount=0,
        unit=accounts[0].rpartition(":")[2],
        code=Code.DETAIL,
        at_ms=at_ms,
        evidence=evidence,
    )


def _along(like: Transfer, other: Transfer) -> int:
    """Return the other's amount, counted in the direction of `like`."""
    return other.amount if other.debit == like.debit else -other.amount
