"""The vocabulary of tariffs: periods, windows, schedules, fees, subsidies, where a rule comes from.

A price is found in two steps. Schedules say which period a minute of a day belongs to: they are
looked at in the order of the file, and each that applies to the day lays its windows over those
before it. A period then has a price of its own, or a ratio to the base price or to another period
("critical is peak times 1.25"). All numbers are `Decimal`, so a product is exact until it is rounded.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from backfeed.market.calendar import DayKind

MINUTES_PER_DAY = 1440


class Mark(StrEnum):
    """How well a number is known."""

    SEEN = "s"
    WEAK = "w"
    UNVERIFIED = "u"

    @property
    def words(self) -> str:
        """What the mark tells a reader."""
        return {"s": "seen in a public source", "w": "weak source", "u": "unverified"}[self.value]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a rule comes from and on which local days it holds; both ends belong to it."""

    source: str
    mark: Mark
    valid_from: date | None
    valid_until: date | None

    def holds_on(self, day: date) -> bool:
        """Say whether the rule holds on a local day; an end that is not known does not bound it."""
        return (self.valid_from is None or day >= self.valid_from) and (
            self.valid_until is None or day <= self.valid_until
        )


@dataclass(frozen=True, slots=True)
class Period:
    """A named price level: an absolute price per kWh, or a ratio to the base or to period `of`."""

    name: str
    price_per_kwh: Decimal | None
    ratio: Decimal | None
    of: str


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes `[from_min, until_min)` of a local day that belong to a period."""

    from_min: int
    until_min: int
    period: str


@dataclass(frozen=True, slots=True)
class DayRule:
    """On which local days a schedule applies: all conditions that are given must hold.

    Parameters
    ----------
    seasons
        Ranges of (month, day), both ends included; a range may run over the new year.
    kinds
        Working days, weekends, holidays; weekdays as 0 (Monday) to 6 in `weekdays`.
    dates
        Ranges of dates, both ends included: days announced one by one.
    forecast_max_c, lead_days
        The schedule applies `lead_days` after a day on which a maximum of at least that temperature
        [degrees Celsius] was forecast (and published).
    """

    seasons: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    kinds: tuple[DayKind, ...] = ()
    weekdays: tuple[int, ...] = ()
    dates: tuple[tuple[date, date], ...] = ()
    forecast_max_c: Decimal | None = None
    lead_days: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows that lie over the default period on the days of its rule."""

    name: str
    when: DayRule
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices by period and the schedules that say which period it is."""

    base_per_kwh: Decimal | None
    default_period: str
    periods: tuple[Period, ...]
    schedules: tuple[Schedule, ...]
    mark: Mark
    note: str

    @property
    def lacks_base(self) -> bool:
        """Whether some price is a ratio to a base price that is not known."""
        return self.base_per_kwh is None and any(p.ratio is not None and not p.of for p in self.periods)

    def period(self, name: str) -> Period:
        """Return a period by name; rates with one period have that price at all times."""
        if len(self.periods) == 1:
            return self.periods[0]
        return next(period for period in self.periods if period.name == name)

    def price_per_kwh(self, name: str, base_per_kwh: Decimal | None) -> Decimal | None:
        """Return a period's price over a base price; none if it is a ratio and there is no base."""
        period = self.period(name)
        if period.price_per_kwh is not None:
            return period.price_per_kwh
        below = self.price_per_kwh(period.of, base_per_kwh) if period.of else base_per_kwh
        assert period.ratio is not None, period
        return None if below is None else below * period.ratio


@dataclass(frozen=True, slots=True)
class Fee:
    """A price per kWh on top of energy: grid fee, levy, service charge. Periods narrow it; none means all."""

    name: str
    direction: str
    per_kwh: Decimal
    periods: tuple[str, ...]


class DischargeKind(StrEnum):
    """How the price of discharged energy is found.

    `NONE` pays nothing; `CHARGE` pays the energy price of charging, without fees; `RATES` has prices and
    ratios of its own, fixed prices included; `SPOT` follows a spot price: factor times spot plus adder,
    kept between floor and cap.
    """

    NONE = "none"
    CHARGE = "charge"
    RATES = "rates"
    SPOT = "spot"


@dataclass(frozen=True, slots=True)
class Discharge:
    """The rule for the price of discharged energy."""

    kind: DischargeKind
    rates: Rates | None
    factor: Decimal
    adder_per_kwh: Decimal
    floor_per_kwh: Decimal | None
    cap_per_kwh: Decimal | None
    mark: Mark
    note: str


@dataclass(frozen=True, slots=True)
class Subsidy:
    """A named payment per discharged kWh beside the price.

    An `up_to` subsidy states a ceiling: nothing is paid until an amount is granted. `cap_per_year` bounds what
    the payer spends in a year.
    """

    name: str
    payer: str
    per_kwh: Decimal
    up_to: bool
    cap_per_year: Decimal | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Tariff:
    """A set of price rules for one place and class of customer."""

    tariff_id: str
    title: str
    currency: str
    timezone: str
    holidays: str
    customer_class: str
    provenance: Provenance
    charge: Rates
    zones: tuple[tuple[str, Decimal], ...]
    fees: tuple[Fee, ...]
    discharge: Discharge
    subsidies: tuple[Subsidy, ...]
    notes: tuple[str, ...]
    assumptions: tuple[str, ...]
