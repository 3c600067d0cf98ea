"""Money: integers, rounded once, half to even."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.money import MICRO, format_micro, price_energy, round_micro

amounts = st.decimals(-(10**9), 10**9, places=9, allow_nan=False, allow_infinity=False)


@given(amounts)
def test_rounding_misses_by_at_most_half_a_millionth(amount):
    assert abs(Fraction(round_micro(amount)) - Fraction(amount) * MICRO) <= Fraction(1, 2)


@given(amounts)
def test_rounding_is_as_fair_to_the_payer_as_to_the_payee(amount):
    assert round_micro(-amount) == -round_micro(amount)


@given(st.integers(-(10**15), 10**15))
def test_text_is_exact(amount_micro):
    assert Decimal(format_micro(amount_micro)) * MICRO == amount_micro


@given(st.integers(0, 10**9), st.decimals(0, 10, places=6, allow_nan=False))
def test_energy_is_priced_exactly_before_it_is_rounded(energy_wh, price):
    exact = Fraction(price) * energy_wh / 1_000 * MICRO
    assert abs(price_energy(energy_wh, price) - exact) <= Fraction(1, 2)


def test_the_worked_example_of_a_night_in_guangdong():
    assert price_energy(20_000, Decimal("0.7701")) == 15_402_000
    assert format_micro(15_402_000) == "15.402000"
