"""Where demand-response programmes come from: the presets in this package, or a file."""

import re
from decimal import Decimal
from importlib import resources
from itertools import pairwise
from pathlib import Path

from backfeed.core.problem import InputError, Problem
from backfeed.market.demand_response import BASELINES, Deadline, Direction, Penalty, Programme
from backfeed.market.table import Table, build_rule, read_rule_file
from backfeed.market.tariff_file import is_timezone, read_provenance

_PRESETS = resources.files("backfeed.market") / "data" / "programmes"
_ZERO = Decimal(0)
_DEADLINE = re.compile(r"(\d+) min|D-(\d) ([01]\d|2[0-3]):([0-5]\d)")


def programme_names() -> tuple[str, ...]:
    """Return the names of the programmes that come with the package, sorted."""
    names = (entry.name for entry in _PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_programme(preset_or_path: str | Path) -> Programme:
    """Load a programme by the name of a preset or from a file.

    Raises
    ------
    InputError
        With every problem of the file, or if there is neither such a preset nor such a file.
    """
    name = str(preset_or_path)
    if name in programme_names():
        text = (_PRESETS / f"{name}.toml").read_text(encoding="utf-8")
        return build_rule(text, f"{name}.toml", build_programme)
    if Path(preset_or_path).is_file():
        return read_rule_file(Path(preset_or_path), build_programme)
    known = ", ".join(programme_names())
    raise InputError([Problem("programme", f"expected a file or one of the presets {known}, found {name!r}")])


def build_programme(table: Table) -> Programme:
    """Build a programme from the top table of its file, adding what is wrong to the table's problems."""
    names = table.texts("directions") or tuple(direction.value for direction in Direction)
    known = {direction.value for direction in Direction}
    for name in names:
        if name not in known:
            table.problem(f"directions: expected {' or '.join(sorted(known))}, found {name!r}")
    timezone = table.text("timezone", "Asia/Shanghai")
    if not is_timezone(timezone):
        table.problem(f"timezone: expected an IANA name like Asia/Shanghai, found {timezone!r}")
    return Programme(
        programme_id=table.text("id"),
        title=table.text("title"),
        currency=table.currency("currency"),
        provenance=read_provenance(table),
        directions=tuple(Direction(name) for name in names if name in known),
        timezone=timezone,
        invitation=_deadline(table, "invitation"),
        gate_closure=_deadline(table, "gate_closure") or Deadline(0),
        confirmation=_deadline(table, "confirmation"),
        power_min_kw=float(table.number("power_min_kw", least=_ZERO) or 0),
        duration_min_min=table.whole("duration_min_min", 0),
        price_cap_per_kwh=_by_direction(table.table("price_cap_per_kwh")),
        price_floor_per_kwh=_by_direction(table.table("price_floor_per_kwh")),
        baseline=table.choice("baseline", BASELINES),
        payment_curve=_curve(table),
        penalty=_penalty(table),
        settlement_min=table.whole("settlement_min", 0) or None,
        opt_in=table.truth("opt_in", default=False),
        notes=table.texts("notes"),
    )


def _deadline(table: Table, key: str) -> Deadline | None:
    text = table.text(key, "")
    if not text:
        return None
    match = _DEADLINE.fullmatch(text)
    if not match:
        table.problem(f'{key}: expected "60 min" or "D-1 14:00", found {text!r}')
        return None
    minutes, days, hour, minute = match.groups()
    if minutes is not None:
        return Deadline(int(minutes))
    return Deadline(int(hour) * 60 + int(minute), int(days))


def _by_direction(table: Table) -> tuple[tuple[Direction, Decimal], ...]:
    found = [(direction, table.number(direction.value, least=_ZERO)) for direction in Direction]
    table.finish()
    return tuple((direction, price) for direction, price in found if price is not None)


def _curve(table: Table) -> tuple[tuple[Decimal, Decimal], ...]:
    points = tuple(
        (point.required_number("ratio", least=_ZERO), point.required_number("paid", least=_ZERO))
        for point in table.tables("payment_curve")
    )
    if not points:
        table.problem("payment_curve: expected at least one point {ratio, paid}, found none")
        return ((_ZERO, _ZERO),)
    if any(after[0] < before[0] for before, after in pairwise(points)):
        table.problem("payment_curve: the ratios have to grow")
    return points


def _penalty(table: Table) -> Penalty | None:
    if not table.has("penalty"):
        return None
    inner = table.table("penalty")
    penalty = Penalty(inner.required_number("below_ratio", least=_ZERO), inner.required_number("factor", least=_ZERO))
    inner.finish()
    return penalty
