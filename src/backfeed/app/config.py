"""The pilot file: one TOML document that says everything a run or a service needs to know.

Every table is a frozen struct; a key that no struct knows is refused, and all problems of a file
are told at once, each with its table, key, what was expected and what was found.
"""

import datetime as dt
import hashlib
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from backfeed.app.battery_table import battery_problems
from backfeed.app.config_demand import DemandResponseTable, demand_response_faults
from backfeed.app.config_events import PRICE_MAX_PER_KWH, EventTable, event_problems
from backfeed.app.config_prompts import PromptsTable, prompt_problems
from backfeed.app.config_sites import SiteTable, site_problems
from backfeed.core.instant import local_midnight_ms
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.judge import YEARS
from backfeed.feeds.pilot_draft import DAYS_MAX
from backfeed.fleet.owner import RESERVE_CERTAINTY, RESERVE_CERTAINTY_RANGE

METER_INTERVAL_MIN_S = 4
CONTROL_INTERVAL_MIN_S = 4
QUARTER_HOUR_S = 900
STATEMENT_SD_MAX_MIN = 10_080
"""A week: whoever knows less than that knows nothing."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the pilot file."""


class PilotTable(_Table, frozen=True):
    """`[pilot]`: what the pilot is called, where and when it runs; project, city and province for the regulator."""

    name: str
    timezone: str
    start: dt.date
    days: int
    seed: int = 1
    currency: str = "CNY"
    project: str = ""
    city: str = ""
    province: str = ""


class SessionsTable(_Table, frozen=True):
    """`[sessions]`: the session file and how it is moved in time."""

    file: str
    shift_weeks: int = 0
    history_days: int = 365


class ChargersTable(_Table, frozen=True):
    """`[chargers]`: the chargers of every location and how often they are read and steered."""

    power_kw: float = 7.4
    v2g_share: float = 1.0
    evse_per_location: int | None = None
    control_interval_s: int = 300
    meter_interval_s: int = 300


class DriversTable(_Table, frozen=True):
    """`[drivers]`: how the world's drivers behave; the platform never sees these numbers."""

    statement_share: float = 0.8
    statement_sd_min: float = 20.0
    statement_wrong_share: float = 0.02
    soc_reported_share: float = 0.5
    statement_seed: int = 1


class OwnerDefaultsTable(_Table, frozen=True):
    """`[owner_defaults]`: the standing wishes of an owner who has not said otherwise."""

    reserve_soc: float = 0.25
    target_soc: float = 0.85
    reserve_certainty: float = RESERVE_CERTAINTY


class BatteryTable(_Table, frozen=True):
    """`[battery]`: how warm cells are, and the papers of cars whose owners have shown none."""

    temperature_c: float = 25.0
    temperature_file: str | None = None
    warranty_file: str | None = None
    age_years: float = 0.0
    odometer_km: float = 0.0
    driving_km_per_year: float = 12_000.0

    @property
    def numbers(self) -> dict[str, float]:
        """What is a number here, by key."""
        return {key: getattr(self, key) for key in ("temperature_c", "age_years", "odometer_km", "driving_km_per_year")}


class TariffTable(_Table, frozen=True):
    """`[tariff]`: a preset or a file of one's own, and what it needs to know of this pilot.

    `base_price_per_kwh` overrides the preset's base, `zone` takes one of its price zones; `grants` says how much of its
    up-to subsidies was granted per kWh, `grant_caps` what a grant pays in a year at most; forecasts and spot prices
    come from files.
    """

    preset: str | None = None
    file: str | None = None
    base_price_per_kwh: float | None = None
    grants: dict[str, float] = {}
    grant_caps: dict[str, float] = {}
    zone: str = ""
    forecast_file: str | None = None
    spot_file: str | None = None


class OffersTable(_Table, frozen=True):
    """`[offers]`: what may be promised, what is promised unless agreed otherwise, whether owners are kept whole."""

    file: str | None = None
    default: str = "share-of-spread"
    guarantee: bool = True


