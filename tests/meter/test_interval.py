"""Registers to integer quarter-hours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_MIN
from backfeed.meter.interval import INTERVAL_MS, IntervalMeter, MeterBook, MeterKey, Suspicion

readings = st.lists(
    st.tuples(st.integers(1, 3_000_000), st.integers(0, 5_000), st.integers(0, 5_000)), min_size=2, max_size=40
).map(lambda steps: [tuple(int(v) for v in row) for row in np.cumsum(np.array(steps, dtype=np.int64), axis=0)])


def metered(rows, power_max_kw=float("inf")):
    meter = IntervalMeter(power_max_kw)
    for row in rows:
        meter.add(*row)
    return meter


@given(readings)
def test_intervals_sum_to_the_difference_of_the_registers(rows):
    starts, imported, exported = metered(rows).energy()
    assert imported.sum() == rows[-1][1] - rows[0][1]
    assert exported.sum() == rows[-1][2] - rows[0][2]
    assert (imported >= 0).all()
    assert (exported >= 0).all()
    assert (starts % INTERVAL_MS == 0).all()
    assert (np.diff(starts) == INTERVAL_MS).all()


@given(readings, st.randoms(use_true_random=False))
def test_order_and_repetition_of_readings_change_nothing(rows, random):
    shuffled = rows + random.choices(rows, k=len(rows))
    random.shuffle(shuffled)
    for clean, shaken in zip(metered(rows).energy(), metered(shuffled).energy(), strict=True):
        np.testing.assert_array_equal(clean, shaken)


@given(readings)
def test_each_interval_is_within_a_watt_hour_of_the_straight_line(rows):
    starts, imported, _ = metered(rows).energy()
    at, registers = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    exact = np.interp(starts + INTERVAL_MS, at, registers) - np.interp(starts, at, registers)
    assert (np.abs(imported - exact) < 1 + 1e-6).all()


def test_a_remainder_is_carried_on():
    starts, imported, _ = metered([(0, 0, 0), (45 * MS_PER_MIN, 1000, 0)]).energy()
    assert starts.tolist() == [0, INTERVAL_MS, 2 * INTERVAL_MS]
    assert imported.tolist() == [333, 333, 334]


def test_a_late_reading_is_taken_into_what_was_asked_before():
    meter = metered([(0, 0, 0), (2 * INTERVAL_MS, 1_000, 0)])
    assert meter.energy()[1].tolist() == [500, 500]
    meter.add(INTERVAL_MS, 900, 0)
    assert meter.energy()[1].tolist() == [900, 100]


def test_fewer_than_two_readings_tell_no_energy():
    assert metered([]).energy()[0].size == 0
    assert metered([(0, 5, 5)]).energy()[0].size == 0


def test_a_register_that_goes_backwards_is_set_apart():
    meter = metered([(0, 100, 0), (60_000, 200, 0), (120_000, 150, 0), (180_000, 260, 0)])
    assert [reason for _, reason in meter.believed()[1]] == [Suspicion.BACKWARDS]
    assert meter.energy()[1].sum() == 160


def test_energy_beyond_the_rated_power_is_set_apart():
    meter = metered([(0, 0, 0), (300_000, 900_000, 0), (600_000, 1_000, 0)], power_max_kw=7.0)
    assert [reason for _, reason in meter.believed()[1]] == [Suspicion.IMPOSSIBLE]
    assert meter.energy()[1].sum() == 1_000


def test_two_values_at_one_instant_are_not_both_believed():
    meter = metered([(0, 0, 0), (300_000, 500, 0), (300_000, 510, 0)])
    assert meter.believed()[1] == [((300_000, 510, 0), Suspicion.CONFLICT)]


def test_a_false_start_is_given_up_for_those_that_agree():
    rows = [(0, 0, 0), *((minute * 60_000, 5_000_000 + 100 * minute, 0) for minute in range(1, 30))]
    meter = metered(rows, power_max_kw=7.0)
    assert meter.believed()[1] == [((0, 0, 0), Suspicion.ALONE)]
    assert meter.energy()[1].sum() == 2_800


@pytest.mark.parametrize(("false", "given_up"), [(1, True), (3, True), (4, False)])
def test_at_most_three_false_starts_are_given_up(false, given_up):
    starts = [(minute * 60_000, 9_000_000 - 1_000_000 * minute, 0) for minute in range(false)]
    rows = [*starts, *(((false + n) * 60_000, 100 * n, 0) for n in range(20))]
    assert (metered(rows).energy()[1].sum() == 1_900) == given_up


def test_of_two_readings_that_contradict_each_other_the_first_is_believed():
    kept, doubted = metered([(0, 100, 0), (60_000, 50, 0)]).believed()
    assert kept == [(0, 100, 0)]
    assert doubted == [((60_000, 50, 0), Suspicion.BACKWARDS)]


@pytest.mark.parametrize(
    ("energy", "believed"), [((741, 0), True), ((742, 0), False), ((400, 341), True), ((400, 342), False)]
)
def test_energy_is_believed_up_to_the_rated_power_a_tenth_and_a_little(energy, believed):
    meter = metered([(0, 0, 0), (300_000, *energy)], power_max_kw=7.0)  # 7 kW x 1.1 x 5 min + 100 Wh = 741.7 Wh
    assert (len(meter.believed()[0]) == 2) == believed


def key(name, owner="ann"):
    return MeterKey(name, owner, "garage", f"cp-{name}", 1)


def test_a_book_gives_the_same_table_in_any_order_of_its_keys():
    book = MeterBook()
    for name, energy in (("a", 100), ("b", 250)):
        book.add((f"cp-{name}", 1, name), 0, 0, 0)
        book.add((f"cp-{name}", 1, name), INTERVAL_MS, energy, 7)
    one, other = book.table([key("a"), key("b")]), book.table([key("b"), key("a"), key("silent")])
    assert one.import_wh.tolist() == other.import_wh.tolist() == [100, 250]
    assert other.keys[2].transaction == "silent"
    assert len(book.table([key("silent")])) == 0


def test_a_book_names_what_it_does_not_believe():
    book = MeterBook()
    for row in ((0, 0, 0), (60_000, 10, 0), (120_000, 5, 0)):
        book.add(("cp-a", 1, "a"), *row)
    [doubt] = book.quarantined()
    assert (doubt.station, doubt.measured_ms, doubt.reason) == ("cp-a", 120_000, Suspicion.BACKWARDS)


def test_a_table_is_cut_by_the_start_of_its_intervals():
    book = MeterBook()
    book.add(("cp-a", 1, "a"), 0, 0, 0)
    book.add(("cp-a", 1, "a"), 4 * INTERVAL_MS, 400, 0)
    table = book.table([key("a")])
    assert table.between(INTERVAL_MS, 3 * INTERVAL_MS).start_ms.tolist() == [INTERVAL_MS, 2 * INTERVAL_MS]


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_permutations_of_a_day_settle_equal(count):
    generator = np.random.Generator(np.random.PCG64(20260722))
    steps = np.stack([np.full(288, 300_000), generator.integers(0, 900, 288), generator.integers(0, 900, 288)], axis=1)
    rows = np.cumsum(steps, axis=0)
    clean = metered(rows.tolist()).energy()
    for _ in range(count):
        drawn = np.concatenate([generator.permutation(len(rows)), generator.integers(0, len(rows), 60)])
        shaken = metered(rows[generator.permutation(drawn)].tolist()).energy()
        assert all((a == b).all() for a, b in zip(clean, shaken, strict=True))
