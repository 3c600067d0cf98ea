"""What a day does to a battery: SoC paths cut into days, each with its stress.

A path is a polyline of state of charge over time. It is cut at day boundaries (midnight UTC unless
`day_start_ms` says otherwise), and every piece gets what the wear laws ask for: its mean storage
stress, its temperature, the depth of its swing, its equivalent full cycles and its mean C-rate. Damage
is a sum over pieces, so the cost of a long path is the sum of the costs of its days.

The mean C-rate of a piece spreads its throughput over the whole day of 24 hours, as BLAST-Lite does
with a day's profile: hours that are not in the path are taken for rest. With `active_c_rate` the mean
is taken over the hours in motion only, which is higher and therefore the cautious choice.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.columns import COLUMNS
from backfeed.battery.law import KELVIN_AT_ZERO_C, Floats, WearLaw
from backfeed.core.instant import MS_PER_DAY

DEFAULT_TEMPERATURE_C = 25.0
"""Cell temperature where no feed tells it [degrees C]."""
HOURS_PER_DAY = 24.0
_TABLE_STEP_C = 0.25
_TABLE_CELLS = 1_024


@dataclass(frozen=True)
class SocPaths:
    """Many SoC paths as ragged columns: path i is the rows `offsets[i]:offsets[i + 1]`.

    Parameters
    ----------
    at_ms
        Sample instants [ms since 1970 UTC], not falling within a path. Two samples at one instant are a
        jump (a reset of the gauge), which is no throughput.
    soc
        State of charge at the samples, 0-1; clipped to that.
    offsets
        Shape `(path + 1,)`, from 0 to the number of samples; every path has a sample.
    """

    at_ms: NDArray[np.int64]
    soc: Floats
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse columns that are not ragged paths."""
        assert self.at_ms.shape == self.soc.shape, "every sample needs an instant and a state of charge"
        assert self.offsets[0] == 0, "offsets start at 0"
        assert self.offsets[-1] == self.soc.size, "offsets end at the number of samples"
        assert (np.diff(self.offsets) > 0).all(), "a path without a sample has no state of charge"
        assert np.isfinite(self.soc).all(), "a state of charge is a number"
        falls = np.flatnonzero(np.diff(self.at_ms) < 0) + 1
        assert (self.offsets[np.searchsorted(self.offsets, falls)] == falls).all(), "samples of a path come in order"

    def __len__(self) -> int:
        """Return the number of paths."""
        return self.offsets.size - 1

    @classmethod
    def single(cls, at_ms: NDArray[np.int64], soc: Floats) -> "SocPaths":
        """Return one path as columns."""
        return cls(
            np.ascontiguousarray(at_ms, dtype=np.int64),
            np.ascontiguousarray(soc, dtype=np.float64),
            np.array([0, len(soc)], dtype=np.int64),
        )

    @classmethod
    def from_matrix(cls, at_ms: NDArray[np.int64], soc: Floats) -> "SocPaths":
        """Return the rows of a matrix `(vehicle, sample)`, all on the instants `(sample,)`, as columns."""
        vehicles, samples = soc.shape
        return cls(
            np.tile(np.asarray(at_ms, dtype=np.int64), vehicles),
            np.ascontiguousarray(soc, dtype=np.float64).ravel(),
            np.arange(vehicles + 1, dtype=np.int64) * samples,
        )


@dataclass(frozen=True)
class DayStress:
    """The stress of every day piece, as columns, shape `(piece,)`, by path and then by day.

    Parameters
    ----------
    path
        The path the piece belongs to.
    hours
        Length of the piece [h].
    calendar_stress
        Time mean of the law's storage stress k.
    temperature_c
        Time mean [degrees C], clamped to the law's storage range.
    depth
        Highest less lowest state of charge, 0-1.
    full_cycles
        Equivalent full cycles: half the sum of all changes of state of charge.
    c_rate
        Mean C-rate over the day of 24 hours [1/h].
    c_rate_active
        Mean C-rate over the hours in motion [1/h].
    """

    path: NDArray[np.int64]
    hours: Floats
    calendar_stress: Floats
    temperature_c: Floats
    depth: Floats
    full_cycles: Floats
    c_rate: Floats
    c_rate_active: Floats


@lru_cache(maxsize=8)
def _stress_table(law: WearLaw) -> Floats:
    """Tabulate the storage stress and its antiderivative over its cells, shape `(2, temperature, SoC)`."""
    lowest, highest = law.calendar_temperature_c
    rows = round((highest - lowest) / _TABLE_STEP_C) + 1
    temperature_k = np.linspace(lowest, highest, rows)[:, None] + KELVIN_AT_ZERO_C
    stress = law.calendar_stress(np.linspace(0, 1, _TABLE_CELLS + 1)[None, :], temperature_k)
    steps = 0.5 * (stress[:, 1:] + stress[:, :-1])
    area = np.concatenate([np.zeros((rows, 1)), np.cumsum(steps, axis=1)], axis=1)
    return np.stack([stress, area])


