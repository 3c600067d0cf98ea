"""Resuming: what a service finds in its data folder, and the day with which it goes on settling.

A day is over for a service when its detail is written and its transfers are posted. The detail comes
first, so a day whose detail stands there without a transfer was cut off in between and is settled again
from the log; nothing of it is in the books yet.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from backfeed.app.assembly import DAYS_FOLDER, EVENTS_FILE, LEDGER_FILE
from backfeed.core.clock import Clock
from backfeed.core.instant import local_datetime
from backfeed.core.problem import EnvironmentProblemError
from backfeed.store.ledger_detail import has_rows
from backfeed.store.ledger_seal import open_ledger
from backfeed.store.log import EventLog

LOCK_FILE = "service.lock"


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold a data folder for one service; it is made if it is missing.

    Raises
    ------
    EnvironmentProblemError
        If the folder can not be written, or another service runs on it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("a")
    except OSError as error:
        message = f"{folder}: the data folder can not be written: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"{folder}: another service runs on this data folder"
            raise EnvironmentProblemError(message) from error
        yield


async def first_open_day(folder: Path, clock: Clock, zone: ZoneInfo) -> date:
    """Return the first local day that is not settled yet: today in a new folder.

    Raises
    ------
    EnvironmentProblemError
        If event log or ledger can not be opened.
    """
    details = sorted((folder / DAYS_FOLDER).glob("????-??-??.parquet"))
    if details:
        newest = date.fromisoformat(details[-1].stem)
        return newest + timedelta(days=1) if _is_settled(folder, details[-1]) else newest
    async with EventLog(folder / EVENTS_FILE, clock, durable=False) as log:
        begins_ms = log.begins_ms()
    return local_datetime(clock.now_ms() if begins_ms is None else begins_ms, zone).date()


def _is_settled(folder: Path, detail: Path) -> bool:
    """Return whether the books know a day that has detail; a day without any needs no transfer."""
    if not has_rows(detail):
        return True
    with open_ledger(folder / LEDGER_FILE) as ledger:
        return any(transfer.id.startswith(f"{detail.stem}/") for transfer in ledger.transfers())
