"""Settling: a local day's meter readings become transfers, and its detail a Parquet file.

A day closes some minutes after local midnight. Its interval detail is written first; the hash of that
file stands in every transfer of the day, so that money and meter readings can not drift apart.

A charger that was out of reach delivers its readings late. Whenever a day closes, earlier days whose
readings have changed are settled again, and what differs is posted as corrections. After a restart
the books themselves say what has been posted already.

Energy that is doubted is left out of a day and held as a case of its own (`app.doubting`); the end of a
month, or of a run, makes owners whole who would have been better off unmanaged (`app.whole`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import numpy as np

from backfeed.app.demand import Delivery, DemandDesk
from backfeed.app.doubting import doubts_of, held_days, without_doubted
from backfeed.app.knowledge import Knowledge
from backfeed.app.wearing import session_wear
from backfeed.app.whole import unmanaged_of
from backfeed.core.instant import MS_PER_H, local_midnight_ms
from backfeed.core.money import MICRO
from backfeed.market.price import PriceSeries
from backfeed.meter.gaming import Finding
from backfeed.meter.interval import IntervalTable, MeterKey
from backfeed.settle.account import ENERGY_UNIT, POINTS_UNIT, Instrument, Role, account_id, holder_of, instrument_unit
from backfeed.settle.bonus import Bonus, bonus_transfers
from backfeed.settle.contract import Contracts
from backfeed.settle.guarantee import guarantee_transfers, owner_periods
from backfeed.settle.month import month_of
from backfeed.settle.postings import (
    DaySettlement,
    DeliveredEvent,
    Parties,
    SettlementDay,
    award_transfer,
    settle_day,
)
from backfeed.settle.quarantine import OPEN, cases, hold, supersede
from backfeed.settle.retail import expire, redeem_credit
from backfeed.settle.transfer import (
    Code,
    Phase,
    Transfer,
    corrections,
    detail_hash,
    detail_mark,
    is_of_settled_day,
    net_effect,
    original_id,
    revision_prefix,
    transfer_day,
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
    contracts
        Who has agreed to what.
    keeps_whole
        Whether owners are made up what they lost against charging at once.
    bonuses
        What drivers who were asked have kept, as it becomes known; paid with the day on which it did.
    findings
        What was found on every settled day that points to gaming.
    """

    knowledge: Knowledge
    demand: DemandDesk
    prices: PriceSeries
    book: Book
    parties: Parties
    days_folder: Path
    contracts: Contracts = field(default_factory=Contracts)
    keeps_whole: bool = True
    bonuses: Sequence[Bonus] = ()
    findings: dict[date, tuple[Finding, ...]] = field(default_factory=dict)
    _settled: dict[date, IntervalTable] = field(default_factory=dict)
    _awarded: set[str] = field(default_factory=set)
    _kept_whole: dict[date, date] = field(default_factory=dict)

    def post_awards(self) -> None:
        """Post the promise of every award that has none yet, as a pending transfer."""
        for award in self.demand.awards():
            if award.invitation.id not in self._awarded:
                self._awarded.add(award.invitation.id)
                self.book.post([award_transfer(award, self.prices.currency, self.parties)])

    def close_day(self, day: date) -> None:
        """Settle a local day, and again every earlier day whose readings have changed since."""
        whole = self.knowledge.meter.table(self.knowledge.meter_keys)
        changed = [each for each in sorted({*self._settled, day}) if self._settle(each, whole, today=day)]
        self._post_once(redeem_credit(self.book.transfers(), day, self._end_ms(day), self.prices.currency))
        self._pay_bonuses(day)
        self._expire(day)
        for first, last in sorted(self._kept_whole.items()):
            if any(first <= each <= last for each in changed):
                self._keep_whole(first, last, whole, today=day)
        if (day + _DAY).month != day.month:
            self.close_period(day)

    def _pay_bonuses(self, day: date) -> None:
        from_ms, until_ms = local_midnight_ms(day, self.knowledge.enrolment.zone), self._end_ms(day)
        due = [
            replace(bonus, owner=self.contracts.holders.get(bonus.owner, bonus.owner))
            for bonus in self.bonuses
            if from_ms <= bonus.known_at_ms < until_ms
        ]
        self._post_once(bonus_transfers(due, day.isoformat(), until_ms, self.prices.currency, self.parties.aggregator))

    def close_period(self, last: date) -> None:
        """Make up what owners lost against charging at once in the month that ends with a day, or in its part."""
        first = last.replace(day=1)
        if self.keeps_whole and first not in self._kept_whole:
            whole = self.knowledge.meter.table(self.knowledge.meter_keys)
            self._keep_whole(first, last, whole, today=last)

    def _end_ms(self, day: date) -> int:
        return local_midnight_ms(day + _DAY, self.knowledge.enrolment.zone)

    def _settle(self, day: date, whole: IntervalTable, today: date) -> bool:
        """Settle a day unless its readings are those that it was settled with; return whether it was."""
        from_ms, until_ms = local_midnight_ms(day, self.knowledge.enrolment.zone), self._end_ms(day)
        intervals = _with_rows(whole.between(from_ms, until_ms))
        if day in self._settled and _same(self._settled[day], intervals):
            return False
        wear = self._wear_micro(whole, from_ms, until_ms)
        events = self._events(from_ms, until_ms)
        doubts = doubts_of(self.knowledge, self.demand, intervals, events)
        evidence = write_detail(self.days_folder, day.isoformat(), self.contracts.by_holder(intervals))
        parties = self.contracts.parties_on(day, self.parties)
        believed = SettlementDay(
            day=day.isoformat(),
            at_ms=until_ms,
            intervals=self.contracts.by_holder(without_doubted(intervals, doubts)),
            prices=self.prices,
            wear_micro=self._by_holder({key: 0 if key in doubts.stays else cost for key, cost in wear.items()}),
            events=tuple(event for event in events if event.award.invitation.id not in doubts.events),
            plugged_h=self._plugged_h(intervals, from_ms, until_ms),
            subsidies_left_micro=self.subsidies_left(day),
            evidence=evidence,
        )
        settlement = settle_day(believed, parties)
        self.book.post(self._due(day.isoformat(), settlement, evidence, today.isoformat()))
        worn = self._by_holder({key: wear[key] for key in doubts.stays if key in wear})
        rest = replace(believed, subsidies_left_micro=_left(believed, settlement))
        self._hold(held_days(rest, doubts, intervals, events, self.contracts, worn), rest, parties)
        self._settled[day] = intervals
        self.findings[day] = doubts.findings
        return True

    def _due(self, day: str, settlement: DaySettlement, evidence: str, today: str) -> Sequence[Transfer]:
        """Return what is still to be posted of a settled day."""
        posted = [transfer for transfer in self.book.transfers() if is_of_settled_day(transfer, day)]
        if not posted:
            return settlement.transfers
        if [named for named in map(detail_hash, posted) if named][-1:] == [evidence]:
            return ()
        revision, booked_on = self._revision(posted, today)
        accounts = (
            account_id(Role.GRID, self.parties.grid, ENERGY_UNIT),
            account_id(Role.AGGREGATOR, self.parties.aggregator, ENERGY_UNIT),
        )
        mark = detail_mark(day, evidence, posted[0].at_ms, accounts)
        mark = replace(mark, id=revision_prefix(revision, booked_on) + mark.id)
        return [*corrections(net_effect(posted), settlement.transfers, revision, booked_on), mark]

    def _revision(self, posted: Sequence[Transfer], today: str) -> tuple[int, str]:
        """Return the number of the next correction, and the day to book it on where its own is closed."""
        revisions = {transfer.id.partition("|")[0] for transfer in posted if original_id(transfer.id) != transfer.id}
        return len(revisions) + 1, today if month_of(posted[0]) in self.book.closed_months() else ""

    def _hold(self, wanted: Mapping[str, tuple[SettlementDay, str]], day: SettlementDay, parties: Parties) -> None:
        """Open a case for everything that is doubted; an open case whose energy has changed gives way to a new one."""
        books = list(self.book.transfers()) if wanted else []
        heads = [t for t in books if t.id.startswith(f"{day.day}/{Code.QUARANTINE}/") and t.code is Code.QUARANTINE]
        state = {case.name: case.state for case in cases(books)}
        for what, (held, reason) in sorted(wanted.items()):
            mine = [t for t in heads if t.id.partition("/quarantine/")[2].partition("#")[0] == what]
            if mine:
                name = mine[-1].id.replace("/quarantine/", "/", 1)
                if mine[-1].amount == int(held.intervals.export_wh.sum()) or state[name] != OPEN:
                    continue
                self.book.post(supersede(books, mine[-1], len(mine), day.at_ms))
            number = f"#{len(mine) + 1}" if mine else ""
            self.book.post(hold(held, parties, what + number, reason))

    def _keep_whole(self, first: date, last: date, whole: IntervalTable, today: date) -> None:
        """Post what owners are owed over a period, or what that has changed by."""
        zone = self.knowledge.enrolment.zone
        table = _with_rows(whole.between(local_midnight_ms(first, zone), self._end_ms(last)))
        bills = unmanaged_of(self.knowledge, self.contracts, table, self.prices)
        books = list(self.book.transfers())
        periods = owner_periods(books, self.prices.currency, (first.isoformat(), last.isoformat()), bills)
        day = last.isoformat()
        made = guarantee_transfers(periods, day, self._end_ms(last), self.prices.currency, self.parties.aggregator)
        posted = [t for t in books if original_id(t.id).startswith(f"{day}/{Code.GUARANTEE}/")]
        if posted:
            made = tuple(corrections(net_effect(posted), made, *self._revision(posted, today.isoformat())))
        self.book.post(made)
        self._kept_whole[first] = last

    def _expire(self, day: date) -> None:
        """Let coupons, credit and points lapse whose last day it is."""
        currency = self.prices.currency
        for unit in (
            *(instrument_unit(currency, each) for each in (Instrument.COUPON, Instrument.CREDIT)),
            POINTS_UNIT,
        ):
            self._post_once(
                expire(self.book.transfers(), unit, day, self._end_ms(day), currency, self.parties.aggregator)
            )

    def _post_once(self, transfers: Sequence[Transfer]) -> None:
        """Post what was not posted before a restart under its id."""
        if transfers:
            known = {transfer.id for transfer in self.book.transfers()}
            self.book.post([transfer for transfer in transfers if transfer.id not in known])

    def _events(self, from_ms: int, until_ms: int) -> tuple[DeliveredEvent, ...]:
        return tuple(
            DeliveredEvent(delivery.award, delivery.payment, self._given_wh(delivery))
            for delivery in self.demand.deliveries()
            if from_ms <= delivery.commitment.axis.start_ms < until_ms
        )

    def _given_wh(self, delivery: Delivery) -> dict[str, int]:
        """Return what every account holder's cars moved in an event; empty where everybody takes part."""
        if all(self.demand.takes_part(key.owner) for key in self.knowledge.meter_keys):
            return {}
        axis, given = delivery.commitment.axis, dict[str, int]()
        table = self.contracts.by_holder(self.demand.metered().between(axis.start_ms, axis.end_ms))
        moved = table.export_wh if delivery.commitment.is_upper else table.import_wh
        for number, energy_wh in zip(table.key.tolist(), moved.tolist(), strict=True):
            holder = table.keys[number].owner
            given[holder] = given.get(holder, 0) + energy_wh
        return given

    def subsidies_left(self, day: date) -> dict[str, int]:
        """Return what every capped subsidy may still pay in the day's year, whatever the day itself was paid before."""
        capped = {each.name: each.cap_per_year for each in self.prices.subsidies if each.cap_per_year is not None}
        left = {name: int(cap * MICRO) for name, cap in capped.items()}
        for transfer in self.book.transfers() if left else ():
            if transfer.code is not Code.SUBSIDY or is_of_settled_day(transfer, day.isoformat()):
                continue
            # What a held case reserves counts until it is decided, and once.
            weight = {Phase.SINGLE: 1, Phase.PENDING: 1, Phase.VOID: -1, Phase.POST: 0}[transfer.phase]
            for side, sign in ((transfer.debit, -weight), (transfer.credit, weight)):
                role, name, _ = holder_of(side)
                if role is Role.SUBSIDY and name in left and transfer_day(transfer)[:4] == day.isoformat()[:4]:
                    left[name] += sign * transfer.amount
        return {name: max(amount, 0) for name, amount in left.items()}

    def _plugged_h(self, intervals: IntervalTable, from_ms: int, until_ms: int) -> dict[tuple[str, str], Decimal]:
        """Return how long each holder's cars stood at each site."""
        hours: dict[tuple[str, str], Decimal] = {}
        for key in intervals.keys:
            stay = self.knowledge.stays.stay(key, 0.0)
            if stay is not None:
                span_ms = max(min(stay.until_ms, until_ms) - max(stay.from_ms, from_ms), 0)
                where = (self.contracts.holders.get(key.owner, key.owner), key.site)
                hours[where] = hours.get(where, Decimal(0)) + Decimal(span_ms) / MS_PER_H
        return hours

    def _by_holder(self, amounts: Mapping[MeterKey, int]) -> dict[str, int]:
        """Add amounts of transactions up by account holder."""
        total: dict[str, int] = {}
        for key, amount in amounts.items():
            holder = self.contracts.holders.get(key.owner, key.owner)
            total[holder] = total.get(holder, 0) + amount
        return total

    def _wear_micro(self, whole: IntervalTable, from_ms: int, until_ms: int) -> dict[MeterKey, int]:
        """Return what the day's discharging wore the battery of each transaction, by the closed form."""
        worn: dict[MeterKey, int] = {}
        inside = (whole.start_ms >= from_ms) & (whole.start_ms < until_ms)
        for number in np.unique(whole.key[inside]):
            key = whole.keys[number]
            rows = whole.key == number
            exported_wh = int(whole.export_wh[rows & inside].sum())
            cost = (
                session_wear(self.knowledge, key, whole, rows, from_ms, until_ms, exported_wh) if exported_wh else 0.0
            )
            worn[key] = round(cost * MICRO)
        return worn


def _left(day: SettlementDay, settlement: DaySettlement) -> dict[str, int]:
    """Return what capped subsidies may still pay once a day is settled."""
    paid: dict[str, int] = {}
    for owner in settlement.owners:
        for name, amount in owner.subsidies:
            paid[name] = paid.get(name, 0) + amount
    return {name: max(left - paid.get(name, 0), 0) for name, left in day.subsidies_left_micro.items()}


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
