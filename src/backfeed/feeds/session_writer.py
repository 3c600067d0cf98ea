"""Writing sessions in Backfeed's own schema, so that an imported file can be kept beside its pilot."""

import csv
import io
import math
from datetime import timedelta, timezone

from backfeed.core.instant import format_instant, to_datetime
from backfeed.feeds.session_file import SessionFile

_HEADER = (
    "session_id",
    "station_id",
    "user_id",
    "arrival",
    "departure",
    "energy_kwh",
    "max_power_kw",
    "soc_arrival",
    "soc_departure",
    "capacity_kwh",
    "departure_stated",
    "energy_requested_kwh",
)


def sessions_csv(file: SessionFile) -> str:
    """Return the accepted sessions of a file as CSV in the session schema, each time in its own offset."""
    table, offsets = file.table, file.offsets
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    for i in range(len(table)):
        stated = table.departure_stated_ms[i]
        writer.writerow(
            (
                table.session_id[i],
                table.location[i],
                table.user_id[i],
                _time(int(table.arrival_ms[i]), offsets.arrival[i]),
                _time(int(table.departure_ms[i]), offsets.departure[i]),
                repr(float(table.energy_kwh[i])),
                _number(table.power_max_kw[i]),
                _number(table.soc_arrival[i]),
                _number(table.soc_departure[i]),
                _number(table.capacity_kwh[i]),
                "" if math.isnan(stated) else _time(int(stated), offsets.stated[i]),
                _number(table.energy_requested_kwh[i]),
            )
        )
    return text.getvalue()


def _time(at_ms: int, offset_ms: float) -> str:
    """Return a time in the offset it was written in, in Z if no clock is known."""
    if math.isnan(offset_ms):
        return format_instant(at_ms)
    return to_datetime(at_ms).astimezone(timezone(timedelta(milliseconds=offset_ms))).isoformat()


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))
