"""The yearly true-up of wear as transfers: what the law paid, held against what each battery has shown.

During a year every discharged kilowatt-hour is paid at the closed form with a wear scale of 1: the same law for
everybody, so that a settled day can be settled again to the byte. Once a year the scale that was measured on the car
replaces it (`battery.true_up`), and what was paid too little comes out of the aggregator's own funds. Nobody gives
anything back. A later measurement in the same year pays only what it adds to what has been paid.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backfeed.battery.health import HealthEstimate
from backfeed.battery.true_up import TrueUp, true_up
from backfeed.core.money import MICRO
from backfeed.settle.account import Role, holder_of
from backfeed.settle.own_funds import OwnFunds
from backfeed.settle.transfer import Code, Phase, Transfer, transfer_day

SCALE_PAID = 1.0
"""The wear scale that settlement pays at."""


@dataclass(frozen=True, slots=True)
class OwnerTrueUp:
    """An owner's true-up: wear paid by the law [1e-6 of the currency], paid up before, and what the measure says."""

    owner: str
    paid_micro: int
    before_micro: int
    settled: TrueUp
    scale: float

    @property
    def due_micro(self) -> int:
        """What is still to be paid."""
        return max(round(self.settled.due * MICRO) - self.before_micro, 0)


def owner_true_ups(
    transfers: Iterable[Transfer], health: Mapping[str, HealthEstimate], year: int
) -> tuple[OwnerTrueUp, ...]:
    """Return the true-up of every measured owner who was paid for wear in a year, by name.

    Parameters
    ----------
    transfers
        The books.
    health
        What was measured, by owner.
    year
        Of the local days on which the wear was paid.
    """
    worn: dict[str, int] = {}
    before: dict[str, int] = {}
    for transfer in transfers:
        if transfer.phase not in (Phase.SINGLE, Phase.POST):
            continue
        if transfer.code is Code.WEAR and transfer_day(transfer).startswith(f"{year:04d}-"):
            _add(worn, transfer, 1)
        elif transfer.code is Code.WEAR_TRUE_UP and transfer.id.endswith(f"/{year:04d}"):
            _add(before, transfer, -1)
    return tuple(
        OwnerTrueUp(
            owner, paid, before.get(owner, 0), true_up(paid / MICRO, SCALE_PAID, health[owner]), health[owner].scale
        )
        for owner, paid in sorted(worn.items())
        if owner in health and paid > 0
    )


def _add(sums: dict[str, int], transfer: Transfer, given: int) -> None:
    """Add what an owner gave (`given` 1) or received (-1)."""
    for side, sign in ((transfer.debit, given), (transfer.credit, -given)):
        role, owner, _ = holder_of(side)
        if role is Role.OWNER:
            sums[owner] = sums.get(owner, 0) + sign * transfer.amount


def true_up_transfers(
    owners: Iterable[OwnerTrueUp], year: int, day: str, at_ms: int, currency: str, aggregator: str = "backfeed"
) -> tuple[Transfer, ...]:
    """Return the transfers that pay what is due, from the aggregator's own funds.

    Parameters
    ----------
    owners
        From `owner_true_ups`.
    year
        The year that is put right.
    day
        The local day that the transfers belong to, `YYYY-MM-DD`.
    at_ms
        When they take effect.
    currency
        Unit of the amounts.
    aggregator
        Whose funds.
    """
    funds = OwnFunds(aggregator, currency, day, at_ms)
    return tuple(
        funds.pay(
            Code.WEAR_TRUE_UP,
            f"{each.owner}/{each.before_micro}/{year:04d}",
            each.owner,
            each.due_micro,
            f"wear {each.paid_micro} of {year} paid at scale {SCALE_PAID:g}, measured {each.scale:.4f} "
            f"(due {each.settled.low:.6f} to {each.settled.high:.6f}), paid before {each.before_micro}",
        )
        for each in owners
        if each.due_micro > 0
    )
