"""The scene: what a pilot file, its sessions and its tariff come to before anything runs.

Sessions go two ways from here. The visits of the window go to the simulated world. To the platform go
only rows that are over: history known from the start, and rows that were under way when the window
began, each at its departure. Enrolment is made from the nameplates of the drawn cars, never from
their truth.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from backfeed.app.calling import Calling, calling_of
from backfeed.app.config import BatteryTable, Pilot, load_pilot
from backfeed.app.config_sites import SiteTable
from backfeed.app.contracting import contracts_of
from backfeed.app.enrolment import Enrolment
from backfeed.battery.catalogue import CAR_MODELS
from backfeed.battery.chemistry import Chemistry
from backfeed.battery.temperature import CellTemperature
from backfeed.battery.warranty import WarrantyTable, load_warranties, read_warranties
from backfeed.core.axis import TimeAxis, covering
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, to_ms
from backfeed.core.problem import InputError, Problem
from backfeed.core.rng import Streams
from backfeed.feeds.base_load import read_base_load
from backfeed.feeds.price_feed import read_forecast_max, read_spot
from backfeed.feeds.redate import redate
from backfeed.feeds.session_file import RowProblem, SessionFile, departed_between, window
from backfeed.feeds.sessions import read_sessions
from backfeed.feeds.temperature import read_temperature
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.session import PastSession, SessionTable
from backfeed.fleet.site import Site
from backfeed.market.demand_response import Invitation
from backfeed.market.price import PriceSeries, validity_problems
from backfeed.market.tariff import Tariff, grant_subsidy, load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS
from backfeed.settle.contract import Contracts
from backfeed.sim.columns import Rejection, Visits, WorldConfig, WorldSessions
from backfeed.sim.world import draw_world

_PROFILE_QUARTERS = 96

_PLAIN_NAME = re.compile(r"[A-Za-z0-9*+=:|@._-]{1,40}")
_KEPT_CHARS = 30

START_DELAY_S = 3
"""How long car and station negotiate before power flows: on the short side of what IEC 61851 and ISO 15118 take."""


@dataclass(frozen=True)
class Scene:
    """All that a world starts from.

    Parameters
    ----------
    pilot
        The pilot file.
    visits, sessions
        What the file records for the window, and what the world serves of it, drawn.
    rejections
        What it can not serve, with the field and the reason.
    rows_total
        Rows of the session file whose arrival lies in the window.
    history
        Sessions that are over, by the instant at which the platform knows them.
    enrolment
        Owners, sites, stations.
    world
        What the world is like.
    prices
        Quarter-hours over the window and the plan's horizon behind it.
    tariff
        The rules the prices come from.
    calling
        Its demand response: programme, invitations, who takes part.
    contracts
        What owners have agreed to.
    remarks
        What the pilot file names and the window never meets: locations without sessions, events of other days.
    """

    pilot: Pilot
    visits: Visits
    sessions: WorldSessions
    rejections: tuple[Rejection, ...]
    rows_total: int
    history: tuple[PastSession, ...]
    enrolment: Enrolment
    world: WorldConfig
    prices: PriceSeries
    tariff: Tariff
    calling: Calling
    contracts: Contracts
    remarks: tuple[Problem, ...] = ()

    @property
    def invitations(self) -> tuple[Invitation, ...]:
        """What the fleet is invited to, by the instant of the invitation."""
        return self.calling.invitations

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What a reader has to know of the tariff: rules that do not hold on all days of the window."""
        table = self.pilot.pilot
        return validity_problems(self.tariff, table.start, table.start + timedelta(days=table.days - 1))

    @property
    def window_axis(self) -> TimeAxis:
        """The quarter-hours of the window."""
        return covering(self.pilot.start_ms, self.pilot.end_ms, INTERVAL_MS)


