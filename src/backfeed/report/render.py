"""The report as one page, from its sections (see `frame`)."""

from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

from backfeed.core.instant import MS_PER_DAY
from backfeed.report.battery_index import batteries_section
from backfeed.report.books_section import books_section
from backfeed.report.figure_time import date_words
from backfeed.report.forecast_section import forecast_section
from backfeed.report.frame import header, whole_page, write_text
from backfeed.report.page_parts import (
    assumptions_section,
    gap_section,
    invitations_section,
    key_figures,
    next_section,
    payouts_section,
    pictures_section,
    run_section,
    targets_section,
    worlds_section,
)
from backfeed.report.run_report import RunReport
from backfeed.report.words import html, html_of


def render_page(report: RunReport) -> str:
    """Return the page; the same report gives the same text."""
    zone = ZoneInfo(report.timezone)
    body = [
        _header(report, zone),
        key_figures(report),
        worlds_section(report),
        *pictures_section(report, zone),
        invitations_section(report, zone),
        payouts_section(report),
        books_section(report),
        batteries_section(report.batteries),
        targets_section(report),
        gap_section(report),
        forecast_section(report),
        assumptions_section(report),
        run_section(report),
        next_section(report),
    ]
    return whole_page(f"{report.title} \u2013 Backfeed", report.timezone, body)


def write_page(report: RunReport, path: Path) -> None:
    """Write the page of a run; see `frame.write_text`."""
    write_text(render_page(report), path)


def _header(report: RunReport, zone: ZoneInfo) -> str:
    first, last = date_words(report.start_ms, zone), date_words(report.end_ms - MS_PER_DAY, zone)
    dates = f"{html(first)} \u2013 {html(last)}"
    clock = html_of("local_time", zone=report.timezone)
    below = f"{escape(report.place)} \u00b7 {dates} \u00b7 {clock}<br>{html_of('simulated')}"
    return header(escape(report.title), below, _warnings(report))


def _warnings(report: RunReport) -> str:
    """Return what a reader has to know before believing a figure."""
    lines = "<br>".join(escape(warning) for warning in report.warnings)
    return f'<p class="warning"><b>{html_of("warnings")}</b> {lines}</p>' if lines else ""
