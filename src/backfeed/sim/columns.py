"""Columns of the world: the visits that a session file records, and the sessions drawn from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.chemistry import Chemistry
from backfeed.core.columns import Columns
from backfeed.sim.vehicle import Car, CarColumns, FloatColumn, taper_h

IntColumn = NDArray[np.int64]
BoolColumn = NDArray[np.bool_]


@dataclass(frozen=True)
class Visits(Columns):
    """Recorded stays as equal-length columns, row = visit.

    Parameters
    ----------
    row
        Row number in the file.
    session_id, location, user_id
        Text; `user_id` is "" where the file knows no user.
    arrival_ms, departure_ms
        Instants in milliseconds since 1970 UTC.
    energy_kwh
        Recorded energy at the meter [kWh AC].
    power_max_kw, soc_arrival, soc_departure, capacity_kwh, departure_stated_ms, energy_requested_kwh
        NaN where the file does not say.
    """

    row: IntColumn
    session_id: tuple[str, ...]
    location: tuple[str, ...]
    user_id: tuple[str, ...]
    arrival_ms: IntColumn
    departure_ms: IntColumn
    energy_kwh: FloatColumn
    power_max_kw: FloatColumn
    soc_arrival: FloatColumn
    soc_departure: FloatColumn
    capacity_kwh: FloatColumn
    departure_stated_ms: FloatColumn
    energy_requested_kwh: FloatColumn

    def __len__(self) -> int:
        """Return the number of visits."""
        return len(self.session_id)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A visit that the world can not serve, with the field to blame and the reason in words."""

    row: int
    session_id: str
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """What the world is like beyond its visits.

    Parameters
    ----------
    start_ms, end_ms
        The window; visits that begin in it are served.
    power_kw
        Rated power of every EVSE, both ways where it is bidirectional.
    v2g_share
        Share of the stations that are bidirectional.
    evse_per_location
        How many stations a location has; None builds one whenever all are taken.
    meter_interval_s
        Interval of the clock-aligned readings, counted from 1970 UTC.
    statement_share, statement_sd_min, statement_wrong_share, statement_seed
        How many drivers say when they leave, how well, how many are hours off; and the dice for it.
    soc_reported_share
        Share of the users whose car tells its state of charge.
    answer_curve, answer_spread, answer_delay_s
        Shares of silent drivers who answer when asked, by the bonus they are offered, `(bonus, share)` ascending;
        how far drivers differ in that, as a standard deviation of log odds; and how long an answer takes.
    answer_charge_sd, answer_charge_wrong_share
        How well those who are asked say how full their car came, as a share of its capacity; how many are far off.
    reserve_soc, target_soc
        The owners' standing wishes as fractions of the capacity.
    capacity_spread, efficiency_spread, charger_error_max
        The truth lies uniformly within +- these around the nominal value: relative, absolute, relative.
    taper_soc_min, taper_soc_max
        Where a car's taper begins, uniformly between.
    full_soc, empty_soc, arrival_soc_min
        Where the car itself ends charging and discharging, and the emptiest that it arrives.
    commission_lead_s
        How long before its first use a station is switched on.
    start_delay_s
        How long car and station talk after the driver is authorised before power flows.
    """

    start_ms: int
    end_ms: int
    power_kw: float
    v2g_share: float = 1.0
    evse_per_location: int | None = None
    meter_interval_s: int = 300
    statement_share: float = 0.8
    statement_sd_min: float = 20.0
    statement_wrong_share: float = 0.02
    soc_reported_share: float = 0.5
    statement_seed: int = 0
    answer_curve: tuple[tuple[float, float], ...] = ()
    answer_spread: float = 0.0
    answer_delay_s: float = 0.0
    answer_charge_sd: float = 0.0
    answer_charge_wrong_share: float = 0.0
    reserve_soc: float = 0.25
    target_soc: float = 0.85
    capacity_spread: float = 0.05
    efficiency_spread: float = 0.02
    charger_error_max: float = 0.01
    taper_soc_min: float = 0.90
    taper_soc_max: float = 0.96
    full_soc: float = 0.99
    empty_soc: float = 0.02
    arrival_soc_min: float = 0.03
    commission_lead_s: int = 60
    start_delay_s: int = 0


@dataclass(frozen=True)
class WorldSessions(Columns):
    """The sessions that the world serves, as columns of shape `(session,)`, sorted by arrival and then id.

    Parameters
    ----------
    session_id, row
        Where the session comes from.
    station, location, token
        Which station it uses, where that stands, and what the driver shows.
    arrival_ms, departure_ms
        When the car is plugged in and out.
    recorded_kwh
        Energy that the file recorded [kWh AC].
    model, chemistry
        Name and cell chemistry of the car.
    capacity_nominal_kwh, capacity_kwh
        What the maker says, and the truth.
    charge_efficiency_nominal, discharge_efficiency_nominal
        What the maker says.
    charge_efficiency, discharge_efficiency
        The truth, one-way.
    charge_max_kw, discharge_max_kw
        The most that car and station together do, AC, magnitudes.
    taper_soc
        Where the battery begins to take less.
    energy_arrival_kwh
        In the battery when it comes.
    energy_required_kwh
        What the driver has set the car to, `arrival + recorded * charge_efficiency`.
    energy_full_kwh, energy_empty_kwh
        Where the car itself ends charging and discharging.
    reports_soc
        Whether the car tells its state of charge.
    statement_ms
        When the driver says that it leaves; -1 for none.
    statement_kept
        Whether the driver left no earlier than stated less 15 minutes.
    charger_error
        Relative error of the power that the station sets.
    feasible
        Whether charging at once meets `energy_required_kwh` by departure.
    """

    session_id: tuple[str, ...]
    row: IntColumn
    station: tuple[str, ...]
    location: tuple[str, ...]
    token: tuple[str, ...]
    arrival_ms: IntColumn
    departure_ms: IntColumn
    recorded_kwh: FloatColumn
    model: tuple[str, ...]
    chemistry: tuple[Chemistry, ...]
    capacity_nominal_kwh: FloatColumn
    capacity_kwh: FloatColumn
    charge_efficiency_nominal: FloatColumn
    discharge_efficiency_nominal: FloatColumn
    charge_efficiency: FloatColumn
    discharge_efficiency: FloatColumn
    charge_max_kw: FloatColumn
    discharge_max_kw: FloatColumn
    taper_soc: FloatColumn
    energy_arrival_kwh: FloatColumn
    energy_required_kwh: FloatColumn
    energy_full_kwh: FloatColumn
    energy_empty_kwh: FloatColumn
    reports_soc: BoolColumn
    statement_ms: IntColumn
    statement_kept: BoolColumn
    charger_error: FloatColumn
    feasible: BoolColumn

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.session_id)

    def cars(self) -> CarColumns:
        """Return the physics of every session's car."""
        return CarColumns(
            capacity_kwh=self.capacity_kwh,
            energy_empty_kwh=self.energy_empty_kwh,
            energy_full_kwh=self.energy_full_kwh,
            charge_efficiency=self.charge_efficiency,
            discharge_efficiency=self.discharge_efficiency,
            charge_max_kw=self.charge_max_kw,
            discharge_max_kw=self.discharge_max_kw,
            taper_h=taper_h(self.capacity_kwh, self.taper_soc, self.charge_max_kw, self.charge_efficiency),
            charger_error=self.charger_error,
        )

    def car(self, index: int) -> Car:
        """Return the physics of one session's car."""
        return self.cars().car(index)
