"""`battery.json`: a run's batteries as one document, written beside the summary and read by the command line."""

from pathlib import Path
from typing import Final

import msgspec

from backfeed.battery.fleet_wear import FleetBattery
from backfeed.battery.health import HealthEstimate
from backfeed.core.problem import InputError, Problem
from backfeed.report.summary import SUMMARY_FILE

BATTERY_FILE: Final = "battery.json"


def write_battery(fleet: FleetBattery, folder: Path) -> None:
    """Write `battery.json` in one piece: a reader sees the old file or the new one, never half."""
    path = folder / BATTERY_FILE
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(fleet), indent=1) + b"\n")
    partial.replace(path)


def read_battery(folder: Path) -> FleetBattery:
    """Read the batteries of a finished run.

    Raises
    ------
    InputError
        If the folder is no run, its run was cut off, or the file is not what a run writes.
    """
    path = folder / BATTERY_FILE
    if not folder.is_dir():
        raise InputError([Problem(str(folder), "expected a run folder, found none")])
    if not (folder / SUMMARY_FILE).is_file():
        begun = any(folder.glob("*.sqlite"))
        what = "the run was cut off before its end" if begun else "no run was written here"
        raise InputError([Problem(str(folder), f"expected a run folder with {SUMMARY_FILE}: {what}")])
    if not path.is_file():
        what = f"expected {BATTERY_FILE}, found none: the run was made without a world to compare; run it again"
        raise InputError([Problem(str(folder), what)])
    try:
        return msgspec.json.decode(path.read_bytes(), type=FleetBattery)
    except msgspec.DecodeError as error:
        raise InputError([Problem(str(path), f"expected what a run writes: {error}")]) from error


class _OneCar(msgspec.Struct):
    car: str
    health: HealthEstimate | None


class _Measured(msgspec.Struct):
    """The part of either document that says what was measured."""

    cars: list[_OneCar] = []
    vehicles: dict[str, HealthEstimate | None] = {}


def read_health(path: Path) -> dict[str, HealthEstimate]:
    """Read what was measured of each car, from what `battery fleet --json` or `battery health --json` printed.

    Raises
    ------
    InputError
        If the file can not be read or is neither.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Measured)
    except OSError as error:
        raise InputError([Problem(str(path), f"expected a readable file: {error.strerror or error}")]) from error
    except msgspec.DecodeError as error:
        raise InputError([Problem(str(path), f"expected health in JSON: {error}")]) from error
    named = {**found.vehicles, **{each.car: each.health for each in found.cars}}
    if not named:
        raise InputError([Problem(str(path), "expected `cars` or `vehicles` with their health, found neither")])
    return {name: health for name, health in named.items() if health is not None}