class ContractTable(_Table, frozen=True):
    """`[[contracts]]`: owners or sites that have agreed to an offer from a day on; an empty offer is a no."""

    offer: str
    since: dt.date
    owners: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    holder: str = ""


class PlanTable(_Table, frozen=True):
    """`[plan]`: how the rolling plan looks ahead, and what breaking a promise costs."""

    interval_minutes: int = 15
    horizon_h: float = 36.0
    shortfall_per_kwh: float = 3.0
    wear: Literal["true", "constant", "none"] = "true"
    wear_per_kwh: float = 0.08


class Pilot(msgspec.Struct, frozen=True, kw_only=True):
    """A pilot file that has been read and checked."""

    path: Path
    pilot: PilotTable
    sessions: SessionsTable
    chargers: ChargersTable
    drivers: DriversTable
    owner_defaults: OwnerDefaultsTable
    battery: BatteryTable
    sites: tuple[SiteTable, ...]
    tariff: TariffTable
    events: tuple[EventTable, ...]
    offers: OffersTable
    demand_response: DemandResponseTable
    contracts: tuple[ContractTable, ...]
    plan: PlanTable
    prompts: PromptsTable | None
    config_hash: str

    @property
    def zone(self) -> ZoneInfo:
        """The pilot's time zone."""
        return ZoneInfo(self.pilot.timezone)

    @property
    def start_ms(self) -> int:
        """The local midnight at which the window begins."""
        return local_midnight_ms(self.pilot.start, self.zone)

    @property
    def end_ms(self) -> int:
        """The local midnight at which the window ends."""
        return local_midnight_ms(self.pilot.start + dt.timedelta(days=self.pilot.days), self.zone)

    def resolve(self, name: str) -> Path:
        """Return a path that the file names, relative to the file itself; an `InputError` if no file can bear it."""
        try:
            return (self.path.parent / name).resolve()
        except ValueError as error:
            raise InputError(
                [Problem(str(self.path), f"expected the name of a file, found {name!r}: {error}")]
            ) from error


_SINGLE = {
    "pilot": PilotTable,
    "sessions": SessionsTable,
    "chargers": ChargersTable,
    "drivers": DriversTable,
    "owner_defaults": OwnerDefaultsTable,
    "battery": BatteryTable,
    "tariff": TariffTable,
    "offers": OffersTable,
    "demand_response": DemandResponseTable,
    "plan": PlanTable,
}
_REPEATED = {"sites": SiteTable, "events": EventTable, "contracts": ContractTable}
_KNOWN = (*_SINGLE, "prompts", *_REPEATED)
_REQUIRED = ("pilot", "sessions", "tariff")

_T = TypeVar("_T", bound=msgspec.Struct)


def load_pilot(path: Path, seed: int | None = None) -> Pilot:
    """Read and check a pilot file.

    Parameters
    ----------
    path
        The TOML file.
    seed
        Replaces the file's seed if given.

    Raises
    ------
    InputError
        With every problem of the file.
    """
    document, raw = _read_toml(path)
    problems: list[Problem] = []
    tables: dict[str, Any] = {}
    problems.extend(
        Problem(str(path), f"unknown table or key '{name}'; expected one of {', '.join(_KNOWN)}")
        for name in document
        if name not in _KNOWN
    )
    for name, kind in _SINGLE.items():
        if name in _REQUIRED and name not in document:
            problems.append(Problem(f"{path} [{name}]", "this table is required and missing"))
            continue
        tables[name] = _convert(path, f"[{name}]", document.get(name, {}), kind, problems)
    tables["prompts"] = None
    if "prompts" in document:
        tables["prompts"] = _convert(path, "[prompts]", document["prompts"], PromptsTable, problems)
    for name, kind in _REPEATED.items():
        entries = document.get(name, [])
        if not isinstance(entries, list):
            problems.append(Problem(f"{path} [[{name}]]", f"expected a list of tables, found {type(entries).__name__}"))
            entries = []
        tables[name] = tuple(
            _convert(path, f"[[{name}]] {number}", entry, kind, problems) for number, entry in enumerate(entries, 1)
        )
    if problems:
        raise InputError(problems)
    if seed is not None:
        tables["pilot"] = msgspec.structs.replace(tables["pilot"], seed=seed)
    pilot = Pilot(path=path, config_hash=hashlib.sha256(raw).hexdigest(), **tables)
    problems = list(_check(pilot))
    if problems:
        raise InputError(problems)
    return pilot


