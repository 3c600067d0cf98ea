"""The sections of the report page, one function each; a section without content is empty text."""

from collections.abc import Sequence
from html import escape
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from backfeed.core.instant import MS_PER_DAY
from backfeed.report.books_section import books_figure
from backfeed.report.chart import number, percent
from backfeed.report.figure_bars import gap_figure, payout_figure, targets_figure, value_figure
from backfeed.report.figure_time import car_figure, day_figure, fleet_figure, invitation_figure, site_figure
from backfeed.report.forecast_section import missed_table
from backfeed.report.frame import section
from backfeed.report.key_rows import KeyFigure, figures_of, invitation_lines, world_rows
from backfeed.report.run_report import OwnerRow, RunReport
from backfeed.report.summary import WORLD_NAMES, CapturedDetail, WorldName
from backfeed.report.words import has_words, html, html_of

_LARGEST_PAYOUTS: Final = 12


def key_figures(report: RunReport) -> str:
    """Return the tiles at the top."""
    figures = (*figures_of(report), *books_figure(report))
    return '<div class="tiles">' + "".join(_tile(figure) for figure in figures) + "</div>"


def _tile(figure: KeyFigure) -> str:
    kind = {True: " good", False: " bad", None: ""}[figure.good]
    note = f"<small>{html(figure.note)}</small>" if figure.note is not None else ""
    return f'<div class="tile{kind}"><b>{escape(figure.value)}</b>{html(figure.what)}{note}</div>'


def worlds_section(report: RunReport) -> str:
    """Return the table of worlds with the picture of what they cost and earn."""
    worlds = _worlds(report)
    head = "".join(f"<th>{html_of(name)}<small>{html_of(f'{name}_note')}</small></th>" for name in worlds)
    body = "".join(
        _row(html(row.what), [row.cells[name] for name in worlds], strong=row.strong) for row in world_rows(report)
    )
    days = (report.end_ms - report.start_ms) / MS_PER_DAY
    results = {name: report.summary.worlds[name] for name in worlds}
    table = f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    picture = f"<h3>{html_of('value_title')}</h3>" + value_figure(results, report.currency, days)
    return _section("four_worlds", "four_worlds_note", table + picture)


def _row(what: str, cells: Sequence[str], *, strong: bool) -> str:
    kind = ' class="strong"' if strong else ""
    return f"<tr{kind}><th>{what}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def pictures_section(report: RunReport, zone: ZoneInfo) -> list[str]:
    """Return the pictures over time."""
    fleet = (
        fleet_figure(report.fleet, zone, report.currency)
        + f"<h3>{html_of('day_title')}</h3>"
        + day_figure(report.fleet, zone, report.currency)
    )
    parts = [_section("fleet_title", "fleet_note", fleet)]
    if report.site is not None:
        title = html_of("site_title", site=report.site.site_id)
        parts.append(section(title, html_of("site_note"), site_figure(report.site, zone) + _sites_table(report)))
    if report.car is not None:
        car = report.car
        note = html_of("car_note", model=car.model, capacity=number(car.capacity_kwh))
        parts.append(section(html_of("car_title", car=car.label), note, car_figure(car, zone, report.currency)))
    return parts


