"""Reader of per-vehicle charge records: text in, the sessions that `health` wants out.

Two layouts. `sessions` has a row per session, any number of vehicles in a file:

    vehicle,start,end,energy_kwh,soc_start,soc_end

with instants in ISO 8601 with an offset, energy AC at the EVSE (charging positive, discharging negative) and
SoC as a fraction. `baic-20` is that of the open data of 20 BAIC taxis (Deng et al., Applied Energy 339 (2023)
120954, github.com/TengMichael/battery-charging-data-of-on-road-electric-vehicles): one vehicle per file, a
row every ten seconds while it charges, columns by position

    number, record_time, soc [%], pack_voltage [V], charge_current [A, charging negative], max_cell_voltage,
    min_cell_voltage, max_temperature [C], min_temperature [C], available_energy, available_capacity

Its energy is measured in the battery: estimate its health with efficiencies of 1 and no standby.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from backfeed.battery.health import CarRecords
from backfeed.core.instant import MS_PER_H, parse_instant, to_ms
from backfeed.core.problem import InputError, Problem

LAYOUTS = ("sessions", "baic-20")
SESSION_COLUMNS = ("vehicle", "start", "end", "energy_kwh", "soc_start", "soc_end")
_BAIC_COLUMNS = 11
_BAIC_GAP_MS = 60_000
"""A longer gap between rows starts another session."""


@dataclass(frozen=True, slots=True)
class _Session:
    start_ms: int
    end_ms: int
    energy_kwh: float
    soc_change: float


def read_charge_records(
    lines: Iterable[str], where: str, layout: str = "sessions"
) -> tuple[dict[str, CarRecords], tuple[Problem, ...]]:
    """Read charge records.

    Parameters
    ----------
    lines
        The file's lines.
    where
        Its name, for problems; in the layout `baic-20` also the vehicle's.
    layout
        One of `LAYOUTS`.

    Returns
    -------
    records by vehicle, and a problem for every row that could not be used

    Raises
    ------
    InputError
        If the layout is unknown or columns are missing.
    """
    if layout not in LAYOUTS:
        raise InputError([Problem(where, f"expected a layout of {', '.join(LAYOUTS)}, found {layout!r}")])
    problems: list[Problem] = []
    rows = csv.reader(lines)
    header = next(rows, [])
    if layout == "sessions":
        found = dict.fromkeys(SESSION_COLUMNS, -1) | {name.strip(): at for at, name in enumerate(header)}
        missing = [name for name in SESSION_COLUMNS if found[name] < 0]
        if missing:
            raise InputError([Problem(f"{where} row 1", f"expected the columns {', '.join(missing)}")])
        sessions: dict[str, list[_Session]] = {}
        for number, row in enumerate(rows, start=2):
            _add_session(sessions, row, [found[name] for name in SESSION_COLUMNS], f"{where} row {number}", problems)
        return {vehicle: _columns(each) for vehicle, each in sessions.items()}, tuple(problems)
    if len(header) != _BAIC_COLUMNS:
        raise InputError([Problem(f"{where} row 1", f"expected {_BAIC_COLUMNS} columns, found {len(header)}")])
    samples = [_baic_sample(row, f"{where} row {number}", problems) for number, row in enumerate(rows, start=2)]
    return {where: _columns(list(_baic_sessions(sorted(each for each in samples if each))))}, tuple(problems)


def _add_session(
    sessions: dict[str, list[_Session]], row: Sequence[str], at: Sequence[int], where: str, problems: list[Problem]
) -> None:
    try:
        vehicle, start, end, energy, soc_start, soc_end = (row[each].strip() for each in at)
        session = _Session(parse_instant(start), parse_instant(end), float(energy), float(soc_end) - float(soc_start))
        levels_fit = all(0 <= float(each) <= 1 for each in (soc_start, soc_end))
    except (ValueError, IndexError) as error:
        problems.append(Problem(where, f"not a session: {error}"))
        return
    if session.end_ms <= session.start_ms:
        problems.append(Problem(where, f"expected the end after the start, found {start} to {end}"))
    elif not levels_fit:
        problems.append(Problem(where, f"expected states of charge in 0-1, found {soc_start} and {soc_end}"))
    elif not np.isfinite(session.energy_kwh):
        problems.append(Problem(where, f"expected an energy, found {energy}"))
    else:
        sessions.setdefault(vehicle, []).append(session)


def _baic_sample(row: Sequence[str], where: str, problems: list[Problem]) -> tuple[int, float, float] | None:
    """Return instant, SoC (0-1) and charging power [kW] of a row, or None with a problem."""
    try:
        at_ms = _baic_instant(row[1].strip())
        soc, voltage, current = float(row[2]) / 100, float(row[3]), float(row[4])
    except (ValueError, IndexError) as error:
        problems.append(Problem(where, f"not a sample: {error}"))
        return None
    if not np.isfinite([soc, voltage, current]).all():
        problems.append(Problem(where, "expected soc, pack_voltage and charge_current, found a gap"))
        return None
    return at_ms, soc, -current * voltage / 1_000


def _baic_instant(text: str) -> int:
    """Parse `20190730231015` or ISO text; the data name no zone, so UTC stands in."""
    digits = text.removesuffix(".0")
    moment = datetime.strptime(digits, "%Y%m%d%H%M%S") if digits.isdigit() else datetime.fromisoformat(text)  # noqa: DTZ007
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _baic_sessions(samples: Sequence[tuple[int, float, float]]) -> Iterator[_Session]:
    """Cut samples in order at gaps and integrate each stretch."""
    at_ms = np.array([each[0] for each in samples], dtype=np.int64)
    borders = [0, *(np.flatnonzero(np.diff(at_ms) > _BAIC_GAP_MS) + 1).tolist(), len(samples)]
    for start, end in pairwise(borders):
        stretch = samples[start:end]
        if len(stretch) > 1:
            energy_kwh = float(np.trapezoid([each[2] for each in stretch], at_ms[start:end])) / MS_PER_H
            yield _Session(stretch[0][0], stretch[-1][0], energy_kwh, stretch[-1][1] - stretch[0][1])


def _columns(sessions: Sequence[_Session]) -> CarRecords:
    spans_ms = np.array([(each.start_ms, each.end_ms) for each in sessions], dtype=np.int64).reshape(-1, 2)
    return CarRecords(
        at_ms=spans_ms.sum(axis=1) // 2,
        energy_kwh=np.array([each.energy_kwh for each in sessions], dtype=np.float64),
        soc_change=np.array([each.soc_change for each in sessions], dtype=np.float64),
        hours=(spans_ms[:, 1] - spans_ms[:, 0]) / MS_PER_H,
    )
