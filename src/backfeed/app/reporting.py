"""Reporting: from a judged run to what its page and its table show."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backfeed.app.assembly import LEDGER_FILE
from backfeed.app.battery_fleet import car_histories, run_batteries
from backfeed.app.demand import Delivery
from backfeed.app.dispatching import Policy
from backfeed.app.judge_forecast import departure_forecasts, missed_rows
from backfeed.app.judge_series import car_series, closest_site, fleet_series, mean_power_kw, missed_value, owner_rows
from backfeed.app.judging import RUN_ORDER, Judgement, held_back_value, judge_at_base_price
from backfeed.app.report_books import books_of, paid_by_owner, read_transfers
from backfeed.app.scene import Scene
from backfeed.app.wear_range import left_range, said_of
from backfeed.battery.fleet_wear import FleetBattery
from backfeed.battery.wear import DEFAULT_VALUE_PER_KWH
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.meter.interval import INTERVAL_MS
from backfeed.report.battery_file import write_battery
from backfeed.report.battery_page import PagesHead, write_battery_pages
from backfeed.report.render import write_page
from backfeed.report.run_report import (
    Alternative,
    Assumption,
    InvitationSeries,
    RunReport,
    ValueGap,
    Words,
)
from backfeed.settle.transfer import Transfer
from backfeed.sim.truth import Truth

if TYPE_CHECKING:
    from backfeed.report.summary import DemandResponseResult, WorldName

REPORT_FILE = "report.html"

OTHER_BASE_PER_KWH = Decimal("0.62")
"""The second base price of charging that results are shown at: an agency price with fees."""

_AROUND_MS = 3 * MS_PER_H
"""How much of the hours before and after an invitation is drawn."""


def write_report(scene: Scene, judgement: Judgement, out: Path) -> RunReport:
    """Fill a run's report and write its page; return what was filled in."""
    report = fill_report(scene, judgement, out)
    if report.batteries is not None:
        head = PagesHead(report.title, report.timezone, scene.window_axis, REPORT_FILE)
        write_battery(report.batteries, out)
        write_battery_pages(report.batteries, car_histories(scene.enrolment, judgement.truths), head, out)
    write_page(report, out / REPORT_FILE)
    return report


def fill_report(scene: Scene, judgement: Judgement, out: Path) -> RunReport:
    """Return all that a report of a run shows."""
    pilot, prices, truths = scene.pilot, judgement.prices, judgement.truths
    shown: WorldName = "v2g" if "v2g" in truths else next(reversed(list(truths)))
    run = judgement.runs.get(Policy.V2G)
    transfers = read_transfers(run.folder / LEDGER_FILE) if run is not None else []
    sites = tuple(scene.enrolment.sites.values())
    return RunReport(
        title=pilot.pilot.name,
        place=pilot.pilot.timezone,
        timezone=pilot.pilot.timezone,
        currency=pilot.pilot.currency,
        start_ms=pilot.start_ms,
        end_ms=pilot.end_ms,
        summary=judgement.summary,
        fleet=fleet_series(truths, prices),
        site=closest_site({shown: truths[shown]}, sites, prices.axis, scene.enrolment.zone),
        car=car_series(truths[shown], judgement.worlds[shown].sessions, prices, scene.world),
        owners=owner_rows(
            truths[shown], judgement.worlds[shown].sessions, paid_by_owner(transfers), scene.contracts.holders
        ),
        books=books_of(transfers, prices, run.findings, run.set_apart) if run is not None else None,
        invitations=_invitations(judgement, run.deliveries) if run is not None else (),
        value_gap=_value_gap(scene, judgement),
        forecasts=departure_forecasts(scene.history, scene.sessions, pilot.pilot.timezone, judgement.worlds),
        alternatives=_alternatives(scene, judgement),
        assumptions=(*_assumptions(scene), *_wear_range(scene, truths[shown])),
        sources=_sources(scene),
        next_steps=next_steps(scene, out),
        warnings=tuple(str(warning) for warning in (*scene.warnings, *scene.remarks)),
        batteries=_batteries(scene, judgement, transfers),
    )


