"""The figures that both the page and the console show: the key figures and the rows of the worlds' table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from backfeed.report.chart import number, percent
from backfeed.report.run_report import InvitationSeries, RunReport, Words
from backfeed.report.summary import AROUND_H, WORLD_NAMES, TargetName, WorldName, WorldResult
from backfeed.report.words import words

PREPARED_SHARE: Final = 0.1
"""A fleet that moved this share of what it delivered the other way beforehand has prepared; less is a day like any."""


@dataclass(frozen=True)
class KeyFigure:
    """A figure with its words; `good` is None where it is neither good nor bad."""

    value: str
    what: Words
    note: Words | None = None
    good: bool | None = None


@dataclass(frozen=True)
class WorldRow:
    """A row of the table of worlds: one cell a world."""

    key: str
    what: Words
    cells: Mapping[WorldName, str]
    strong: bool = False


def _money(field: str) -> Callable[[WorldResult], str]:
    return lambda world: number(getattr(world, field), 2)


def _energy(field: str) -> Callable[[WorldResult], str]:
    return lambda world: f"{number(getattr(world, field), 0)} kWh"


_ROWS: Final[tuple[tuple[str, Callable[[WorldResult], str]], ...]] = (
    ("sessions", lambda world: f"{world.sessions.served} / {world.sessions.total}"),
    ("charged_kwh", _energy("charged_kwh")),
    ("discharged_kwh", _energy("discharged_kwh")),
    ("energy_cost", _money("energy_cost")),
    ("discharge_revenue", _money("discharge_revenue")),
    ("dr_revenue", _money("dr_revenue")),
    ("wear_cost", _money("wear_cost")),
    ("shortfall_cost", _money("shortfall_cost")),
    ("terminal_adjustment", _money("terminal_adjustment")),
    ("net_value", _money("net_value")),
    ("short_departures", lambda world: f"{world.departures.short} / {world.departures.feasible}"),
    ("worst_departure", lambda world: f"{number(world.departures.worst_kwh, 1)} kWh"),
    ("offpeak_gross", lambda world: percent(world.offpeak_share.gross)),
    ("offpeak_net", lambda world: percent(world.offpeak_share.net)),
    ("discharge_power", lambda world: f"{number(world.discharge_power_max_kw, 0)} kW"),
    ("violations", lambda world: str(sum(site.violations for site in world.sites.values()))),
)
_STRONG: Final = "net_value"
_MONEY: Final = frozenset(
    ("energy_cost", "discharge_revenue", "dr_revenue", "wear_cost", "shortfall_cost", "terminal_adjustment", _STRONG)
)


def world_rows(report: RunReport) -> list[WorldRow]:
    """Return the rows of the table of worlds, the currency beside the names of amounts of money."""
    worlds = {name: report.summary.worlds[name] for name in WORLD_NAMES if name in report.summary.worlds}
    rows = []
    for key, cell in _ROWS:
        what = words(key)
        if key in _MONEY:
            what = Words(f"{what.en}, {report.currency}", f"{what.zh}，{report.currency}")
        rows.append(WorldRow(key, what, {name: cell(world) for name, world in worlds.items()}, key == _STRONG))
    return rows


def figures_of(report: RunReport) -> list[KeyFigure]:
    """Return the key figures of the V2G world, or of the last one that ran."""
    summary = report.summary
    ran = [name for name in WORLD_NAMES if name in summary.worlds]
    world = summary.worlds["v2g" if "v2g" in ran else ran[-1]]
    figures = []
    if "unmanaged" in summary.worlds and "v2g" in summary.worlds:
        gain = world.net_value - summary.worlds["unmanaged"].net_value
        each = f"{number(gain / max(world.sessions.served, 1), 2)} {report.currency}"
        told = words("gain_per_session", value=each)
        figures.append(KeyFigure(f"{number(gain)} {report.currency}", words("gain"), told, gain > 0))
    figures += _captured(report)
    power = words("peak_power", value=f"{number(world.discharge_power_max_kw)} kW")
    figures.append(KeyFigure(f"{number(world.discharged_kwh)} kWh", words("fed_back"), power))
    of = words("departures_of", value=str(world.departures.feasible))
    figures.append(
        KeyFigure(str(world.departures.short), words("departures_short"), of, _few(world.departures.short, world))
    )
    violations = sum(site.violations for site in world.sites.values())
    where = words("limit_violations_note", value=str(len(world.sites)))
    figures.append(KeyFigure(str(violations), words("limit_violations"), where, violations == 0))
    if summary.ledger:
        verified = summary.ledger.get("verified") is True
        told = words("ledger_ok" if verified else "ledger_bad")
        figures.append(KeyFigure("\u2713" if verified else "\u2717", told, words("ledger_note"), verified))
    return figures


def invitation_lines(event: InvitationSeries) -> list[Words]:
    """Return what else is known of a delivery: against steered charging without it, and in the hours around it."""
    lines = []
    if event.against_v1g_kwh is not None:
        lines.append(words("delivered_v1g", value=number(event.against_v1g_kwh, 1)))
    for key, value in (("taken_before", event.before_kwh), ("taken_after", event.after_kwh)):
        if value is not None:
            sign = words("more_than_usual" if value >= 0 else "less_than_usual")
            told = {"hours": str(AROUND_H), "value": number(abs(value), 1)}
            lines.append(Words(words(key, sign=sign.en, **told).en, words(key, sign=sign.zh, **told).zh))
    way = 1.0 if event.direction == "peak_shave" else -1.0
    if event.operator_agrees is not None:
        lines.append(words("operator_agrees" if event.operator_agrees else "operator_differs"))
    if event.before_kwh is not None and way * event.before_kwh > PREPARED_SHARE * event.delivered_kwh > 0:
        lines.append(words("prepared"))
    return lines


def is_share(name: TargetName) -> bool:
    """Return whether a target of the regulator is a share, and not a power or an energy."""
    return name.startswith("offpeak_share")


def target_amount(name: TargetName, value: float) -> str:
    """Return an amount of a target of the regulator in its unit."""
    if is_share(name):
        return percent(value)
    return f"{number(value)} {'kW' if name == 'discharge_power_kw' else 'kWh'}"


def _captured(report: RunReport) -> list[KeyFigure]:
    summary = report.summary
    if summary.captured_share is None:
        reason = summary.captured_detail.captured_share.reason
        if reason is None or "foresight" not in summary.worlds:
            return []
        return [KeyFigure("\u2013", words("captured_not_given"), Words(reason, reason))]
    note = None
    if summary.captured_v2g_share is not None:
        note = words("captured_v2g", value=percent(summary.captured_v2g_share))
    return [KeyFigure(percent(summary.captured_share), words("captured"), note)]


def _few(short: int, world: WorldResult) -> bool:
    """Return whether at most one departure in a hundred was short."""
    return short * 100 <= world.departures.feasible
