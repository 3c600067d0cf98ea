"""The report's sections on knowing: how good the forecasts of departures were, and what not knowing cost."""

from collections.abc import Sequence

from backfeed.report.chart import number, percent
from backfeed.report.run_report import DepartureForecasts, MissedRow, RunReport
from backfeed.report.words import html_of

_CAUSES = ("energy", "shortfall", "wear", "leftover")


def forecast_section(report: RunReport) -> str:
    """Return the section on forecasts of departures; empty where there are none."""
    told = report.forecasts
    if told is None:
        return ""
    body = _calibration(told) + _sharpness(told) + _risk(told, report.currency) + _prompts(report)
    note = html_of("forecast_note", cases=f"{sum(each.cases for each in told.groups):,}")
    return f'<section><h2>{html_of("forecast_title")}</h2><p class="note">{note}</p>{body}</section>'


def _calibration(told: DepartureForecasts) -> str:
    heads = [html_of("forecast_group"), html_of("forecast_cases"), *(percent(level, 0) for level in told.levels)]
    rows = [
        [html_of(f"forecast_{group.name}"), f"{group.cases:,}", *(percent(share, 1) for share in group.coverage)]
        for group in told.groups
    ]
    return f"<h3>{html_of('calibration_title')}</h3>" + _table(heads, rows)


def _sharpness(told: DepartureForecasts) -> str:
    keys = ("forecast_group", "forecast_width", "forecast_loss", "forecast_naive", "forecast_word", "forecast_ranking")
    rows = [
        [
            html_of(f"forecast_{group.name}"),
            f"{number(group.width_h, 1)} h",
            f"{number(group.pinball_h, 2)} h",
            f"{number(group.naive_h, 2)} h",
            f"{number(group.stated_h, 2)} h" if group.stated_h is not None else "\u2013",
            number(group.ranking, 3) if group.ranking is not None else "\u2013",
        ]
        for group in told.groups
    ]
    return f"<h3>{html_of('sharpness_title')}</h3>" + _table([html_of(key) for key in keys], rows)


def _risk(told: DepartureForecasts, currency: str) -> str:
    if not told.bands:
        return ""
    keys = ("risk_band", "sessions", "risk_gained", "risk_possible", "share", "risk_short")
    rows = [
        [
            f"{percent(band.low, 0)} \u2013 {percent(band.high, 0)}",
            str(band.sessions),
            f"{number(band.gained, 1)} {currency}",
            f"{number(band.possible, 1)} {currency}",
            percent(band.gained / band.possible, 0) if band.possible > 0 else "\u2013",
            f"{number(band.shortfall_cost, 1)} {currency}",
        ]
        for band in told.bands
    ]
    note = f'<p class="note">{html_of("risk_note")}</p>'
    return f"<h3>{html_of('risk_title')}</h3>{note}" + _table([html_of(key) for key in keys], rows)


def _prompts(report: RunReport) -> str:
    asked = report.summary.prompts
    if asked is None:
        return ""
    cost = f"{number(asked.bonus_cost, 2)} {report.currency}"
    told = html_of("prompts_line", sent=str(asked.sent), cost=cost)
    heads = [html_of(f"prompts_{key}") for key in ("kind", "sent", "answered", "kept", "cost")]
    rows = [
        [
            html_of(f"prompts_{kind}"),
            *(str(count) for count in (each.sent, each.answered, each.kept)),
            f"{number(each.bonus_cost, 2)} {report.currency}",
        ]
        for kind, each in asked.by_kind.items()
    ]
    return f"<h3>{html_of('prompts_title')}</h3><p>{told}</p>" + (_table(heads, rows) if rows else "")


def missed_table(rows: Sequence[MissedRow], currency: str) -> str:
    """Return what every class of sessions missed, by what it was missed in; empty without rows."""
    if not rows:
        return ""
    heads = [html_of("missed_class"), html_of("sessions"), *(html_of(f"missed_{cause}") for cause in _CAUSES)]
    heads.append(html_of("total"))
    cells = []
    for row in rows:
        told = html_of("missed_soc" if row.tells_soc else "missed_hidden")
        amounts = [row.energy, row.shortfall, row.wear, row.leftover]
        cells.append(
            [
                f"{html_of(row.statement)}, {told}",
                str(row.sessions),
                *(number(each, 1) for each in amounts),
                number(sum(amounts), 1),
            ]
        )
    note = f'<p class="note">{html_of("missed_note")}</p>'
    return f"<h3>{html_of('missed_title', currency=currency)}</h3>{note}" + _table(heads, cells)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th{_kind(column)}>{each}</th>" for column, each in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{_kind(column)}>{each}</td>" for column, each in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _kind(column: int) -> str:
    return ' class="words"' if column == 0 else ""