def _read_toml(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError([Problem(str(path), f"expected a readable pilot file, found: {error.strerror}")]) from error
    try:
        return tomllib.loads(raw.decode("utf-8")), raw
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), f"expected TOML in UTF-8, found: {error}")]) from error


def _convert(path: Path, where: str, table: object, kind: type[_T], problems: list[Problem]) -> _T | None:
    """Convert one table, key by key; on failure append its problems and return None."""
    if not isinstance(table, dict):
        problems.append(Problem(f"{path} {where}", f"expected a table, found {table!r}"))
        return None
    fields = {each.name: each for each in msgspec.structs.fields(kind)}
    found = [
        Problem(f"{path} {where} {key}", f"unknown key; expected one of {', '.join(fields)}")
        for key in table
        if key not in fields
    ]
    for name, each in fields.items():
        if name not in table:
            if each.required:
                found.append(Problem(f"{path} {where} {name}", "expected a value, found none: this key is required"))
            continue
        try:
            msgspec.convert(table[name], each.type, strict=False)
        except msgspec.ValidationError as error:
            found.append(Problem(f"{path} {where} {name}", f"{_expected(each.type, error)}, found {table[name]!r}"))
    problems.extend(found)
    return None if found else msgspec.convert(table, kind, strict=False)


def _expected(kind: object, error: msgspec.ValidationError) -> str:
    """Return what a key of a type takes, in words."""
    if get_origin(kind) is Literal:
        return f"expected one of {', '.join(get_args(kind))}"
    said = str(error).replace("`", "")
    return said.lower() if said.startswith("Expected") else f"expected a value of its type ({said})"


