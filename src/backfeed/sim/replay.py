"""The world without messages: what a schedule of powers would do to the same cars.

It is the same physics as in the event-driven city, over arrays: for every stretch between two
boundaries of the axis (cut at the quarter-hours) all connected cars advance at once.
"""

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H
from backfeed.sim.columns import WorldConfig, WorldSessions
from backfeed.sim.truth import Truth, quarter_pieces, sorted_segments, truth_of
from backfeed.sim.vehicle import FloatColumn, advance_fleet, drive_kw_fleet, metered_kwh_fleet, power_kw_fleet


def replay(
    sessions: WorldSessions,
    axis: TimeAxis,
    power_kw: FloatColumn,
    config: WorldConfig,
    *,
    exact_chargers: bool = False,
) -> Truth:
    """Advance every session under a schedule, as stations under CentralSetpoint would.

    Charging ends at full and discharging at empty; powers beyond what car and station do are cut off.

    Parameters
    ----------
    sessions
        Who is there; a session counts from its arrival to its departure or the end of the window.
    axis
        The steps of the schedule; outside of it nothing flows.
    power_kw
        Shape `(session, step)` [kW at the EVSE, charging positive]; not finite counts as zero.
    config
        For the end of the window.
    exact_chargers
        Whether the schedule already knows the chargers' errors, so that what it says is what flows.

    Returns
    -------
    Truth
        One segment per session, step and quarter-hour.

    Raises
    ------
    ValueError
        If the schedule has another shape.
    """
    if power_kw.shape != (len(sessions), axis.count):
        message = f"a schedule of shape {(len(sessions), axis.count)} was expected, found {power_kw.shape}"
        raise ValueError(message)
    asked = np.nan_to_num(power_kw, nan=0.0, posinf=0.0, neginf=0.0)
    cars = sessions.cars()
    departure = np.minimum(sessions.departure_ms, config.end_ms)
    energy = sessions.energy_arrival_kwh.copy()
    columns: list[tuple[np.ndarray, ...]] = []
    for piece_from, piece_until, step in _pieces(sessions, axis, config):
        here = np.flatnonzero((sessions.arrival_ms < piece_until) & (departure > piece_from))
        if not len(here):
            continue
        start = np.maximum(sessions.arrival_ms[here], piece_from)
        end = np.minimum(departure[here], piece_until)
        present = cars.select(here)
        setpoint = asked[here, step] if step >= 0 else np.zeros(len(here))
        if exact_chargers:
            setpoint = setpoint / (1.0 + present.charger_error)
        drive = drive_kw_fleet(present, setpoint)
        before, limit = energy[here], present.energy_full_kwh
        after = advance_fleet(present, before, drive, (end - start) / MS_PER_H, limit)
        power = power_kw_fleet(present, before, drive, limit)
        columns.append((here, start, end, metered_kwh_fleet(present, after - before), after, power))
        energy[here] = after
    if not columns:
        columns.append((*(np.empty(0, np.int64),) * 3, *(np.empty(0),) * 3))
    session, start, end, metered, after, power = (np.concatenate(column) for column in zip(*columns, strict=True))
    return truth_of(sessions, sorted_segments(session.astype(np.int64), start, end, metered, after, power))


def _pieces(sessions: WorldSessions, axis: TimeAxis, config: WorldConfig) -> list[tuple[int, int, int]]:
    """Return `(from, until, step)` over the whole window, step -1 where the axis does not reach."""
    first = min([config.start_ms, *sessions.arrival_ms[:1].tolist()])
    last = config.end_ms
    stretches = [(first, min(axis.start_ms, last), -1)]
    stretches += [(start, min(start + axis.step_ms, last), step) for step, start in enumerate(axis)]
    stretches.append((max(axis.end_ms, first), last, -1))
    return [(a, b, step) for start, end, step in stretches for a, b in quarter_pieces(start, end)]
