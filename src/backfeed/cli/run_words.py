"""A run's summary for a person at a terminal: a table of worlds, then what to do next."""

from collections.abc import Callable
from pathlib import Path

from backfeed.report.summary import Summary, WorldResult

LABEL_WIDTH = 34
COLUMN_WIDTH = 12


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _energy(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


Cell = Callable[[WorldResult], str]


def _rows(currency: str) -> tuple[tuple[str, Cell], ...]:
    """Return the rows of the table: a label, and what it shows of a world."""
    return (
        ("sessions served", lambda world: f"{world.sessions.served:,}"),
        ("charged kWh", lambda world: _energy(world.charged_kwh)),
        ("discharged kWh", lambda world: _energy(world.discharged_kwh)),
        (f"energy cost, {currency}", lambda world: _money(-world.energy_cost)),
        (f"discharge revenue, {currency}", lambda world: _money(world.discharge_revenue)),
        (f"demand response, {currency}", lambda world: _money(world.dr_revenue)),
        (f"battery wear, {currency}", lambda world: _money(-world.wear_cost)),
        (f"departures short, {currency}", lambda world: _money(-world.shortfall_cost)),
        (f"energy left over or owed, {currency}", lambda world: _money(world.terminal_adjustment)),
        (f"NET VALUE, {currency}", lambda world: _money(world.net_value)),
        ("departures short of their need", lambda world: f"{world.departures.short} of {world.departures.feasible}"),
        ("charged in the valley, net", lambda world: _share(world.offpeak_share.net)),
        ("site limits exceeded", lambda world: str(sum(site.violations for site in world.sites.values()))),
    )


def table(summary: Summary, currency: str) -> str:
    """Return the worlds side by side; costs are negative, so the money rows add up to the net value."""
    worlds = list(summary.worlds.items())
    head = f"{'':{LABEL_WIDTH}}" + "".join(f"{name:>{COLUMN_WIDTH}}" for name, _ in worlds)
    lines = [head, "-" * len(head)]
    for label, cell in _rows(currency):
        lines.append(f"{label:{LABEL_WIDTH}}" + "".join(f"{cell(world):>{COLUMN_WIDTH}}" for _, world in worlds))
    for label, share in (
        ("of what perfect foresight gains over unmanaged", summary.captured_share),
        ("of what perfect foresight gains over smart charging", summary.captured_v2g_share),
    ):
        if share is not None:
            lines.append(f"V2G captured {_share(share)} {label}.")
    verified = summary.ledger.get("verified")
    lines.append("Ledger: every unit sums to zero, hash chain verified." if verified else "Ledger: NOT VERIFIED.")
    lines.append(f"Seed {summary.run.seed}, {summary.run.messages:,} messages, {summary.run.plans:,} plans.")
    return "\n".join(lines)


def next_steps(out: Path, pilot: Path) -> str:
    """Return what a person would do next."""
    return "\n".join(
        (
            "What next:",
            f"  open {out / 'report.html'} in a browser: pictures, payouts, targets (works offline)",
            f"  backfeed ledger verify {out / 'ledger.sqlite'}",
            f"  backfeed run {pilot} --seed 2 --out {out}-2   the same pilot with other dice",
            "  backfeed pilot new --sessions YOUR.csv --out pilot.toml   your own sessions",
        )
    )
