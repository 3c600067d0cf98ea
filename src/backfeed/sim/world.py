"""Draw who comes with which car, how empty, and what its driver says about it.

A session file tells when a car came and left and what it charged. The world draws the rest, so that
charging at once gives exactly the recorded energy:

- **The car** is a model of the catalogue, drawn once per user by its share of registrations; a visit
  without a user brings a car of its own. The true capacity, efficiencies and taper lie around the
  nominal ones, so that nobody can plan on a nameplate.
- **The arrival energy** is such that arrival + recorded x charge efficiency = target SoC x capacity.
  If the car would arrive emptier than `arrival_soc_min`, it arrives at that and its driver has set
  a higher target for this stay, up to full. If that is not enough, the driver has come with a
  bigger car this time, the smallest of the catalogue that fits; if none does, the visit is rejected.
  Where the file gives the capacity it is the true one (and the nominal is drawn around it), and
  where it gives the arrival SoC that is used instead.
- **The power** is the least of the station's and the car's. A recorded peak power is taken as proof
  that the car takes at least that much.
- **The statement** of the departure, for some drivers: about right for most, hours off for a few.
- **The place** is the lowest station of the location that is free on arrival.

Every draw has a key of its own (user, session or station), so a row of the file changes nothing
that happens before its arrival.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from backfeed.battery.catalogue import CAR_MODELS, CarModel
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, MS_PER_S
from backfeed.core.rng import Streams
from backfeed.sim.columns import Rejection, Visits, WorldConfig, WorldSessions
from backfeed.sim.placement import CarPark
from backfeed.sim.vehicle import CarColumns, FloatColumn, advance_fleet, drive_kw_fleet

__all__ = ["Rejection", "Visits", "WorldConfig", "WorldSessions", "charging_at_once_suffices", "draw_world"]

STATEMENT_TOLERANCE_MS = 15 * MS_PER_MIN
STATEMENT_EARLIEST_MS = 5 * MS_PER_MIN
WRONG_BY_H = (1.0, 12.0)
EFFICIENCY_MAX = 0.995
FIT_TOLERANCE_KWH = 1e-9


@dataclass(frozen=True, slots=True)
class _DrawnCar:
    """A car with its truth; `model` carries the nominal values."""

    model: CarModel
    capacity_kwh: float
    charge_efficiency: float
    discharge_efficiency: float
    taper_soc: float


@dataclass(frozen=True, slots=True)
class _Stay:
    """A served visit with everything drawn for it."""

    visit: int
    station: str
    token: str
    car: _DrawnCar
    charge_max_kw: float
    discharge_max_kw: float
    energy_arrival_kwh: float
    energy_required_kwh: float
    reports_soc: bool
    statement_ms: int
    charger_error: float


def draw_world(visits: Visits, config: WorldConfig, streams: Streams) -> tuple[WorldSessions, tuple[Rejection, ...]]:
    """Draw the sessions that the world serves and name the visits that it can not.

    Parameters
    ----------
    visits
        In any order.
    config
        What the world is like.
    streams
        The dice, except for the statements, whose seed is in the configuration.

    Returns
    -------
    tuple[WorldSessions, tuple[Rejection, ...]]
        Sessions by arrival and then id; rejections by row.
    """
    order = sorted(range(len(visits)), key=lambda i: (int(visits.arrival_ms[i]), visits.session_id[i]))
    parks: dict[str, CarPark] = {}
    stays: list[_Stay] = []
    rejections: list[Rejection] = []
    for visit in order:
        problem = _impossible(visits, visit, config)
        stay = None
        if problem is None:
            stay, problem = _draw_stay(visits, visit, config, streams, parks)
        if stay is not None:
            stays.append(stay)
        elif problem is not None:
            field, reason = problem
            rejections.append(Rejection(int(visits.row[visit]), visits.session_id[visit], field, reason))
    return _columns(visits, stays, config), tuple(sorted(rejections, key=lambda r: (r.row, r.session_id)))


def charging_at_once_suffices(
    cars: CarColumns, hours: FloatColumn, energy_arrival_kwh: FloatColumn, energy_required_kwh: FloatColumn
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say for every session whether full power from arrival on meets its required energy in time."""
    full_power = drive_kw_fleet(cars, cars.charge_max_kw)
    reached = advance_fleet(cars, energy_arrival_kwh, full_power, hours, energy_required_kwh)
    suffices: np.ndarray[tuple[int], np.dtype[np.bool_]] = reached >= energy_required_kwh - FIT_TOLERANCE_KWH
    return suffices


def _impossible(visits: Visits, visit: int, config: WorldConfig) -> tuple[str, str] | None:
    """Return the field and the reason if no world could serve this visit."""
    arrival, departure = int(visits.arrival_ms[visit]), int(visits.departure_ms[visit])
    energy, soc = float(visits.energy_kwh[visit]), float(visits.soc_arrival[visit])
    capacity = float(visits.capacity_kwh[visit])
    if not config.start_ms <= arrival < config.end_ms:
        return "arrival", "lies outside the window"
    if departure <= arrival:
        return "departure", "is not after the arrival"
    if not (math.isfinite(energy) and energy >= 0):
        return "energy_kwh", f"expected a finite energy >= 0, found {energy}"
    if not (math.isnan(soc) or 0 <= soc <= 1):
        return "soc_arrival", f"expected a fraction, found {soc}"
    if not (math.isnan(capacity) or (math.isfinite(capacity) and capacity > 0)):
        return "capacity_kwh", f"expected an energy > 0, found {capacity}"
    return None


