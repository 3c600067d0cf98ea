"""The frame of a page that opens anywhere: no network, no other file, no library.

Style and script are inside; texts are there in English and in Simplified Chinese, of which a page shows one. Without
a script a page is complete, in English and light.
"""

from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path
from typing import Final

from backfeed.report.words import html_of

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
        body="\n".join(part for part in body if part),
    )


def header(heading: str, below: str, warnings: str = "") -> str:
    """Return a page's head with its two buttons; the arguments are ready markup."""
    return (
        f'<header><div><h1>{heading}</h1><p class="soft">{below}</p>{warnings}</div>'
        f'<button id="language" type="button">{html_of("language")}</button>'
        f'<button id="theme" type="button">{html_of("theme")}</button></header>'
    )


def section(heading: str, note: str, body: str) -> str:
    """Return a section; all three are ready markup."""
    told = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{heading}</h2>{told}{body}</section>"


def write_text(content: str, path: Path) -> None:
    """Write a text in one piece: a reader sees the old file or the new one, never half."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)


def _asset(name: str) -> str:
    return resources.files("backfeed.report").joinpath("data", name).read_text(encoding="utf-8")
