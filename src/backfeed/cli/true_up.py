"""`backfeed ledger true-up`: wear that was paid by the law, put right by what was measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backfeed.cli.books import AsJson, At, KeyFile, Run, currency_of, open_books, parse_at, seal_again
from backfeed.cli.outcome import write_result
from backfeed.core.problem import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backfeed.settle.transfer import Transfer
    from backfeed.settle.wear_true_up import OwnerTrueUp

_YEARS = (2000, 9999)


def true_up(
    run: Run,
    *,
    year: Annotated[int, typer.Option(help="The year whose wear is put right, like 2026.")],
    day: Annotated[str, typer.Option(help="The local day that the payments belong to, like 2027-01-15.")],
    at: At,
    health: Annotated[
        Path | None,
        typer.Option(help="What `battery health --json` or `battery fleet --json` printed; the run's own by default."),
    ] = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Pay owners whose batteries faded faster than the law what their wear was paid too little; nobody gives back."""
    from datetime import date  # noqa: PLC0415

    from backfeed.report.battery_file import BATTERY_FILE, read_health  # noqa: PLC0415
    from backfeed.settle.wear_true_up import owner_true_ups, true_up_transfers  # noqa: PLC0415

    at_ms = parse_at(at)
    if not _YEARS[0] <= year <= _YEARS[1]:
        raise InputError([Problem("--year", f"expected a year like 2026, found {year}")])
    try:
        date.fromisoformat(day)
    except ValueError as error:
        raise InputError([Problem("--day", f"expected a day like 2027-01-15, found {day!r}")]) from error
    file = health or Path(run) / BATTERY_FILE
    measured = read_health(file)
    with open_books(run) as ledger:
        owners = owner_true_ups(ledger.transfers(), measured, year)
        if not owners:
            what = f"expected measured cars whose owners were paid for wear in {year}, found none"
            raise InputError([Problem(str(file), what)])
        made = true_up_transfers(owners, year, day, at_ms, currency_of(ledger))
        ledger.post(made)
    seal_again(run, key_file)
    write_result(_document(year, owners, made), _words(owners, made), as_json=as_json)


def _document(year: int, owners: "Sequence[OwnerTrueUp]", made: "Sequence[Transfer]") -> dict[str, object]:
    return {
        "year": year,
        "owners": [
            {
                "owner": each.owner,
                "paid_micro": each.paid_micro,
                "before_micro": each.before_micro,
                "scale": each.scale,
                "due_micro": each.due_micro,
                "due": each.settled,
            }
            for each in owners
        ],
        "transfers": [transfer.id for transfer in made],
        "total_micro": sum(transfer.amount for transfer in made),
    }


def _words(owners: "Sequence[OwnerTrueUp]", made: "Sequence[Transfer]") -> str:
    lines = [
        f"{each.owner:20} paid {each.paid_micro / 1e6:10.2f}  measured x{each.scale:.2f}  "
        f"due {each.due_micro / 1e6:8.2f}  kept {each.settled.overpaid:8.2f}  "
        f"(whole due {each.settled.low:.2f} to {each.settled.high:.2f})"
        for each in owners
    ]
    lines.append(f"{len(made)} payments, {sum(transfer.amount for transfer in made) / 1e6:.2f} in all")
    return "\n".join(lines)
