"""Made-up session files of sites that are no homes: workplaces, a campus, public chargers, a depot.

Run it with `python benchmarks/site_sessions.py KIND --out FILE [--seed N] [--days N]`; a pilot for the file is then
`backfeed pilot new --sessions FILE --out PILOT.toml`. The statistics follow what is published of such sites, no file
of which ships with the product:

- `workplace`: people come at their hour and stay a working day, a few only for some hours; all have a user id.
- `campus`: staff by day, students for hours at any time, residents overnight.
- `research`: the campus and the laboratory of ACN-Data (Lee, Li, Low, ACM e-Energy 2019): arrivals about 8 to 9 with a
  tail into the evening, six hours on average, energy of some 9 kWh that hardly grows with the stay, 6.6 kW stations, no
  power column; half of the rows have no user.
- `street`: public chargers in a city (Sadeghianpourhamami et al., Engineering Applications of AI 2018, on ElaadNL):
  most park to charge for two to four hours, some near home in the evening, some near work in the morning; most users
  come a few times only.
- `depot`: vans return in the afternoon and leave at their tour's hour, every working day, energy by tour.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from backfeed.core.rng import Streams

FIRST_DAY = datetime(2024, 3, 4)  # noqa: DTZ001 - a wall clock; the offset is written beside it
OFFSET = "+08:00"
WORKDAYS = 5
LEAST_STAY_H = 0.25


@dataclass(frozen=True)
class Row:
    """One session: hours are counted from the first midnight."""

    arrival_h: float
    stay_h: float
    station: str
    user: str
    energy_kwh: float


def workplace(dice: np.random.Generator, days: int) -> list[Row]:
    """Return sessions of 140 employees at six places."""
    count = 140
    arrives, stays = dice.normal(8.6, 1.0, count), dice.normal(8.2, 1.2, count)
    often, loose = 0.6 * dice.beta(4, 3, count), dice.gamma(2, 0.25, count)
    takes = dice.gamma(4, 2.6, count)
    rows = []
    for day in range(days):
        for user in range(count):
            if dice.random() >= often[user] * (1.0 if day % 7 < WORKDAYS else 0.04):
                continue
            if dice.random() < 0.15:
                at, stay = arrives[user] + dice.normal(1.5, 2), dice.uniform(0.5, 4)
            else:
                at, stay = arrives[user] + dice.normal(0, 0.25 + 0.6 * loose[user]), stays[user]
                stay += dice.normal(0, 0.3 + loose[user])
            energy = min(takes[user] * dice.lognormal(0, 0.35), 45)
            rows.append(Row(24 * day + max(at, 0.0), stay, f"W{user % 6}", f"u{user}", energy))
    return rows


def campus(dice: np.random.Generator, days: int) -> list[Row]:
    """Return sessions of staff, students and residents at four places."""
    rows = []
    count = 260
    kind = dice.random(count)
    for day in range(days):
        for user in range(count):
            if kind[user] < 0.45:
                comes, at, stay = 0.35 * (day % 7 < WORKDAYS), dice.normal(8.5, 0.7), dice.normal(8.5, 1.2)
            elif kind[user] < 0.75:
                comes, at, stay = 0.25, dice.uniform(8, 20), dice.lognormal(0.9, 0.6)
            else:
                comes, at, stay = 0.4, dice.normal(18.5, 1.5), dice.normal(13.5, 1.5)
            if dice.random() < comes:
                rows.append(Row(24 * day + at, stay, f"C{user % 4}", f"u{user}", dice.gamma(3, 3.3)))
    return rows


def research(dice: np.random.Generator, days: int) -> list[Row]:
    """Return sessions as on the campus and in the laboratory of ACN-Data, at two places."""
    count = 320
    is_lab = dice.random(count) < 0.55
    arrives = np.where(is_lab, dice.normal(8.0, 1.2, count), dice.normal(9.3, 1.9, count))
    stays = np.where(is_lab, dice.normal(8.0, 1.6, count), dice.normal(5.5, 2.2, count))
    takes = dice.gamma(3.5, 2.6, count)
    # A few come nearly every day and most now and then.
    often = np.clip(dice.pareto(1.3, count) * 0.06, 0.01, 0.8)
    named = dice.random(count) < 0.5
    rows = []
    for day in range(days):
        for user in range(count):
            if dice.random() >= often[user] * (1.0 if day % 7 < WORKDAYS else 0.12):
                continue
            if not is_lab[user] and dice.random() < 0.2:
                at, stay = dice.normal(18.0, 2.0), dice.gamma(2.0, 1.5)
            else:
                at, stay = arrives[user] + dice.normal(0, 0.8), stays[user] + dice.normal(0, 1.5)
            energy = takes[user] * dice.lognormal(0, 0.5) * np.clip(stay / stays[user], 0.3, 1.3) ** 0.3
            station = "lab" if is_lab[user] else "campus"
            rows.append(Row(24 * day + max(at, 0.0), stay, station, f"u{user}" if named[user] else "", energy))
    return rows


def street(dice: np.random.Generator, days: int) -> list[Row]:
    """Return sessions at twelve public places in a city."""
    count = 1500
    rate = dice.lognormal(0, 1.4, count)
    rows = []
    for day in range(days):
        for user in dice.choice(count, dice.poisson(46), p=rate / rate.sum()):
            habit = dice.random()
            if habit < 0.62:
                at, stay = dice.choice([dice.normal(11, 2), dice.normal(16, 2.5)]), dice.lognormal(1.05, 0.45)
                energy = 5.8 * stay * dice.beta(4, 2)
            elif habit < 0.86:
                at, stay = dice.normal(18.3, 1.8), dice.normal(13.5, 2.5)
                energy = dice.gamma(3, 4)
            else:
                at, stay = dice.normal(8.6, 0.8), dice.normal(8.3, 1.6)
                energy = dice.gamma(3, 3.3)
            rows.append(Row(24 * day + at, stay, f"S{dice.integers(12)}", f"s{user}", energy))
    return rows


def depot(dice: np.random.Generator, days: int) -> list[Row]:
    """Return sessions of 45 vans of one depot."""
    count = 45
    leaves = dice.choice([5.5, 6.0, 6.5, 7.0], count)
    returns = dice.normal(16.8, 1.2, count)
    takes = dice.normal(21, 6, count)
    rows = []
    for day in range(days):
        for van in range(count):
            if day % 7 >= WORKDAYS or dice.random() < 0.06:
                continue
            back = 24 * day + returns[van] + dice.normal(0, 0.5)
            weekend = 48 if day % 7 == WORKDAYS - 1 else 0
            gone = 24 * (day + 1) + weekend + leaves[van] + dice.normal(0, 0.08)
            energy = max(takes[van] + dice.normal(0, 4), 3)
            rows.append(Row(back, gone - back, "depot", f"van{van}", energy))
    return rows


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], list[Row]], float]] = {
    "workplace": (workplace, 6.4),
    "campus": (campus, 6.4),
    "research": (research, 6.2),
    "street": (street, 6.4),
    "depot": (depot, 6.4),
}
"""What draws each kind, and the mean power that its cars reach at most."""


def plausible(rows: list[Row], power_kw: float) -> list[Row]:
    """Return rows in order of arrival: stays of some length, energy within the power, nobody in two places."""
    left_h: dict[str, float] = {}
    kept = []
    for row in sorted(rows, key=lambda row: (row.arrival_h, row.station, row.user)):
        if row.stay_h < LEAST_STAY_H or (row.user and row.arrival_h < left_h.get(row.user, 0.0)):
            continue
        left_h[row.user] = row.arrival_h + row.stay_h
        energy = max(min(row.energy_kwh, power_kw * row.stay_h, 45.0), 0.3)
        kept.append(Row(row.arrival_h, row.stay_h, row.station, row.user, energy))
    return kept


def main() -> None:
    """Write a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=182)
    asked = parser.parse_args()
    draw, power_kw = KINDS[asked.kind]
    rows = plausible(draw(Streams(asked.seed).generator("site_sessions", asked.kind), asked.days), power_kw)
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["session_id", "station_id", "user_id", "arrival", "departure", "energy_kwh"])
        for number, row in enumerate(rows):
            times = [_written(hours) for hours in (row.arrival_h, row.arrival_h + row.stay_h)]
            writer.writerow([number, row.station, row.user, *times, f"{row.energy_kwh:.2f}"])
    print(f"{asked.out}: {len(rows)} sessions")


def _written(hours: float) -> str:
    return (FIRST_DAY + timedelta(minutes=round(60 * hours))).isoformat() + OFFSET


if __name__ == "__main__":
    main()
