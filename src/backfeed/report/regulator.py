"""The regulator's report: projects held against a notice, with evidence, rolled up over cities and provinces.

A project's figures are sums over its runs: shares from pooled energies, power from quarter-hours in which all its
meters are added up, yearly energy from the settled days it has. Shares of a city, a province or the country are
pooled the same way; power and yearly energy are asked of every project, so there it is counted how many meet them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H
from backfeed.core.money import WH_PER_KWH
from backfeed.meter.interval import INTERVAL_MS
from backfeed.report.requirements import Notice
from backfeed.report.summary import Target, TargetName
from backfeed.report.targets import DAYS_PER_YEAR, ShareSums, amount_target, share_target

Ints = NDArray[np.int64]

Level = Literal["project", "city", "province", "country"]
SHARES: Final[tuple[TargetName, ...]] = (
    "offpeak_share",
    "offpeak_share_net",
    "offpeak_share_private",
    "offpeak_share_private_net",
)
_PRIVATE: Final = frozenset(("offpeak_share_private", "offpeak_share_private_net"))


@dataclass(frozen=True, slots=True)
class Place:
    """Which project a run belongs to and where it is; city and province are "" where nobody said."""

    project: str
    city: str = ""
    province: str = ""


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One meter of a run: energies [kWh] and the rated discharge power [kW]."""

    site: str
    station: str
    evse: int
    private: bool
    intervals: int
    charged_kwh: float
    valley_kwh: float
    discharged_kwh: float
    discharge_rated_kw: float


@dataclass(frozen=True, slots=True)
class DayRow:
    """One settled day of a run; `content_sha256` is the hash that the books name for its intervals."""

    day: str
    content_sha256: str
    intervals: int
    charged_kwh: float
    valley_kwh: float
    discharged_kwh: float


