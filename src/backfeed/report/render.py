"""The report as one page that opens anywhere: no network, no other file, no library.

Style, script and pictures are inside; texts are there in English and in Simplified Chinese, of which the
page shows one. Without a script the page is complete, in English and light.
"""

from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from backfeed.core.instant import MS_PER_DAY
from backfeed.report.books_section import books_section
from backfeed.report.figure_time import date_words
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

_PAGE: Final = """<!doctype html>
<html lang="{lang}" data-lang="{lang}"{asked} data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body data-zone="{zone}">
<main>
{body}
</main>
<div id="tip"></div>
<script>
{script}</script>
</body>
</html>
"""


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
        targets_section(report),
        gap_section(report),
        assumptions_section(report),
        run_section(report),
        next_section(report),
    ]
    return whole_page(f"{report.title} \u2013 Backfeed", report.timezone, body)


def whole_page(title: str, timezone: str, body: Iterable[str], language: str = "") -> str:
    """Return a page with the report's style and script around its sections.

    Parameters
    ----------
    title
        Of the document.
    timezone
        Whose clock pointers read instants on.
    body
        Sections; those without content are left out.
    language
        `en` or `zh` to open in that language; by default the reader's own.
    """
    return _PAGE.format(
        lang=language or "en",
        asked=f' data-asked="{language}"' if language else "",
        title=escape(title),
        style=_asset("report.css"),
        script=_asset("report.js"),
        zone=escape(timezone),
        body=_joined(body),
    )


def write_page(report: RunReport, path: Path) -> None:
    """Write the page of a run; see `write_text`."""
    write_text(render_page(report), path)


def write_text(content: str, path: Path) -> None:
    """Write a text in one piece: a reader sees the old file or the new one, never half."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)


def _header(report: RunReport, zone: ZoneInfo) -> str:
    first, last = date_words(report.start_ms, zone), date_words(report.end_ms - MS_PER_DAY, zone)
    dates = f"{html(first)} \u2013 {html(last)}"
    clock = html_of("local_time", zone=report.timezone)
    return (
        f"<header><div><h1>{escape(report.title)}</h1>"
        f'<p class="soft">{escape(report.place)} \u00b7 {dates} \u00b7 {clock}<br>'
        f"{html_of('simulated')}</p>{_warnings(report)}</div>"
        f'<button id="language" type="button">{html_of("language")}</button>'
        f'<button id="theme" type="button">{html_of("theme")}</button></header>'
    )


def _warnings(report: RunReport) -> str:
    """Return what a reader has to know before believing a figure."""
    lines = "<br>".join(escape(warning) for warning in report.warnings)
    return f'<p class="warning"><b>{html_of("warnings")}</b> {lines}</p>' if lines else ""


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def _asset(name: str) -> str:
    return resources.files("backfeed.report").joinpath("data", name).read_text(encoding="utf-8")
