"""All that a report shows, as plain values: the summary, and the series behind the pictures.

Whoever runs the worlds fills a `RunReport`; the console table and the page only read it. Powers are
mean kW over a step, charging positive; series stand on the axis beside them; NaN is where there is
nothing to draw (a car that is away).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.fleet_wear import FleetBattery
from backfeed.core.axis import TimeAxis
from backfeed.report.summary import StatementKind, Summary, WorldName

FloatSeries = NDArray[np.float64]

Mark = Literal["s", "w", "u"]
"""How well a rule is known: seen in a public source, a weak source, unverified."""

GapCause = Literal["kept", "broken", "none", "demand_response", "reserves", "limits", "rules", "wear"]
"""`kept`, `broken`, `none`: sessions by their drivers' departure statement."""


@dataclass(frozen=True)
class Words:
    """One text in both languages of the report."""

    en: str
    zh: str


@dataclass(frozen=True)
class FleetSeries:
    """The whole fleet over the window.

    Parameters
    ----------
    axis
        Quarter-hours of the window.
    power_kw
        Net power of all cars in every world that ran [kW], each of shape `(step,)`.
    buy_per_kwh, sell_per_kwh
        What a kWh costs and earns [currency/kWh], shape `(step,)`.
    valley
        Whether a step is a valley of the tariff, shape `(step,)`.
    """

    axis: TimeAxis
    power_kw: Mapping[WorldName, FloatSeries]
    buy_per_kwh: FloatSeries
    sell_per_kwh: FloatSeries
    valley: NDArray[np.bool_]


@dataclass(frozen=True)
class SiteSeries:
    """The connection point of one site: the one whose limit was closest.

    Parameters
    ----------
    power_kw
        Net power of cars and building in every world [kW], each of shape `(step,)`.
    base_load_kw
        The building alone [kW], shape `(step,)`.
    import_limit_kw, export_limit_kw
        Magnitudes; infinity where there is none.
    """

    site_id: str
    axis: TimeAxis
    power_kw: Mapping[WorldName, FloatSeries]
    base_load_kw: FloatSeries
    import_limit_kw: float
    export_limit_kw: float


@dataclass(frozen=True)
class CarSeries:
    """One car's week.

    `soc` and `power_kw` are NaN while it is away; `departures_ms` are the instants at which it left with the
    energy its driver needed (`departures_met`) or without.
    """

    label: str
    model: str
    capacity_kwh: float
    axis: TimeAxis
    soc: FloatSeries
    power_kw: FloatSeries
    buy_per_kwh: FloatSeries
    sell_per_kwh: FloatSeries
    reserve_soc: float
    target_soc: float
    departures_ms: tuple[int, ...]
    departures_met: tuple[bool, ...]


@dataclass(frozen=True)
class OwnerRow:
    """What one owner got: sessions, energy lent to the grid, wear paid for, payouts by instrument."""

    owner: str
    sessions: int
    charged_kwh: float
    discharged_kwh: float
    wear_cost: float
    payouts: Mapping[str, float]


@dataclass(frozen=True)
class InvitationSeries:
    """One invitation and the hours around it: baseline, what was promised, what the meters showed.

    `baseline_kw` is NaN outside the event; `promised_kw` is a magnitude, `paid` what the programme paid. `v1g_kw` is
    what a fleet takes that is merely steered and was not invited; the last ones are those of
    `DemandResponseResult`.
    """

    invitation: str
    direction: Literal["peak_shave", "valley_fill"]
    start_ms: int
    end_ms: int
    axis: TimeAxis
    baseline_kw: FloatSeries
    metered_kw: FloatSeries
    promised_kw: float
    promised_kwh: float
    delivered_kwh: float
    paid: float
    v1g_kw: FloatSeries | None = None
    against_v1g_kwh: float | None = None
    before_kwh: float | None = None
    after_kwh: float | None = None
    operator_agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class MissedRow:
    """What V2G missed of foresight in one class of sessions [currency], by what it was missed in.

    Parameters
    ----------
    statement, tells_soc
        The class: what the driver said, and whether the car tells its state of charge.
    sessions
        How many.
    energy
        Energy bought dearer and sold cheaper or not at all, subsidies included.
    shortfall
        Energy missing at departures.
    wear
        More wear; negative where less was moved.
    leftover
        Less energy left in cars.
    """

    statement: StatementKind
    tells_soc: bool
    sessions: int
    energy: float
    shortfall: float
    wear: float
    leftover: float


