"""What a regulator's notice asks of pilots, as data: the notice that comes with the package, or a file of one's own.

The format is told in the reference page "The regulator's targets". Figures hold for the whole country unless the
notice has others for the provinces of a region; where it lets a region ask less and names no figure, the
national one stands and `Region.named` is false.
"""

from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path

from backfeed.core.problem import InputError, Problem
from backfeed.market.rule import Mark
from backfeed.market.table import Table, build_rule, read_rule_file
from backfeed.market.tariff_file import read_mark
from backfeed.report.run_report import Words
from backfeed.report.targets import Requirements

NOTICE = "2024-09"
"""The notice that is held against unless another is named."""

_NOTICES = resources.files("backfeed.report") / "data"
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Region:
    """Provinces of which a notice asks something else; `named` says whether it names the figures."""

    title: Words
    provinces: tuple[str, ...]
    requirements: Requirements
    named: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice: its figures, where they come from, and how many cities and projects it wants."""

    notice_id: str
    title: Words
    source: str
    mark: Mark
    requirements: Requirements
    regions: tuple[Region, ...]
    cities: int
    projects: int

    def region_of(self, province: str) -> Region | None:
        """Return the region that a province belongs to, None for one with the national figures."""
        return next((region for region in self.regions if province and province in region.provinces), None)

    def asked_of(self, province: str) -> Requirements:
        """Return what is asked of a project in a province."""
        region = self.region_of(province)
        return self.requirements if region is None else region.requirements


def load_notice(name_or_path: str | Path = NOTICE) -> Notice:
    """Load a notice by name or from a file.

    Raises
    ------
    InputError
        With every problem of the file, or if there is neither such a notice nor such a file.
    """
    name = f"targets-{name_or_path}.toml"
    if (_NOTICES / name).is_file():
        return build_rule((_NOTICES / name).read_text(encoding="utf-8"), name, _build)
    if Path(name_or_path).is_file():
        return read_rule_file(Path(name_or_path), _build)
    what = f"expected a file or the notice {NOTICE}, found {str(name_or_path)!r}"
    raise InputError([Problem("requirements", what)])


def _build(table: Table) -> Notice:
    national = _figures(table, Requirements())
    return Notice(
        notice_id=table.text("id"),
        title=_words(table, "title"),
        source=table.text("source"),
        mark=read_mark(table),
        requirements=national,
        regions=tuple(_region(each, national) for each in table.tables("regions")),
        cities=table.whole("cities", 0),
        projects=table.whole("projects", 0),
    )


def _region(table: Table, national: Requirements) -> Region:
    figures = ("offpeak_share", "offpeak_share_private", "discharge_power_kw", "discharged_kwh_per_year")
    named = any(table.has(key) for key in figures)
    region = Region(_words(table, "name"), table.texts("provinces"), _figures(table, national), named)
    table.finish()
    return region


def _figures(table: Table, usual: Requirements) -> Requirements:
    def figure(key: str, most: Decimal | None = None) -> float:
        found = table.number(key, least=_ZERO)
        if found is not None and most is not None and found > most:
            table.problem(f"{key}: expected a share of at most {most}, found {found}")
        return float(getattr(usual, key)) if found is None else float(found)

    one = Decimal(1)
    return Requirements(
        figure("offpeak_share", one),
        figure("offpeak_share_private", one),
        figure("discharge_power_kw"),
        figure("discharged_kwh_per_year"),
    )


def _words(table: Table, key: str) -> Words:
    inner = table.table(key)
    said = Words(inner.text("en"), inner.text("zh"))
    inner.finish()
    return said
