"""ACN-Data: sessions of workplaces and campuses in California, as the JSON that the project exports.

A document is `{"_items": [...]}` or the bare list. An item's `connectionTime`, `disconnectTime`, `kWhDelivered`,
`sessionID`, `siteID` (a location with many EVSEs), `userID` and `timezone` are read; of `userInputs` the first
entry, which is what the driver said on arrival: `requestedDeparture` and `kWhRequested`. Times are written
in GMT; the item's zone gives the clock on the wall. Rows are numbered as items, the first being 1.

Reference: Z. J. Lee, T. Li, S. H. Low, "ACN-Data: Analysis and applications of an open EV charging dataset", ACM
e-Energy 2019, doi:10.1145/3307772.3328313.
"""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backfeed.core.problem import InputError, Problem
from backfeed.feeds.delimited import decode, read_bytes
from backfeed.feeds.session_file import RawSessions
from backfeed.feeds.wallclock import zone_named
from backfeed.feeds.written_time import from_rfc_1123

NAME = "acn"
TIMEZONE = "America/Los_Angeles"

_TEXTS = {"session_id": "sessionID", "station_id": "siteID", "user_id": "userID", "energy_kwh": "kWhDelivered"}


def read_acn(path: Path, zone: ZoneInfo | None) -> RawSessions:
    """Return the items of an ACN-Data export in the session schema.

    Parameters
    ----------
    path
        The JSON file.
    zone
        The zone whose clock is meant where an item names none; by default that of the project.

    Raises
    ------
    InputError
        If the file can not be read or is no such document.
    """
    try:
        document = json.loads(decode(read_bytes(path)))
    except (ValueError, RecursionError) as error:
        raise InputError([Problem(str(path), f"expected JSON, found: {error}")]) from error
    items = document.get("_items") if isinstance(document, dict) else document
    if not isinstance(items, list):
        raise InputError([Problem(str(path), 'expected {"_items": [...]} or a list of sessions')])
    clocks = _Clocks(zone or ZoneInfo(TIMEZONE))
    columns: dict[str, list[str]] = {
        name: [] for name in ("arrival", "departure", *_TEXTS, "departure_stated", "energy_requested_kwh")
    }
    unreadable = {}
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            unreadable[number] = f"expected a session, found {type(item).__name__}"
        elif clocks.of(item) is None:
            unreadable[number] = f"expected an IANA time zone in timezone, found {item.get('timezone')!r}"
        for name, text in _row(item if isinstance(item, dict) else {}, clocks).items():
            columns[name].append(text)
    return RawSessions(list(range(1, len(items) + 1)), columns, unreadable, clocks.default, NAME)


class _Clocks:
    """The zones that items name."""

    def __init__(self, default: ZoneInfo) -> None:
        self.default = default
        self._known: dict[str, ZoneInfo | None] = {}

    def of(self, item: dict[str, Any]) -> ZoneInfo | None:
        """Return the zone of an item, None if it names one that is none."""
        name = item.get("timezone")
        if name in (None, ""):
            return self.default
        if not isinstance(name, str):
            return None
        if name not in self._known:
            try:
                self._known[name] = zone_named(name, "timezone")
            except InputError:
                self._known[name] = None
        return self._known[name]

    @staticmethod
    def shown(text: object, zone: ZoneInfo) -> str:
        """Return a time as ISO 8601 text with the offset of its zone, or what stands there if it is no time."""
        if not isinstance(text, str):
            return _text(text)
        moment = from_rfc_1123(text)
        return text if moment is None else moment.astimezone(zone).isoformat()


def _row(item: dict[str, Any], clocks: _Clocks) -> dict[str, str]:
    """Return one item as texts in the session schema."""
    zone = clocks.of(item) or clocks.default
    inputs = item.get("userInputs")
    said = inputs[0] if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict) else {}
    row = {name: _text(item.get(key)) for name, key in _TEXTS.items()}
    row["arrival"] = clocks.shown(item.get("connectionTime"), zone)
    row["departure"] = clocks.shown(item.get("disconnectTime"), zone)
    row["departure_stated"] = clocks.shown(said.get("requestedDeparture"), zone)
    row["energy_requested_kwh"] = _text(said.get("kWhRequested"))
    return row


def _text(value: object) -> str:
    return "" if value is None else str(value)