def set_scene(pilot: Pilot, *, needs_sessions: bool = True) -> Scene:
    """Read all that a pilot names and draw its world.

    Parameters
    ----------
    pilot
        The pilot.
    needs_sessions
        Whether a window without sessions is an error.

    Raises
    ------
    InputError
        If a file is missing or unusable, or no session lies in the window.
    """
    file = redate(
        read_sessions(pilot.resolve(pilot.sessions.file), otherwise=pilot.pilot.timezone),
        pilot.sessions.shift_weeks,
        pilot.pilot.timezone,
    )
    table = replace(file.table, location=tuple(map(station_prefix, file.table.location)))
    inside = window(table, pilot.start_ms, pilot.end_ms)
    refused = file.rejected_between(pilot.start_ms, pilot.end_ms)
    if needs_sessions and not len(inside):
        what = f"expected sessions that arrive in the {pilot.pilot.days} days from {pilot.pilot.start}, found none"
        raise InputError([Problem(f"{pilot.path} [sessions] file", what)])
    config = world_config(pilot)
    visits = visits_of(inside)
    sessions, rejections = draw_world(visits, config, Streams(pilot.pilot.seed))
    tariff = tariff_of(pilot)
    enrolment = _enrol(pilot, sessions, table)
    contracts = contracts_of(pilot, frozenset(enrolment.sites))
    if contracts.has_opted_out:
        enrolment = replace(enrolment, consents=contracts.consents)
    return Scene(
        pilot=pilot,
        visits=visits,
        sessions=sessions,
        rejections=(*_rejected_rows(file, {row.row for row in refused}), *rejections),
        rows_total=len(inside) + len(refused),
        history=_history(pilot, table),
        enrolment=enrolment,
        world=config,
        prices=prices_over(pilot, tariff),
        tariff=tariff,
        calling=calling_of(pilot, tuple(sorted(enrolment.owners))),
        contracts=contracts,
        remarks=_remarks(pilot, frozenset(file.table.location)),
    )


def _remarks(pilot: Pilot, locations: frozenset[str]) -> tuple[Problem, ...]:
    """Return what the pilot file names and the window never meets: a slip of the pen, or of no consequence."""
    found = [
        Problem(
            f"{pilot.path} [[sites]] {site.id}",
            f"{location} is no location of the session file; the site's limits hold for nothing there",
        )
        for site in pilot.sites
        for location in site.stations
        if location not in locations
    ]
    found += [
        Problem(f"{pilot.path} [[events]] {event.id}", "lies outside the window; nothing is delivered on it")
        for event in pilot.events
        if to_ms(event.start) >= pilot.end_ms or to_ms(event.end) <= pilot.start_ms
    ]
    return tuple(found)


def station_prefix(location: str) -> str:
    """Return a location's name as it begins its stations' identities, for which OCPP has few characters.

    A name that OCPP would not take keeps what it can and gets a mark that no other name has.

    >>> station_prefix("AsO10"), station_prefix("Nordre gate 3")
    ('AsO10', 'Nordre-gate-3=030dec')
    """
    if _PLAIN_NAME.fullmatch(location):
        return location
    mark = hashlib.blake2b(location.encode(), digest_size=3).hexdigest()
    kept = re.sub(r"[^A-Za-z0-9._]+", "-", location)[:_KEPT_CHARS].strip("-")
    return f"{kept}={mark}"


def visits_of(table: SessionTable) -> Visits:
    """Hand a session table to the world, column by column."""
    return Visits(**vars(table))


def world_config(pilot: Pilot) -> WorldConfig:
    """Return what the pilot file says about the world."""
    chargers, drivers, owners, asked = pilot.chargers, pilot.drivers, pilot.owner_defaults, pilot.prompts
    return WorldConfig(
        start_ms=pilot.start_ms,
        end_ms=pilot.end_ms,
        power_kw=chargers.power_kw,
        v2g_share=chargers.v2g_share,
        evse_per_location=chargers.evse_per_location,
        meter_interval_s=chargers.meter_interval_s,
        statement_share=drivers.statement_share,
        statement_sd_min=drivers.statement_sd_min,
        statement_wrong_share=drivers.statement_wrong_share,
        statement_seed=drivers.statement_seed,
        answer_curve=asked.answer_curve if asked is not None else (),
        answer_spread=asked.answer_spread if asked is not None else 0.0,
        answer_delay_s=60 * asked.answer_delay_min if asked is not None else 0.0,
        answer_charge_sd=asked.answer_charge_sd if asked is not None else 0.0,
        answer_charge_wrong_share=asked.answer_charge_wrong_share if asked is not None else 0.0,
        soc_reported_share=drivers.soc_reported_share,
        reserve_soc=owners.reserve_soc,
        target_soc=owners.target_soc,
        start_delay_s=START_DELAY_S,
    )


