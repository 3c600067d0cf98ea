"""What would the fleet have taken otherwise: baselines from metered history.

A baseline is a pure function of what was metered before the invitation was known. It must not use
anything later, or the fleet could raise its own baseline after being invited; `History.known` cuts the
history there. The methods are those that programmes name:

===================  =====================================================================  =========
name                 method                                                                 used in
===================  =====================================================================  =========
mean-5-workdays      mean of the last 5 normal working days at the same wall-clock time     Jiangsu
top-5-of-10          of the last 10 normal working days the 5 that took most in the event's  Beijing
                     hours; holidays dropped; mean of these
before-control       mean of the 15 minutes before control begins, held throughout          Jiangsu,
                                                                                            real-time
regression           least squares on working day or not and, where given, temperature;     -
                     what the known days do not tell apart is left out
===================  =====================================================================  =========

A normal day is one without an event of its own. Where fewer days are known than a method asks for, the
days that exist are used, and `Baseline.notes` says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, local_datetime, to_ms
from backfeed.market.calendar import DayKind, day_kind

CONTROL_LEAD_MS = 15 * MS_PER_MIN
LOOK_BACK_DAYS = 60
"""How far back a method may look for normal days."""


@dataclass(frozen=True)
class History:
    """Net energy metered in the past.

    Parameters
    ----------
    axis
        The metered intervals.
    net_wh
        Net energy taken from the grid [Wh], charging positive, shape `(step,)`.
    timezone
        Whose wall clock days are counted on.
    calendar
        Name of the holiday calendar, see `market.calendar`; empty for none.
    event_days
        Local days that are not normal because the fleet was called on them.
    temperature_c
        Mean outdoor temperature by local day, for the regression.
    """

    axis: TimeAxis
    net_wh: NDArray[np.int64]
    timezone: str
    calendar: str = ""
    event_days: tuple[date, ...] = ()
    temperature_c: Mapping[date, float] | None = None

    def known(self, at_ms: int) -> "History":
        """Return what was metered before an instant: whole intervals that had ended by then."""
        count = min(max((at_ms - self.axis.start_ms) // self.axis.step_ms, 0), self.axis.count)
        axis = TimeAxis(self.axis.start_ms, self.axis.step_ms, count)
        return History(axis, self.net_wh[:count], self.timezone, self.calendar, self.event_days, self.temperature_c)


@dataclass(frozen=True)
class Baseline:
    """What the fleet would have taken in every interval of an event.

    Parameters
    ----------
    axis
        The event's intervals.
    net_wh
        Net energy [Wh], charging positive, shape `(step,)`.
    days
        The local days that were used, the latest first.
    notes
        What a reader has to know: fewer days than the method asks for.
    """

    method: str
    axis: TimeAxis
    net_wh: NDArray[np.int64]
    days: tuple[date, ...]
    notes: tuple[str, ...]

    @property
    def power_kw(self) -> NDArray[np.float64]:
        """The baseline as mean power of every interval [kW], charging positive."""
        return self.net_wh / (1000 * self.axis.step_h)


Method = Callable[[History, TimeAxis], Baseline]


def baseline(method: str, history: History, event: TimeAxis, invited_at_ms: int) -> Baseline:
    """Return the baseline of an event.

    Parameters
    ----------
    method
        One of `METHODS`.
    history
        Everything metered so far; what was not known at the invitation is cut off here. Only
        `before-control` may look up to the start of control, because that is what it is.
    event
        The intervals of delivery, with the step of the history.
    invited_at_ms
        When the invitation became known.

    Raises
    ------
    KeyError
        If there is no such method.
    ValueError
        If event and history differ in step.
    """
    if event.step_ms != history.axis.step_ms:
        message = f"event and history differ in step: {event.step_ms} and {history.axis.step_ms} ms"
        raise ValueError(message)
    cut_ms = event.start_ms if method == "before-control" else min(invited_at_ms, event.start_ms)
    return METHODS[method](history.known(cut_ms), event)


def _mean_of_workdays(history: History, event: TimeAxis) -> Baseline:
    found = _normal_days(history, event, 5, (DayKind.WORKDAY,))
    return _mean("mean-5-workdays", event, found, 5)


def _top_of_workdays(history: History, event: TimeAxis) -> Baseline:
    found = _normal_days(history, event, 10, (DayKind.WORKDAY,))
    top = sorted(found, key=lambda entry: (-int(entry[1].sum()), entry[0]))[:5]
    chosen = [entry for entry in found if any(entry[0] == day for day, _ in top)]
    short = () if len(found) >= 10 else (f"{len(found)} of 10 days known",)  # noqa: PLR2004
    mean = _mean("top-5-of-10", event, chosen, 5)
    return Baseline(mean.method, event, mean.net_wh, mean.days, short + mean.notes)


def _before_control(history: History, event: TimeAxis) -> Baseline:
    count = CONTROL_LEAD_MS // history.axis.step_ms
    last = history.net_wh[-count:] if history.axis.end_ms >= event.start_ms else history.net_wh[:0]
    if count == 0 or len(last) < count:
        return _nothing("before-control", event)
    level = round(int(last.sum()) / count)
    return Baseline("before-control", event, np.full(event.count, level, dtype=np.int64), (), ())


def _regression(history: History, event: TimeAxis) -> Baseline:
    """Fit every interval of the day on its own: level, working day or not, temperature where given.

    All in exact fractions, so that whoever reckons it again comes to the same watt-hour.
    """
    days = _normal_days(history, event, LOOK_BACK_DAYS, tuple(DayKind))
    if not days:
        return _nothing("regression", event)
    names = [day for day, _ in days]
    target = local_datetime(event.start_ms, ZoneInfo(history.timezone)).date()
    columns, notes = _explains(history, [*names, target])
    notes = (f"{len(names)} days known, at least 10 wanted", *notes) if len(names) < 10 else notes  # noqa: PLR2004
    weights = _weights_of_days(columns)
    observed = [energy.tolist() for _, energy in days]
    net_wh = [round(sum(w * day[k] for w, day in zip(weights, observed, strict=True))) for k in range(event.count)]
    return Baseline("regression", event, np.array(net_wh, dtype=np.int64), tuple(names), notes)


def _explains(history: History, days: Sequence[date]) -> tuple[list[list[Fraction]], tuple[str, ...]]:
    """Return what tells the days apart, a column each with the event's day last, and what could not be told."""
    columns, notes = [[Fraction(1)] * len(days)], []
    works = [Fraction(day_kind(day, history.calendar) is DayKind.WORKDAY) for day in days]
    if len(set(works[:-1])) > 1:
        columns.append(works)
    elif works[-1] != works[0]:
        notes.append(f"only {'working days' if works[0] else 'days off'} known")
    temperature = history.temperature_c
    if temperature is not None and all(day in temperature for day in days):
        warmth = [Fraction(temperature[day]) for day in days]
        if len({*zip(*(column[:-1] for column in (*columns, warmth)), strict=True)}) > len(columns):
            columns.append(warmth)
    return columns, tuple(notes)