@dataclass(frozen=True)
class ValueGap:
    """Where the value went that the V2G world did not capture [currency].

    Parameters
    ----------
    missed
        Foresight less V2G, by cause: sessions whose drivers kept their statement, broke it, made none; and demand
        response. What is known too late lies here.
    held_back
        What even perfect foresight would gain without the owners' reserves (`reserves`), the sites' limits
        (`limits`) and the rule that cars leave with what they need (`rules`), and what it pays for `wear`.
    rows
        The sessions' part of `missed`, finer.
    """

    missed: Mapping[GapCause, float]
    held_back: Mapping[GapCause, float]
    rows: tuple[MissedRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ForecastGroup:
    """How good the forecasts of some cases were; see `forecast.backtest.Score`."""

    name: str
    cases: int
    coverage: tuple[float, ...]
    width_h: float
    pinball_h: float
    naive_h: float
    stated_h: float | None
    ranking: float | None


@dataclass(frozen=True, slots=True)
class RiskBand:
    """Sessions that left when the forecast of their arrival gave a chance from `low` to `high` to be gone by then.

    `gained` and `possible` are net value above the unmanaged world, of V2G and of foresight [currency].
    """

    low: float
    high: float
    sessions: int
    gained: float
    possible: float
    shortfall_cost: float


@dataclass(frozen=True, slots=True)
class DepartureForecasts:
    """The forecasts of a run's departures: levels and groups of cases, and value by the risk that came true."""

    levels: tuple[float, ...]
    groups: tuple[ForecastGroup, ...]
    bands: tuple[RiskBand, ...] = ()


@dataclass(frozen=True)
class Assumption:
    """Something the figures rest on, with how well it is known and where it comes from."""

    what: Words
    mark: Mark
    source: str


@dataclass(frozen=True)
class Alternative:
    """The same run valued otherwise: net value of every world under another assumption."""

    what: Words
    net_value: Mapping[WorldName, float]


@dataclass(frozen=True)
class WholeRow:
    """An owner who would have ended worse off than charging at once, after wear, and was made whole [currency]."""

    owner: str
    unmanaged: float
    bill: float
    payout: float
    wear: float
    made_up: float


@dataclass(frozen=True)
class HeldRow:
    """Something doubted: what it is, why, how much energy, what owners would be paid by unit, what was decided.

    `state` is the key of its words: `case_open`, `case_cleared`, `case_rejected`, or `case_nothing` where nothing is
    held because nothing would be paid.
    """

    case: str
    reason: str
    energy_kwh: float
    amounts: Mapping[str, float]
    state: str
    decision: str


@dataclass(frozen=True)
class SubsidyRow:
    """What a named subsidy paid, and its cap in a year if it has one [currency]."""

    name: str
    paid: float
    cap: float | None


@dataclass(frozen=True)
class Books:
    """What the books say at the end of the run [currency].

    Parameters
    ----------
    aggregator
        What the aggregator was left with; a deficit is negative.
    top_up, guarantee, bonuses
        What it paid out of its own funds: for floors that were not earned, to make owners whole, and for answers that
        proved right.
    whole, held, subsidies
        The rows behind it.
    """

    aggregator: float
    top_up: float
    guarantee: float
    bonuses: float
    whole: tuple[WholeRow, ...] = ()
    held: tuple[HeldRow, ...] = ()
    subsidies: tuple[SubsidyRow, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """A run as its report needs it; what a run did not produce is absent and its section says so."""

    title: str
    place: str
    timezone: str
    currency: str
    start_ms: int
    end_ms: int
    summary: Summary
    fleet: FleetSeries
    site: SiteSeries | None = None
    car: CarSeries | None = None
    owners: tuple[OwnerRow, ...] = ()
    invitations: tuple[InvitationSeries, ...] = ()
    books: Books | None = None
    value_gap: ValueGap | None = None
    forecasts: DepartureForecasts | None = None
    alternatives: tuple[Alternative, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    sources: tuple[str, ...] = field(default=())
    next_steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    batteries: FleetBattery | None = None
