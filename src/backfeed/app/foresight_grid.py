"""Who is plugged in when: stays cut into the steps of the window, as ragged columns.

Row = entry: one stay in one step. The first and the last step of a stay are usually shorter than the
others. Entries are sorted by session and then time; those of session `i` are the rows
`offsets[i]:offsets[i + 1]`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H
from backfeed.sim.columns import WorldSessions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class StayGrid:
    """Entries as columns of shape `(entry,)`, with `offsets` of shape `(session + 1,)`.

    Parameters
    ----------
    axis
        The steps.
    session, step
        Whose entry it is and in which step.
    from_ms, until_ms
        The part of the step in which the car is there.
    hours
        Its length [h].
    """

    axis: TimeAxis
    session: Ints
    step: Ints
    from_ms: Ints
    until_ms: Ints
    hours: Floats
    offsets: Ints

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.session)

    @property
    def first(self) -> NDArray[np.bool_]:
        """Whether an entry is the first of its stay."""
        flags = np.zeros(len(self), dtype=np.bool_)
        flags[self.offsets[:-1]] = True
        return flags

    @property
    def last(self) -> Ints:
        """The last entry of every stay, shape `(session,)`."""
        return self.offsets[1:] - 1


def stay_grid(sessions: WorldSessions, axis: TimeAxis) -> StayGrid:
    """Cut every stay into the steps of an axis; a stay ends with the axis at the latest."""
    until_ms = np.minimum(sessions.departure_ms, axis.end_ms)
    assert len(sessions) == 0 or sessions.arrival_ms.min() >= axis.start_ms, "a session arrives before the window"
    first_step = (sessions.arrival_ms - axis.start_ms) // axis.step_ms
    last_step = (until_ms - 1 - axis.start_ms) // axis.step_ms
    count = last_step - first_step + 1
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    session = np.repeat(np.arange(len(sessions)), count)
    step = np.arange(offsets[-1]) - offsets[session] + first_step[session]
    starts_ms = axis.start_ms + step * axis.step_ms
    entry_from = np.maximum(starts_ms, sessions.arrival_ms[session])
    entry_until = np.minimum(starts_ms + axis.step_ms, until_ms[session])
    return StayGrid(
        axis=axis,
        session=session,
        step=step,
        from_ms=entry_from,
        until_ms=entry_until,
        hours=(entry_until - entry_from) / MS_PER_H,
        offsets=offsets,
    )


@dataclass(frozen=True)
class SharedLimit:
    """Cars that are at one site at one moment, and the net power they may have together.

    `-export_room_kw <= sum of their powers <= import_room_kw` holds at every instant of `[from_ms, until_ms)`.
    """

    entries: Ints
    import_room_kw: float
    export_room_kw: float


def shared_limits(
    grid: StayGrid,
    site: Ints,
    import_room_kw: Floats,
    export_room_kw: Floats,
    charge_max_kw: Floats,
    discharge_max_kw: Floats,
) -> list[SharedLimit]:
    """Return every set of cars that could together exceed a limit.

    Cars that share a step but not a moment, because one leaves before the other comes, share no limit; so
    each step is cut at the arrivals and departures inside it.

    Parameters
    ----------
    grid
        The entries.
    site
        Site of every session, shape `(session,)`.
    import_room_kw, export_room_kw
        What the building leaves of the limits, shape `(site, step)`, infinity for no limit.
    charge_max_kw, discharge_max_kw
        What every session's car and charger do at most, shape `(session,)`.
    """
    place = site[grid.session] * grid.axis.count + grid.step
    size = import_room_kw.size
    tight = (np.bincount(place, weights=charge_max_kw[grid.session], minlength=size) > import_room_kw.ravel()) | (
        np.bincount(place, weights=discharge_max_kw[grid.session], minlength=size) > export_room_kw.ravel()
    )
    candidates = np.flatnonzero(tight[place])
    order = candidates[np.argsort(place[candidates], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(place[order])) + 1) if len(order) else []
    limits = []
    for group in groups:
        room_in = float(import_room_kw.ravel()[place[group[0]]])
        room_out = float(export_room_kw.ravel()[place[group[0]]])
        for members in _together(grid, group):
            who = grid.session[members]
            if charge_max_kw[who].sum() > room_in or discharge_max_kw[who].sum() > room_out:
                limits.append(SharedLimit(members, room_in, room_out))
    return limits


def _together(grid: StayGrid, group: Ints) -> list[Ints]:
    """Return the distinct sets of entries that are there at one moment.

    A set inside another one stays: when a charging car leaves, the others' discharge is no longer offset.
    """
    from_ms, until_ms = grid.from_ms[group], grid.until_ms[group]
    moments = np.unique(np.concatenate([from_ms, until_ms]))[:-1]
    sets = [tuple(group[(from_ms <= moment) & (until_ms > moment)].tolist()) for moment in moments]
    return [np.array(members, dtype=np.int64) for members in dict.fromkeys(sets) if members]
