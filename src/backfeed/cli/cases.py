"""`backfeed ledger cases`: what is held in quarantine, and the decision about it."""

from typing import Annotated

import typer

from backfeed.cli.books import AsJson, At, KeyFile, Run, open_books, parse_at, seal_again
from backfeed.cli.outcome import write_result

app = typer.Typer(help="List what is held in quarantine, clear or reject it.", no_args_is_help=True)

CaseName = Annotated[str, typer.Argument(help="Name of the case, as `list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the books.")]


@app.command("list")
def list_cases(run: Run, *, as_json: AsJson = False) -> None:
    """List every case with its reason, what owners would be paid, and what was decided."""
    from backfeed.settle.format import format_amount  # noqa: PLC0415 -- keeps --help quick
    from backfeed.settle.quarantine import cases  # noqa: PLC0415

    with open_books(run, readonly=True) as ledger:
        found = cases(ledger.transfers())
    document = {
        "cases": [
            {
                "name": case.name,
                "day": case.day,
                "reason": case.reason,
                "energy_wh": case.energy_wh,
                "owners": case.owners_micro,
                "state": case.state,
                "decision": case.decision,
            }
            for case in found
        ]
    }
    lines = []
    for case in found:
        amounts = ", ".join(f"{format_amount(amount, unit)} {unit}" for unit, amount in case.owners_micro.items())
        decided = f": {case.decision}" if case.decision else ""
        lines.append(
            f"{case.name}  {case.state}{decided}\n  {case.reason}\n  {case.energy_wh} Wh, {amounts or 'nothing'}"
        )
    write_result(document, "\n".join(lines) or "no cases", as_json=as_json)


@app.command()
def clear(
    run: Run, case: CaseName, *, reason: Reason, at: At, key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Clear a case: everything held is paid. It is final."""
    _decide(run, case, reason, at, key_file, cleared=True, as_json=as_json)


@app.command()
def reject(
    run: Run, case: CaseName, *, reason: Reason, at: At, key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Reject a case: nothing of it is ever paid. It is final."""
    _decide(run, case, reason, at, key_file, cleared=False, as_json=as_json)


def _decide(run: str, case: str, reason: str, at: str, key_file: KeyFile, *, cleared: bool, as_json: bool) -> None:
    from backfeed.settle.quarantine import decide  # noqa: PLC0415

    at_ms = parse_at(at)
    with open_books(run) as ledger:
        made = decide(ledger.transfers(), case, reason, at_ms, cleared=cleared)
        ledger.post(made)
    seal_again(run, key_file)
    state = "cleared" if cleared else "rejected"
    write_result({"case": case, "state": state, "transfers": len(made)}, f"{case} is {state}", as_json=as_json)