def _batteries(scene: Scene, judgement: Judgement, transfers: list[Transfer]) -> FleetBattery | None:
    """Return what the run did to its cars' batteries; None where no world but foresight ran, or nobody came."""
    if not judgement.runs or not len(scene.sessions):
        return None
    shown = judgement.runs[max(judgement.runs, key=RUN_ORDER.index)]
    window_ms = (scene.pilot.start_ms, scene.pilot.end_ms)
    currency = scene.pilot.pilot.currency
    return run_batteries(
        scene.enrolment,
        judgement.truths,
        window_ms,
        currency,
        transfers,
        scene.contracts.holders,
        {record.owner_id: record for record in shown.batteries},
    )


def next_steps(scene: Scene, out: Path) -> tuple[str, ...]:
    """Return what a person can do after a run, as commands."""
    return (
        f"open {out / REPORT_FILE}",
        f"backfeed ledger verify {out}",
        f"backfeed battery fleet {out}",
        f"backfeed serve {scene.pilot.path} --data {out.parent / 'live'} --simulate",
        "backfeed pilot new --sessions YOUR_SESSIONS.csv --out pilot.toml",
    )


def _invitations(judgement: Judgement, deliveries: tuple[Delivery, ...]) -> tuple[InvitationSeries, ...]:
    results = judgement.worlds["v2g"].result.dr
    return tuple(
        _invitation(delivery, result, judgement.truths["v2g"], judgement.v1g_uninvited)
        for delivery, result in zip(deliveries, results, strict=True)
    )


def _invitation(
    delivery: Delivery, result: "DemandResponseResult", truth: Truth, merely_steered: Truth | None
) -> InvitationSeries:
    invitation, event = delivery.commitment.invitation, delivery.commitment.axis
    around = TimeAxis(
        event.start_ms - _AROUND_MS, INTERVAL_MS, (event.end_ms - event.start_ms + 2 * _AROUND_MS) // INTERVAL_MS
    )
    base = np.full(around.count, np.nan)
    first = (event.start_ms - around.start_ms) // INTERVAL_MS
    base[first : first + event.count] = delivery.baseline.power_kw
    payment = delivery.payment
    part = delivery.commitment.part_of(truth.sessions.token)
    return InvitationSeries(
        invitation=invitation.id,
        direction=invitation.kind.value,
        start_ms=invitation.start_ms,
        end_ms=invitation.end_ms,
        axis=around,
        baseline_kw=base,
        metered_kw=mean_power_kw(truth, around, part),
        promised_kw=delivery.commitment.award_kw,
        promised_kwh=payment.promised_wh / WH_PER_KWH,
        delivered_kwh=payment.delivered_wh / WH_PER_KWH,
        paid=payment.net_micro / MICRO,
        v1g_kw=None if merely_steered is None else mean_power_kw(merely_steered, around, part),
        against_v1g_kwh=result.against_v1g_kwh,
        before_kwh=result.before_kwh,
        after_kwh=result.after_kwh,
        operator_agrees=result.operator_agrees,
    )


def _value_gap(scene: Scene, judgement: Judgement) -> ValueGap | None:
    """Return where the value went that was not captured; None where a world is missing."""
    missed = missed_value(judgement.worlds, judgement.truths["foresight"]) if "foresight" in judgement.truths else {}
    if not missed:
        return None
    rows = missed_rows(judgement.worlds, scene.sessions)
    return ValueGap(missed, held_back_value(scene, judgement), rows)


def _alternatives(scene: Scene, judgement: Judgement) -> tuple[Alternative, ...]:
    """Return the run valued without what is bound to end, and at another base price."""
    return (*_without_promotions(scene, judgement), *_other_base(scene, judgement))


