"""The regulator's report as one page: verdicts first, then roll-ups, then what every figure rests on."""

from html import escape
from zoneinfo import ZoneInfo

from backfeed.core.instant import local_datetime
from backfeed.report.chart import number
from backfeed.report.figure_bars import targets_figure
from backfeed.report.frame import whole_page
from backfeed.report.key_rows import target_amount
from backfeed.report.regulator import LevelRow, RegulatorReport, RunFigures
from backfeed.report.run_report import Words
from backfeed.report.summary import Target
from backfeed.report.words import html, html_of, words


def regulator_page(report: RegulatorReport, timezone: str, language: str) -> str:
    """Return the page; the same report gives the same text.

    Parameters
    ----------
    report
        What to tell.
    timezone
        Whose clock instants are shown on.
    language
        `en` or `zh`: what the page opens in; the other is a button away.
    """
    zone = ZoneInfo(timezone)
    body = [
        _header(report),
        _tiles(report),
        _projects(report, zone),
        _roll_up(report),
        *(_evidence(run, first=number == 0) for number, run in enumerate(report.runs)),
    ]
    title = words("regulator_title")
    return whole_page(f"{title.zh if language == 'zh' else title.en} \u2013 Backfeed", timezone, body, language)


def level_name(row: LevelRow) -> Words:
    """Return what a row is called: its own name, or all runs for the country."""
    return Words(row.name, row.name) if row.name else words("all_runs")


def _header(report: RegulatorReport) -> str:
    notice = report.notice
    counts = {"runs": str(len(report.runs)), "projects": str(report.projects), "cities": str(report.cities)}
    lead = Words(
        words("regulator_lead", notice=notice.title.en, **counts).en,
        words("regulator_lead", notice=notice.title.zh, **counts).zh,
    )
    simulated = [run.run for run in report.runs if run.simulated]
    told = f"<br>{html_of('regulator_simulated', runs=', '.join(simulated))}" if simulated else ""
    return (
        f'<header><div><h1>{html_of("regulator_title")}</h1><p class="soft">{html(lead)}<br>'
        f'{escape(notice.source)} <span class="mark {notice.mark.value}">{html_of(f"mark_{notice.mark.value}")}</span>'
        f"<br>{html_of('regulator_figures')}{told}</p></div>"
        f'<button id="language" type="button">{html_of("language")}</button>'
        f'<button id="theme" type="button">{html_of("theme")}</button></header>'
    )


