"""Where tariffs come from: the presets in this package, or a file.

A tariff is dated data with a source, never code; its format is told in the reference page "Tariffs".
`price_axis` lays a tariff onto a time axis.
"""

from dataclasses import replace
from decimal import Decimal
from importlib import resources
from pathlib import Path

from backfeed.core.problem import InputError, Problem
from backfeed.market.price import PriceSeries, price_axis, validity_problems
from backfeed.market.rule import Subsidy, Tariff
from backfeed.market.table import build_rule, read_rule_file
from backfeed.market.tariff_file import build_tariff

__all__ = [
    "PriceSeries",
    "Tariff",
    "grant_subsidy",
    "load_tariff",
    "preset_names",
    "price_axis",
    "validity_problems",
]

_PRESETS = resources.files("backfeed.market") / "data" / "tariffs"


def preset_names() -> tuple[str, ...]:
    """Return the names of the tariffs that come with the package, sorted."""
    names = (entry.name for entry in _PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_tariff(preset_or_path: str | Path, base_price: Decimal | str | None = None) -> Tariff:
    """Load a tariff by the name of a preset or from a file.

    Parameters
    ----------
    preset_or_path
        A preset's name, or the path of a TOML file.
    base_price
        Replaces the base price of charging [currency/kWh]; discharging keeps its own.

    Raises
    ------
    InputError
        With every problem of the file, or if there is neither such a preset nor such a file.
    """
    name = str(preset_or_path)
    if name in preset_names():
        tariff = build_rule((_PRESETS / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml", build_tariff)
    elif Path(preset_or_path).is_file():
        tariff = read_rule_file(Path(preset_or_path), build_tariff)
    else:
        known = ", ".join(preset_names())
        raise InputError([Problem("tariff", f"expected a file or one of the presets {known}, found {name!r}")])
    if base_price is None:
        return tariff
    return replace(tariff, charge=replace(tariff.charge, base_per_kwh=Decimal(base_price)))


def grant_subsidy(tariff: Tariff, name: str, per_kwh: Decimal, cap_per_year: Decimal | None = None) -> Tariff:
    """Return the tariff with the granted amount of one of its up-to subsidies, and the grant's own cap if any.

    Raises
    ------
    InputError
        If there is no such subsidy, or the amount lies above its ceiling.
    """
    granted: list[Subsidy] = []
    for subsidy in tariff.subsidies:
        if subsidy.name == name and per_kwh > subsidy.per_kwh:
            what = f"{name} pays at most {subsidy.per_kwh}, found {per_kwh}"
            raise InputError([Problem(tariff.tariff_id, what)])
        cap = subsidy.cap_per_year if cap_per_year is None else cap_per_year
        mine = replace(subsidy, per_kwh=per_kwh, up_to=False, cap_per_year=cap)
        granted.append(mine if subsidy.name == name else subsidy)
    if not any(subsidy.name == name for subsidy in tariff.subsidies):
        raise InputError([Problem(tariff.tariff_id, f"has no subsidy named {name!r}")])
    return replace(tariff, subsidies=tuple(granted))
