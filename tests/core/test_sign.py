"""Signs: every crossing there and back, and the cases written by hand from the standards' texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core import sign

powers_kw = st.floats(-1_000, 1_000)
magnitudes_kw = st.floats(0, 1_000)


@given(powers_kw)
def test_every_crossing_leads_back(power_kw):
    assert sign.setpoint_from_ocpp_kw(sign.setpoint_to_ocpp_w(power_kw)) == pytest.approx(power_kw)
    assert sign.power_from_import_export_kw(*sign.power_to_import_export_w(power_kw)) == pytest.approx(power_kw)
    assert sign.power_from_injection_kw(sign.injection_kw(power_kw)) == power_kw


@given(magnitudes_kw, magnitudes_kw)
def test_limits_lead_back_to_their_magnitudes(charge_kw, discharge_kw):
    limit_w, discharge_limit_w = sign.limits_to_ocpp_w(charge_kw, discharge_kw)
    assert limit_w >= 0
    assert discharge_limit_w <= 0
    assert sign.limits_from_ocpp_kw(limit_w, discharge_limit_w) == pytest.approx((charge_kw, discharge_kw))


@given(powers_kw)
def test_registers_are_unsigned_and_one_of_them_stands_still(power_kw):
    imported_w, exported_w = sign.power_to_import_export_w(power_kw)
    assert min(imported_w, exported_w) == 0
    assert max(imported_w, exported_w) >= 0


def test_discharging_is_negative_here_and_in_ocpp_and_positive_in_markets():
    assert sign.setpoint_to_ocpp_w(-7.4) == -7_400
    assert sign.injection_kw(-7.4) == 7.4
    assert sign.power_to_import_export_w(-7.4) == (0.0, 7_400.0)


@pytest.mark.parametrize("limits", [(-1.0, 0.0), (0.0, 1.0)])
def test_a_limit_with_the_sign_that_ocpp_forbids_is_refused(limits):
    with pytest.raises(ValueError, match="OCPP needs"):
        sign.limits_from_ocpp_kw(*limits)


def test_nothing_is_never_minus_nothing():
    # A negative zero would be other bytes in a log for the same power.
    zeros = (*sign.limits_to_ocpp_w(0.0, 0.0), *sign.limits_from_ocpp_kw(0.0, 0.0), sign.injection_kw(0.0))
    assert [str(zero) for zero in zeros] == ["0.0"] * len(zeros)
