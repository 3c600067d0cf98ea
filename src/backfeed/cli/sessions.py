"""`backfeed sessions`: what a session file holds, and what is wrong with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from backfeed.feeds.session_file import SessionFile

app = typer.Typer(help="Judge session files.", no_args_is_help=True)


@app.callback()
def sessions() -> None:
    """Judge session files."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A session file.")],
    timezone: Annotated[str | None, typer.Option(help="IANA zone of times without an offset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002
) -> None:
    """Count the rows of FILE, and name every bad one by row number, field and reason."""
    from backfeed.feeds.sessions import read_sessions  # noqa: PLC0415 - --help must not wait for numpy

    found = read_sessions(file, timezone)
    counts = summarise(found)
    if as_json:
        typer.echo(json.dumps({"file": str(file), **counts}, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{file}: {counts['rows']} rows, {counts['accepted']} accepted, {counts['rejected']} rejected")
    if counts["accepted"]:
        typer.echo(
            f"{counts['first_arrival']} to {counts['last_departure']}, {counts['locations']} locations, "
            f"{counts['users']} users, {counts['energy_kwh']:.1f} kWh"
        )
    for problem in found.problems:
        typer.echo(str(problem))


def summarise(found: "SessionFile") -> dict[str, Any]:
    """Return the counts and problems of a judged file, ready for JSON."""
    from backfeed.core.instant import format_instant  # noqa: PLC0415 - see check

    table = found.table
    spans = bool(len(table))
    return {
        "layout": found.layout,
        "rows": found.total,
        "accepted": len(table),
        "rejected": len(found.rejected),
        "warnings": len(found.warnings),
        "first_arrival": format_instant(int(table.arrival_ms.min())) if spans else None,
        "last_departure": format_instant(int(table.departure_ms.max())) if spans else None,
        "locations": len(set(table.location)),
        "users": len(set(table.user_id) - {""}),
        "energy_kwh": round(float(table.energy_kwh.sum()), 6),
        "problems": [
            {
                "row": problem.row,
                "session_id": problem.session_id,
                "field": problem.field,
                "reason": problem.reason,
                "severity": problem.severity,
            }
            for problem in found.problems
        ],
    }