def _without_promotions(scene: Scene, judgement: Judgement) -> tuple[Alternative, ...]:
    """Return the run without subsidies, and without a price for discharging once the tariff has ended."""
    results = {name: judged.result for name, judged in judgement.worlds.items()}
    named = ", ".join(subsidy.name for subsidy in scene.tariff.subsidies) or "\u2013"
    granted = any(result.subsidy for result in results.values())
    without = Words(
        f"without subsidies ({named}), same decisions" if granted else f"without subsidies (none is granted: {named})",
        f"无补贴（{named}），决策不变" if granted else f"无补贴（本次未获批：{named}）",
    )
    found = [
        Alternative(
            without,
            {name: result.net_value_without_subsidy or 0.0 for name, result in results.items()},
        )
    ]
    until = scene.tariff.provenance.valid_until
    if until is not None and "v1g" in results:
        ended = Words(
            f"after {until}, when this tariff ends, if discharging earns nothing then: cars are only steered",
            f"{until} 电价到期后若放电不再有收入：仅有序充电",
        )
        left: dict[WorldName, float] = {
            name: result.net_value for name, result in results.items() if name in ("unmanaged", "v1g")
        }
        left["v2g"] = results["v1g"].net_value
        found.append(Alternative(ended, left))
    return tuple(found)


def _other_base(scene: Scene, judgement: Judgement) -> tuple[Alternative, ...]:
    base = scene.tariff.charge.base_per_kwh
    if base is None or base == OTHER_BASE_PER_KWH:
        return ()
    what = Words(
        f"charging at a base of {OTHER_BASE_PER_KWH} instead of {base} per kWh, same decisions",
        f"充电基准价 {OTHER_BASE_PER_KWH} 而非 {base} 元/千瓦时，决策不变",
    )
    return (Alternative(what, judge_at_base_price(scene, judgement, OTHER_BASE_PER_KWH)),)


def _assumptions(scene: Scene) -> tuple[Assumption, ...]:
    tariff, drivers = scene.tariff, scene.pilot.drivers
    return (
        Assumption(
            Words(
                f"Charging and discharging are priced by {tariff.tariff_id}; charging base "
                f"{tariff.charge.base_per_kwh} {tariff.currency}/kWh, no fees",
                f"充放电按 {tariff.tariff_id} 计价；充电基准价 {tariff.charge.base_per_kwh}，无服务费",
            ),
            "u",
            tariff.charge.note or tariff.provenance.source,
        ),
        Assumption(
            Words(
                f"Cars are drawn from a list of models, all with LFP cells worth {DEFAULT_VALUE_PER_KWH:.0f} "
                f"{tariff.currency}/kWh, used up at 80 %",
                f"车辆按车型目录抽取，均为磷酸铁锂，电池价值 {DEFAULT_VALUE_PER_KWH:.0f} 元/千瓦时，80 % 视为寿命终点",
            ),
            "u",
            "EV2Gym model list; price and chemistry are assumptions",
        ),
        Assumption(
            Words(
                f"{drivers.statement_share:.0%} of drivers say when they leave, give or take "
                f"{drivers.statement_sd_min:.0f} min; {drivers.soc_reported_share:.0%} of cars tell "
                "their state of charge",
                f"{drivers.statement_share:.0%} 的车主告知离开时间（误差约 {drivers.statement_sd_min:.0f} 分钟）；"
                f"{drivers.soc_reported_share:.0%} 的车辆上报荷电状态",
            ),
            "u",
            "drawn by the simulated world",
        ),
    )


def _wear_range(scene: Scene, truth: Truth) -> tuple[Assumption, ...]:
    """Return where the shown world left what the wear laws were tested for."""
    left = left_range(truth, scene.enrolment.temperature, scene.pilot.start_ms)
    return tuple(Assumption(said_of(each), "u", "experiments behind the wear laws") for each in left)


def _sources(scene: Scene) -> tuple[str, ...]:
    """Return where the data comes from: the tariff, and what stands beside the session file."""
    readme = scene.pilot.resolve(scene.pilot.sessions.file).with_name("README.md")
    sources = [f"Tariff: {scene.tariff.provenance.source}"]
    if readme.is_file():
        sources.append(f"Sessions: see {readme.name} beside {scene.pilot.sessions.file}")
    return tuple(sources)
