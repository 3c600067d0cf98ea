"""The project file of a run folder: who it is, where it is, and by whose valley its energy counts.

It is written beside the books whenever a platform is put together over a folder, so that the folder alone is
enough for the regulator's report. A service that is started again keeps what the file said of days before.
"""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from backfeed.app.judge_account import valley_steps
from backfeed.app.scene import Scene
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

PROJECT_FILE: Final = "project.json"


class ProjectFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run folder says of itself.

    Parameters
    ----------
    project, city, province
        Where it belongs; `project` is the pilot's name unless it says otherwise, the others may be "".
    tariff, tariff_mark, tariff_source, warnings
        Which tariff says what is off-peak, how well it is known, and what a reader has to know about it.
    charger_power_kw, reserve_soc
        Rating of the chargers, and what is never discharged.
    capacity_kwh, round_trip_efficiency
        Of the nameplate that stands for a car that says nothing.
    public_sites
        Sites whose piles are not private.
    valley_ms
        Off-peak stretches `[from, until)` in order.
    priced_ms
        The stretch of time that `valley_ms` covers.
    simulated
        Whether a simulation plays its sessions.
    """

    version: int = 1
    project: str
    city: str
    province: str
    timezone: str
    currency: str
    tariff: str
    tariff_mark: str
    tariff_source: str
    warnings: tuple[str, ...]
    charger_power_kw: float
    reserve_soc: float
    capacity_kwh: float
    round_trip_efficiency: float
    public_sites: tuple[str, ...]
    valley_ms: tuple[tuple[int, int], ...]
    priced_ms: tuple[int, int]
    simulated: bool


def write_project(scene: Scene, folder: Path, *, simulated: bool) -> None:
    """Write the project file of a folder.

    Raises
    ------
    EnvironmentProblemError
        If it can not be written.
    """
    path = folder / PROJECT_FILE
    made = _project(scene, simulated=simulated)
    if path.is_file():
        made = _continued(read_project(folder), made)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
        partial.replace(path)
    except OSError as error:
        message = f"{path}: can not be written: {error.strerror}"
        raise EnvironmentProblemError(message) from error


def read_project(folder: Path) -> ProjectFile:
    """Read the project file of a run folder.

    Raises
    ------
    InputError
        If the folder has none, or one that can not be read.
    """
    path = folder / PROJECT_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProjectFile)
    except OSError as error:
        what = f"expected the folder of a run or a service with {PROJECT_FILE}, found: {error.strerror}"
        raise InputError([Problem(str(folder), what)]) from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError([Problem(str(path), f"expected a project file, found: {error}")]) from error


def _project(scene: Scene, *, simulated: bool) -> ProjectFile:
    pilot, tariff, prices = scene.pilot, scene.tariff, scene.prices
    vehicle = scene.enrolment.default_owner.vehicle
    valley = np.concatenate([[False], valley_steps(prices), [False]])
    edges = np.flatnonzero(valley[1:] != valley[:-1]) * prices.axis.step_ms + prices.axis.start_ms
    return ProjectFile(
        project=pilot.pilot.project or pilot.pilot.name,
        city=pilot.pilot.city,
        province=pilot.pilot.province,
        timezone=pilot.pilot.timezone,
        currency=pilot.pilot.currency,
        tariff=tariff.tariff_id,
        tariff_mark=tariff.provenance.mark.value,
        tariff_source=tariff.provenance.source,
        warnings=tuple(str(warning) for warning in scene.warnings),
        charger_power_kw=pilot.chargers.power_kw,
        reserve_soc=pilot.owner_defaults.reserve_soc,
        capacity_kwh=vehicle.capacity_kwh,
        round_trip_efficiency=vehicle.charge_efficiency * vehicle.discharge_efficiency,
        public_sites=tuple(site.id for site in pilot.sites if not site.private),
        valley_ms=tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2)),
        priced_ms=(prices.axis.start_ms, prices.axis.end_ms),
        simulated=simulated,
    )


def _continued(before: ProjectFile, now: ProjectFile) -> ProjectFile:
    """Return the project with the valley of the days before its own prices begin, as it was told then."""
    begin_ms = now.priced_ms[0]
    earlier = tuple((a, min(b, begin_ms)) for a, b in before.valley_ms if a < begin_ms)
    if earlier and now.valley_ms and earlier[-1][1] == now.valley_ms[0][0]:
        joined = ((*earlier[-1:][0][:1], now.valley_ms[0][1]),)
        valley = (*earlier[:-1], *joined, *now.valley_ms[1:])
    else:
        valley = (*earlier, *now.valley_ms)
    from_ms = min(before.priced_ms[0], begin_ms)
    return msgspec.structs.replace(now, valley_ms=valley, priced_ms=(from_ms, now.priced_ms[1]))
