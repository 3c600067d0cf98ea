"""`backfeed report`: what others than the operator want to know of runs."""

import csv
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backfeed.cli.outcome import QualityMissedError, say, write_result
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

if TYPE_CHECKING:
    from backfeed.report.regulator import Place, RegulatorReport

PAGE_FILE = "targets.html"

app = typer.Typer(help="Report runs to the regulator.", no_args_is_help=True)


class Language(StrEnum):
    """What the report is written in; the page has both."""

    ENGLISH = "en"
    CHINESE = "zh"


@app.callback()
def report() -> None:
    """Report runs to the regulator."""


@app.command()
def targets(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs or services.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the page and the tables; made if missing.")] = None,
    lang: Annotated[
        Language, typer.Option(help="What tables are written in and the page opens in.")
    ] = Language.ENGLISH,
    projects: Annotated[
        Path | None, typer.Option(help="CSV: run,project,city,province. Says where a run belongs.")
    ] = None,
    requirements: Annotated[
        str, typer.Option(help="Another notice, or a TOML file with the figures of one.")
    ] = "2024-09",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Hold RUNS against the regulator's targets, with evidence, rolled up over projects, cities and provinces.

    Off-peak share of charging (gross, and net of what was fed back), share of private piles, combined discharge power,
    yearly discharge; each gap split into what the platform could close and what no control could. Exits with 3 if log,
    books and intervals of a run do not agree.
    """
    from backfeed.app.regulator import read_runs  # noqa: PLC0415 -- keeps --help quick
    from backfeed.report.regulator import regulator_report  # noqa: PLC0415
    from backfeed.report.regulator_files import regulator_document  # noqa: PLC0415
    from backfeed.report.requirements import load_notice  # noqa: PLC0415

    notice = load_notice(requirements)
    read = read_runs(runs, {} if projects is None else _places(projects))
    made = regulator_report(read, notice)
    if out is not None:
        _write(made, out, runs[0], lang.value)
    write_result(regulator_document(made), _words(made), as_json=as_json)
    for run in made.runs:
        for text in (*run.warnings, *run.proof.problems):
            say(f"warning: {run.run}: {text}")
    if not all(run.proof.holds for run in made.runs):
        message = "log, books and intervals of a run do not agree"
        raise QualityMissedError(message)


def _places(file: Path) -> "dict[str, Place]":
    """Read where runs belong; a path in the table is relative to the table, as it is or as it was given."""
    from backfeed.report.regulator import Place  # noqa: PLC0415

    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError([Problem(str(file), f"can not be read: {error}")]) from error
    problems = [
        Problem(f"{file} row {number}", f"{column} is missing")
        for number, row in enumerate(rows, 2)
        for column in ("run", "project")
        if not row.get(column)
    ]
    names = [row.get("run") or "" for row in rows]
    problems += [
        Problem(f"{file} row {number}", f"run {name} is named twice")
        for number, name in enumerate(names, 2)
        if name and name in names[: number - 2]
    ]
    if problems or not rows:
        raise InputError(problems or [Problem(str(file), "expected rows of run,project,city,province, found none")])
    return {row["run"]: Place(row["project"], row.get("city") or "", row.get("province") or "") for row in rows}


def _write(made: "RegulatorReport", out: Path, first: Path, language: str) -> None:
    from backfeed.app.project import read_project  # noqa: PLC0415
    from backfeed.report.frame import write_text  # noqa: PLC0415
    from backfeed.report.regulator_files import days_csv, meters_csv, targets_csv  # noqa: PLC0415
    from backfeed.report.regulator_page import regulator_page  # noqa: PLC0415

    files = {
        PAGE_FILE: regulator_page(made, read_project(first).timezone, language),
        "targets.csv": targets_csv(made, language),
        "evidence-days.csv": days_csv(made, language),
        "evidence-meters.csv": meters_csv(made, language),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_text(content, out / name)
    except OSError as error:
        message = f"{out}: can not be written: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    say(f"{', '.join(files)} in {out}")


def _words(made: "RegulatorReport") -> str:
    """Return the report as lines for a terminal, in English."""
    from backfeed.report.key_rows import target_amount  # noqa: PLC0415
    from backfeed.report.regulator_page import level_name  # noqa: PLC0415
    from backfeed.report.words import words  # noqa: PLC0415

    lines = [f"{made.notice.title.en} ({made.notice.mark.words}): {made.notice.source}"]
    for row in made.rows:
        place = ", ".join(part for part in (row.place.city, row.place.province) if part and part != row.name)
        lines.append(f"\n{words(row.level).en} {level_name(row).en}{f' ({place})' if place else ''}, {row.days} days")
        for name, target in row.targets.items():
            if target.achieved is None:
                lines.append(f"  {words(name).en:32} nothing to measure")
                continue
            told = f"  {words(name).en:32} {target_amount(name, target.achieved):>12} of "
            told += f"{target_amount(name, target.required):>11}  {'met' if target.met else 'missed'}"
            if not target.met:
                told += f" (controllable {target_amount(name, target.controllable)}, "
                told += f"structural {target_amount(name, target.structural)})"
            lines.append(told)
        if row.level != "project":
            lines.append(
                f"  {row.projects} projects: {row.power_met} with enough power, {row.energy_met} with enough energy"
            )
        if row.region_named is False:
            lines.append(f"  {words('region_unnamed').en}")
    if made.projects > 1:
        lines.append(
            f"\ncities {made.cities} of {made.notice.cities}, projects {made.projects} of {made.notice.projects}"
        )
    lines.append("")
    lines += [
        f"{run.run}: log {run.proof.log_head}\n{'':{len(run.run)}}  ledger {run.proof.ledger_head}, "
        f"{'log, books and intervals agree' if run.proof.holds else 'THE EVIDENCE DOES NOT HOLD'}"
        for run in made.runs
    ]
    return "\n".join(lines)
