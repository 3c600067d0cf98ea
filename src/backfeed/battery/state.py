"""The wear of one car as it happens: a few numbers that go on from where they stopped.

Two damages, the sums of the day that is not over, the swings that are not closed. `observe` is a pure
function from a state and new samples to the next state; the state is plain numbers, so `encode` and
`decode` carry it over a restart without losing a digit. A day is closed with the health the car had
then: an older battery swings deeper for the same energy.
"""

from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from backfeed.battery.columns import COLUMNS, HIGHEST, LOWEST
from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.rainflow import Rainflow, follow
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C, SocPaths, day_damage, measure_pieces, stress_of_pieces
from backfeed.core.instant import MS_PER_DAY

_LEAST_HEALTH = 0.5


@dataclass(frozen=True, slots=True)
class WearState:
    """What a car's battery has been through since its enrolment.

    Parameters
    ----------
    calendar_damage, cycling_damage
        Damage of the days that are over.
    full_cycles
        Equivalent full cycles of the days that are over.
    at_ms, soc
        The last sample; `at_ms` is -1 before the first.
    today
        The sums of the day that is not over, in the order of `backfeed.battery.columns`; empty before
        the first sample.
    swings
        The streaming rainflow count.
    """

    calendar_damage: float = 0.0
    cycling_damage: float = 0.0
    full_cycles: float = 0.0
    at_ms: int = -1
    soc: float = 0.0
    today: tuple[float, ...] = ()
    swings: Rainflow = field(default_factory=Rainflow)

    def encode(self) -> bytes:
        """Return the state as JSON; floats keep every digit."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, body: bytes) -> "WearState":
        """Return the state that `encode` wrote."""
        return msgspec.json.decode(body, type=cls)


def observe(
    state: WearState,
    law: WearLaw,
    at_ms: NDArray[np.int64],
    soc: Floats,
    *,
    temperature_c: float | Floats = DEFAULT_TEMPERATURE_C,
    scale: float = 1.0,
    active_c_rate: bool = False,
    day_start_ms: int = 0,
) -> WearState:
    """Go on from a state along new samples.

    Parameters
    ----------
    state
        Where the car stands.
    law
        The cell's law.
    at_ms, soc
        New samples [ms, 0-1], not before the last one of the state; the path is straight in between,
        over hours away from the charger too.
    temperature_c
        Cell temperature over these samples [degrees C], one value or one per sample; on the way to the first of
        them it is that of the first.
    scale
        How many times the law's loss the car loses; only for the health that deepens its swings.
    active_c_rate
        Take the mean C-rate over the hours in motion: the cautious choice.
    day_start_ms
        An instant at which a day starts.
    """
    if at_ms.size == 0:
        return state
    assert at_ms[0] >= state.at_ms, "samples come in order"
    if state.at_ms >= 0:
        at_ms, soc = np.append(state.at_ms, at_ms), np.append(state.soc, soc)
        if np.ndim(temperature_c):
            temperature_c = np.append(np.ravel(temperature_c)[0], temperature_c)
    _, pieces = measure_pieces(law, SocPaths.single(at_ms, soc), temperature_c, (day_start_ms, MS_PER_DAY))
    if state.today:
        at_border = (at_ms[0] - day_start_ms) % MS_PER_DAY == 0
        open_day = np.array(state.today)
        pieces = np.vstack([open_day, pieces]) if at_border else np.vstack([_joined(open_day, pieces[0]), pieces[1:]])
    for piece in pieces[:-1]:
        state = _closed(state, law, piece, scale, active_c_rate=active_c_rate)
    return replace(
        state,
        at_ms=int(at_ms[-1]),
        soc=float(soc[-1]),
        today=tuple(pieces[-1].tolist()),
        swings=follow(state.swings, np.clip(soc, 0, 1).tolist()),
    )


def loss_so_far(
    state: WearState, law: WearLaw, *, scale: float = 1.0, active_c_rate: bool = False
) -> tuple[float, float]:
    """Return the capacity lost in storage and in cycling (fractions), the open day included."""
    if state.today:
        state = _closed(state, law, np.array(state.today), scale, active_c_rate=active_c_rate)
    calendar, cycling = law.loss(state.calendar_damage, state.cycling_damage)
    return scale * float(calendar), scale * float(cycling)


def full_cycles_so_far(state: WearState, law: WearLaw) -> float:
    """Return the equivalent full cycles, the open day included."""
    return _closed(state, law, np.array(state.today), 1.0).full_cycles if state.today else state.full_cycles


def _joined(one: Floats, other: Floats) -> Floats:
    """Add up two pieces of one day."""
    both = one + other
    both[LOWEST] = min(one[LOWEST], other[LOWEST])
    both[HIGHEST] = max(one[HIGHEST], other[HIGHEST])
    return both


def _closed(state: WearState, law: WearLaw, piece: Floats, scale: float, *, active_c_rate: bool = False) -> WearState:
    """Add a day that is over to the damage."""
    lost = law.loss(state.calendar_damage, state.cycling_damage)
    health = max(1 - scale * float(lost[0] + lost[1]), _LEAST_HEALTH)
    day = stress_of_pieces(law, np.zeros(1, dtype=np.int64), piece.reshape(1, COLUMNS))
    day = replace(day, depth=day.depth / health)
    calendar, cycling = day_damage(law, day, active_c_rate=active_c_rate)
    return replace(
        state,
        calendar_damage=state.calendar_damage + float(calendar[0]),
        cycling_damage=state.cycling_damage + float(cycling[0]),
        full_cycles=state.full_cycles + float(day.full_cycles[0]),
    )
