"""The detail behind a settled day: which car took and gave how much in which quarter-hour, as Parquet.

The hash of a day's detail stands in the evidence of the day's transfers. So the books say which readings they
rest on, and a changed reading is found just as a changed transfer is: `verify_details` compares every file with
the books, by hash and by watt-hours.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from backfeed.core.problem import Problem
from backfeed.meter.interval import IntervalTable
from backfeed.settle.transfer import Code, Phase, Transfer, detail_hash, net_effect, original_id

if TYPE_CHECKING:
    import polars as pl

_ENERGY_CODES = (Code.ENERGY_CHARGED, Code.ENERGY_DISCHARGED)


def write_detail(folder: Path, day: str, intervals: IntervalTable) -> str:
    """Write a day's intervals to `folder/{day}.parquet` and return the hash of their content.

    The hash is over the rows as CSV, so it does not depend on how Parquet packs them.
    """
    import polars as pl  # noqa: PLC0415 -- slow to import, needed once a day

    keys = intervals.keys
    frame = pl.DataFrame(
        {
            "transaction": [keys[i].transaction for i in intervals.key],
            "owner": [keys[i].owner for i in intervals.key],
            "site": [keys[i].site for i in intervals.key],
            "station": [keys[i].station for i in intervals.key],
            "evse": [keys[i].evse for i in intervals.key],
            "start_ms": intervals.start_ms,
            "import_wh": intervals.import_wh,
            "export_wh": intervals.export_wh,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / f"{day}.parquet")
    return content_hash(frame)


def has_rows(detail: Path) -> bool:
    """Return whether a day's detail can be read and holds any interval."""
    import polars as pl  # noqa: PLC0415 -- see write_detail

    try:
        return len(pl.read_parquet(detail, columns=["start_ms"])) > 0
    except (pl.exceptions.PolarsError, OSError):
        # Cut off while it was written: there is more to come than nothing.
        return True


def verify_details(folder: Path, transfers: Iterable[Transfer]) -> list[Problem]:
    """Return what does not fit between the books and the detail in a folder.

    Every settled day with energy needs its file, the file's hash has to be the one that the books name last, and
    its watt-hours have to be those that were posted for every owner at every site.
    """
    energy: list[Transfer] = []
    named: dict[str, str] = {}
    posted: dict[tuple[str, str, Code], int] = {}
    for transfer in transfers:
        if transfer.code in (*_ENERGY_CODES, Code.QUARANTINE) and transfer.phase is Phase.SINGLE:
            energy.append(transfer)
        if named_hash := detail_hash(transfer):
            named[original_id(transfer.id).partition("/")[0]] = named_hash
    for identity, transfer in net_effect(energy).items():
        day, _, rest = identity.partition("/")
        # What is held in quarantine was discharged as well; an owner's second case of a day has a number.
        who = rest.partition("/")[2].partition("#")[0] if transfer.code is Code.QUARANTINE else rest.partition("/")[2]
        code = Code.ENERGY_DISCHARGED if transfer.code is Code.QUARANTINE else transfer.code
        posted[day, who, code] = posted.get((day, who, code), 0) + transfer.amount
    return [problem for day in sorted(named) for problem in _day_problems(folder, day, named[day], posted)]


def _day_problems(folder: Path, day: str, named: str, posted: dict[tuple[str, str, Code], int]) -> list[Problem]:
    import polars as pl  # noqa: PLC0415 -- see write_detail

    path = folder / f"{day}.parquet"
    if not path.is_file():
        return [Problem(str(path), "is missing: the books rest on it")]
    try:
        frame = pl.read_parquet(path)
        sums = frame.group_by("owner", "site").agg(pl.col("import_wh").sum(), pl.col("export_wh").sum())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        # A damaged page makes the reader panic instead of raising.
        return [Problem(str(path), f"can not be read: {error}")]
    problems = []
    if content_hash(frame) != named:
        problems.append(Problem(str(path), "its content is not the one that the books name"))
    metered = {
        (day, f"{owner}@{site}", code): int(energy)
        for owner, site, imported, exported in sums.iter_rows()
        for code, energy in zip(_ENERGY_CODES, (imported, exported), strict=True)
        if energy
    }
    booked = {key: amount for key, amount in posted.items() if key[0] == day and amount}
    differing = sorted({key[1] for key in metered.keys() | booked.keys() if metered.get(key) != booked.get(key)})
    if differing:
        problems.append(Problem(str(path), "metered and posted energy differ for these owners", tuple(differing)))
    return problems


def content_hash(frame: "pl.DataFrame") -> str:
    """Return the hash of a day's rows as CSV, which the books name."""
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()
