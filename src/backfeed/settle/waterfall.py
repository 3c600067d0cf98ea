"""Who gets which part of what the market paid: the waterfall.

Market revenue comes in, penalties go off it, and what is left runs down:

1. the owner's floor: the wear of what was taken from the battery and, where the spread is shared, what the
   energy cost to charge; or what the offer promises in fixed amounts, whichever is more. It is paid even where
   the market did not earn it: the aggregator tops up.
2. what is above the floor is shared between owner, site and aggregator by shares that are data.

Everything is integer 1e-6 of a currency. Owner and site are rounded half to even; the aggregator takes
the rest, so the parts always sum to the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from backfeed.core.money import MICRO, round_micro


@dataclass(frozen=True, slots=True)
class Shares:
    """How the surplus above the floor is shared; the aggregator has what is left of 1."""

    owner: Decimal
    site: Decimal

    def __post_init__(self) -> None:
        """Refuse shares that are negative or give away more than there is."""
        if self.owner < 0 or self.site < 0 or self.owner + self.site > 1:
            message = f"shares have to be >= 0 and to sum to at most 1, found owner {self.owner} and site {self.site}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Split:
    """Where an owner's revenue of a day goes, in 1e-6 of the currency.

    All parts are >= 0; the revenue is negative where discharging into negative prices cost money.
    `owner_floor + owner_share + site + aggregator == revenue + top_up`.
    """

    revenue_micro: int
    owner_floor_micro: int
    owner_share_micro: int
    site_micro: int
    aggregator_micro: int
    top_up_micro: int

    @property
    def owner_micro(self) -> int:
        """All that the owner is paid."""
        return self.owner_floor_micro + self.owner_share_micro


def split_revenue(revenue_micro: int, floor_micro: int, shares: Shares) -> Split:
    """Run a revenue down the waterfall.

    >>> split = split_revenue(15_402_000, 4_000_000, Shares(Decimal("0.7"), Decimal("0.1")))
    >>> split.owner_micro, split.site_micro, split.aggregator_micro, split.top_up_micro
    (11981400, 1140200, 2280400, 0)
    """
    assert floor_micro >= 0, floor_micro
    surplus = max(revenue_micro - floor_micro, 0)
    owner = round_micro(shares.owner * surplus / MICRO)
    site = min(round_micro(shares.site * surplus / MICRO), surplus - owner)
    return Split(
        revenue_micro=revenue_micro,
        owner_floor_micro=floor_micro,
        owner_share_micro=owner,
        site_micro=site,
        aggregator_micro=surplus - owner - site,
        top_up_micro=max(floor_micro - revenue_micro, 0),
    )


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Divide an integer in proportion to weights, exactly.

    Everyone gets the whole part; what is left goes one by one to the largest remainders, the earlier first.

    >>> allocate(100, [1, 1, 1])
    [34, 33, 33]
    """
    whole = sum(weights)
    assert total >= 0, total
    assert whole > 0, "nobody to divide among"
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in order[:left]:
        parts[i] += 1
    return parts
