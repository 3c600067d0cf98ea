"""The regulator's report as tables and as a document: CSV for people with a spreadsheet, JSON for programs."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from backfeed.report.key_rows import is_share
from backfeed.report.regulator import LevelRow, RegulatorReport
from backfeed.report.regulator_page import level_name
from backfeed.report.words import words

_SPREADSHEET_MARK: Final = "\ufeff"
"""What tells a spreadsheet that a text is UTF-8, without which Chinese words come out as noise."""


def targets_csv(report: RegulatorReport, language: str) -> str:
    """Return one row for every target of every project, city, province and of the country."""
    heads = (
        "level", "name_of", "city", "province", "target_name", "unit", "asked", "reached", "within_reach", "verdict",
        "controllable", "structural", "projects_count", "days_count",
    )  # fmt: skip
    rows = [
        (
            _said(row.level, language),
            _name(row, language),
            row.place.city,
            row.place.province,
            _said(name, language),
            "1" if is_share(name) else ("kW" if name == "discharge_power_kw" else "kWh"),
            target.required,
            "" if target.achieved is None else target.achieved,
            "" if target.reachable is None else target.reachable,
            _said("not_known" if target.achieved is None else ("met" if target.met else "missed"), language),
            target.controllable,
            target.structural,
            row.projects,
            row.days,
        )
        for row in report.rows
        for name, target in row.targets.items()
    ]
    return _written(heads, rows, language)


def days_csv(report: RegulatorReport, language: str) -> str:
    """Return one row for every settled day of every run, with the hash of its intervals."""
    heads = (
        "run_folder", "project", "day", "intervals", "charged_kwh", "valley_kwh", "discharged_kwh", "content_hash",
        "log_head", "ledger_head", "verdict",
    )  # fmt: skip
    rows = [
        (
            run.run,
            run.place.project,
            day.day,
            day.intervals,
            day.charged_kwh,
            day.valley_kwh,
            day.discharged_kwh,
            day.content_sha256,
            run.proof.log_head,
            run.proof.ledger_head,
            _said("regulator_proof_ok" if run.proof.holds else "regulator_proof_bad", language),
        )
        for run in report.runs
        for day in run.days
    ]
    return _written(heads, rows, language)


def meters_csv(report: RegulatorReport, language: str) -> str:
    """Return one row for every meter of every run."""
    heads = (
        "run_folder", "project", "site", "station", "pile", "intervals", "charged_kwh", "valley_kwh", "discharged_kwh",
        "rated_discharge",
    )  # fmt: skip
    rows = [
        (
            run.run,
            run.place.project,
            meter.site,
            f"{meter.station}/{meter.evse}",
            _said("pile_private" if meter.private else "pile_public", language),
            meter.intervals,
            meter.charged_kwh,
            meter.valley_kwh,
            meter.discharged_kwh,
            meter.discharge_rated_kw,
        )
        for run in report.runs
        for meter in run.meters
    ]
    return _written(heads, rows, language)


def regulator_document(report: RegulatorReport) -> dict[str, Any]:
    """Return the report as the JSON document that programs rely on; extend it by adding."""
    notice = report.notice
    return {
        "notice": {"id": notice.notice_id, "source": notice.source, "mark": notice.mark.value},
        "cities": {"found": report.cities, "required": notice.cities},
        "projects": {"found": report.projects, "required": notice.projects},
        "levels": [_level(row) for row in report.rows],
        "runs": [
            {
                "run": run.run,
                **msgspec.to_builtins(run.place),
                "simulated": run.simulated,
                "tariff": run.tariff,
                "warnings": run.warnings,
                "log_hash": run.proof.log_head,
                "ledger_hash": run.proof.ledger_head,
                "verified": run.proof.holds,
                "problems": run.proof.problems,
                "days": msgspec.to_builtins(run.days),
                "meters": msgspec.to_builtins(run.meters),
            }
            for run in report.runs
        ],
    }


def _level(row: LevelRow) -> dict[str, Any]:
    return {
        "level": row.level,
        "name": row.name,
        "city": row.place.city,
        "province": row.place.province,
        "projects": row.projects,
        "days": row.days,
        "targets": msgspec.to_builtins(row.targets),
        "discharge_power_kw": row.discharge_power_kw,
        "discharge_rated_kw": row.discharge_rated_kw,
        "discharge_power_at_ms": None if row.peak.start_ms < 0 else row.peak.start_ms,
        "discharged_kwh": row.discharged_kwh,
        "discharged_kwh_per_year": row.discharged_kwh_per_year,
        "projects_with_power": row.power_met,
        "projects_with_energy": row.energy_met,
        "regional_figures_named": row.region_named,
    }


def _name(row: LevelRow, language: str) -> str:
    said = level_name(row)
    return said.zh if language == "zh" else said.en


def _said(key: str, language: str) -> str:
    said = words(key)
    return said.zh if language == "zh" else said.en


def _written(heads: tuple[str, ...], rows: Sequence[tuple[object, ...]], language: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_said(head, language) for head in heads])
    writer.writerows([round(cell, 6) if isinstance(cell, float) else cell for cell in row] for row in rows)
    return (_SPREADSHEET_MARK if language == "zh" else "") + text.getvalue()
