"""`backfeed sessions`: what a session file holds, and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from backfeed.cli.outcome import write_result
from backfeed.core.instant import format_instant
from backfeed.feeds.session_file import SessionFile
from backfeed.feeds.sessions import LAYOUT_NAMES, read_sessions

app = typer.Typer(help="Check session files.", no_args_is_help=True)


@app.callback()
def sessions() -> None:
    """Check session files."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A session file, in Backfeed's schema or a known layout.")],
    timezone: Annotated[str | None, typer.Option(help="IANA zone of times without an offset.")] = None,
    layout: Annotated[
        str | None, typer.Option("--format", help=f"One of {', '.join(LAYOUT_NAMES)}; found out by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002
) -> None:
    """Count the rows of FILE, and name every bad one by row number, field and reason."""
    found = read_sessions(file, timezone, layout)
    counts = summarise(found)
    told = f"{counts['rows']} rows, {counts['accepted']} accepted, {counts['rejected']} rejected"
    lines = [f"{file}: {told} (layout {counts['layout']})"]
    if counts["accepted"]:
        lines.append(
            f"{counts['first_arrival']} to {counts['last_departure']}, {counts['locations']} locations, "
            f"{counts['users']} users, {counts['energy_kwh']:.1f} kWh"
        )
    lines += [str(problem) for problem in found.problems]
    write_result({"file": str(file), **counts}, "\n".join(lines), as_json=as_json)


def summarise(found: SessionFile) -> dict[str, Any]:
    """Return the counts and problems of a judged file, ready for JSON."""
    table = found.table
    spans = len(table) > 0
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
