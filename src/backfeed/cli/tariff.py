"""`backfeed tariff`: what a tariff charges and pays on a day, and whether a rule file is sound."""

import math
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backfeed.cli.outcome import say, write_result
from backfeed.core.problem import InputError, Problem
from backfeed.market.table import NUMBER_MAX

if TYPE_CHECKING:
    from backfeed.market.price import PriceSeries
    from backfeed.market.rule import Provenance, Tariff

BAR_WIDTH = 32
"""Characters of the longest bar of a printed day."""

FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(2199, 12, 31)
"""Days that time zones and holiday calendars can answer for."""

app = typer.Typer(help="Show tariffs and what they charge.", no_args_is_help=True)


@app.command("list")
def list_presets(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the tariffs that come with Backfeed, with their validity and how well they are known."""
    from backfeed.market.tariff import load_tariff, preset_names  # noqa: PLC0415 -- keeps --help quick

    tariffs = [load_tariff(name) for name in preset_names()]
    listed = [{"id": t.tariff_id, "title": t.title, "currency": t.currency, **_origin(t.provenance)} for t in tariffs]
    words = "\n".join(
        f"{t.tariff_id:24} {t.provenance.mark.value}  {_validity(t.provenance):26} {t.title}" for t in tariffs
    )
    write_result({"tariffs": listed}, words, as_json=as_json)


@app.command()
def show(
    tariff: Annotated[str, typer.Argument(help="A preset, or a tariff file.")],
    *,
    day: Annotated[str, typer.Option(help="A local day, like 2026-07-20.")],
    zone: Annotated[str, typer.Option(help="One of the tariff's price zones.")] = "",
    base_price: Annotated[str | None, typer.Option(help="Base price of charging, per kWh.")] = None,
    forecast_max_c: Annotated[
        float | None, typer.Option(help="Highest temperature that was forecast the day before, for hot-day rules.")
    ] = None,
    spot: Annotated[str | None, typer.Option(help="Spot price of the whole day, for rules that follow it.")] = None,
    step_minutes: Annotated[int, typer.Option(min=1, max=60, help="Length of a step.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print and plot what TARIFF charges and pays on a day."""
    from datetime import timedelta  # noqa: PLC0415
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    from backfeed.core.axis import TimeAxis  # noqa: PLC0415
    from backfeed.core.instant import MS_PER_MIN, local_midnight_ms  # noqa: PLC0415
    from backfeed.market.tariff import load_tariff, price_axis  # noqa: PLC0415

    local_day = _day(day)
    if forecast_max_c is not None and not math.isfinite(forecast_max_c):
        raise InputError([Problem("--forecast-max-c", f"expected a temperature like 36.5, found {forecast_max_c}")])
    rules = load_tariff(tariff, None if base_price is None else _base_price(base_price))
    local = ZoneInfo(rules.timezone)
    from_ms = local_midnight_ms(local_day, local)
    step_ms = step_minutes * MS_PER_MIN
    until_ms = local_midnight_ms(local_day + timedelta(days=1), local)
    axis = TimeAxis(from_ms, step_ms, -(-(until_ms - from_ms) // step_ms))
    forecast = {} if forecast_max_c is None else {local_day - timedelta(days=1): forecast_max_c}
    spot_per_kwh = None if spot is None else [_price("--spot", spot)] * axis.count
    prices = price_axis(rules, axis, zone=zone, forecast_max_c=forecast, spot_per_kwh=spot_per_kwh)
    for warning in prices.warnings:
        say(f"warning: {warning}")
    write_result(_day_document(rules, prices, local_day), _day_words(rules, prices, local_day), as_json=as_json)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A tariff or programme file.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read FILE as a tariff, or as a demand-response programme if it has a payment curve, and say what it holds."""
    from backfeed.market.programme import build_programme  # noqa: PLC0415
    from backfeed.market.table import read_rule_file  # noqa: PLC0415
    from backfeed.market.tariff_file import build_tariff  # noqa: PLC0415

    if "payment_curve" in _text(file):
        programme = read_rule_file(file, build_programme)
        words = f"{file}: programme {programme.programme_id}, {programme.title}: sound"
        write_result({"file": str(file), "kind": "programme", "id": programme.programme_id}, words, as_json=as_json)
        return
    rules = read_rule_file(file, build_tariff)
    document = {"file": str(file), "kind": "tariff", "id": rules.tariff_id, **_origin(rules.provenance)}
    words = "\n".join([f"{file}: tariff {rules.tariff_id}, {rules.title}: sound", *_notes(rules)])
    write_result(document, words, as_json=as_json)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(file), f"can not be read: {error}")]) from error


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError([Problem("--day", f"expected a day like 2026-07-20, found {text!r}")]) from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise InputError([Problem("--day", f"expected a day between {FIRST_DAY} and {LAST_DAY}, found {text!r}")])
    return day


def _price(option: str, text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or abs(price) > NUMBER_MAX:
        raise InputError([Problem(option, f"expected a price like 0.62, found {text!r}")])
    return price


def _base_price(text: str) -> Decimal:
    price = _price("--base-price", text)
    if price < 0:
        raise InputError([Problem("--base-price", f"expected 0 or more, found {text!r}")])
    return price


def _origin(provenance: "Provenance") -> dict[str, Any]:
    return {
        "mark": provenance.mark.value,
        "source": provenance.source,
        "valid_from": None if provenance.valid_from is None else provenance.valid_from.isoformat(),
        "valid_until": None if provenance.valid_until is None else provenance.valid_until.isoformat(),
    }


def _validity(provenance: "Provenance") -> str:
    first = "..." if provenance.valid_from is None else provenance.valid_from.isoformat()
    last = "..." if provenance.valid_until is None else provenance.valid_until.isoformat()
    return f"{first} to {last}"


def _notes(tariff: "Tariff") -> list[str]:
    provenance = tariff.provenance
    lines = [
        f"source ({provenance.mark.words}): {provenance.source}",
        f"valid {_validity(provenance)}; windows in {tariff.timezone}; prices in {tariff.currency}/kWh",
    ]
    lines += [f"charging ({tariff.charge.mark.words}): {tariff.charge.note}"] if tariff.charge.note else []
    lines += [f"discharging ({tariff.discharge.mark.words}): {tariff.discharge.note}"] if tariff.discharge.note else []
    for subsidy in tariff.subsidies:
        kind = "at most " if subsidy.up_to else ""
        lines.append(f"subsidy {subsidy.name}: {kind}{subsidy.per_kwh} per discharged kWh, paid by {subsidy.payer}")
    lines += [f"assumption: {text}" for text in tariff.assumptions]
    lines += [f"note: {text}" for text in tariff.notes]
    return lines


def _starts(prices: "PriceSeries", timezone: str) -> list[str]:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    from backfeed.core.instant import local_datetime  # noqa: PLC0415

    local = ZoneInfo(timezone)
    return [local_datetime(at_ms, local).isoformat() for at_ms in prices.axis]


def _day_document(tariff: "Tariff", prices: "PriceSeries", day: date) -> dict[str, Any]:
    """Return the day as the JSON document that users rely on; extend it by adding."""
    return {
        "tariff": tariff.tariff_id,
        "day": day.isoformat(),
        "timezone": tariff.timezone,
        "currency": tariff.currency,
        **_origin(tariff.provenance),
        "warnings": [str(warning) for warning in prices.warnings],
        "assumptions": list(tariff.assumptions),
        "charge": {"mark": tariff.charge.mark.value, "note": tariff.charge.note},
        "discharge": {"mark": tariff.discharge.mark.value, "note": tariff.discharge.note},
        "steps": [
            {
                "start": start,
                "buy_per_kwh": float(prices.buy[step]),
                "sell_per_kwh": float(prices.sell[step]),
                "subsidy_per_kwh": float(prices.subsidy[step]),
                "period": prices.period[step],
            }
            for step, start in enumerate(_starts(prices, tariff.timezone))
        ],
    }


def _day_words(tariff: "Tariff", prices: "PriceSeries", day: date) -> str:
    """Return the day as lines of equal price, with a bar as long as the price to buy is high."""
    starts = [start[11:16] for start in _starts(prices, tariff.timezone)]
    shown = list(zip(prices.period, prices.buy, prices.sell, strict=True))
    firsts = [step for step in range(len(shown)) if step == 0 or shown[step] != shown[step - 1]]
    highest = max((price for price in prices.buy), default=Decimal(0)) or Decimal(1)
    lines = [f"{tariff.title}, {day.isoformat()} ({len(shown)} steps)", f"{'':13}{'period':12}{'buy':>11}{'sell':>11}"]
    for first, until in zip(firsts, [*firsts[1:], None], strict=True):
        period, buy, sell = shown[first]
        bar = "█" * round(max(buy, Decimal(0)) / highest * BAR_WIDTH)
        end = "24:00" if until is None else starts[until]
        lines.append(f"{starts[first]}-{end}  {period:12}{buy:>11.6f}{sell:>11.6f}  {bar}")
    return "\n".join([*lines, *_notes(tariff)])