def _check(pilot: Pilot) -> list[Problem]:
    """Return what the structs can not say: ranges, references, order of instants."""
    found: list[Problem] = []

    def expect(holds: bool, table: str, key: str, expected: str, value: object) -> None:  # noqa: FBT001
        if not holds:
            found.append(Problem(f"{pilot.path} [{table}] {key}", f"expected {expected}, found {value!r}"))

    c, d, o, n = pilot.chargers, pilot.drivers, pilot.owner_defaults, pilot.plan
    _check_pilot(pilot.pilot, expect)
    expect(bool(math.isfinite(c.power_kw) and 0 < c.power_kw <= 1000), "chargers", "power_kw", "0 to 1000", c.power_kw)  # noqa: PLR2004
    expect(
        c.evse_per_location is None or c.evse_per_location > 0,
        "chargers",
        "evse_per_location",
        "1 or more",
        c.evse_per_location,
    )
    for key, value, least in (
        ("meter_interval_s", c.meter_interval_s, METER_INTERVAL_MIN_S),
        ("control_interval_s", c.control_interval_s, CONTROL_INTERVAL_MIN_S),
    ):
        divides = value >= least and QUARTER_HOUR_S % value == 0
        expect(divides, "chargers", key, f"{least} or more seconds that divide 900", value)
    for table, key, share in (
        ("chargers", "v2g_share", c.v2g_share),
        ("drivers", "statement_share", d.statement_share),
        ("drivers", "statement_wrong_share", d.statement_wrong_share),
        ("drivers", "soc_reported_share", d.soc_reported_share),
        ("owner_defaults", "reserve_soc", o.reserve_soc),
        ("owner_defaults", "target_soc", o.target_soc),
    ):
        expect(0 <= share <= 1, table, key, "a fraction between 0 and 1", share)
    within = 0 <= d.statement_sd_min <= STATEMENT_SD_MAX_MIN
    expect(within, "drivers", "statement_sd_min", f"0 to {STATEMENT_SD_MAX_MIN}", d.statement_sd_min)
    certain = RESERVE_CERTAINTY_RANGE[0] <= o.reserve_certainty <= RESERVE_CERTAINTY_RANGE[1]
    expected = "{} to {}".format(*RESERVE_CERTAINTY_RANGE)
    expect(certain, "owner_defaults", "reserve_certainty", expected, o.reserve_certainty)
    expect(o.reserve_soc <= o.target_soc, "owner_defaults", "reserve_soc", "at most target_soc", o.reserve_soc)
    expect(n.interval_minutes in (1, 5, 15), "plan", "interval_minutes", "1, 5 or 15", n.interval_minutes)
    expect(1 <= n.horizon_h <= 168, "plan", "horizon_h", "1 to 168", n.horizon_h)  # noqa: PLR2004
    for key, price in (("shortfall_per_kwh", n.shortfall_per_kwh), ("wear_per_kwh", n.wear_per_kwh)):
        expect(0 <= price <= PRICE_MAX_PER_KWH, "plan", key, f"0 to {PRICE_MAX_PER_KWH}", price)
    expect(pilot.sessions.history_days >= 0, "sessions", "history_days", "0 or more", pilot.sessions.history_days)
    one = (pilot.tariff.preset is None) != (pilot.tariff.file is None)
    expect(one, "tariff", "preset | file", "exactly one of the two", (pilot.tariff.preset, pilot.tariff.file))
    found.extend(battery_problems(f"{pilot.path} [battery]", pilot.battery.numbers))
    found.extend((*site_problems(pilot.path, pilot.sites), *event_problems(pilot.path, pilot.events)))
    found.extend(
        Problem(f"{pilot.path} [demand_response] {key}", f"expected {expected}, found {value!r}")
        for key, expected, value in demand_response_faults(pilot.demand_response)
    )
    found.extend(_check_grants(pilot))
    found.extend(prompt_problems(pilot.path, pilot.prompts))
    return found


def _check_pilot(p: PilotTable, expect: Callable[[bool, str, str, str, object], None]) -> None:
    """Check what the pilot is called, where and when it runs."""
    try:
        ZoneInfo(p.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        expect(False, "pilot", "timezone", "an IANA time zone such as Asia/Shanghai", p.timezone)  # noqa: FBT003
    expect(bool(p.name.strip()), "pilot", "name", "a name", p.name)
    years = f"a day of the years {YEARS[0]} to {YEARS[-1]}"
    expect(p.start.year in YEARS, "pilot", "start", years, p.start.isoformat())
    expect(1 <= p.days <= DAYS_MAX, "pilot", "days", f"1 to {DAYS_MAX}", p.days)
    expect(len(p.currency) == 3 and p.currency.isupper(), "pilot", "currency", "an ISO 4217 code", p.currency)  # noqa: PLR2004


def _check_grants(pilot: Pilot) -> list[Problem]:
    base, found = pilot.tariff.base_price_per_kwh, list[Problem]()
    if base is not None and not 0 <= base <= PRICE_MAX_PER_KWH:
        what = f"expected 0 to {PRICE_MAX_PER_KWH}, found {base!r}"
        found.append(Problem(f"{pilot.path} [tariff] base_price_per_kwh", what))
    found += [
        Problem(f"{pilot.path} [tariff] {key} {name}", f"expected 0 or more, found {value!r}")
        for key in ("grants", "grant_caps")
        for name, value in getattr(pilot.tariff, key).items()
        if not (math.isfinite(value) and value >= 0)
    ]
    found.extend(
        Problem(f"{pilot.path} [tariff] grant_caps {name}", "expected a subsidy that is granted")
        for name in pilot.tariff.grant_caps
        if name not in pilot.tariff.grants
    )
    return found
