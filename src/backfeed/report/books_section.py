"""The report's section on the books: who was made whole, what is held and why, what subsidies paid."""

from collections.abc import Sequence
from html import escape
from typing import Final

from backfeed.report.chart import number
from backfeed.report.key_rows import KeyFigure
from backfeed.report.run_report import Books, RunReport, Words
from backfeed.report.words import has_words, html, html_of, words

_WHOLE: Final = ("owner", "unmanaged_bill", "bill", "payout", "wear_cost", "made_up")
_HELD: Final = ("case", "why", "energy", "amount", "case_state")
_SUBSIDY: Final = ("subsidy", "paid_out", "cap")
_WHOLE_FROM = 100.0
"""From here on the hundredths of a sum are no key figure."""


def books_figure(report: RunReport) -> list[KeyFigure]:
    """Return the aggregator's result for the top of the page: a deficit stands there, not in a note."""
    books = report.books
    if books is None:
        return []
    paid = number(books.top_up + books.guarantee + books.bonuses, 2)
    note = words("aggregator_note", paid=f"{paid} {report.currency}", owners=str(len(books.whole)))
    what = words("aggregator_result" if books.aggregator >= 0 else "aggregator_deficit")
    decimals = 0 if abs(books.aggregator) >= _WHOLE_FROM else 2
    return [KeyFigure(f"{number(books.aggregator, decimals)} {report.currency}", what, note, books.aggregator >= 0)]


def books_section(report: RunReport) -> str:
    """Return the section; empty where there are no books."""
    books = report.books
    if books is None:
        return ""
    note = html_of(
        "books_note",
        top_up=f"{number(books.top_up, 2)} {report.currency}",
        guarantee=f"{number(books.guarantee, 2)} {report.currency}",
        bonuses=f"{number(books.bonuses, 2)} {report.currency}",
    )
    body = _whole(books) + _held(books) + _subsidies(books)
    return f'<section><h2>{html_of("books_title")}</h2><p class="note">{note}</p>{body}</section>'


def _whole(books: Books) -> str:
    if not books.whole:
        return f'<p class="soft">{html_of("whole_none")}</p>'
    rows = []
    for row in books.whole:
        amounts = (row.unmanaged, row.bill, row.payout, row.wear, row.made_up)
        rows.append([escape(row.owner), *(number(amount, 2) for amount in amounts)])
    return f"<h3>{html_of('whole_title')}</h3>" + _table(_WHOLE, rows)


def _held(books: Books) -> str:
    if not books.held:
        return f'<p class="soft">{html_of("held_none")}</p>'
    rows = [
        [
            escape(row.case),
            reason_html(row.reason),
            f"{number(row.energy_kwh, 1)} kWh",
            escape(", ".join(f"{number(amount, 2)} {unit}" for unit, amount in row.amounts.items()) or "\u2013"),
            html_of(row.state) + (f"<br>{escape(row.decision)}" if row.decision else ""),
        ]
        for row in books.held
    ]
    return f"<h3>{html_of('held_title')}</h3>" + _table(_HELD, rows, words_in=(0, 1, 4))


def reason_html(reason: str) -> str:
    """Return a finding's reason; its scheme in both languages, what was found as it stands in the books."""
    scheme, _, found = reason.partition(": ")
    key = scheme.replace(" ", "_")
    return f"{html_of(key)}: {escape(found)}" if has_words(key) else escape(reason)


def _subsidies(books: Books) -> str:
    if not books.subsidies:
        return ""
    rows = []
    for row in books.subsidies:
        reached = f" {html_of('cap_reached')}" if row.cap is not None and row.paid >= row.cap else ""
        cap = number(row.cap, 2) + reached if row.cap is not None else html(Words("none", "无"))
        rows.append([escape(row.name), number(row.paid, 2), cap])
    return f"<h3>{html_of('subsidies_title')}</h3>" + _table(_SUBSIDY, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words_in: Sequence[int] = (0,)) -> str:
    def kind(column: int) -> str:
        return ' class="words"' if column in words_in else ""

    head = "".join(f"<th{kind(i)}>{html_of(key)}</th>" for i, key in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
