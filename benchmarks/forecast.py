"""How good are the departure forecasts: calibration, sharpness and loss against baselines, on time-ordered folds.

Run it with `python benchmarks/forecast.py [FILE ZONE]...`; without arguments it takes the shipped sessions and
made-up workplaces. Every stay of the last 60 % of a file is forecast at its arrival and at every full hour
while it lasts, knowing only what had departed by then.
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.feeds.sessions import read_sessions
from backfeed.forecast.departure import DepartureForecaster
from backfeed.forecast.history import Known, Stay
from backfeed.forecast.score import coverage, folds_by_time, log_loss, pinball_loss, ranking, sharpness

LEVELS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
FIRST_SHARE = 0.4
HOURS_MOST = 48
FOLDS = 4
HORIZON_MS = 4 * MS_PER_H
SHIPPED = Path(__file__).parents[1] / "examples" / "guangdong-homes" / "sessions.csv"


@dataclass(frozen=True)
class Scores:
    """Forecasts and what happened, case by case."""

    asked_ms: NDArray[np.int64]
    elapsed_h: NDArray[np.int64]
    rest_h: NDArray[np.float64]
    quantiles_h: NDArray[np.float64]
    leaves_soon: NDArray[np.float64]
    naive_h: NDArray[np.float64]
    stated_h: NDArray[np.float64]
    learn_us: float
    ask_us: float


def stays_of(path: Path) -> list[Stay]:
    """Return the sessions of a file."""
    table = read_sessions(path).table
    return [
        Stay(
            table.user_id[i],
            table.location[i],
            int(table.arrival_ms[i]),
            int(table.departure_ms[i]),
            float(table.energy_kwh[i]),
            None if np.isnan(table.departure_stated_ms[i]) else int(table.departure_stated_ms[i]),
        )
        for i in range(len(table))
    ]


def workplaces(seed: int = 0, users: int = 120, days: int = 200) -> list[Stay]:
    """Return made-up commuters: habits of their own, part days, short Fridays, a few weekends."""
    stays = []
    for user in range(users):
        dice = Streams(seed).generator("commuter", user)
        start, end = dice.normal(510, 50), dice.normal(1020, 60)
        spread_in, spread_out = dice.uniform(8, 35), dice.uniform(10, 60)
        comes, half = dice.uniform(0.2, 0.95), dice.uniform(0, 0.25)
        location = f"office-{dice.integers(4)}"
        for day in range(4, days):
            weekday = (day + 3) % 7
            if dice.random() > (comes if weekday < 5 else 0.03):
                continue
            arrival = start + dice.normal(0, spread_in)
            leaves = end + dice.normal(0, spread_out) - (60 if weekday == 4 else 0)
            if dice.random() < half:
                leaves = arrival + dice.uniform(30, 300)
            first, last = round(arrival), round(max(leaves, arrival + 10))
            midnight = day * MS_PER_DAY
            stays.append(Stay(f"u{user}", location, midnight + first * MS_PER_MIN, midnight + last * MS_PER_MIN, 10.0))
    return stays


def with_statements(stays: list[Stay], share: float, *, honest: bool) -> list[Stay]:
    """Return the stays with statements: within 20 min of the truth and 2 % wrong, or 73 % left hours early."""
    told = []
    for number, stay in enumerate(stays):
        dice = Streams(5).generator("statement", number)
        error_min = dice.normal(0, 20)
        if honest and dice.random() < 0.02:
            error_min = dice.uniform(-480, 480)
        if not honest and dice.random() < 0.73:
            error_min = dice.lognormal(np.log(258), 0.8)
        stated = stay.departure_ms + round(error_min) * MS_PER_MIN
        heard = dice.random() < share and stated > stay.arrival_ms
        told.append(replace(stay, stated_ms=stated) if heard else stay)
    return told


def naive_rest_h(known: Known, stay: Stay, now_ms: int) -> float:
    """Return the rest of the stay by the user's last stay that began on this weekday, else his last, else 8 h."""
    rows = known.rows_of_user(stay.user_id, 50)
    weekday = known.clock.minute(stay.arrival_ms) // 1440 % 7
    same = [row for row in rows if known.arrival_min[row] // 1440 % 7 == weekday]
    length_h = 8.0
    if len(rows):
        row = same[-1] if same else rows[-1]
        length_h = float(known.departure_min[row] - known.arrival_min[row]) / 60
    return max(length_h - (now_ms - stay.arrival_ms) / MS_PER_H, 1.0)


def replay(stays: list[Stay], zone: str) -> Scores:
    """Forecast stay after stay, learning each when it ends."""
    order = sorted(stays, key=lambda stay: stay.departure_ms)
    first_ms = sorted(stay.arrival_ms for stay in stays)[int(FIRST_SHARE * len(stays))]
    asked = [
        (stay.arrival_ms + hour * MS_PER_H, number, hour)
        for number, stay in enumerate(stays)
        if stay.arrival_ms >= first_ms
        for hour in range(HOURS_MOST + 1)
        if stay.arrival_ms + hour * MS_PER_H < stay.departure_ms
    ]
    asked.sort()
    forecaster = DepartureForecaster(zone)
    rows, learnt, learn_s, ask_s = [], 0, 0.0, 0.0
    for now_ms, number, hour in asked:
        began = time.perf_counter()
        while learnt < len(order) and order[learnt].departure_ms <= now_ms:
            forecaster.learn(order[learnt], order[learnt].departure_ms)
            learnt += 1
        middle = time.perf_counter()
        stay = stays[number]
        told = forecaster.distribution(stay.user_id, stay.location, stay.arrival_ms, now_ms, stay.stated_ms)
        quantiles = told.quantiles_ms(LEVELS)
        soon = float(told.left_share(np.array([now_ms + HORIZON_MS]))[0])
        learn_s, ask_s = learn_s + middle - began, ask_s + time.perf_counter() - middle
        rest = (stay.departure_ms - now_ms) / MS_PER_H
        stated = np.nan if stay.stated_ms is None else max((stay.stated_ms - now_ms) / MS_PER_H, 0.25)
        naive = naive_rest_h(forecaster.history.as_of(now_ms), stay, now_ms)
        rows.append((now_ms, hour, rest, (quantiles - now_ms) / MS_PER_H, soon, naive, stated))
    asked_ms, elapsed_h, rest_h, quantiles_h, soon_share, naive_h, stated_h = map(np.array, zip(*rows, strict=True))
    return Scores(
        asked_ms=asked_ms,
        elapsed_h=elapsed_h,
        rest_h=rest_h,
        quantiles_h=quantiles_h,
        leaves_soon=soon_share,
        naive_h=naive_h,
        stated_h=stated_h,
        learn_us=learn_s / learnt * 1e6,
        ask_us=ask_s / len(rows) * 1e6,
    )


def report(name: str, scores: Scores) -> None:
    """Print what came of one replay."""
    print(f"\n{name}: {len(scores.rest_h)} forecasts, learn {scores.learn_us:.0f} us, ask {scores.ask_us:.0f} us")
    happened = scores.rest_h <= HORIZON_MS / MS_PER_H
    print(
        f"  leaves within 4 h: AUC {ranking(scores.leaves_soon, happened):.3f}, "
        f"log loss {log_loss(scores.leaves_soon, happened):.3f} nats"
    )
    print("  level       " + "".join(f"{level:7.2f}" for level in LEVELS))
    folds = folds_by_time(scores.asked_ms, FOLDS)
    arrivals = np.flatnonzero(scores.elapsed_h == 0)
    cases = [("all", np.arange(len(scores.rest_h))), ("at arrival", arrivals)]
    cases += [(f"fold {number}", fold) for number, fold in enumerate(folds, 1)]
    at_arrival = [arrivals[fold] for fold in folds_by_time(scores.asked_ms[arrivals], FOLDS)]
    cases += [(f"arr. fold {number}", fold) for number, fold in enumerate(at_arrival, 1)]
    for label, rows in cases:
        shares = coverage(scores.quantiles_h[rows], scores.rest_h[rows])
        print(f"  {label:12s}" + "".join(f"{share:7.3f}" for share in shares))
    losses = {"forecast": scores.quantiles_h, "seasonal naive": np.repeat(scores.naive_h[:, None], len(LEVELS), axis=1)}
    heard = ~np.isnan(scores.stated_h)
    for label, quantiles in losses.items():
        loss = pinball_loss(quantiles, scores.rest_h, LEVELS).mean()
        print(f"  mean pinball loss, {label}: {loss:.3f} h")
    if heard.any():
        stated = np.repeat(scores.stated_h[heard, None], len(LEVELS), axis=1)
        own = pinball_loss(scores.quantiles_h[heard], scores.rest_h[heard], LEVELS).mean()
        word = pinball_loss(stated, scores.rest_h[heard], LEVELS).mean()
        print(f"  where stated: forecast {own:.3f} h, the statement itself {word:.3f} h")
    print(f"  sharpness: mean width of the 80 % interval {sharpness(scores.quantiles_h, 2, 6):.2f} h")


def main() -> None:
    """Replay and report every data set asked for."""
    pairs = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True)) or [(str(SHIPPED), "Europe/Oslo")]
    sets = [(path, stays_of(Path(path)), zone) for path, zone in pairs]
    sets.append(("made-up workplaces", workplaces(), "UTC"))
    for name, stays, zone in sets:
        report(f"{name}, silent", replay([replace(stay, stated_ms=None) for stay in stays], zone))
    name, stays, zone = sets[0]
    report(f"{name}, 80 % stating, sd 20 min, 2 % wrong", replay(with_statements(stays, 0.8, honest=True), zone))
    report(f"{name}, 80 % stating, 73 % leaving hours early", replay(with_statements(stays, 0.8, honest=False), zone))


if __name__ == "__main__":
    main()