def _draw_stay(
    visits: Visits, visit: int, config: WorldConfig, streams: Streams, parks: dict[str, CarPark]
) -> tuple[_Stay | None, tuple[str, str] | None]:
    session, user = visits.session_id[visit], visits.user_id[visit]
    token = user or f"anon-{session}"
    fitted = _fit_car(visits, visit, token, config, streams)
    if fitted is None:
        return None, ("energy_kwh", f"{visits.energy_kwh[visit]:g} kWh fits into no car of the catalogue")
    car, energy_arrival_kwh, energy_required_kwh = fitted
    location = visits.location[visit]
    number = parks.setdefault(location, CarPark(config.evse_per_location)).take(
        int(visits.arrival_ms[visit]), int(visits.departure_ms[visit])
    )
    if number is None:
        return None, ("arrival", f"all {config.evse_per_location} stations of {location} are taken")
    station = f"{location}-{number}"
    bidirectional = streams.generator("sim.bidirectional", station).random() < config.v2g_share
    error = streams.generator("sim.charger_error", station).uniform(-1, 1) * config.charger_error_max
    recorded_peak_kw = float(visits.power_max_kw[visit])
    takes_kw = max(car.model.charge_max_kw, 0.0 if math.isnan(recorded_peak_kw) else recorded_peak_kw)
    stay = _Stay(
        visit=visit,
        station=station,
        token=token,
        car=car,
        charge_max_kw=min(config.power_kw, takes_kw),
        discharge_max_kw=min(config.power_kw, car.model.discharge_max_kw) if bidirectional else 0.0,
        energy_arrival_kwh=energy_arrival_kwh,
        energy_required_kwh=energy_required_kwh,
        reports_soc=bool(streams.generator("sim.reports_soc", token).random() < config.soc_reported_share),
        statement_ms=_draw_statement(visits, visit, config),
        charger_error=float(error),
    )
    return stay, None


def _fit_car(
    visits: Visits, visit: int, token: str, config: WorldConfig, streams: Streams
) -> tuple[_DrawnCar, float, float] | None:
    """Return a car that holds the recorded energy, its arrival energy and its required energy."""
    recorded_kwh, soc_arrival = float(visits.energy_kwh[visit]), float(visits.soc_arrival[visit])
    own = _draw_car(_draw_model(streams, token), config, streams, token)
    capacity_kwh = float(visits.capacity_kwh[visit])
    first = own if math.isnan(capacity_kwh) else _with_capacity(own, capacity_kwh)
    energies = _fit_energy(first, recorded_kwh, soc_arrival, config)
    if energies is not None:
        return first, *energies
    for model in sorted(CAR_MODELS, key=lambda m: (m.capacity_kwh, m.name)):
        if model.capacity_kwh <= own.model.capacity_kwh:
            continue
        bigger = _draw_car(model, config, streams, "bigger", visits.session_id[visit])
        energies = _fit_energy(bigger, recorded_kwh, soc_arrival, config)
        if energies is not None:
            return bigger, *energies
    return None


def _fit_energy(
    car: _DrawnCar, recorded_kwh: float, soc_arrival: float, config: WorldConfig
) -> tuple[float, float] | None:
    """Return `(arrival, required)` [kWh] if the recorded energy fits into the car."""
    stored_kwh = recorded_kwh * car.charge_efficiency
    if math.isnan(soc_arrival):
        lowest_kwh = config.arrival_soc_min * car.capacity_kwh
        arrival_kwh = max(config.target_soc * car.capacity_kwh - stored_kwh, lowest_kwh)
    else:
        arrival_kwh = soc_arrival * car.capacity_kwh
    required_kwh = arrival_kwh + stored_kwh
    if required_kwh > max(config.full_soc * car.capacity_kwh, arrival_kwh):
        return None
    return arrival_kwh, required_kwh


def _draw_model(streams: Streams, token: str) -> CarModel:
    cumulated = np.cumsum([model.weight for model in CAR_MODELS])
    point = streams.generator("sim.car_model", token).random() * cumulated[-1]
    return CAR_MODELS[min(int(np.searchsorted(cumulated, point, side="right")), len(CAR_MODELS) - 1)]


def _draw_car(model: CarModel, config: WorldConfig, streams: Streams, *key: str) -> _DrawnCar:
    dice = streams.generator("sim.car_truth", *key)
    capacity_error, charge_error, discharge_error, taper = dice.uniform(-1, 1, size=4)
    taper_middle = (config.taper_soc_min + config.taper_soc_max) / 2
    return _DrawnCar(
        model=model,
        capacity_kwh=float(model.capacity_kwh * (1 + config.capacity_spread * capacity_error)),
        charge_efficiency=min(float(model.charge_efficiency + config.efficiency_spread * charge_error), EFFICIENCY_MAX),
        discharge_efficiency=min(
            float(model.discharge_efficiency + config.efficiency_spread * discharge_error), EFFICIENCY_MAX
        ),
        taper_soc=float(taper_middle + (config.taper_soc_max - taper_middle) * taper),
    )


