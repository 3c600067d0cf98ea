"""`backfeed ledger redeem`: coupons and charging credit against charging."""

from enum import StrEnum
from typing import Annotated

import typer

from backfeed.cli.books import AsJson, At, KeyFile, Run, check_day, currency_of, open_books, parse_at, seal_again
from backfeed.cli.outcome import write_result
from backfeed.core.problem import InputError, Problem


class InstrumentName(StrEnum):
    """What can be redeemed."""

    COUPON = "coupon"
    CREDIT = "credit"


def redeem(
    run: Run,
    owner: Annotated[str, typer.Argument(help="Name of the owner.")],
    amount: Annotated[str, typer.Argument(help="How much, like 12.50.")],
    *,
    instrument: Annotated[InstrumentName, typer.Option(help="What is given back.")] = InstrumentName.COUPON,
    day: Annotated[str, typer.Option(help="The local day on which it counts, like 2026-07-20.")],
    at: At,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Redeem coupons or charging credit against charging: the instrument back, the cash behind it to the owner."""
    from backfeed.settle.account import Instrument  # noqa: PLC0415
    from backfeed.settle.retail import Redemption, redemptions_on  # noqa: PLC0415
    from backfeed.settle.retail import redeem as redeeming  # noqa: PLC0415

    wish_micro, at_ms = _micro(amount), parse_at(at)
    check_day(day)
    with open_books(run) as ledger:
        number = redemptions_on(ledger.transfers(), owner, day) + 1
        wish = Redemption(owner, Instrument(instrument.value), wish_micro, day, number, at_ms)
        made = redeeming(ledger.transfers(), wish, currency_of(ledger))
        ledger.post(made)
    seal_again(run, key_file)
    document = {"owner": owner, "instrument": instrument.value, "amount_micro": wish_micro, "transfer": made[0].id}
    write_result(document, f"{owner} has redeemed {amount}", as_json=as_json)


def _micro(text: str) -> int:
    """Return an amount of money in millionths."""
    from decimal import Decimal, InvalidOperation  # noqa: PLC0415

    from backfeed.core.money import MICRO  # noqa: PLC0415

    try:
        micro = Decimal(text) * MICRO
    except InvalidOperation:
        micro = Decimal("NaN")
    if not micro.is_finite() or micro != int(micro):
        raise InputError([Problem("amount", f"expected an amount with at most six decimals, found {text!r}")])
    return int(micro)
