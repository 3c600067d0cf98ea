"""Reading what the regulator's report rests on: intervals, books and log of run folders, and nothing else.

The days' intervals say what flowed, the books name the hash of every day, the log says when each car came and left and
what it can do. All three prove themselves; what does not fit is told and never repaired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backfeed.app.assembly import DAYS_FOLDER, EVENTS_FILE, LEDGER_FILE
from backfeed.app.project import ProjectFile, read_project
from backfeed.core.instant import MS_PER_DAY, format_instant
from backfeed.core.money import WH_PER_KWH
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem
from backfeed.fleet.event import NeedsNotified, TransactionChanged
from backfeed.meter.interval import INTERVAL_MS
from backfeed.report.metered import Metered, StayFacts, metered_stays
from backfeed.report.regulator import DayRow, MeterRow, Place, Proof, RunFigures
from backfeed.report.targets import ShareSums, reachable_discharge_kwh, share_sums
from backfeed.store.ledger_detail import content_hash, verify_details
from backfeed.store.ledger_seal import open_ledger, verify_file
from backfeed.store.log_file import LogFile, read_log_file

if TYPE_CHECKING:
    from backfeed.report.summary import TargetName

Ints = NDArray[np.int64]

_KINDS = frozenset(("transaction", "needs"))
_STAY = ("site", "station", "evse", "transaction")


@dataclass
class _Session:
    """What the log says of one transaction; NaN and -1 where it says nothing."""

    arrival_ms: int = -1
    departure_ms: int = -1
    charge_max_kw: float = np.nan
    discharge_max_kw: float = np.nan
    capacity_kwh: float = np.nan
    soc: float = np.nan


def read_runs(folders: Sequence[Path], places: Mapping[str, Place]) -> tuple[RunFigures, ...]:
    """Read run folders, each once.

    Parameters
    ----------
    folders
        Folders of runs or services.
    places
        Where a run belongs, by the name of its folder as it was given; by default what its project file says.

    Raises
    ------
    InputError
        With every folder that is none, and every run that would be counted twice.
    """
    problems: list[Problem] = []
    found: list[RunFigures] = []
    for folder in folders:
        try:
            run = read_run(folder)
        except InputError as error:
            problems += error.problems
            continue
        said = places.get(str(folder))
        found.append(run if said is None else replace(run, place=said))
    for number, run in enumerate(found):
        problems += [problem for other in found[:number] for problem in _counted_twice(run, other)]
    problems += [
        Problem(name, "is placed in the list of projects, but is not among the runs asked for")
        for name in places
        if name not in {str(folder) for folder in folders}
    ]
    if problems:
        raise InputError(problems)
    return tuple(found)


def _counted_twice(run: RunFigures, other: RunFigures) -> list[Problem]:
    """Return what two runs would count twice: themselves, or the same meters of one project on the same days."""
    if run.proof.ledger_head == other.proof.ledger_head:
        return [Problem(run.run, f"is the same run as {other.run}: its ledger has the same head")]
    days = {day.day for day in run.days} & {day.day for day in other.days}
    mine, theirs = ({(m.site, m.station, m.evse) for m in each.meters} for each in (run, other))
    both = sorted(f"{station}/{evse}" for _, station, evse in mine & theirs)
    if run.place != other.place or not days or not both:
        return []
    what = f"counts meters of project {run.place.project} on days on which {other.run} counts them already"
    return [Problem(run.run, what, tuple(both))]


def read_run(folder: Path) -> RunFigures:
    """Read one run folder.

    Raises
    ------
    InputError
        If it is no run folder, or has not settled a day yet.
    """
    project = read_project(folder)
    files = sorted((folder / DAYS_FOLDER).glob("????-??-??.parquet"))
    if not files:
        raise InputError([Problem(str(folder / DAYS_FOLDER), "expected settled days (YYYY-MM-DD.parquet), found none")])
    log = read_log_file(folder / EVENTS_FILE, _KINDS)
    frames = {file.stem: _read_day(file) for file in files}
    frame = pl.concat(frames.values()).sort(*_STAY, "start_ms")
    valley = _in_valley(frame["start_ms"].to_numpy(), project)
    frame = frame.with_columns(pl.Series("valley_wh", np.where(valley, frame["import_wh"].to_numpy(), 0)))
    keys = frame.select(_STAY).unique(maintain_order=True)
    number = (
        frame.select(_STAY).with_columns(pl.struct(_STAY).rle_id().alias("stay"))["stay"].to_numpy().astype(np.int64)
    )
    metered = Metered(
        number, frame["start_ms"].to_numpy(), frame["import_wh"].to_numpy(), frame["export_wh"].to_numpy(), valley
    )
    facts = _facts(keys, metered, _sessions(log), project)
    stays = metered_stays(
        metered,
        facts,
        project.valley_ms,
        reserve_soc=project.reserve_soc,
        round_trip=project.round_trip_efficiency,
    )
    everyone = np.ones(len(stays.private), dtype=np.bool_)
    shares: dict[TargetName, ShareSums] = {
        "offpeak_share": share_sums(stays, everyone, net=False),
        "offpeak_share_net": share_sums(stays, everyone, net=True),
        "offpeak_share_private": share_sums(stays, stays.private, net=False),
        "offpeak_share_private_net": share_sums(stays, stays.private, net=True),
    }
    back = frame.filter(pl.col("export_wh") > 0).group_by("start_ms").agg(pl.col("export_wh").sum()).sort("start_ms")
    return RunFigures(
        run=str(folder),
        place=Place(project.project, project.city, project.province),
        simulated=project.simulated,
        tariff=project.tariff,
        warnings=project.warnings,
        shares=shares,
        reachable_discharge_kwh=float(reachable_discharge_kwh(stays).sum()),
        quarter_ms=back["start_ms"].to_numpy(),
        export_wh=back["export_wh"].to_numpy(),
        days=_days(frames, frame),
        meters=_meters(frame, keys, facts, project),
        proof=_proof(folder, log, frame, project),
    )


def _read_day(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError([Problem(str(file), f"expected the intervals of a day, found: {error}")]) from error


def _in_valley(start_ms: Ints, project: ProjectFile) -> NDArray[np.bool_]:
    edges = np.array(project.valley_ms, dtype=np.int64).reshape(-1, 2)
    begun, over = (np.searchsorted(edge, start_ms, side="right") for edge in edges.T)
    inside: NDArray[np.bool_] = begun > over
    return inside


def _sessions(log: LogFile) -> dict[tuple[str, int, str], _Session]:
    """Return what the log says of every transaction, by station, EVSE and transaction."""
    sessions: dict[tuple[str, int, str], _Session] = {}
    at: dict[tuple[str, int], _Session] = {}
    for event in log.events:
        if isinstance(event, TransactionChanged):
            session = sessions.setdefault((event.station, event.evse, event.transaction), _Session())
            at[event.station, event.evse] = session
            if event.phase == "started":
                session.arrival_ms = event.measured_ms
            if event.phase == "ended":
                session.departure_ms = min(event.measured_ms, event.at_ms)
            told = next((reading.soc for reading in event.readings if reading.soc is not None), None)
            if np.isnan(session.soc) and told is not None:
                session.soc = told
        elif isinstance(event, NeedsNotified) and (event.station, event.evse) in at:
            session = at[event.station, event.evse]
            for name in ("charge_max_kw", "discharge_max_kw", "capacity_kwh", "soc"):
                said = getattr(event, name)
                if said is not None and (name != "soc" or np.isnan(session.soc)):
                    setattr(session, name, said)
    return sessions


def _facts(
    keys: pl.DataFrame, metered: Metered, sessions: dict[tuple[str, int, str], _Session], project: ProjectFile
) -> StayFacts:
    count = len(keys)
    bounds = np.searchsorted(metered.stay, np.arange(count + 1))
    first_ms = metered.start_ms[bounds[:-1]]
    last_ms = metered.start_ms[bounds[1:] - 1] + INTERVAL_MS
    said = [sessions.get((row[1], row[2], row[3]), _Session()) for row in keys.iter_rows()]

    def column(name: str, otherwise: float) -> NDArray[np.float64]:
        values = np.array([getattr(session, name) for session in said], dtype=np.float64)
        return np.where(np.isnan(values), otherwise, values)

    # What the log says holds inside the quarter-hours that are settled: a stay may go on beyond them.
    arrival = np.array([session.arrival_ms for session in said], dtype=np.int64)
    departure = np.array([session.departure_ms for session in said], dtype=np.int64)
    rated = project.charger_power_kw
    public = set(project.public_sites)
    return StayFacts(
        arrival_ms=np.clip(np.where(arrival < 0, first_ms, arrival), first_ms, last_ms),
        departure_ms=np.clip(np.where(departure < 0, last_ms, departure), first_ms, last_ms),
        charge_max_kw=np.minimum(column("charge_max_kw", rated), rated),
        discharge_max_kw=np.minimum(column("discharge_max_kw", 0.0), rated),
        capacity_kwh=column("capacity_kwh", project.capacity_kwh),
        arrival_soc=column("soc", np.nan),
        private=np.array([site not in public for site in keys["site"]], dtype=np.bool_),
    )


def _days(frames: Mapping[str, pl.DataFrame], joined: pl.DataFrame) -> tuple[DayRow, ...]:
    cheap = dict(joined.group_by("start_ms").agg(pl.col("valley_wh").sum()).iter_rows())
    return tuple(
        DayRow(
            day=day,
            content_sha256=content_hash(frame),
            intervals=len(frame),
            charged_kwh=int(frame["import_wh"].sum()) / WH_PER_KWH,
            valley_kwh=sum(cheap[at] for at in frame["start_ms"].unique().to_list()) / WH_PER_KWH,
            discharged_kwh=int(frame["export_wh"].sum()) / WH_PER_KWH,
        )
        for day, frame in frames.items()
    )


def _meters(frame: pl.DataFrame, keys: pl.DataFrame, facts: StayFacts, project: ProjectFile) -> tuple[MeterRow, ...]:
    meter = ("site", "station", "evse")
    sums = frame.group_by(meter).agg(
        pl.len().alias("intervals"), pl.col("import_wh").sum(), pl.col("valley_wh").sum(), pl.col("export_wh").sum()
    )
    rated = keys.with_columns(pl.Series("rated", facts.discharge_max_kw)).group_by(meter).agg(pl.col("rated").max())
    rows = sums.join(rated, on=meter).sort(meter).iter_rows(named=True)
    return tuple(
        MeterRow(
            site=row["site"],
            station=row["station"],
            evse=row["evse"],
            private=row["site"] not in project.public_sites,
            intervals=row["intervals"],
            charged_kwh=row["import_wh"] / WH_PER_KWH,
            valley_kwh=row["valley_wh"] / WH_PER_KWH,
            discharged_kwh=row["export_wh"] / WH_PER_KWH,
            discharge_rated_kw=row["rated"],
        )
        for row in rows
    )


def _proof(folder: Path, log: LogFile, frame: pl.DataFrame, project: ProjectFile) -> Proof:
    problems = []
    if log.first_broken is not None:
        problems.append(f"{EVENTS_FILE}: row {log.first_broken} is not the one that the chain was made of")
    ledger = folder / LEDGER_FILE
    if not ledger.is_file():
        raise InputError([Problem(str(ledger), "expected the books of the run, found no such file")])
    verified = verify_file(ledger)
    problems += [str(problem) for problem in verified.problems]
    try:
        with open_ledger(ledger, readonly=True) as book:
            problems += [str(problem) for problem in verify_details(folder / DAYS_FOLDER, book.transfers())]
    except EnvironmentProblemError as error:
        problems.append(str(error))
    starts = frame["start_ms"].to_numpy()
    first_ms, last_ms = int(starts.min(initial=2**62)), int(starts.max(initial=0))
    if len(frame) and (first_ms < project.priced_ms[0] - MS_PER_DAY or last_ms >= project.priced_ms[1]):
        told = " to ".join(format_instant(at_ms) for at_ms in project.priced_ms)
        problems.append(f"there are intervals outside {told}, for which the valley is known")
    return Proof(log.head, verified.head, tuple(problems))
