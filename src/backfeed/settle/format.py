"""Amounts as text: Wh as whole numbers, everything else as a decimal with six digits."""

from backfeed.core.money import format_micro
from backfeed.settle.account import ENERGY_UNIT


def format_amount(amount: int, unit: str) -> str:
    """Format an amount of a unit without the unit's name.

    >>> format_amount(1500, "Wh"), format_amount(15_402_000, "CNY")
    ('1500', '15.402000')
    """
    return str(amount) if unit == ENERGY_UNIT else format_micro(amount)
