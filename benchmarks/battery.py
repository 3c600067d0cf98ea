"""Speed of the wear model: vehicle-years per CPU second, and the price of a day's sessions.

    python benchmarks/battery.py [VEHICLES]

Each vehicle brings a profile of a whole year at a quarter of an hour (35,040 samples, every day of it
different) and repeats it for eight years; measuring the profile's stress is part of the time.
"""

import sys
import time

import numpy as np

from backfeed.battery.wear import WEAR_LAWS, SocPaths, lifetime_loss, path_costs
from backfeed.core.rng import Streams

_QUARTER_MS = 900_000
_YEARS = 8.0


def yearly_profiles(vehicles: int) -> SocPaths:
    """Return a year of commuting with evening discharge for every vehicle, every day different."""
    dice = Streams(5).generator("benchmark")
    hour = np.arange(96) / 4
    shape = np.interp(hour, [0, 3, 7, 8, 9, 17, 18, 18.5, 21, 22, 24], [0, 0, 1, 1, 0.8, 0.8, 0.6, 0.6, 0, 0, 0])
    swing = dice.uniform(0.2, 0.6, (vehicles, 365, 1))
    soc = 0.85 - swing * (1 - shape)
    soc = soc.reshape(vehicles, -1)
    return SocPaths.from_matrix(np.arange(365 * 96 + 1) * _QUARTER_MS, np.column_stack([soc, soc[:, 0]]))


def main() -> None:
    """Measure and print."""
    vehicles = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    profiles = yearly_profiles(vehicles)
    few = yearly_profiles(1)
    degrees = 20 + 10 * np.sin(profiles.at_ms / 3.156e10 * 2 * np.pi)
    for law in WEAR_LAWS.values():
        lifetime_loss(law, few, years=1)
        for name, temperature_c in (("25 C", 25.0), ("a feed", degrees)):
            start = time.process_time()
            lifetime_loss(law, profiles, years=_YEARS, temperature_c=temperature_c)
            spent = time.process_time() - start
            print(f"{law.chemistry:7} {name:7} {vehicles * _YEARS / spent:10,.0f} vehicle-years per CPU-s")
    sessions = SocPaths.from_matrix(np.arange(150) * 300_000, profiles.soc[:90_000].reshape(600, 150))
    start = time.process_time()
    path_costs(WEAR_LAWS[next(iter(WEAR_LAWS))], sessions, 60.0)
    print(f"600 sessions of 150 samples priced in {1e3 * (time.process_time() - start):.1f} ms")


if __name__ == "__main__":
    main()