def measure_pieces(
    law: WearLaw,
    paths: SocPaths,
    temperature_c: float | Floats,
    grid: tuple[int, int],
    stretch: float = 1.0,
) -> tuple[NDArray[np.int64], Floats]:
    """Return the path of every piece and the sums over it, shape `(piece, COLUMNS)`.

    `grid` is an instant at which a piece starts, and the length of pieces [ms], a day or a part of one.
    Where `stretch` is not 1, the stress of each path stretched by it about its mean is summed as well.
    """
    from backfeed.battery import kernel  # noqa: PLC0415 - numba is slow to import

    degrees = np.atleast_1d(np.asarray(temperature_c, dtype=np.float64))
    assert degrees.size in {1, paths.soc.size}, "temperature is one value or one per sample"
    assert np.isfinite(degrees.sum()), "a temperature is a number; where a feed has a gap, take the default"
    start_ms, piece_ms = grid
    first = (paths.at_ms[paths.offsets[:-1]] - start_ms) // piece_ms
    last = (paths.at_ms[paths.offsets[1:] - 1] - 1 - start_ms) // piece_ms
    pieces = np.maximum(last - first, 0) + 1
    sums = np.zeros((int(pieces.sum()), COLUMNS))
    kernel.accumulate_stress(
        (paths.at_ms, paths.soc, degrees),
        paths.offsets,
        np.concatenate([[0], np.cumsum(pieces)]),
        (int(start_ms) % MS_PER_DAY, piece_ms),
        _stress_table(law),
        law.calendar_temperature_c,
        stretch,
        sums,
    )
    return np.repeat(np.arange(len(paths)), pieces), sums


def stress_of_pieces(law: WearLaw, path: NDArray[np.int64], sums: Floats) -> DayStress:
    """Turn the sums of day pieces into their stress."""
    hours, stress_hours, level_hours, lowest, highest, throughput, motion, motion_h, _ = sums.T
    per_hour = 1 / np.where(hours > 0, hours, 1)
    return DayStress(
        path=path,
        hours=hours,
        calendar_stress=stress_hours * per_hour,
        temperature_c=law.calendar_temperature_c[0] + _TABLE_STEP_C * level_hours * per_hour,
        depth=highest - lowest,
        full_cycles=throughput / 2,
        c_rate=motion / HOURS_PER_DAY,
        c_rate_active=motion / np.where(motion_h > 0, motion_h, 1),
    )


def day_stress(
    law: WearLaw, paths: SocPaths, temperature_c: float | Floats = DEFAULT_TEMPERATURE_C, *, day_start_ms: int = 0
) -> DayStress:
    """Cut paths into days and measure the stress of each.

    Parameters
    ----------
    law
        The cell's law.
    paths
        SoC over time.
    temperature_c
        Cell temperature [degrees C]: one value, or one per sample, shape of `paths.soc`. Clamped to the
        law's storage range.
    day_start_ms
        An instant at which a day starts; only its time of day matters.
    """
    return stress_of_pieces(law, *measure_pieces(law, paths, temperature_c, (day_start_ms, MS_PER_DAY)))


def day_damage(law: WearLaw, day: DayStress, *, active_c_rate: bool = False) -> tuple[Floats, Floats]:
    """Return the damage of every piece in storage and in cycling, shape `(piece,)`, of a new battery."""
    c_rate = day.c_rate_active if active_c_rate else day.c_rate
    return (
        law.calendar_damage(day.calendar_stress, day.hours / HOURS_PER_DAY),
        law.cycling_damage(day.depth, c_rate, day.temperature_c, day.full_cycles),
    )


def path_damage(
    law: WearLaw,
    paths: SocPaths,
    temperature_c: float | Floats = DEFAULT_TEMPERATURE_C,
    *,
    active_c_rate: bool = False,
    day_start_ms: int = 0,
) -> tuple[Floats, Floats]:
    """Return the damage of every path in storage and in cycling, shape `(path,)`; parameters of `day_stress`."""
    day = day_stress(law, paths, temperature_c, day_start_ms=day_start_ms)
    calendar, cycling = day_damage(law, day, active_c_rate=active_c_rate)
    return _by_path(paths, day, calendar), _by_path(paths, day, cycling)


def _by_path(paths: SocPaths, day: DayStress, parts: Floats) -> Floats:
    """Add up the pieces of every path."""
    return np.bincount(day.path, weights=parts, minlength=len(paths)).astype(np.float64)
