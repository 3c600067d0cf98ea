"""A word for the state of charge: believed as far as such words have proved right, and as it fits the driver."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.forecast.charge_word import PRIOR_SPREAD, ChargeRecord
from backfeed.forecast.energy_need import EnergyDistribution

FULL_KWH = 60.0
NEED = EnergyDistribution(np.linspace(3.0, 33.0, 101), np.linspace(0.005, 0.995, 101))
"""A driver who takes 3 to 33 of 60 kWh, any of it as likely."""


def edge_kwh(record, needs_soc, level=0.95, driver="u"):
    return float(record.weigh(driver, NEED, needs_soc, FULL_KWH).quantiles_kwh((level,))[0])


@given(st.floats(0.1, 0.5))
def test_a_word_that_fits_the_driver_narrows_what_the_stay_may_take_to_a_few_points(needs_soc):
    need = ChargeRecord().weigh("u", NEED, needs_soc, FULL_KWH)
    low, middle, high = need.quantiles_kwh((0.1, 0.5, 0.95)) / FULL_KWH
    assert middle == pytest.approx(needs_soc, abs=0.02)
    assert high - low < 5 * PRIOR_SPREAD
    assert high > needs_soc + 1.5 * PRIOR_SPREAD


def test_a_word_that_would_be_rare_leaves_the_edge_at_what_the_driver_usually_needs():
    fits, rare = (edge_kwh(ChargeRecord(), needs_soc) for needs_soc in (0.1, 0.0))
    assert fits < 12
    assert rare > 20


@given(st.lists(st.floats(-0.09, 0.09), min_size=1, max_size=30))
def test_the_worse_words_have_proved_the_further_off_is_the_edge(errors):
    exact, loose, wrong = ChargeRecord(), ChargeRecord(), ChargeRecord()
    for error in errors:
        exact.shown("u", 0.0)
        loose.shown("u", error)
        wrong.shown("u", 0.3)
    assert exact.spread("u") <= loose.spread("u")
    assert edge_kwh(exact, 0.2) <= edge_kwh(loose, 0.2) + 1e-9
    assert edge_kwh(exact, 0.2) < edge_kwh(wrong, 0.2)


def test_a_driver_answers_for_his_own_words_more_than_others_do():
    record = ChargeRecord()
    for _ in range(10):
        record.shown("liar", 0.4)
        record.shown("firm", 0.01)
    assert record.wrong_share("firm") < record.wrong_share("new") < record.wrong_share("liar")
    assert record.spread("firm") < record.spread("new")


def test_a_stay_that_goes_on_past_the_word_takes_what_such_stays_take_without_it():
    need = ChargeRecord().weigh("u", NEED, 0.2, FULL_KWH)
    beyond_kwh = 20.0
    told, untold = (each.quantiles_kwh((0.95,), beyond_kwh)[0] for each in (need, NEED))
    assert told == pytest.approx(untold, abs=1.0)
