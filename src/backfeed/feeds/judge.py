"""The judgement of session rows: accepted, or rejected by number, field and reason.

- **Rejected**: a time that can not be read, a departure not after the arrival, a stay of more than
  a year, an energy that is absent, negative or more than any car's battery holds, an id that an
  earlier session bears, a row with more cells than the header.
- **Accepted with a warning**: an optional value out of range (then treated as absent), a local time
  that does not exist or exists twice, a mean power above the row's own maximum, a user who overlaps
  himself, a stay of more than a month.

Rows of one location may overlap: a location has as many EVSEs as it needs. Of two sessions with one
id the one that arrived first is kept, so that no row can alter what became of a row before it in
time.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_DAY, MS_PER_H, to_ms
from backfeed.feeds.session_file import (
    OPTIONAL,
    REQUIRED,
    RawSessions,
    RejectedRow,
    RowProblem,
    SessionFile,
    WrittenOffsets,
)
from backfeed.feeds.wallclock import Reading, offset_ms, resolve
from backfeed.fleet.session import SessionTable

DEFAULT_LOCATION = "site"
"""The location of rows that name no station."""

ENERGY_MAX_KWH = 150.0
"""Above what a passenger car's battery takes from the meter in one stay."""

STAY_MAX_DAYS = 366
"""A longer stay is a session that was never closed or a mistyped year."""

STAY_LONG_DAYS = 31
"""A longer stay is served, but worth a look."""

POWER_TOLERANCE = 1.1
"""Files often cut times to the minute: a mean power up to 10 % above the maximum is no contradiction."""

YEARS = range(1970, 2201)
"""Outside of these a year is a placeholder or a slip."""

_SHOWN_CHARS = 80
_ABSENT = frozenset({"", "na", "n/a", "nan", "nat", "null", "none", "-"})


@dataclass(frozen=True, slots=True)
class _Moment:
    """An instant and the UTC offset it was written in; NaN where it was written without a clock."""

    at_ms: int
    offset_ms: float


@dataclass(slots=True)
class _Draft:
    """A row under judgement; None and NaN where a value is absent or was refused."""

    row: int
    session_id: str
    location: str
    user_id: str
    arrival: _Moment | None = None
    departure: _Moment | None = None
    stated: _Moment | None = None
    energy_kwh: float = math.nan
    power_max_kw: float = math.nan
    soc_arrival: float = math.nan
    soc_departure: float = math.nan
    capacity_kwh: float = math.nan
    energy_requested_kwh: float = math.nan
    accepted: bool = True
    problems: list[RowProblem] = field(default_factory=list)

    def reject(self, name: str, reason: str) -> None:
        self.accepted = False
        self.problems.append(RowProblem(self.row, name, reason, "rejected", self.session_id))

    def warn(self, name: str, reason: str) -> None:
        self.problems.append(RowProblem(self.row, name, reason, "warning", self.session_id))

    @property
    def span_ms(self) -> tuple[int, int]:
        """Arrival and departure of an accepted row."""
        assert self.arrival is not None, "an accepted row has an arrival"
        assert self.departure is not None, "an accepted row has a departure"
        return self.arrival.at_ms, self.departure.at_ms


def judge(raw: RawSessions) -> SessionFile:
    """Judge every row and return the accepted ones as a table, with everything that was found."""
    reader = _RowReader(raw)
    drafts = [reader.read(index) for index in range(len(raw.row))]
    _reject_repeated_ids(drafts)
    accepted = [draft for draft in drafts if draft.accepted]
    accepted.sort(key=lambda draft: (draft.span_ms[0], draft.session_id, draft.row))
    _warn_of_overlaps(accepted)
    rejected = tuple(_rejected_row(draft) for draft in drafts if not draft.accepted)
    problems = tuple(problem for draft in drafts for problem in draft.problems)
    return SessionFile(_table(accepted), problems, len(drafts), rejected, _offsets(accepted), raw.layout)


def local_time_note(local: datetime, zone: ZoneInfo, reading: Reading) -> str:
    """Return the sentence that reports a local time which does not exist or exists twice."""
    shown = local.isoformat(sep=" ")
    if reading is Reading.SKIPPED:
        return f"{shown} does not exist in {zone.key}, where clocks go forward; read as that much later"
    return f"{shown} exists twice in {zone.key}, where clocks go back; read as one of the two"