def _weights_of_days(columns: Sequence[Sequence[Fraction]]) -> list[Fraction]:
    """Return what each known day counts in the prediction for the last: x' (X'X)^-1 X', exactly.

    Columns have to be independent on the known days. The system is eliminated row by row.
    """
    known, asked = [column[:-1] for column in columns], [column[-1] for column in columns]
    rows = [
        [*(sum((a * b for a, b in zip(one, other, strict=True)), Fraction(0)) for other in known), wanted]
        for one, wanted in zip(known, asked, strict=True)
    ]
    for pivot in range(len(rows)):
        rows[pivot] = [value / rows[pivot][pivot] for value in rows[pivot]]
        for other in range(len(rows)):
            factor = rows[other][pivot]
            if other != pivot and factor:
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[pivot], strict=True)]
    part = [row[-1] for row in rows]
    return [
        sum((p * value for p, value in zip(part, day, strict=True)), Fraction(0)) for day in zip(*known, strict=True)
    ]


METHODS: Mapping[str, Method] = {
    "mean-5-workdays": _mean_of_workdays,
    "top-5-of-10": _top_of_workdays,
    "before-control": _before_control,
    "regression": _regression,
}


def _normal_days(
    history: History, event: TimeAxis, count: int, kinds: tuple[DayKind, ...]
) -> list[tuple[date, NDArray[np.int64]]]:
    """Return up to `count` normal days before the event's and their energy at its hours, the latest first.

    "The same hours" are the same wall-clock times; a day on which one of them does not exist, or was not
    metered in full, is passed over.
    """
    zone = ZoneInfo(history.timezone)
    moments = [local_datetime(at_ms, zone) for at_ms in event]
    first_day = moments[0].date()
    found: list[tuple[date, NDArray[np.int64]]] = []
    for back in range(1, LOOK_BACK_DAYS + 1):
        day = first_day - timedelta(days=back)
        if len(found) == count:
            break
        if day in history.event_days or day_kind(day, history.calendar) not in kinds:
            continue
        energy = _energy_on(history, [moment - timedelta(days=back) for moment in moments], zone)
        if energy is not None:
            found.append((day, energy))
    return found


def _energy_on(history: History, moments: Sequence[datetime], zone: ZoneInfo) -> NDArray[np.int64] | None:
    steps = []
    for moment in moments:
        at_ms = to_ms(moment)
        exists = local_datetime(at_ms, zone).replace(tzinfo=None) == moment.replace(tzinfo=None)
        if not exists or not history.axis.start_ms <= at_ms < history.axis.end_ms:
            return None
        steps.append(history.axis.index_of(at_ms))
    return history.net_wh[steps]


def _mean(method: str, event: TimeAxis, days: Sequence[tuple[date, NDArray[np.int64]]], asked: int) -> Baseline:
    if not days:
        return _nothing(method, event)
    total = np.sum([energy for _, energy in days], axis=0)
    net_wh = np.rint(total / len(days)).astype(np.int64)
    notes = () if len(days) == asked else (f"{len(days)} of {asked} normal days known",)
    return Baseline(method, event, net_wh, tuple(day for day, _ in days), notes)


def _nothing(method: str, event: TimeAxis) -> Baseline:
    return Baseline(method, event, np.zeros(event.count, dtype=np.int64), (), ("nothing metered: baseline 0",))
