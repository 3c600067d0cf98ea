"""`backfeed pilot`: a pilot file for a session file that nobody prepared."""

import os
from pathlib import Path
from typing import Annotated

import typer

from backfeed.cli.outcome import write_result
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem
from backfeed.feeds.pilot_draft import TARIFF_TIMEZONE, draft_pilot, pilot_toml
from backfeed.feeds.session_writer import sessions_csv
from backfeed.feeds.sessions import LAYOUT_NAMES, OWN_LAYOUT, read_sessions
from backfeed.feeds.wallclock import zone_named

app = typer.Typer(help="Make a pilot file for a session file.", no_args_is_help=True)


@app.callback()
def pilot() -> None:
    """Make a pilot file for a session file."""


@app.command()
def new(
    sessions: Annotated[Path, typer.Option(help="A session file, in Backfeed's schema or a known layout.")],
    out: Annotated[Path, typer.Option(help="The pilot file to write (TOML).")],
    timezone: Annotated[
        str | None,
        typer.Option(
            help=f"The pilot's IANA zone; {TARIFF_TIMEZONE}, where the tariff is from, by default. Times that name "
            "neither offset nor zone are read on its clock."
        ),
    ] = None,
    days: Annotated[int, typer.Option(help="Days to run; fewer if the file is shorter.")] = 14,
    layout: Annotated[
        str | None, typer.Option("--format", help=f"One of {', '.join(LAYOUT_NAMES)}; found out by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002
) -> None:
    """Write a pilot that runs as it is on SESSIONS.

    The session file stays where it is and is named by the pilot. Where --format says how to read it, the
    sessions that can be served are written beside the pilot in Backfeed's schema.
    """
    zone = zone_named(timezone or TARIFF_TIMEZONE, "--timezone").key
    if out.resolve() == sessions.resolve():
        raise InputError([Problem("--out", f"expected another file than --sessions, found {out}")])
    found = read_sessions(sessions, layout=layout, otherwise=zone)
    draft = draft_pilot(found, sessions.stem, zone, days, str(sessions))
    named = sessions
    if layout not in (None, OWN_LAYOUT):
        named = out.with_name(f"{out.stem}-sessions.csv")
        _write(named, sessions_csv(found))
    _write(out, pilot_toml(draft, _relative(named, out)))
    document = {
        "pilot": str(out),
        "sessions_file": str(named),
        "layout": found.layout,
        "timezone": draft.timezone,
        "start": draft.start.isoformat(),
        "days": draft.days,
        "shift_weeks": draft.shift_weeks,
        "power_kw": draft.power_kw,
        "rows": found.total,
        "accepted": len(found.table),
        "rejected": len(found.rejected),
        "in_window": draft.sessions,
    }
    words = (
        f"{out}: {draft.days} days from {draft.start} in {draft.timezone}, {draft.sessions} sessions "
        f"of {found.total} rows ({len(found.rejected)} rejected), layout {found.layout}, {draft.power_kw:g} kW\n"
        f"next: backfeed run {out} --out runs/{out.stem}"
    )
    write_result(document, words, as_json=as_json)


def _relative(path: Path, out: Path) -> str:
    """Return a path as the pilot file names it: relative to its own folder."""
    return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{path}: can not be written: {error.strerror or error}"
        raise EnvironmentProblemError(message) from error
