"""Regenerate the golden cases of battery wear with BLAST-Lite, the reference.

    python3 tools/battery_golden.py

BLAST-Lite needs an older numpy than Backfeed, so it lives in a virtual environment of its own
(`build/blast-lite`), which this script makes if it is missing and then runs itself in. The standard library
is all it needs to start.

Each case is one car with two uses: without V2G and with it. `profile` turns the few numbers of a case
into fourteen weeks of state of charge and temperature at a quarter of an hour; the tests use the same
function, so the table stores results and parameters only. BLAST-Lite repeats them until
eight years are over.
"""

import csv
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "blast-lite"
TABLE = ROOT / "tests" / "cases" / "battery" / "blast_eight_years" / "cases.csv"
REQUIREMENTS = ("blast-lite==1.1.1", "setuptools<81")

MODELS = {
    "lfp": "Lfp_Gr_250AhPrismatic",
    "nmc-a": "NMC_Gr_75Ah_A",
    "nmc-b1": "NMC_Gr_50Ah_B1",
    "nca": "Nca_Gr_Panasonic3Ah_Battery",
}
YEARS = 8
DAYS = 98
"""BLAST-Lite takes a day for 24 hours and a quarter, so its days begin everywhere within ours in 97 days."""
WARM_UP_DAYS = 14
REST_DAY = 5
"""The day of the week on which the car stands."""
LOWEST_SOC = 0.15
"""V2G never discharges below this."""
NEARLY = 1e-9
STEPS_PER_DAY = 96
PAIRS = 204
PARAMETERS = (
    "case", "style", "capacity_kwh", "power_kw", "driving_kwh", "v2g_kwh", "arrival_step", "departure_step",
    "temperature_c", "swing_c",
)  # fmt: skip


def spread(index: int, dimension: int) -> float:
    """Return a number in [0, 1) that fills the range evenly over the indices (an additive recurrence)."""
    return (0.5 + (index + 1) * math.sqrt((2, 3, 5, 7, 11, 13, 17, 19)[dimension])) % 1.0


def cases() -> Iterator[dict[str, float]]:
    """Yield the parameters of every case.

    Odd cases charge at once to 90 % and recharge at once after discharging (naive); even ones charge
    to 80 % just before they leave (smart). Every third case is shallow.
    """
    for index in range(PAIRS):
        shallow = index % 3 == 0
        yield {
            "case": index,
            "style": index % 2,
            "capacity_kwh": round(45 + 40 * spread(index, 0), 1),
            "power_kw": round(3.5 * (15 / 3.5) ** spread(index, 1), 2),
            "driving_kwh": round(3 + 13 * spread(index, 2), 1),
            "v2g_kwh": round(2 + 6 * spread(index, 3) if shallow else 8 + 24 * spread(index, 3), 1),
            "arrival_step": 66 + int(16 * spread(index, 4)),
            "departure_step": 26 + int(12 * spread(index, 5)),
            "temperature_c": round(10 + 25 * spread(index, 6), 1),
            "swing_c": round(4 * spread(index, 7), 1),
        }


def profile(case: dict[str, float], *, v2g: bool) -> tuple[list[float], list[float], list[float]]:
    """Return fourteen weeks as hours, state of charge (0-1) and temperature [degrees C], quarter-hourly.

    The car drives half its energy at departure and half just before arrival; the energy varies from day
    to day, and one day a week it stands. In the evening it discharges down to 15 % at most, then charges.
    Two weeks like the last ones go before, so that the profile ends as it begins.
    """
    capacity, power, naive = case["capacity_kwh"], case["power_kw"], case["style"] == 1
    step = power / 4 / capacity
    target = 0.9 if naive else 0.8
    departure, arrival = int(case["departure_step"]), int(case["arrival_step"])
    level, given, path = target, 0.0, []
    for day in range(-WARM_UP_DAYS, DAYS):
        vary = 0.5 + (day % DAYS * 5 + int(case["case"]) * 11) % 17 / 16
        drive = 0.0 if day % 7 == REST_DAY else case["driving_kwh"] * vary / capacity
        for quarter in range(STEPS_PER_DAY):
            path.append(level)
            if quarter in {departure, arrival - 1}:
                level -= min(drive / 2, max(level - 0.1, 0.0))
            elif departure < quarter < arrival:
                continue
            if quarter == arrival:
                given = case["v2g_kwh"] / capacity if v2g else 0.0
            if quarter >= arrival and given > NEARLY and level > LOWEST_SOC + NEARLY:
                portion = min(step, given, level - LOWEST_SOC)
                level -= portion
                given = given - portion if level > LOWEST_SOC + NEARLY else 0.0
                continue
            waits = quarter >= arrival or departure - quarter > math.ceil((target - level) / step - NEARLY)
            if (naive or not waits) and quarter not in {departure, arrival - 1}:
                level = min(target, level + step) if level < target else level
    path = [*path[WARM_UP_DAYS * STEPS_PER_DAY :], level]
    hours = [index / 4 for index in range(len(path))]
    mean, swing = case["temperature_c"], case["swing_c"]
    degrees = [min(35.0, max(10.0, mean + swing * math.sin(math.pi * (hour - 9) / 12))) for hour in hours]
    return hours, path, degrees


def oracle(case: dict[str, float]) -> dict[str, float]:
    """Run BLAST-Lite over both uses of a case with every model; return the loss in storage and in cycling."""
    import numpy as np  # noqa: PLC0415 - only the reference's own environment has these
    from blast import models  # noqa: PLC0415

    row: dict[str, float] = dict(case)
    for use in ("without", "with"):
        hours, soc, degrees = profile(case, v2g=use == "with")
        series = {
            "Time_s": np.array(hours) * 3600.0,
            "SOC": np.array(soc),
            "Temperature_C": np.array(degrees),
        }
        for name, model in MODELS.items():
            battery = getattr(models, model)()
            battery.simulate_battery_life(dict(series), threshold_time=YEARS)
            row[f"{name}_{use}_calendar"] = float(f"{battery.states['qLoss_t'][-1]:.6g}")
            row[f"{name}_{use}_cycling"] = float(f"{battery.states['qLoss_EFC'][-1]:.6g}")
    return row


def write_table() -> None:
    """Run every case and write the table."""
    columns = [*PARAMETERS]
    columns += [
        f"{name}_{use}_{term}" for name in MODELS for use in ("without", "with") for term in ("calendar", "cycling")
    ]
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool, TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for done, row in enumerate(pool.map(oracle, cases()), start=1):
            writer.writerow(row)
            file.flush()
            print(f"\r{done} of {PAIRS} pairs", end="", file=sys.stderr, flush=True)
    print(f"\nwrote {TABLE.relative_to(ROOT)}", file=sys.stderr)


def main() -> None:
    """Make the reference's environment if needed, go into it, and write the table."""
    python = ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        write_table()
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)  # noqa: S603 - our own words
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)  # noqa: S603
    os.execv(str(python), [str(python), str(Path(__file__).resolve())])  # noqa: S606


if __name__ == "__main__":
    main()
