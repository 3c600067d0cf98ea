"""How many chargers one machine steers: a pilot made of many garages like the shipped one's, run for a short while.

    python benchmarks/pilot_scale.py --copies 76   # 1,000 chargers, a day
    python benchmarks/pilot_scale.py --copies 4 --interval 4 --meter 4 --link socket   # 100, sockets

Every copy is the shipped pilot's set of garages in another week of the same file (after 40 the weeks begin
again), with drivers of its own, so that arrivals differ and weekdays do not. One world, V2G. Prints one JSON
line: chargers, sessions, messages, plans, CPU seconds, wall seconds, how many times faster than real time that
was, peak memory. Every share of the window is told on stderr, with the seconds so far.
"""

import argparse
import csv
import json
import resource
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from backfeed.app.dispatching import Policy
from backfeed.app.world import WorldSpec, run_world

SHIPPED = Path(__file__).parents[1] / "examples" / "guangdong-homes"
HISTORY_DAYS = 56
"""Of the year that the shipped pilot looks back on; many copies of a year are not what is measured."""

WEEKS = 40
"""How many weeks of the file are busy enough to be a copy."""


def write_pilot(folder: Path, copies: int, days: int, every_s: dict[str, int]) -> Path:
    """Write the pilot and its sessions into a folder; return the pilot file."""
    shipped = tomllib.loads((SHIPPED / "pilot.toml").read_text())
    first = datetime.combine(shipped["pilot"]["start"], datetime.min.time()) - timedelta(
        weeks=shipped["sessions"]["shift_weeks"]
    )
    with (SHIPPED / "sessions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "sessions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for copy in range(copies):
            writer.writerows(_copied(rows, copy, first, days))
    for name in ("base-load-large.csv", "base-load-small.csv"):
        (folder / name).write_text((SHIPPED / name).read_text())
    path = folder / "pilot.toml"
    path.write_text(_text(shipped, copies, days, every_s))
    return path


def _copied(rows: list[dict[str, str]], copy: int, first: datetime, days: int) -> list[dict[str, str]]:
    """Return the rows around a copy's own week, moved to the first copy's."""
    moved = timedelta(weeks=-(copy % WEEKS))
    found = []
    for row in rows:
        arrival, departure = (datetime.fromisoformat(row[name]) - moved for name in ("arrival", "departure"))
        if first - timedelta(days=HISTORY_DAYS) <= arrival.replace(tzinfo=None) < first + timedelta(days=days):
            new = {"session_id": f"{copy}-{row['session_id']}", "arrival": arrival, "departure": departure}
            names = {name: f"{row[name]}.{copy}" for name in ("station_id", "user_id")}
            found.append(row | names | {name: getattr(v, "isoformat", v.__str__)() for name, v in new.items()})
    return found


def _text(shipped: dict[str, dict[str, object]], copies: int, days: int, every_s: dict[str, int]) -> str:
    pilot = {**shipped["pilot"], "name": f"{copies} times Guangdong homes", "days": days}
    sessions = {**shipped["sessions"], "history_days": HISTORY_DAYS}
    chargers = {**shipped["chargers"], **every_s}
    tables = {**shipped, "pilot": pilot, "sessions": sessions, "chargers": chargers}
    names = ("pilot", "sessions", "chargers", "drivers", "owner_defaults", "tariff", "plan")
    blocks = [f"[{name}]\n{_lines(tables[name])}" for name in names]
    for copy in range(copies):
        for site in shipped["sites"]:
            stations = [f"{station}.{copy}" for station in site["stations"]]
            mine = {**site, "id": f"{site['id']}.{copy}", "stations": stations}
            blocks.append(f"[[sites]]\n{_lines(mine)}")
    return "\n".join(blocks)


def _lines(table: dict[str, object]) -> str:
    """Return a table's keys as TOML; JSON and TOML agree on strings, numbers and lists."""
    values = {
        key: value.isoformat() if hasattr(value, "isoformat") else json.dumps(value) for key, value in table.items()
    }
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def _tell(began_s: float) -> Callable[[float], None]:
    def tell(share: float) -> None:
        print(f"{share:4.0%} after {time.perf_counter() - began_s:.0f} s", file=sys.stderr)

    return tell


def main() -> None:
    """Make the pilot, run its V2G world, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--interval", type=int, default=300, help="control interval [s]")
    parser.add_argument("--meter", type=int, default=300, help="meter interval [s]")
    parser.add_argument("--link", choices=("memory", "socket"), default="memory")
    asked = parser.parse_args()
    every_s = {"control_interval_s": asked.interval, "meter_interval_s": asked.meter}
    with tempfile.TemporaryDirectory() as name:
        path = write_pilot(Path(name), asked.copies, asked.days, every_s)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        run = run_world(WorldSpec(path, None, Policy.V2G, asked.link, Path(name) / "run"), _tell(wall_s))
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    sessions = run.truth.sessions
    found = {
        "link": asked.link,
        **every_s,
        "days": asked.days,
        "chargers": len(set(sessions.station)),
        "sessions": len(sessions.station),
        "messages": run.messages,
        "plans": run.plans,
        "cpu_s": round(cpu_s, 1),
        "wall_s": round(wall_s, 1),
        "times_real_time": round(asked.days * 86_400 / wall_s, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