def tariff_of(pilot: Pilot, base_price: Decimal | None = None) -> Tariff:
    """Load the pilot's tariff; `base_price` replaces the one it says."""
    table = pilot.tariff
    source = table.preset if table.preset is not None else pilot.resolve(table.file or "")
    said = table.base_price_per_kwh
    price = base_price if base_price is not None else (Decimal(str(said)) if said is not None else None)
    try:
        tariff = load_tariff(source, price)
        for name, per_kwh in table.grants.items():
            cap = Decimal(str(table.grant_caps[name])) if name in table.grant_caps else None
            tariff = grant_subsidy(tariff, name, Decimal(str(per_kwh)), cap)
    except InputError as error:
        key = "preset" if table.preset is not None else "file"
        raise InputError(
            [replace(each, where=f"{pilot.path} [tariff] {key}: {each.where}") for each in error.problems]
        ) from error
    if tariff.currency != pilot.pilot.currency:
        what = f"expected {tariff.currency}, which tariff {tariff.tariff_id} counts in, found {pilot.pilot.currency!r}"
        raise InputError([Problem(f"{pilot.path} [pilot] currency", what)])
    return tariff


def prices_on(pilot: Pilot, tariff: Tariff, axis: TimeAxis) -> PriceSeries:
    """Return a tariff's prices on an axis, with the pilot's forecasts and spot prices.

    Raises
    ------
    InputError
        If the tariff needs something that the pilot does not say, or a file it names is unusable.
    """
    table = pilot.tariff
    forecast = {} if table.forecast_file is None else read_forecast_max(pilot.resolve(table.forecast_file))
    spot = None if table.spot_file is None else read_spot(pilot.resolve(table.spot_file), axis)
    return price_axis(tariff, axis, pilot.pilot.timezone, zone=table.zone, forecast_max_c=forecast, spot_per_kwh=spot)


def prices_over(pilot: Pilot, tariff: Tariff) -> PriceSeries:
    """Return the prices of the pilot's window and of the plan's look-ahead behind it."""
    horizon_ms = int(pilot.plan.horizon_h * MS_PER_H) + MS_PER_DAY
    axis = covering(pilot.start_ms, pilot.end_ms + horizon_ms, INTERVAL_MS)
    return prices_on(pilot, tariff, axis)


def _rejected_rows(file: SessionFile, rows: set[int]) -> tuple[Rejection, ...]:
    """Return the reasons of the rows that the file's reader refused, the first of each row."""
    first: dict[int, RowProblem] = {}
    for problem in file.problems:
        if problem.severity == "rejected" and problem.row in rows:
            first.setdefault(problem.row, problem)
    return tuple(Rejection(p.row, p.session_id, p.field, p.reason) for _, p in sorted(first.items()))


def _history(pilot: Pilot, sessions: SessionTable) -> tuple[PastSession, ...]:
    """Return the sessions that the platform has not metered itself: over before the window, or begun before it."""
    start_ms = pilot.start_ms
    since_ms = start_ms - pilot.sessions.history_days * MS_PER_DAY
    before = departed_between(sessions, since_ms, pilot.end_ms)
    table = before.select(before.arrival_ms < start_ms)
    stated = table.departure_stated_ms
    past = [
        PastSession(
            user_id=table.user_id[i],
            location=table.location[i],
            arrival_ms=int(table.arrival_ms[i]),
            departure_ms=int(table.departure_ms[i]),
            energy_kwh=float(table.energy_kwh[i]),
            departure_stated_ms=-1 if np.isnan(stated[i]) else int(stated[i]),
            known_at_ms=int(table.departure_ms[i]),
        )
        for i in range(len(table))
    ]
    return tuple(sorted(past, key=lambda session: (session.known_at_ms, session.location, session.user_id)))


