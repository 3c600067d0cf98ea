"""The report's words in English and Simplified Chinese, kept as data beside the package."""

import tomllib
from functools import cache
from html import escape
from importlib import resources
from typing import Final

from backfeed.report.run_report import Words

_FILES: Final = ("words.toml", "words-regulator.toml")


@cache
def _all_words() -> dict[str, Words]:
    found: dict[str, Words] = {}
    for name in _FILES:
        text = resources.files("backfeed.report").joinpath("data", name).read_text(encoding="utf-8")
        told = {key: Words(entry["en"], entry["zh"]) for key, entry in tomllib.loads(text).items()}
        assert not found.keys() & told.keys(), f"{name} names words that another file has"
        found |= told
    return found


def words(key: str, **values: str) -> Words:
    """Return the text of a key with `{name}` replaced.

    Raises
    ------
    KeyError
        If there is no such text.
    """
    found = _all_words()[key]
    return Words(found.en.format(**values), found.zh.format(**values)) if values else found


def has_words(key: str) -> bool:
    """Return whether there is a text of that key."""
    return key in _all_words()


def html(text: Words) -> str:
    """Return a text as two spans of which the page shows one."""
    return f'<span class="en">{escape(text.en)}</span><span class="zh" lang="zh-CN">{escape(text.zh)}</span>'


def html_of(key: str, **values: str) -> str:
    """Return the text of a key as `html` does."""
    return html(words(key, **values))


def svg(text: Words) -> str:
    """Return a text as two tspans, for the inside of a `<text>` element."""
    return f'<tspan class="en">{escape(text.en)}</tspan><tspan class="zh">{escape(text.zh)}</tspan>'
