"""What the report says about the books: read from the ledger, not from memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.market.price import PriceSeries
from backfeed.meter.gaming import Finding
from backfeed.meter.interval import Quarantined
from backfeed.report.run_report import Books, HeldRow, SubsidyRow, WholeRow
from backfeed.settle.account import Role, account_id, holder_of
from backfeed.settle.guarantee import made_whole
from backfeed.settle.quarantine import cases
from backfeed.settle.transfer import Code, Phase, Transfer, balances
from backfeed.store.ledger_seal import open_ledger

_PAID = frozenset({Code.PAYOUT, Code.GUARANTEE, Code.PROMPT_BONUS, Code.WEAR_TRUE_UP})


def read_transfers(ledger: Path) -> list[Transfer]:
    """Return every transfer of a ledger file."""
    with open_ledger(ledger, readonly=True) as book:
        return list(book.transfers())


def paid_by_owner(transfers: Iterable[Transfer]) -> Mapping[str, Mapping[str, float]]:
    """Return what every account holder was paid, by unit [that unit]."""
    paid: dict[str, dict[str, int]] = {}
    for transfer in transfers:
        if transfer.code in _PAID and transfer.phase in (Phase.SINGLE, Phase.POST):
            for side, sign in ((transfer.credit, 1), (transfer.debit, -1)):
                role, holder, unit = holder_of(side)
                if role is Role.OWNER:
                    held = paid.setdefault(holder, {})
                    held[unit] = held.get(unit, 0) + sign * transfer.amount
    return {owner: {unit: amount / MICRO for unit, amount in units.items()} for owner, units in paid.items()}


def books_of(
    transfers: list[Transfer],
    prices: PriceSeries,
    findings: Iterable[tuple[str, Finding]],
    set_apart: Iterable[Quarantined],
    aggregator: str = "backfeed",
) -> Books:
    """Return what the report shows of the books.

    Parameters
    ----------
    transfers
        The books.
    prices
        With the granted subsidies.
    findings
        What was found, by day; what has no case is shown without one.
    set_apart
        Readings that can not be true.
    aggregator
        Whose result stands on page one.
    """
    held = balances(transfers)
    currency = prices.currency
    opened = cases(transfers)
    return Books(
        aggregator=held.get(account_id(Role.AGGREGATOR, aggregator, currency), 0) / MICRO,
        top_up=_moved(transfers, Code.TOP_UP) / MICRO,
        guarantee=_moved(transfers, Code.GUARANTEE) / MICRO,
        bonuses=_moved(transfers, Code.PROMPT_BONUS) / MICRO,
        whole=tuple(
            WholeRow(
                owner=period.owner,
                unmanaged=period.unmanaged_bill_micro / MICRO,
                bill=period.bill_micro / MICRO,
                payout=period.payout_micro / MICRO,
                wear=period.wear_micro / MICRO,
                made_up=-period.gain_micro / MICRO,
            )
            for period in made_whole(transfers)
        ),
        held=(
            *(
                HeldRow(
                    case=case.name,
                    reason=case.reason,
                    energy_kwh=case.energy_wh / WH_PER_KWH,
                    amounts={unit: amount / MICRO for unit, amount in case.owners_micro.items()},
                    state=f"case_{case.state}",
                    decision=case.decision,
                )
                for case in opened
            ),
            *_unheld(findings, {case.reason for case in opened}),
            *_readings(set_apart),
        ),
        subsidies=tuple(
            SubsidyRow(
                name=each.name,
                paid=-held.get(account_id(Role.SUBSIDY, each.name, currency), 0) / MICRO,
                cap=None if each.cap_per_year is None else float(each.cap_per_year),
            )
            for each in prices.subsidies
        ),
    )


def _moved(transfers: Iterable[Transfer], code: Code) -> int:
    """Return what a code moved out of the aggregator's funds, corrections taken off."""
    total = 0
    for transfer in transfers:
        if transfer.code is code and transfer.phase in (Phase.SINGLE, Phase.POST):
            total += transfer.amount if holder_of(transfer.debit)[0] is Role.AGGREGATOR else -transfer.amount
    return total


def _unheld(findings: Iterable[tuple[str, Finding]], held: set[str]) -> list[HeldRow]:
    """Return findings for which nothing is held, a row for each scheme and place: their energy earns nothing."""
    of_place: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for day, finding in findings:
        if f"{finding.scheme}: {finding.what}" not in held:
            of_place.setdefault((finding.scheme.value, finding.where), []).append((day, finding))
    return [
        HeldRow(
            case=where,
            reason=f"{scheme}: on {len(found)} days, the last {found[-1][0]}: {found[-1][1].what}",
            energy_kwh=sum(finding.energy_wh for _, finding in found) / WH_PER_KWH,
            amounts={},
            state="case_nothing",
            decision="",
        )
        for (scheme, where), found in sorted(of_place.items())
    ]


def _readings(set_apart: Iterable[Quarantined]) -> list[HeldRow]:
    """Return the readings that were set apart, by transaction and reason: their energy is not counted at all."""
    counts: dict[tuple[str, str, str], int] = {}
    for reading in set_apart:
        where = (reading.station, reading.transaction, reading.reason.value)
        counts[where] = counts.get(where, 0) + 1
    return [
        HeldRow(
            case=f"{station} {transaction}",
            reason=f"reading set apart: {count} x {reason}",
            energy_kwh=0.0,
            amounts={},
            state="case_nothing",
            decision="",
        )
        for (station, transaction, reason), count in sorted(counts.items())
    ]