def _with_capacity(car: _DrawnCar, capacity_kwh: float) -> _DrawnCar:
    """Return the car with a recorded true capacity and a nominal one that misses it as before."""
    nominal_kwh = capacity_kwh * car.model.capacity_kwh / car.capacity_kwh
    return replace(car, capacity_kwh=capacity_kwh, model=replace(car.model, capacity_kwh=nominal_kwh))


def word_of(session_id: str, departure_ms: int, config: WorldConfig) -> tuple[float, int]:
    """Return a driver's urge to speak (who is below the statement share does), and what he says when he does.

    What he says is about right or hours off, whether he speaks of his own accord or was asked.
    """
    dice = Streams(config.statement_seed).generator("sim.statement", session_id)
    speaks, wrong, side = dice.random(3)
    hours_off = dice.uniform(*WRONG_BY_H)
    error_min = dice.normal(0.0, 1.0) * config.statement_sd_min
    if wrong < config.statement_wrong_share:
        offset_ms = hours_off * MS_PER_H * (1 if side < 0.5 else -1)  # noqa: PLR2004 - a fair coin
    else:
        offset_ms = error_min * MS_PER_MIN
    return float(speaks), round((departure_ms + offset_ms) / MS_PER_S) * MS_PER_S


def _draw_statement(visits: Visits, visit: int, config: WorldConfig) -> int:
    """Return when the driver says that it leaves, -1 if it says nothing."""
    recorded_ms = float(visits.departure_stated_ms[visit])
    earliest_ms = int(visits.arrival_ms[visit]) + STATEMENT_EARLIEST_MS
    if not math.isnan(recorded_ms):
        return max(int(recorded_ms), earliest_ms)
    urge, stated_ms = word_of(visits.session_id[visit], int(visits.departure_ms[visit]), config)
    return max(stated_ms, earliest_ms) if urge < config.statement_share else -1


def _columns(visits: Visits, stays: list[_Stay], config: WorldConfig) -> WorldSessions:
    def floats(values: list[float]) -> FloatColumn:
        return np.array(values, dtype=np.float64)

    rows = np.array([stay.visit for stay in stays], dtype=np.intp)
    cars = [stay.car for stay in stays]
    capacity = floats([car.capacity_kwh for car in cars])
    departure = visits.departure_ms[rows].astype(np.int64)
    statement = np.array([stay.statement_ms for stay in stays], dtype=np.int64)
    sessions = WorldSessions(
        session_id=tuple(visits.session_id[i] for i in rows),
        row=visits.row[rows].astype(np.int64),
        station=tuple(stay.station for stay in stays),
        location=tuple(visits.location[i] for i in rows),
        token=tuple(stay.token for stay in stays),
        arrival_ms=visits.arrival_ms[rows].astype(np.int64),
        departure_ms=departure,
        recorded_kwh=visits.energy_kwh[rows].astype(np.float64),
        model=tuple(car.model.name for car in cars),
        chemistry=tuple(car.model.chemistry for car in cars),
        capacity_nominal_kwh=floats([car.model.capacity_kwh for car in cars]),
        capacity_kwh=capacity,
        charge_efficiency_nominal=floats([car.model.charge_efficiency for car in cars]),
        discharge_efficiency_nominal=floats([car.model.discharge_efficiency for car in cars]),
        charge_efficiency=floats([car.charge_efficiency for car in cars]),
        discharge_efficiency=floats([car.discharge_efficiency for car in cars]),
        charge_max_kw=floats([stay.charge_max_kw for stay in stays]),
        discharge_max_kw=floats([stay.discharge_max_kw for stay in stays]),
        taper_soc=floats([car.taper_soc for car in cars]),
        energy_arrival_kwh=floats([stay.energy_arrival_kwh for stay in stays]),
        energy_required_kwh=floats([stay.energy_required_kwh for stay in stays]),
        energy_full_kwh=np.maximum(config.full_soc * capacity, floats([stay.energy_required_kwh for stay in stays])),
        energy_empty_kwh=config.empty_soc * capacity,
        reports_soc=np.array([stay.reports_soc for stay in stays], dtype=np.bool_),
        statement_ms=statement,
        statement_kept=(statement >= 0) & (departure >= statement - STATEMENT_TOLERANCE_MS),
        charger_error=floats([stay.charger_error for stay in stays]),
        feasible=np.zeros(len(stays), dtype=np.bool_),
    )
    hours = (sessions.departure_ms - sessions.arrival_ms) / MS_PER_H
    feasible = charging_at_once_suffices(
        sessions.cars(), hours, sessions.energy_arrival_kwh, sessions.energy_required_kwh
    )
    return replace(sessions, feasible=feasible)