class _RowReader:
    """Reads one row after another from columns of text."""

    def __init__(self, raw: RawSessions) -> None:
        blank = [""] * len(raw.row)
        self._raw = raw
        self._text = {name: raw.columns.get(name, blank) for name in REQUIRED + OPTIONAL}

    def read(self, index: int) -> _Draft:
        text = {name: column[index] for name, column in self._text.items()}
        text.update({name: "" for name in OPTIONAL if text[name].lower() in _ABSENT})
        row = self._raw.row[index]
        session_id = text["session_id"] or f"row-{row}"
        draft = _Draft(row, session_id, text["station_id"] or DEFAULT_LOCATION, text["user_id"])
        if row in self._raw.unreadable:
            draft.reject("row", self._raw.unreadable[row])
        draft.arrival = self._required_time(draft, "arrival", text["arrival"])
        draft.departure = self._required_time(draft, "departure", text["departure"])
        self._read_energy(draft, text["energy_kwh"])
        self._read_optional(draft, text)
        if draft.arrival is not None and draft.departure is not None:
            _judge_stay(draft, draft.departure.at_ms - draft.arrival.at_ms)
        return draft

    def _required_time(self, draft: _Draft, name: str, text: str) -> _Moment | None:
        moment = self._time(draft, name, text)
        if isinstance(moment, str):
            draft.reject(name, moment)
            return None
        return moment

    def _time(self, draft: _Draft, name: str, text: str) -> _Moment | str:
        """Return the instant, or what was expected and found instead."""
        try:
            written = datetime.fromisoformat(text)
        except ValueError:
            return f"expected an ISO 8601 date and time, found {_shown(text)}"
        if len(text) <= len("2026-07-06"):
            return f"expected a date and a time of day, found {_shown(text)}"
        if written.year not in YEARS:
            return f"expected a year from {YEARS[0]} to {YEARS[-1]}, found {_shown(text)}"
        if written.tzinfo is not None:
            return _Moment(to_ms(written), math.nan if text.endswith(("Z", "z")) else offset_ms(written))
        zone = self._raw.timezone
        if zone is None:
            return f"expected an offset such as +08:00, or the file's time zone by --timezone, found {_shown(text)}"
        at_ms, offset, reading = resolve(written, zone)
        if reading is not Reading.PLAIN:
            draft.warn(name, local_time_note(written, zone, reading))
        return _Moment(at_ms, offset)

    def _read_energy(self, draft: _Draft, text: str) -> None:
        energy = self._number(text)
        if math.isnan(energy):
            draft.reject("energy_kwh", f"expected a number of kWh, found {_shown(text)}")
        elif energy < 0:
            draft.reject("energy_kwh", f"expected at least 0 kWh, found {energy:g}")
        elif energy > ENERGY_MAX_KWH:
            what = f"expected at most {ENERGY_MAX_KWH:g} kWh, more than which no car takes, found {energy:g}"
            draft.reject("energy_kwh", what)
        else:
            draft.energy_kwh = energy

    def _read_optional(self, draft: _Draft, text: dict[str, str]) -> None:
        tiny = math.ulp(0.0)
        draft.power_max_kw = self._optional(draft, "max_power_kw", text, "a power above 0 kW", tiny)
        draft.soc_arrival = self._optional(draft, "soc_arrival", text, "a fraction from 0 to 1", 0.0, 1.0)
        draft.soc_departure = self._optional(draft, "soc_departure", text, "a fraction from 0 to 1", 0.0, 1.0)
        draft.capacity_kwh = self._optional(draft, "capacity_kwh", text, "a capacity above 0 kWh", tiny)
        draft.energy_requested_kwh = self._optional(draft, "energy_requested_kwh", text, "at least 0 kWh", 0.0)
        if text["departure_stated"]:
            draft.stated = self._stated(draft, text["departure_stated"])

    def _stated(self, draft: _Draft, text: str) -> _Moment | None:
        moment = self._time(draft, "departure_stated", text)
        if isinstance(moment, str):
            draft.warn("departure_stated", f"{moment}; treated as not stated")
            return None
        if draft.arrival is not None and moment.at_ms <= draft.arrival.at_ms:
            draft.warn(
                "departure_stated", f"expected a time after the arrival, found {_shown(text)}; treated as not stated"
            )
            return None
        return moment

    def _optional(
        self,
        draft: _Draft,
        name: str,
        text: dict[str, str],
        expected: str,
        at_least: float,
        at_most: float = math.inf,
    ) -> float:
        """Return an optional number, NaN where it is absent or, after a warning, out of range."""
        if not text[name]:
            return math.nan
        number = self._number(text[name])
        if at_least <= number <= at_most and math.isfinite(number):
            return number
        draft.warn(name, f"expected {expected}, found {_shown(text[name])}; treated as absent")
        return math.nan

    def _number(self, text: str) -> float:
        """Return a number, NaN where the text is none."""
        if "_" in text:  # Python's own way to write a thousand
            return math.nan
        try:
            return float(text.replace(",", ".") if self._raw.decimal_comma else text)
        except ValueError:
            return math.nan


