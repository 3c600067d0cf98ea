"""Money: integers in millionths of a currency unit, rounded in one place.

Prices stay `Decimal` from the tariff file to the product with an energy; `round_micro` then rounds
half to even, once, and the ledger keeps what rounding gave or took in an account of its own.
"""

from decimal import ROUND_HALF_EVEN, Decimal

MICRO = 1_000_000
WH_PER_KWH = 1_000

_ONE = Decimal(1)


def round_micro(amount: Decimal) -> int:
    """Round an amount of currency to whole millionths, half to even.

    >>> round_micro(Decimal("0.0000005")), round_micro(Decimal("15.402"))
    (0, 15402000)
    """
    return int((amount * MICRO).quantize(_ONE, rounding=ROUND_HALF_EVEN))


def price_energy(energy_wh: int, price_per_kwh: Decimal) -> int:
    """Return what an energy costs at a price, in millionths of the currency.

    >>> price_energy(20_000, Decimal("0.7701"))
    15402000
    """
    return round_micro(price_per_kwh * energy_wh / WH_PER_KWH)


def format_micro(amount_micro: int) -> str:
    """Format millionths as a decimal number with all six digits.

    >>> format_micro(-15_402_000)
    '-15.402000'
    """
    sign = "-" if amount_micro < 0 else ""
    whole, part = divmod(abs(amount_micro), MICRO)
    return f"{sign}{whole}.{part:06d}"
