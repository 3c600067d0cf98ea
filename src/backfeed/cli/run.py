"""`backfeed run`: a pilot's worlds on real sessions, written to a run folder."""

import sys
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from msgspec.json import decode
from rich.console import Console

from backfeed.app.simulated import run_pilot
from backfeed.cli.outcome import say, write_result
from backfeed.core.problem import InputError, Problem
from backfeed.report.summary import SUMMARY_FILE, WORLD_NAMES, WorldName
from backfeed.report.table import print_report

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TOLD_SHARE = 0.25
"""Without a terminal, progress is told at every quarter of the way."""


class LinkKind(StrEnum):
    """How chargers reach the platform."""

    SOCKET = "socket"
    MEMORY = "memory"


class _Meter:
    """Shows how far each world is: a bar each on a terminal, a line now and then elsewhere."""

    def __init__(self, bars: "Progress | None") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}

    def __call__(self, what: str, share: float) -> None:
        """Take note that `what` is done to a share."""
        if self._bars is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=1.0)
            self._bars.update(self._tasks[what], completed=share)
        elif share >= self._told.get(what, 0.0):
            say(f"{what}: {share:4.0%}")
            self._told[what] = (share // TOLD_SHARE + 1) * TOLD_SHARE


def _bars() -> "AbstractContextManager[Progress | None]":
    """Return progress bars on stderr if a person is looking at it."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description:10}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _worlds(text: str) -> tuple[WorldName, ...]:
    """Return the worlds that a comma-separated list names."""
    asked = [word.strip() for word in text.split(",") if word.strip()]
    known = get_args(WorldName)
    if unknown := [word for word in asked if word not in known]:
        raise InputError([Problem("--worlds", f"expected some of {', '.join(known)}, found {', '.join(unknown)}")])
    return tuple(name for name in WORLD_NAMES if name in asked)


def command(
    pilot: Annotated[Path, typer.Argument(help="A pilot file (TOML).")],
    *,
    out: Annotated[Path, typer.Option(help="The run folder; an earlier run in it is replaced.")],
    seed: Annotated[int | None, typer.Option(help="Replaces the pilot's seed.")] = None,
    link: Annotated[LinkKind, typer.Option(help="How chargers reach the platform.")] = LinkKind.SOCKET,
    worlds: Annotated[str, typer.Option(help="Which worlds, separated by commas.")] = ",".join(WORLD_NAMES),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Run a pilot on real sessions in simulated worlds and write a run folder.

    The folder holds report.html, summary.json, the event log, the ledger and closed days as Parquet.
    """
    with _bars() as bars:
        report = run_pilot(pilot, out, seed=seed, link=link.value, worlds=_worlds(worlds), progress=_Meter(bars))
    if as_json:
        write_result(decode((out / SUMMARY_FILE).read_bytes()), "", as_json=True)
    else:
        print_report(report, Console())