def _shown(text: str) -> str:
    """Return a cell as a reason shows it: what a quotation mark swallowed may be a whole page."""
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}...")


def _judge_stay(draft: _Draft, stay_ms: int) -> None:
    """Judge the length of a stay, and the energy by it."""
    if stay_ms == 0:
        draft.reject("departure", "expected a time after the arrival, found the same: a stay of zero length")
    elif stay_ms < 0:
        draft.reject("departure", f"expected a time after the arrival, found one {-stay_ms / MS_PER_H:.2f} h before it")
    elif stay_ms > STAY_MAX_DAYS * MS_PER_DAY:
        found = f"{stay_ms / MS_PER_DAY:.0f}"
        draft.reject("departure", f"expected a stay of at most {STAY_MAX_DAYS} days, found {found}")
    else:
        if stay_ms > STAY_LONG_DAYS * MS_PER_DAY:
            draft.warn("departure", f"a stay of {stay_ms / MS_PER_DAY:.0f} days")
        mean_kw = draft.energy_kwh / (stay_ms / MS_PER_H)
        if mean_kw > POWER_TOLERANCE * draft.power_max_kw:
            what = f"expected a mean power of at most max_power_kw = {draft.power_max_kw:g}, found {mean_kw:.2f} kW"
            draft.warn("energy_kwh", what)


def _reject_repeated_ids(drafts: list[_Draft]) -> None:
    """Of the sessions with one id keep the one that arrived first, then the one that stands first."""
    kept: dict[str, _Draft] = {}
    accepted = [draft for draft in drafts if draft.accepted]
    for draft in sorted(accepted, key=lambda each: (each.span_ms[0], each.row)):
        first = kept.setdefault(draft.session_id, draft)
        if first is not draft:
            draft.reject("session_id", f"expected an id of its own, found {draft.session_id!r} as in row {first.row}")


def _warn_of_overlaps(accepted: list[_Draft]) -> None:
    """Warn of users who are said to be in two places, or twice in one, at the same time."""
    latest: dict[str, _Draft] = {}
    for draft in accepted:
        if not draft.user_id:
            continue
        before = latest.get(draft.user_id)
        if before is not None and before.span_ms[1] > draft.span_ms[0]:
            draft.warn("user_id", f"user {draft.user_id!r} has not left in row {before.row}")
        if before is None or draft.span_ms[1] > before.span_ms[1]:
            latest[draft.user_id] = draft


def _rejected_row(draft: _Draft) -> RejectedRow:
    if draft.arrival is None:
        return RejectedRow(draft.row, draft.session_id, None, None)
    offset = None if math.isnan(draft.arrival.offset_ms) else int(draft.arrival.offset_ms)
    return RejectedRow(draft.row, draft.session_id, draft.arrival.at_ms, offset)


def _table(drafts: list[_Draft]) -> SessionTable:
    def floats(name: str) -> NDArray[np.float64]:
        return np.array([getattr(draft, name) for draft in drafts], dtype=np.float64)

    spans = np.array([draft.span_ms for draft in drafts], dtype=np.int64).reshape(len(drafts), 2)
    stated = [math.nan if draft.stated is None else draft.stated.at_ms for draft in drafts]
    return SessionTable(
        row=np.array([draft.row for draft in drafts], dtype=np.int64),
        session_id=tuple(draft.session_id for draft in drafts),
        location=tuple(draft.location for draft in drafts),
        user_id=tuple(draft.user_id for draft in drafts),
        arrival_ms=spans[:, 0].copy(),
        departure_ms=spans[:, 1].copy(),
        energy_kwh=floats("energy_kwh"),
        power_max_kw=floats("power_max_kw"),
        soc_arrival=floats("soc_arrival"),
        soc_departure=floats("soc_departure"),
        capacity_kwh=floats("capacity_kwh"),
        departure_stated_ms=np.array(stated, dtype=np.float64),
        energy_requested_kwh=floats("energy_requested_kwh"),
    )


def _offsets(drafts: list[_Draft]) -> WrittenOffsets:
    def column(moments: list[_Moment | None]) -> NDArray[np.float64]:
        return np.array([math.nan if each is None else each.offset_ms for each in moments], dtype=np.float64)

    return WrittenOffsets(
        arrival=column([draft.arrival for draft in drafts]),
        departure=column([draft.departure for draft in drafts]),
        stated=column([draft.stated for draft in drafts]),
    )
