"""The bonus for a kept answer: what a driver who was asked for his departure gets if he keeps to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from backfeed.settle.own_funds import OwnFunds
from backfeed.settle.transfer import Code, Transfer


@dataclass(frozen=True, slots=True)
class Bonus:
    """A bonus that is due.

    Parameters
    ----------
    station, transaction
        The stay.
    owner
        Who kept his word.
    known_at_ms
        When the platform came to know of the departure.
    amount_micro
        1e-6 of the currency.
    """

    station: str
    transaction: str
    owner: str
    known_at_ms: int
    amount_micro: int


def bonus_transfers(
    bonuses: Sequence[Bonus], day: str, at_ms: int, currency: str, aggregator: str
) -> tuple[Transfer, ...]:
    """Return the transfers that pay bonuses in cash, from the aggregator's own funds.

    Parameters
    ----------
    bonuses
        Those that became known on the day.
    day
        The local day, `YYYY-MM-DD`.
    at_ms
        When the transfers take effect.
    currency
        Unit of the amounts.
    aggregator
        Whose funds.
    """
    funds = OwnFunds(aggregator, currency, day, at_ms)
    return tuple(
        funds.pay(
            Code.PROMPT_BONUS,
            f"{bonus.station}/{bonus.transaction}",
            bonus.owner,
            bonus.amount_micro,
            f"answered and kept, transaction {bonus.transaction}",
        )
        for bonus in bonuses
    )
