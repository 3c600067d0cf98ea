"""Small worlds for the tests."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from backfeed.core.instant import MS_PER_H, parse_instant
from backfeed.sim.columns import Visits, WorldConfig

START_MS = parse_instant("2026-07-06T00:00:00Z")
NUMBERS = (
    "energy_kwh",
    "power_max_kw",
    "soc_arrival",
    "soc_departure",
    "capacity_kwh",
    "departure_stated_ms",
    "energy_requested_kwh",
)


def make_visits(rows: Sequence[dict[str, Any]]) -> Visits:
    """Return visits from rows whose instants are hours after the start."""
    return Visits(
        row=np.arange(2, len(rows) + 2),
        session_id=tuple(str(row.get("session_id", f"s{i}")) for i, row in enumerate(rows)),
        location=tuple(row.get("location", "Home") for row in rows),
        user_id=tuple(row.get("user_id", "ann") for row in rows),
        arrival_ms=np.array([START_MS + round(row["arrival_h"] * MS_PER_H) for row in rows], dtype=np.int64),
        departure_ms=np.array([START_MS + round(row["departure_h"] * MS_PER_H) for row in rows], dtype=np.int64),
        **{
            name: np.array([row.get(name, 10.0 if name == "energy_kwh" else np.nan) for row in rows], dtype=np.float64)
            for name in NUMBERS
        },
    )


def make_config(**changes: Any) -> WorldConfig:
    """Return a day at 7.4 kW."""
    return WorldConfig(**{"start_ms": START_MS, "end_ms": START_MS + 24 * MS_PER_H, "power_kw": 7.4} | changes)


@pytest.fixture
def start_ms() -> int:
    return START_MS


@pytest.fixture
def visits_of() -> Callable[[Sequence[dict[str, Any]]], Visits]:
    return make_visits


@pytest.fixture
def config_of() -> Callable[..., WorldConfig]:
    return make_config


@pytest.fixture
def busy_rows() -> list[dict[str, Any]]:
    """A day of 60 visits of 12 users at two locations."""
    dice = np.random.Generator(np.random.PCG64(5))
    rows = []
    for i in range(60):
        arrival = float(dice.uniform(0, 20))
        rows.append(
            {
                "session_id": f"v{i:02d}",
                "location": f"L{i % 2}",
                "user_id": f"u{i % 12}" if i % 7 else "",
                "arrival_h": arrival,
                "departure_h": arrival + float(dice.uniform(0.2, 9)),
                "energy_kwh": float(dice.uniform(0.5, 20)),
            }
        )
    return rows