def _sites_table(report: RunReport) -> str:
    name: WorldName = "v2g" if "v2g" in report.summary.worlds else _worlds(report)[-1]
    rows = "".join(
        f"<tr><td>{escape(site)}</td><td>{number(result.peak_import_kw, 1)} kW</td>"
        f"<td>{number(result.peak_export_kw, 1)} kW</td><td>{result.violations}</td></tr>"
        for site, result in sorted(report.summary.worlds[name].sites.items())
    )
    head = "".join(f"<th>{html_of(key)}</th>" for key in ("site", "peak_import", "peak_export", "violations"))
    return (
        f"<details><summary>{html_of('sites_title')}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def invitations_section(report: RunReport, zone: ZoneInfo) -> str:
    """Return one picture for every invitation."""
    if not report.invitations:
        return ""
    cells = []
    for event in report.invitations:
        ratio = event.delivered_kwh / event.promised_kwh if event.promised_kwh > 0 else None
        told = html_of(
            "delivered_line",
            delivered=number(event.delivered_kwh, 1),
            promised=number(event.promised_kwh, 1),
            ratio=percent(ratio, 0),
            paid=f"{number(event.paid, 2)} {report.currency}",
        )
        title = f"{escape(event.invitation)} \u00b7 {html_of(event.direction)}"
        told += "".join(f"<br>{html(line)}" for line in invitation_lines(event))
        cells.append(f"<div><h3>{title}</h3>{invitation_figure(event, zone)}<p>{told}</p></div>")
    return _section("invitations_title", "invitations_note", f'<div class="pair">{"".join(cells)}</div>')


def payouts_section(report: RunReport) -> str:
    """Return the largest payouts as a picture and all of them as a table."""
    owners = sorted(report.owners, key=lambda owner: (-_paid(owner), owner.owner))
    if not owners:
        return ""
    instruments = sorted({name for owner in owners for name in owner.payouts})
    amounts = [_paid(owner) for owner in owners]
    note = html_of(
        "payouts_note",
        owners=str(len(owners)),
        median=f"{number(median(amounts), 2)} {report.currency}",
        largest=f"{number(amounts[0], 2)} {report.currency}",
    )
    heads = "".join(
        f"<th>{html_of(key)}</th>" for key in ("owner", "owner_sessions", "charged_kwh", "discharged_kwh", "wear_cost")
    ) + "".join(f"<th>{html_of(name) if has_words(name) else escape(name)}</th>" for name in instruments)
    rows = "".join(_owner_row(owner, instruments) for owner in owners)
    shown = owners[:_LARGEST_PAYOUTS]
    body = (
        f"<h3>{html_of('payouts_bars', count=str(len(shown)))}</h3>"
        + payout_figure(shown, report.currency, [name for name in instruments if name != "points"])
        + f"<details><summary>{html_of('payouts_all')}</summary>"
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )
    return section(html_of("payouts_title"), note, body)


def _owner_row(owner: OwnerRow, instruments: Sequence[str]) -> str:
    cells = [str(owner.sessions), f"{number(owner.charged_kwh, 1)} kWh", f"{number(owner.discharged_kwh, 1)} kWh"]
    cells.append(number(owner.wear_cost, 2))
    cells += [number(owner.payouts.get(name, 0.0), 2) for name in instruments]
    return f"<tr><td>{escape(owner.owner)}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def targets_section(report: RunReport) -> str:
    """Return the regulator's targets."""
    if not report.summary.targets:
        return ""
    return _section("targets_title", "targets_note", targets_figure(report.summary.targets))


def gap_section(report: RunReport) -> str:
    """Return where the rest of the value went, and the captured share by statement."""
    parts = []
    if report.value_gap is not None and report.value_gap.missed:
        missed = gap_figure(report.value_gap.missed, report.currency, "gap_missed", "fill-discharge")
        held = report.value_gap.held_back
        right = gap_figure(held, report.currency, "gap_held", "fill-held") if held else ""
        parts.append(f'<div class="pair"><div>{missed}</div><div>{right}</div></div>')
        parts.append(missed_table(report.value_gap.rows, report.currency))
    detail = report.summary.captured_detail.captured_share
    parts.append(_statement_table(detail))
    return _section("gap_title", "gap_note", "".join(parts))


def _statement_table(detail: CapturedDetail) -> str:
    if detail.reason is not None:
        return f'<p class="soft">{html_of("captured_not_given")}: {escape(detail.reason)}</p>'
    rows = "".join(
        f"<tr><td>{html_of(kind)}</td><td>{part.sessions}</td><td>{percent(part.share)}</td>"
        f"<td>{percent(part.share_without_shortfalls)}</td></tr>"
        for kind, part in detail.by_statement.items()
    )
    rows += (
        f'<tr class="strong"><td>{html_of("total")}</td><td>{detail.sessions}</td><td>{percent(detail.share)}</td>'
        f"<td>{percent(detail.share_without_shortfalls)}</td></tr>"
    )
    keys = ("statement", "sessions", "share", "share_without_shortfalls")
    head = "".join(f"<th>{html_of(key)}</th>" for key in keys)
    return f"<h3>{html_of('by_statement')}</h3><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def assumptions_section(report: RunReport) -> str:
    """Return the assumptions with their marks, and the run under other ones."""
    rows = "".join(
        f'<tr><td class="words">{html(each.what)}</td>'
        f'<td class="words"><span class="mark {each.mark}">{html_of(f"mark_{each.mark}")}</span></td>'
        f'<td class="words">{escape(each.source)}</td></tr>'
        for each in report.assumptions
    )
    keys = ("assumption", "known", "source")
    head = "".join(f'<th class="words">{html_of(key)}</th>' for key in keys)
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    body = (table if rows else "") + _alternatives(report)
    return section(html_of("assumptions_title"), "", body) if body else ""


def _alternatives(report: RunReport) -> str:
    if not report.alternatives:
        return ""
    names = _worlds(report)
    head = "".join(f"<th>{html_of(name)}</th>" for name in names)
    own = "".join(f"<td>{number(report.summary.worlds[name].net_value, 2)}</td>" for name in names)
    rows = f"<tr><td>{html_of('as_reported')}</td>{own}</tr>"
    for other in report.alternatives:
        cells = "".join(
            f"<td>{number(other.net_value[name], 2) if name in other.net_value else chr(0x2013)}</td>" for name in names
        )
        rows += f"<tr><td>{html(other.what)}</td>{cells}</tr>"
    return (
        f"<h3>{html_of('alternatives_title')}</h3>"
        f'<div class="scroll"><table><thead><tr><th>{html_of("net_value_if")}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def run_section(report: RunReport) -> str:
    """Return what made the run."""
    run = report.summary.run
    facts = [
        ("version", run.version),
        ("seed", str(run.seed)),
        ("config", run.config_hash),
        ("event log", run.log_hash or "\u2013"),
        ("ledger", run.ledger_hash or "\u2013"),
        ("messages / plans / fallbacks", f"{number(run.messages)} / {number(run.plans)} / {run.fallbacks}"),
        ("largest plan gap", percent(run.plan_gap_max, 3)),
        ("CPU / wall / memory", f"{run.cpu_s:.0f} s / {run.wall_s:.0f} s / {run.peak_mb:.0f} MB"),
    ]
    rows = "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>" for name, value in facts)
    sources = "".join(f"<li>{escape(source)}</li>" for source in report.sources)
    body = f"<dl>{rows}</dl>" + (f"<h3>{html_of('sources_title')}</h3><ul>{sources}</ul>" if sources else "")
    return _section("run_title", "run_note", body)


def next_section(report: RunReport) -> str:
    """Return what to do next."""
    if not report.next_steps:
        return ""
    return section(html_of("next_title"), "", f"<pre>{escape(chr(10).join(report.next_steps))}</pre>")


def _worlds(report: RunReport) -> list[WorldName]:
    return [name for name in WORLD_NAMES if name in report.summary.worlds]


def _paid(owner: OwnerRow) -> float:
    """Return what an owner was paid in money's worth: points are none."""
    return sum(amount for unit, amount in owner.payouts.items() if unit != "points")


def _section(title: str, note: str, body: str) -> str:
    return section(html_of(title), html_of(note), body)
