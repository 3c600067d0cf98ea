"""Quarantine: what is doubted is held in an account of its own, unpaid until somebody has decided.

A case is everything of one owner at one site on one day that is doubted, or a whole event whose baseline is. Its
energy goes to the case's account at once. All that would be paid for it is settled as if it were good, on its own and
never shared behind a meter, and posted as promises: they reserve and move nothing. Clearing the case posts every one
of them, rejecting it voids them; either is final and stands in the books with its reason. A month with an open case
does not close, because its promises are open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from backfeed.core.problem import InputError, Problem
from backfeed.settle.account import ENERGY_UNIT, Role, account_id, holder_of
from backfeed.settle.day import Parties, SettlementDay, award_transfer
from backfeed.settle.postings import settle_day
from backfeed.settle.transfer import Code, Phase, Transfer, corrections, original_id, reservations

OPEN, CLEARED, REJECTED = "open", "cleared", "rejected"
"""What a case is: undecided, paid after all, never to be paid."""


@dataclass(frozen=True)
class Case:
    """What is held and why.

    Parameters
    ----------
    name
        What the case is called: day, and the owner at the site or the invitation.
    day
        The settled day.
    reason
        What was expected and what was found.
    energy_wh
        The energy in the case's account when it was opened.
    owners_micro
        What owners would be paid for it, 1e-6 of each unit, by unit.
    state, decision
        `open`, `cleared` or `rejected`, and the reason given for it.
    """

    name: str
    day: str
    reason: str
    energy_wh: int
    owners_micro: dict[str, int]
    state: str
    decision: str


def hold(day: SettlementDay, parties: Parties, what: str, reason: str) -> tuple[Transfer, ...]:
    """Return the transfers that open a case: its energy set apart, what it would be paid as promises.

    Parameters
    ----------
    day
        What is doubted and nothing else: the exports of an owner at a site, or an event over rows without energy.
    parties
        Who takes part, with the offers of the day.
    what
        The owner at the site or the invitation; with the day it names the case.
    reason
        Why it is doubted.
    """
    currency = day.prices.currency
    name = f"{day.day}/{Code.QUARANTINE}/{what}"
    apart = account_id(Role.QUARANTINE, what, ENERGY_UNIT)
    grid = account_id(Role.GRID, parties.grid, ENERGY_UNIT)
    given = {key.owner for key in day.intervals.keys} if not day.events else set()
    owner = account_id(Role.OWNER, min(given), ENERGY_UNIT) if given else grid
    head = Transfer(
        id=name,
        debit=owner,
        credit=apart,
        amount=int(day.intervals.export_wh.sum()),
        unit=ENERGY_UNIT,
        code=Code.QUARANTINE,
        at_ms=day.at_ms,
        evidence=f"{reason}; {day.evidence}",
    )
    made = [head]
    for event in day.events:
        promise = award_transfer(event.award, currency, parties)
        void = replace(promise, id=f"{name}|award/{event.award.invitation.id}", at_ms=day.at_ms, phase=Phase.VOID)
        made.append(replace(void, pending_id=promise.id, evidence=head.evidence))
    for transfer in settle_day(day, parties).transfers:
        if transfer.phase is Phase.VOID:
            continue
        rest = transfer.id.removeprefix(f"{day.day}/")
        promised = replace(
            transfer, id=f"{name}|{rest}", phase=Phase.PENDING, pending_id="", evidence=f"held as {name}"
        )
        made.append(replace(promised, debit=apart) if transfer.code is Code.ENERGY_DISCHARGED else promised)
    return tuple(made)


def cases(transfers: Iterable[Transfer]) -> tuple[Case, ...]:
    """Return every case of the books, in the order in which they were opened."""
    books = list(transfers)
    promises = _promises(books)
    decided = {t.pending_id: t for t in books if t.phase in (Phase.POST, Phase.VOID)}
    found = []
    for head in books:
        if head.code is not Code.QUARANTINE or original_id(head.id) != head.id:
            continue
        mine = promises.get(head.id, [])
        owners: dict[str, int] = {}
        for promise in mine:
            for side, sign in ((promise.credit, 1), (promise.debit, -1)):
                role, _, unit = holder_of(side)
                if role is Role.OWNER and promise.code is Code.PAYOUT:
                    owners[unit] = owners.get(unit, 0) + sign * promise.amount
        word = decided.get(mine[0].id) if mine else None
        state = OPEN if word is None else CLEARED if word.phase is Phase.POST else REJECTED
        day, _, rest = head.id.partition("/")
        found.append(
            Case(
                name=f"{day}/{rest.partition('/')[2]}",
                day=day,
                reason=head.evidence.rpartition("; ")[0],
                energy_wh=head.amount,
                owners_micro=owners,
                state=state,
                decision="" if word is None else word.evidence,
            )
        )
    return tuple(found)


def decide(transfers: Iterable[Transfer], name: str, reason: str, at_ms: int, *, cleared: bool) -> tuple[Transfer, ...]:
    """Return the transfers that clear or reject a case.

    Raises
    ------
    InputError
        If there is no such case, it has been decided, or no reason is given.
    """
    books = list(transfers)
    known = {case.name: case for case in cases(books)}
    problems = [] if reason.strip() else [Problem(name, "a decision needs a reason")]
    if name not in known:
        words = ", ".join(case.name for case in known.values() if case.state == OPEN) or "none"
        problems.append(Problem(name, f"there is no such case; open are {words}"))
    elif known[name].state != OPEN:
        problems.append(Problem(name, f"was {known[name].state} before: {known[name].decision}"))
    if problems:
        raise InputError(problems)
    day, _, what = name.partition("/")
    head = f"{day}/{Code.QUARANTINE}/{what}"
    return settled_promises(_promises(books)[head], books, CLEARED if cleared else REJECTED, reason, at_ms)


def supersede(transfers: Iterable[Transfer], head: Transfer, revision: int, at_ms: int) -> tuple[Transfer, ...]:
    """Return the transfers that undo an open case whose readings have changed: promises void, energy back."""
    books = list(transfers)
    reason = "readings changed before it was decided"
    voids = settled_promises(_promises(books).get(head.id, []), books, REJECTED, reason, at_ms)
    return (*voids, *corrections({head.id: head}, (), revision))


def settled_promises(
    promises: Sequence[Transfer], books: Sequence[Transfer], state: str, reason: str, at_ms: int
) -> tuple[Transfer, ...]:
    """Return the transfers that post, or void, what promises of a case still reserve."""
    left = reservations(books)
    made = []
    for promise in promises:
        if left.get(promise.id):
            day, _, rest = promise.id.partition("/")
            made.append(
                replace(
                    promise,
                    id=f"{day}/{state}/{rest.partition('/')[2]}",
                    amount=left[promise.id],
                    at_ms=at_ms,
                    evidence=reason,
                    pending_id=promise.id,
                    phase=Phase.POST if state == CLEARED else Phase.VOID,
                )
            )
    return tuple(made)


def _promises(books: Sequence[Transfer]) -> dict[str, list[Transfer]]:
    """Return the promises of every case, by the id of the case's first transfer."""
    of_case: dict[str, list[Transfer]] = {}
    for transfer in books:
        if transfer.phase is Phase.PENDING and "|" in transfer.id:
            of_case.setdefault(transfer.id.partition("|")[0], []).append(transfer)
    return of_case
