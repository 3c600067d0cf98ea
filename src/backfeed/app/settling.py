"""Settling: a local day's meter readings become transfers, and its detail a Parquet file.

A day closes some minutes after local midnight. Its interval detail is written first; the hash of that
file stands in every transfer of the day, so that money and meter readings can not drift apart.

A charger that was out of reach delivers its readings late. Whenever a day closes, earlier days whose
readings have changed are settled again, and what differs is posted as corrections. After a restart
the books themselves say what has been posted already.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backfeed.app.demand import DemandDesk
from backfeed.app.knowledge import Knowledge
from backfeed.battery.pricing import discharge_wear_floor
from backfeed.battery.stress import SocPaths
from backfeed.battery.wear import WEAR_LAWS
from backfeed.core.instant import local_midnight_ms
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.market.price import PriceSeries
from backfeed.meter.interval import IntervalTable, MeterKey
from backfeed.settle.account import ENERGY_UNIT, Role, account_id
from backfeed.settle.month import month_of
from backfeed.settle.postings import (
    DaySettlement,
    DeliveredEvent,
    OwnerDay,
    Parties,
    SettlementDay,
    award_transfer,
    settle_day,
)
from backfeed.settle.transfer import (
    Transfer,
    corrections,
    detail_hash,
    detail_mark,
    is_of_settled_day,
    net_effect,
    original_id,
    revision_prefix,
)
from backfeed.store.ledger_detail import write_detail

_DAY = timedelta(days=1)


class Book(Protocol):
    """Where transfers are posted."""

    def post(self, transfers: Sequence[Transfer]) -> object:
        """Post transfers, each once."""
        ...

    def transfers(self) -> Iterable[Transfer]:
        """Return every transfer in the order in which it was posted."""
        ...

    def closed_months(self) -> frozenset[str]:
        """Return the months that nothing may be posted to any more, as `YYYY-MM`."""
        ...


@dataclass(frozen=True)
class _Settled:
    intervals: IntervalTable
    owners: tuple[OwnerDay, ...]


@dataclass
class Settling:
    """Closes days.

    Parameters
    ----------
    knowledge, demand
        What was metered and promised.
    prices
        Over the whole run.
    book
        The ledger.
    parties
        Who takes part.
    days_folder
        Where a closed day's detail is written.
    """

    knowledge: Knowledge
    demand: DemandDesk
    prices: PriceSeries
    book: Book
    parties: Parties
    days_folder: Path
    _settled: dict[date, _Settled] = field(default_factory=dict)
    _awarded: set[str] = field(default_factory=set)

    @property
    def owner_days(self) -> list[OwnerDay]:
        """What every owner's settled days came to, as the books say now, by day."""
        return [owner for _, settled in sorted(self._settled.items()) for owner in settled.owners]

    def post_awards(self) -> None:
        """Post the promise of every award that has none yet, as a pending transfer."""
        for award in self.demand.awards():
            if award.invitation.id not in self._awarded:
                self._awarded.add(award.invitation.id)
                self.book.post([award_transfer(award, self.prices.currency, self.parties)])

    def close_day(self, day: date) -> None:
        """Settle a local day, and again every earlier day whose readings have changed since."""
        whole = self.knowledge.meter.table(self.knowledge.meter_keys)
        for each in sorted({*self._settled, day}):
            self._settle(each, whole, today=day)

    def _settle(self, day: date, whole: IntervalTable, today: date) -> None:
        zone = self.knowledge.enrolment.zone
        from_ms, until_ms = local_midnight_ms(day, zone), local_midnight_ms(day + _DAY, zone)
        intervals = _with_rows(whole.between(from_ms, until_ms))
        if day in self._settled and _same(self._settled[day].intervals, intervals):
            return
        wear = self._wear_micro(whole, from_ms, until_ms)
        evidence = write_detail(self.days_folder, day.isoformat(), intervals)
        settlement = settle_day(
            SettlementDay(
                day=day.isoformat(),
                at_ms=until_ms,
                intervals=intervals,
                prices=self.prices,
                wear_micro=wear,
                events=self._events(from_ms, until_ms),
                evidence=evidence,
            ),
            self.parties,
        )
        self.book.post(self._due(day.isoformat(), settlement, evidence, today.isoformat()))
        self._settled[day] = _Settled(intervals, settlement.owners)

    def _due(self, day: str, settlement: DaySettlement, evidence: str, today: str) -> Sequence[Transfer]:
        """Return what is still to be posted of a settled day."""
        posted = [transfer for transfer in self.book.transfers() if is_of_settled_day(transfer, day)]
        if not posted:
            return settlement.transfers
        if [named for named in map(detail_hash, posted) if named][-1:] == [evidence]:
            return ()
        revisions = {transfer.id.partition("|")[0] for transfer in posted if original_id(transfer.id) != transfer.id}
        booked_on = today if month_of(posted[0]) in self.book.closed_months() else ""
        number = len(revisions) + 1
        accounts = (
            account_id(Role.GRID, self.parties.grid, ENERGY_UNIT),
            account_id(Role.AGGREGATOR, self.parties.aggregator, ENERGY_UNIT),
        )
        mark = detail_mark(day, evidence, posted[0].at_ms, accounts)
        mark = replace(mark, id=revision_prefix(number, booked_on) + mark.id)
        return [*corrections(net_effect(posted), settlement.transfers, number, booked_on), mark]

    def _events(self, from_ms: int, until_ms: int) -> tuple[DeliveredEvent, ...]:
        return tuple(
            DeliveredEvent(delivery.award, delivery.payment)
            for delivery in self.demand.deliveries()
            if from_ms <= delivery.commitment.axis.start_ms < until_ms
        )

    def _wear_micro(self, whole: IntervalTable, from_ms: int, until_ms: int) -> Mapping[str, int]:
        """Return what the day's discharging wore each owner's battery, by the closed form."""
        worn: dict[str, int] = {}
        for number in np.unique(whole.key[(whole.start_ms >= from_ms) & (whole.start_ms < until_ms)]):
            key = whole.keys[number]
            rows = whole.key == number
            exported_wh = int(whole.export_wh[rows & (whole.start_ms >= from_ms) & (whole.start_ms < until_ms)].sum())
            cost = self._session_wear(key, whole, rows, from_ms, until_ms, exported_wh) if exported_wh else 0.0
            worn[key.owner] = worn.get(key.owner, 0) + round(cost * MICRO)
        return worn

    def _session_wear(
        self,
        key: MeterKey,
        whole: IntervalTable,
        rows: NDArray[np.bool_],
        from_ms: int,
        until_ms: int,
        exported_wh: int,
    ) -> float:
        owner = self.knowledge.owner_of_transaction(key)
        vehicle = owner.vehicle
        at_ms, energy_kwh = self.knowledge.energy_path(
            key, whole.start_ms[rows], whole.import_wh[rows], whole.export_wh[rows]
        )
        inside = (at_ms >= from_ms) & (at_ms <= until_ms)
        soc = np.clip(energy_kwh[inside] / vehicle.capacity_kwh, 0.0, 1.0)
        path = SocPaths.single(at_ms[inside], soc)
        discharged_kwh = exported_wh / WH_PER_KWH
        wear = discharge_wear_floor(
            WEAR_LAWS[vehicle.chemistry], path, vehicle.capacity_kwh, discharged_kwh, day_start_ms=from_ms
        )
        return float(wear.floor_per_kwh[0]) * discharged_kwh


def _same(before: IntervalTable, after: IntervalTable) -> bool:
    return before.keys == after.keys and all(
        np.array_equal(getattr(before, name), getattr(after, name))
        for name in ("key", "start_ms", "import_wh", "export_wh")
    )


def _with_rows(table: IntervalTable) -> IntervalTable:
    """Return a table without the keys that no row refers to."""
    used, number = np.unique(table.key, return_inverse=True)
    keys = tuple(table.keys[i] for i in used)
    return IntervalTable(keys, number.astype(np.int64), table.start_ms, table.import_wh, table.export_wh)
