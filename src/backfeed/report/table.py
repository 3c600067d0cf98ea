"""The result of a run on the console: the worlds side by side, promises, targets, and what to do next."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backfeed.report.books_section import books_figure
from backfeed.report.chart import number, percent
from backfeed.report.key_rows import figures_of, invitation_lines, target_amount, world_rows
from backfeed.report.run_report import RunReport
from backfeed.report.summary import WORLD_NAMES, Target, TargetName
from backfeed.report.words import words


def print_report(report: RunReport, console: Console) -> None:
    """Print a run so that a person understands it; English, at most 100 columns wide.

    Parameters
    ----------
    report
        The run.
    console
        Where to; it decides about colours and width.
    """
    console.print()
    console.print(Text(f"{report.title}, {report.place}", style="bold"))
    for warning in report.warnings:
        console.print(Text(f"warning: {warning}", style="bold yellow"))
    console.print(Padding(_worlds_table(report), (1, 0)))
    for figure in (*figures_of(report), *books_figure(report)):
        note = f" ({figure.note.en})" if figure.note is not None else ""
        style = {True: "green", False: "red", None: ""}[figure.good]
        console.print(Text.assemble((f"  {figure.value:>12}", f"bold {style}".strip()), f"  {figure.what.en}{note}"))
    _print_invitations(report, console)
    if report.summary.targets:
        console.print(Text("\nThe regulator's targets", style="bold"))
        for name, target in report.summary.targets.items():
            console.print(Text("  ").append_text(_target_line(name, target)))
    if report.next_steps:
        console.print(Text("\nWhat to do next", style="bold"))
        for step in report.next_steps:
            console.print(Text(f"  {step}"), soft_wrap=True)


def _worlds_table(report: RunReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    names = [name for name in WORLD_NAMES if name in report.summary.worlds]
    for name in names:
        table.add_column(words(name).en, justify="right")
    for row in world_rows(report):
        style = "bold" if row.strong else ""
        table.add_row(row.what.en, *(row.cells[name] for name in names), style=style)
    return table


def _print_invitations(report: RunReport, console: Console) -> None:
    if not report.invitations:
        return
    console.print(Text("\nInvitations", style="bold"))
    for event in report.invitations:
        ratio = event.delivered_kwh / event.promised_kwh if event.promised_kwh > 0 else None
        console.print(
            Text(
                f"  {event.invitation} ({words(event.direction).en}): {number(event.delivered_kwh, 1)} of "
                f"{number(event.promised_kwh, 1)} kWh delivered ({percent(ratio, 0)}), "
                f"{number(event.paid, 2)} {report.currency} paid"
            )
        )
        for line in invitation_lines(event):
            console.print(Text(f"    {line.en}"))


def _target_line(name: TargetName, target: Target) -> Text:
    if target.achieved is None:
        return Text(f"{words(name).en}: nothing to measure", style="dim")
    verdict = ("met", "green") if target.met else ("missed", "yellow")
    line = Text.assemble(
        f"{words(name).en}: {target_amount(name, target.achieved)} of {target_amount(name, target.required)}, ", verdict
    )
    if not target.met:
        parts = (target_amount(name, part) for part in (target.controllable, target.structural))
        line.append(" (controllable {}, structural {})".format(*parts))
    return line