@dataclass(frozen=True, slots=True)
class Proof:
    """What a run's figures rest on: the heads of its two chains, and everything that speaks against them."""

    log_head: str
    ledger_head: str
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether log, books and intervals agree."""
        return not self.problems


@dataclass(frozen=True)
class RunFigures:
    """What one run brings.

    Parameters
    ----------
    run
        The folder, as it was named.
    place, simulated
        Where it belongs, and whether its sessions were played by a simulation.
    tariff, warnings
        Whose valley it is, and what a reader has to know about it.
    shares
        The energies behind the off-peak shares.
    reachable_discharge_kwh
        The most its stays could have discharged.
    quarter_ms, export_wh
        The quarter-hours in which something was fed back and how much in each, shape `(quarter,)`.
    days, meters, proof
        The evidence.
    """

    run: str
    place: Place
    simulated: bool
    tariff: str
    warnings: tuple[str, ...]
    shares: dict[TargetName, ShareSums]
    reachable_discharge_kwh: float
    quarter_ms: Ints
    export_wh: Ints
    days: tuple[DayRow, ...]
    meters: tuple[MeterRow, ...]
    proof: Proof


@dataclass(frozen=True, slots=True)
class PeakPower:
    """The quarter-hour with the largest combined discharge power; -1 where nothing was fed back."""

    start_ms: int
    power_kw: float


@dataclass(frozen=True)
class LevelRow:
    """A project, city, province or the country held against the notice.

    `targets` of a project has every target; of the other levels only the shares, with `power_met` and `energy_met`
    the projects that meet what is asked of each. `region` names the region with figures of its own, and
    `region_named` whether the notice names them.
    """

    level: Level
    name: str
    place: Place
    projects: int
    days: int
    targets: dict[TargetName, Target]
    peak: PeakPower
    discharge_power_kw: float
    discharge_rated_kw: float
    discharged_kwh: float
    discharged_kwh_per_year: float
    power_met: int
    energy_met: int
    region_named: bool | None


@dataclass(frozen=True)
class RegulatorReport:
    """All that the regulator is told."""

    notice: Notice
    rows: tuple[LevelRow, ...]
    cities: int
    runs: tuple[RunFigures, ...]

    @property
    def projects(self) -> int:
        """How many projects there are."""
        return sum(row.level == "project" for row in self.rows)


def regulator_report(runs: Sequence[RunFigures], notice: Notice) -> RegulatorReport:
    """Hold runs against a notice: every project, and where there are several, every city, province and the country.

    Projects of one name in different cities are different projects.
    """
    by_place: dict[Place, list[RunFigures]] = {}
    for run in runs:
        by_place.setdefault(run.place, []).append(run)
    places = sorted(by_place, key=lambda place: (place.province, place.city, place.project))
    projects = {place: _project_row(place, by_place[place], notice) for place in places}
    rows = [*projects.values()]
    if len(places) > 1:
        cities = sorted({(place.province, place.city) for place in places if place.city})
        provinces = sorted({place.province for place in places if place.province})
        groups: list[tuple[Level, str, list[Place]]] = [
            *(
                ("city", city, [p for p in places if (p.province, p.city) == (province, city)])
                for province, city in cities
            ),
            *(("province", name, [p for p in places if p.province == name]) for name in provinces),
            ("country", "", places),
        ]
        for level, name, members in groups:
            own = [run for place in members for run in by_place[place]]
            rows.append(_group_row(level, name, own, [projects[place] for place in members], notice))
    found = {(place.province, place.city) for place in places if place.city}
    return RegulatorReport(notice, tuple(rows), len(found), tuple(runs))


def peak_power(runs: Sequence[RunFigures]) -> PeakPower:
    """Return the quarter-hour in which all meters of some runs together fed back most, as mean power."""
    quarter, place = np.unique(np.concatenate([run.quarter_ms for run in runs]), return_inverse=True)
    if not len(quarter):
        return PeakPower(-1, 0.0)
    total = np.bincount(place, np.concatenate([run.export_wh for run in runs]))
    most = int(total.argmax())
    return PeakPower(int(quarter[most]), float(total[most]) / WH_PER_KWH * MS_PER_H / INTERVAL_MS)


def pooled_shares(runs: Sequence[RunFigures], notice: Notice, province: str) -> dict[TargetName, Target]:
    """Return the off-peak shares of some runs together."""
    asked = notice.asked_of(province)
    found: dict[TargetName, Target] = {}
    for name in SHARES:
        sums = ShareSums(0.0, 0.0, 0.0, 0.0)
        for run in runs:
            sums += run.shares[name]
        found[name] = share_target(asked.offpeak_share_private if name in _PRIVATE else asked.offpeak_share, sums)
    return found


def _project_row(place: Place, runs: Sequence[RunFigures], notice: Notice) -> LevelRow:
    asked, region = notice.asked_of(place.province), notice.region_of(place.province)
    days = len({day.day for run in runs for day in run.days})
    per_year = DAYS_PER_YEAR / days
    rated: dict[tuple[str, str, int], float] = {}
    for run in runs:
        for meter in run.meters:
            key = (meter.site, meter.station, meter.evse)
            rated[key] = max(rated.get(key, 0.0), meter.discharge_rated_kw)
    peak, rated_kw = peak_power(runs), sum(rated.values())
    discharged = sum(day.discharged_kwh for run in runs for day in run.days)
    reachable = sum(run.reachable_discharge_kwh for run in runs)
    targets = pooled_shares(runs, notice, place.province)
    targets["discharge_power_kw"] = amount_target(asked.discharge_power_kw, peak.power_kw, rated_kw)
    targets["discharged_kwh_per_year"] = amount_target(
        asked.discharged_kwh_per_year, discharged * per_year, reachable * per_year
    )
    return LevelRow(
        level="project",
        name=place.project,
        place=place,
        projects=1,
        days=days,
        targets=targets,
        peak=peak,
        discharge_power_kw=peak.power_kw,
        discharge_rated_kw=rated_kw,
        discharged_kwh=discharged,
        discharged_kwh_per_year=discharged * per_year,
        power_met=int(targets["discharge_power_kw"].met),
        energy_met=int(targets["discharged_kwh_per_year"].met),
        region_named=None if region is None else region.named,
    )


def _group_row(
    level: Level, name: str, runs: Sequence[RunFigures], projects: Sequence[LevelRow], notice: Notice
) -> LevelRow:
    province = projects[0].place.province if level in ("city", "province") else ""
    city = projects[0].place.city if level == "city" else ""
    return LevelRow(
        level=level,
        name=name,
        place=Place("", city, province),
        projects=len(projects),
        days=len({day.day for run in runs for day in run.days}),
        targets=pooled_shares(runs, notice, province),
        peak=peak_power(runs),
        discharge_power_kw=sum(row.discharge_power_kw for row in projects),
        discharge_rated_kw=sum(row.discharge_rated_kw for row in projects),
        discharged_kwh=sum(row.discharged_kwh for row in projects),
        discharged_kwh_per_year=sum(row.discharged_kwh_per_year for row in projects),
        power_met=sum(row.power_met for row in projects),
        energy_met=sum(row.energy_met for row in projects),
        region_named=None,
    )
