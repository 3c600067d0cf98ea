"""How good is the upper edge of what a car will take: how often it is passed, and its pinball loss.

Run it with `python benchmarks/energy_need.py FILE ZONE`. Every stay of the last 70 % of a file is asked about at its
arrival, knowing only what had departed by then; a row is for all drivers, and for those with fewer than ten stays.
"""

import argparse
from collections import deque
from pathlib import Path

import numpy as np

from backfeed.cli.forecast import stays_of
from backfeed.feeds.sessions import read_sessions
from backfeed.forecast.energy_need import energy_quantiles
from backfeed.forecast.history import History
from backfeed.forecast.score import pinball_loss

LEVELS = (0.5, 0.95, 0.99)
FIRST_SHARE = 0.3
FEW = 10


def main() -> None:
    """Print the scores of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("zone")
    asked = parser.parse_args()
    stays = stays_of(read_sessions(asked.file, asked.zone).table)
    history, ended = History(asked.zone), deque(sorted(stays, key=lambda stay: stay.departure_ms))
    known_stays, took, told = [], [], []
    for stay in stays:
        while ended[0].departure_ms <= stay.arrival_ms:
            done = ended.popleft()
            history.add(done, done.departure_ms)
        if len(history) < FIRST_SHARE * len(stays):
            continue
        known = history.as_of(stay.arrival_ms)
        known_stays.append(len(known.rows_of_user(stay.user_id, FEW)))
        took.append(stay.energy_kwh)
        told.append(energy_quantiles(known, stay.user_id, stay.location, stay.arrival_ms, LEVELS))
    count, energy, quantile = np.array(known_stays), np.array(took), np.array(told)
    print(f"{'drivers':>9}{'stays':>8}{'passed 95 %':>13}{'99 %':>8}{'loss at 95 %, kWh':>20}{'95 %, kWh':>11}")
    for name, mine in (("all", count >= 0), ("few", count < FEW)):
        if mine.any():
            passed = 100 * (energy[mine, None] > quantile[mine]).mean(axis=0)
            loss = pinball_loss(quantile[mine], energy[mine], np.array(LEVELS))[1]
            print(
                f"{name:>9}{mine.sum():>8}{passed[1]:>12.1f}%{passed[2]:>7.1f}%{loss:>20.3f}"
                f"{quantile[mine, 1].mean():>11.1f}"
            )


if __name__ == "__main__":
    main()
