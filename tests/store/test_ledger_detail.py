"""The readings that the books rest on: found when changed, missing or not what was posted."""

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import local_midnight_ms
from backfeed.market.tariff import load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey
from backfeed.settle.month import close_month
from backfeed.settle.postings import Parties, SettlementDay, settle_day
from backfeed.settle.transfer import corrections, detail_mark, net_effect
from backfeed.store.ledger_detail import verify_details, write_detail

DAY = "2026-07-20"
AXIS = TimeAxis(local_midnight_ms(date(2026, 7, 20), ZoneInfo("Asia/Shanghai")), INTERVAL_MS, 96)
PRICES = price_axis(load_tariff("guangdong-v2g"), AXIS)
KEYS = tuple(MeterKey(f"t{n}", f"owner-{n % 2}", f"site-{n}", f"cp-{n}", 1) for n in range(3))


def settled(folder, rows):
    columns = np.array([(k, AXIS.start_ms + q * INTERVAL_MS, i, e) for k, q, i, e in rows], dtype=np.int64)
    table = IntervalTable(KEYS, *columns.T)
    evidence = write_detail(folder, DAY, table)
    return settle_day(SettlementDay(DAY, AXIS.end_ms, table, PRICES, {}, evidence=evidence), Parties()).transfers


ROWS = [(0, 3, 500, 0), (1, 60, 0, 700), (2, 61, 20, 900), (0, 62, 0, 100)]


@pytest.fixture
def books(tmp_path):
    return settled(tmp_path, ROWS)


def test_books_fit_the_detail_they_were_made_from(books, tmp_path):
    assert verify_details(tmp_path, books) == []


@pytest.mark.parametrize("column", ["import_wh", "start_ms", "evse"])
def test_a_changed_reading_is_found(books, tmp_path, column):
    path = tmp_path / f"{DAY}.parquet"
    pl.read_parquet(path).with_columns(pl.col(column) + 1).write_parquet(path)
    problems = verify_details(tmp_path, books)
    assert "not the one that the books name" in problems[0].what
    assert (len(problems) == 2) == (column == "import_wh")


def test_energy_moved_from_owner_to_owner_is_found(books, tmp_path):
    path = tmp_path / f"{DAY}.parquet"
    pl.read_parquet(path).with_columns(owner=pl.lit("owner-0")).write_parquet(path)
    assert any("owner-1@site-1" in problem.ids for problem in verify_details(tmp_path, books))


def test_missing_and_broken_files_are_told(books, tmp_path):
    path = tmp_path / f"{DAY}.parquet"
    path.write_bytes(b"no parquet")
    assert "can not be read" in verify_details(tmp_path, books)[0].what
    path.unlink()
    assert "is missing" in verify_details(tmp_path, books)[0].what


@pytest.mark.parametrize("booked_on", ["", "2026-08-03"])
def test_a_corrected_day_fits_its_new_detail(books, tmp_path, booked_on):
    again = settled(tmp_path, [*ROWS[1:], (0, 3, 800, 0), (1, 62, 5, 0)])
    assert verify_details(tmp_path, books)
    made = corrections(net_effect(books), again, 1, booked_on=booked_on)
    assert verify_details(tmp_path, [*books, *made]) == []


def test_energy_that_only_moves_between_quarter_hours_is_named_by_a_mark(books, tmp_path):
    again = settled(tmp_path, [(0, 4, 500, 0), *ROWS[1:]])
    assert "not the one that the books name" in verify_details(tmp_path, books)[0].what
    assert corrections(net_effect(books), again, 1) == []
    mark = detail_mark(DAY, again[0].evidence, AXIS.end_ms, ("grid:grid:Wh", "aggregator:backfeed:Wh"))
    assert verify_details(tmp_path, [*books, mark]) == []


def test_closing_a_month_names_no_detail(books, tmp_path):
    mark = close_month(books, "2026-07", "CNY", AXIS.end_ms)
    assert verify_details(tmp_path, [*books, mark]) == []
