"""Layouts of public charging data sets in delimited text, each a small table of which column is what.

Names of columns are compared in lower case with everything but letters and digits taken as a blank, so
`Start_Date___Time` and `Start Date / Time` are one name. A layout is recognised by the columns that it
can not do without.

| layout | source | times |
|---|---|---|
| `elaad` | ElaadNL open transactions, the Netherlands | local, although the columns are named UTC; day first |
| `dundee` | Dundee City Council and other Scottish councils | local, date and time in two columns; day first |
| `boulder` | City of Boulder, Palo Alto: ChargePoint exports | local, zone abbreviated in a column; month first |
| `jiaxing` | Jiaxing, Zhejiang: orders of public and residential posts | local, with a trailing tab |
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from backfeed.feeds.delimited import Delimited
from backfeed.feeds.session_file import RawSessions
from backfeed.feeds.written_time import iso_columns, with_abbreviation

_NO_LETTER_OR_DIGIT = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a layout mean what.

    Parameters
    ----------
    name
        What `--format` calls it.
    known_by
        Columns, as `plain` names them, that have to be there.
    arrival, departure
        Alternatives, the first that is there counts; each is one or two columns to be joined.
    columns
        For every other column of the schema the alternatives, likewise.
    timezone
        The zone of times that carry no offset.
    day_first
        Whether the day comes before the month where no value tells.
    abbreviations
        The columns that name the zones of arrival and departure, "" if there are none.
    """

    name: str
    known_by: frozenset[str]
    arrival: tuple[tuple[str, ...], ...]
    departure: tuple[tuple[str, ...], ...]
    columns: dict[str, tuple[tuple[str, ...], ...]]
    timezone: str
    day_first: bool
    abbreviations: tuple[str, str] = ("", "")


LAYOUTS = (
    Layout(
        name="elaad",
        known_by=frozenset({"utctransactionstart", "utctransactionstop", "totalenergy"}),
        arrival=(("utctransactionstart",),),
        departure=(("utctransactionstop",),),
        columns={
            "session_id": (("transactionid",),),
            "station_id": (("chargepoint",), ("chargepointid",)),
            "user_id": (("startcard",),),
            "energy_kwh": (("totalenergy",),),
            "max_power_kw": (("maxpower",),),
        },
        timezone="Europe/Amsterdam",
        day_first=True,
    ),
    Layout(
        name="dundee",
        known_by=frozenset({"start date", "start time", "end date", "end time", "total kwh"}),
        arrival=(("start date", "start time"),),
        departure=(("end date", "end time"),),
        columns={
            "session_id": (("charging event",),),
            "station_id": (("site",), ("cp id",)),
            "user_id": (("user id",),),
            "energy_kwh": (("total kwh",),),
        },
        timezone="Europe/London",
        day_first=True,
    ),
    Layout(
        name="boulder",
        known_by=frozenset({"station name", "energy kwh", "start time zone", "end time zone"}),
        arrival=(("start date time",), ("start date",)),
        departure=(("end date time",), ("end date",)),
        columns={
            "session_id": (("objectid",), ("objectid2",), ("plug in event id",)),
            "station_id": (("station name",),),
            "user_id": (("user id",),),
            "energy_kwh": (("energy kwh",),),
        },
        timezone="America/Denver",
        day_first=False,
        abbreviations=("start time zone", "end time zone"),
    ),
    Layout(
        name="jiaxing",
        known_by=frozenset({"start time", "end time", "transaction power kwh"}),
        arrival=(("start time",),),
        departure=(("end time",),),
        columns={
            "session_id": (("order number",), ("order id",)),
            "station_id": (("district name", "location information"), ("location information",), ("charging post id",)),
            "user_id": (("userid",), ("user id",)),
            "energy_kwh": (("transaction power kwh",),),
        },
        timezone="Asia/Shanghai",
        day_first=False,
    ),
)


def plain(name: str) -> str:
    """Return the name of a column in lower case, with single blanks for all but letters and digits.

    >>> plain("Start_Date___Time"), plain("Energy (kWh)")
    ('start date time', 'energy kwh')
    """
    return _NO_LETTER_OR_DIGIT.sub(" ", name).strip().lower()


def layout_of(header: Sequence[str]) -> Layout | None:
    """Return the layout whose indispensable columns a header has, None if there is none."""
    names = {plain(name) for name in header}
    return next((layout for layout in LAYOUTS if layout.known_by <= names), None)


def in_schema(found: Delimited, layout: Layout, zone: ZoneInfo | None) -> RawSessions:
    """Return the columns of a file in the session schema, its times in ISO 8601.

    Parameters
    ----------
    found
        The file.
    layout
        Its layout; every column that the layout does not name is left out.
    zone
        The zone of times without an offset, if it is not the layout's own.
    """
    index = {plain(name): position for position, name in reversed(list(enumerate(found.header)))}

    def column(alternatives: tuple[tuple[str, ...], ...]) -> list[str] | None:
        for names in alternatives:
            if all(name in index for name in names):
                places = [index[name] for name in names]
                return [" ".join(cells[place] for place in places).strip() for cells in found.cells]
        return None

    blank = [""] * len(found.cells)
    written = [column(layout.arrival) or blank, column(layout.departure) or blank]
    names = ("arrival", "departure")
    columns = dict(zip(names, iso_columns(written, habit=layout.day_first), strict=True))
    for name, abbreviation in zip(names, layout.abbreviations, strict=True):
        zones = column(((abbreviation,),)) if abbreviation else None
        if zones is not None:
            columns[name] = [with_abbreviation(*pair) for pair in zip(columns[name], zones, strict=True)]
    for name, alternatives in layout.columns.items():
        texts = column(alternatives)
        if texts is not None:
            columns[name] = texts
    zone = zone or ZoneInfo(layout.timezone)
    return RawSessions(found.row, columns, found.unreadable, zone, layout.name, decimal_comma=found.delimiter != ",")