def _tiles(report: RegulatorReport) -> str:
    notice, projects = report.notice, report.projects
    sound = all(run.proof.holds for run in report.runs)
    met = [target.met for row in report.rows if row.level == "project" for target in row.targets.values()]
    tiles = [
        (html_of("of_asked", found=str(sum(met)), asked=str(len(met))), words("met"), all(met)),
        ("\u2713" if sound else "\u2717", words("regulator_proof_ok" if sound else "regulator_proof_bad"), sound),
    ]
    if projects > 1:
        found = ((report.cities, notice.cities, "cities_asked"), (projects, notice.projects, "projects_asked"))
        tiles[1:1] = [
            (html_of("of_asked", found=str(have), asked=str(want)), words(key), have >= want)
            for have, want, key in found
        ]
    cells = "".join(
        f'<div class="tile {"good" if good else "bad"}"><b>{value}</b>{html(what)}</div>' for value, what, good in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _projects(report: RegulatorReport, zone: ZoneInfo) -> str:
    parts = [
        f"<section><h2>{html_of('regulator_projects')}</h2><p class='note'>{html_of('regulator_projects_note')}</p>"
    ]
    for row in report.rows:
        if row.level != "project":
            continue
        where = "".join(f" \u00b7 {escape(part)}" for part in (row.place.province, row.place.city) if part)
        at = "\u2013"
        if row.peak.start_ms >= 0:
            at = local_datetime(row.peak.start_ms, zone).strftime("%Y-%m-%d %H:%M")
        notes = [
            html_of("scaled", days=str(row.days)),
            html_of("peak_at", at=at, rated=number(row.discharge_rated_kw)),
        ]
        if row.region_named is not None:
            notes.append(html_of("region_named" if row.region_named else "region_unnamed"))
        parts.append(
            f'<h3>{escape(row.name)}{where}</h3>{targets_figure(row.targets)}<p class="soft">{"<br>".join(notes)}</p>'
        )
    return "".join(parts) + "</section>"


def _roll_up(report: RegulatorReport) -> str:
    rows = [row for row in report.rows if row.level != "project"]
    if not rows:
        return ""
    shares = list(rows[0].targets)
    keys = ("level", "name_of", "projects_count", *shares, "sum_power", "power_met", "sum_energy", "energy_met")
    head = "".join(f"<th>{html_of(key)}</th>" for key in keys)
    body = "".join(_roll_up_row(row) for row in rows)
    return (
        f"<section><h2>{html_of('regulator_rollup')}</h2><p class='note'>{html_of('regulator_rollup_note')}</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _roll_up_row(row: LevelRow) -> str:
    cells = [
        html_of(row.level),
        html(level_name(row)),
        str(row.projects),
        *(_share_cell(target) for target in row.targets.values()),
        f"{number(row.discharge_power_kw)} kW",
        f"{row.power_met} / {row.projects}",
        f"{number(row.discharged_kwh_per_year)} kWh",
        f"{row.energy_met} / {row.projects}",
    ]
    strong = ' class="strong"' if row.level == "country" else ""
    return f"<tr{strong}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _share_cell(target: Target) -> str:
    if target.achieved is None:
        return html_of("not_known")
    sign = "\u2713" if target.met else "\u2717"
    return f"{target_amount('offpeak_share', target.achieved)} {sign}"


def _evidence(run: RunFigures, *, first: bool) -> str:
    proof = run.proof
    facts = [
        (html_of("run_folder"), escape(run.run)),
        (html_of("verdict"), html_of("regulator_proof_ok" if proof.holds else "regulator_proof_bad")),
        (html_of("log_head"), f"<code>{escape(proof.log_head)}</code>"),
        (html_of("ledger_head"), f"<code>{escape(proof.ledger_head)}</code>"),
        (html_of("tariff_name"), escape(run.tariff)),
        *((html_of("warning"), escape(text)) for text in run.warnings),
        *((html_of("problem"), escape(text)) for text in proof.problems),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    days = [
        (
            escape(day.day),
            str(day.intervals),
            *_energies(day.charged_kwh, day.valley_kwh, day.discharged_kwh),
            f"<code>{escape(day.content_sha256)}</code>",
        )
        for day in run.days
    ]
    meters = [
        (
            escape(meter.site),
            escape(f"{meter.station}/{meter.evse}"),
            html_of("pile_private" if meter.private else "pile_public"),
            str(meter.intervals),
            *_energies(meter.charged_kwh, meter.valley_kwh, meter.discharged_kwh),
            f"{number(meter.discharge_rated_kw, 1)} kW",
        )
        for meter in run.meters
    ]
    energies = ("charged_kwh", "valley_kwh", "discharged_kwh")
    title = f"<h2>{html_of('regulator_evidence')}</h2><p class='note'>{html_of('regulator_evidence_note')}</p>"
    return (
        f"<section>{title if first else ''}<h3>{escape(run.place.project)}</h3><dl>{listed}</dl>"
        f"{_folded('days_title', ('day', 'intervals', *energies, 'content_hash'), days)}"
        f"{_folded('meters', ('site', 'station', 'pile', 'intervals', *energies, 'rated_discharge'), meters)}</section>"
    )


def _energies(*kwh: float) -> tuple[str, ...]:
    return tuple(f"{number(each, 1)} kWh" for each in kwh)


def _folded(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{html_of(key)}</th>" for key in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f"<details><summary>{html_of(title)} ({len(rows)})</summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>'
    )