def _enrol(pilot: Pilot, sessions: WorldSessions, table: SessionTable) -> Enrolment:
    sites = {site.site_id: site for site in _sites(pilot, sorted(set(table.location)))}
    return Enrolment(
        sites=sites,
        site_of_location={location: site.site_id for site in sites.values() for location in site.locations},
        owners=_owners(pilot, sessions),
        default_owner=_owner("", pilot, common_car(pilot.battery)),
        charger_power_kw=pilot.chargers.power_kw,
        zone=pilot.zone,
        temperature=_temperature(pilot),
        warranties=_warranties(pilot),
    )


def _temperature(pilot: Pilot) -> CellTemperature:
    battery = pilot.battery
    if battery.temperature_file is None:
        return CellTemperature(battery.temperature_c)
    return read_temperature(pilot.resolve(battery.temperature_file), battery.temperature_c)


def _warranties(pilot: Pilot) -> WarrantyTable:
    own = pilot.battery.warranty_file
    return load_warranties() if own is None else read_warranties(pilot.resolve(own))


def common_car(papers: BatteryTable | None = None) -> EnrolledVehicle:
    """Return the nameplate that stands for a car nobody has enrolled: the most common model, with a pilot's papers."""
    papers = papers or BatteryTable()
    model = max(CAR_MODELS, key=lambda each: (each.weight, each.name))
    return EnrolledVehicle(
        model.name,
        model.chemistry,
        model.capacity_kwh,
        model.charge_max_kw,
        model.discharge_max_kw,
        model.charge_efficiency,
        model.discharge_efficiency,
        papers.age_years,
        papers.odometer_km,
        papers.driving_km_per_year,
    )


def _owners(pilot: Pilot, sessions: WorldSessions) -> dict[str, Owner]:
    """Enrol every driver with the nameplate of the car of the first session."""
    models = {model.name: model for model in CAR_MODELS}
    owners: dict[str, Owner] = {}
    for i, token in enumerate(sessions.token):
        if token in owners:
            continue
        model = models.get(sessions.model[i])
        vehicle = EnrolledVehicle(
            model=sessions.model[i],
            chemistry=Chemistry(sessions.chemistry[i]),
            capacity_kwh=float(sessions.capacity_nominal_kwh[i]),
            charge_max_kw=model.charge_max_kw if model else pilot.chargers.power_kw,
            discharge_max_kw=model.discharge_max_kw if model else 0.0,
            charge_efficiency=float(sessions.charge_efficiency_nominal[i]),
            discharge_efficiency=float(sessions.discharge_efficiency_nominal[i]),
            age_years=pilot.battery.age_years,
            odometer_km=pilot.battery.odometer_km,
            driving_km_per_year=pilot.battery.driving_km_per_year,
        )
        owners[token] = _owner(token, pilot, vehicle)
    return owners


def _owner(owner_id: str, pilot: Pilot, vehicle: EnrolledVehicle) -> Owner:
    wishes = pilot.owner_defaults
    return Owner(owner_id, wishes.reserve_soc, wishes.target_soc, vehicle, wishes.reserve_certainty)


def _sites(pilot: Pilot, locations: list[str]) -> list[Site]:
    """Return the pilot's sites; a location that no site names is a site of its own, without limits."""
    sites = [
        Site(
            site.id,
            tuple(map(station_prefix, site.stations)),
            site.import_limit_kw,
            site.export_limit_kw,
            _base_load(pilot, site),
        )
        for site in pilot.sites
    ]
    named = {location for site in sites for location in site.locations}
    taken = {site.site_id for site in sites}
    for location in locations:
        if location not in named:
            site_id = location if location not in taken else f"{location} (location)"
            none = float("inf")
            sites.append(Site(site_id, (location,), none, none, (0.0,) * _PROFILE_QUARTERS))
    return sites


def _base_load(pilot: Pilot, site: SiteTable) -> tuple[float, ...]:
    if site.base_load_file is not None:
        return read_base_load(pilot.resolve(site.base_load_file))
    return (site.base_load_kw or 0.0,) * _PROFILE_QUARTERS


def load_scene(path: Path, seed: int | None = None) -> Scene:
    """Read a pilot file and set its scene."""
    return set_scene(load_pilot(path, seed))
