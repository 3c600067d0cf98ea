"""Judging a run: every world by the same judge, then perfect foresight, then the summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backfeed import __version__
from backfeed.app.assembly import LEDGER_FILE
from backfeed.app.demand import Delivery
from backfeed.app.dispatching import Policy
from backfeed.app.foresight import Foresight, ForesightEvent, foresee, held_back
from backfeed.app.foresight_budget import budgets_at_start
from backfeed.app.judge import (
    DemandResponseOutcome,
    JudgedWorld,
    JudgeTerms,
    WindowRows,
    captured,
    judge_world,
)
from backfeed.app.judge_series import discharge_rated_kw, mean_power_kw, target_stays
from backfeed.app.prompting import PromptCounts
from backfeed.app.report_books import paid_by_owner, read_transfers
from backfeed.app.scene import Scene, prices_on, tariff_of
from backfeed.app.world import WorldRun
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.market.demand_response import Direction, delivered_wh, settle_event
from backfeed.market.price import PriceSeries
from backfeed.report.run_report import GapCause
from backfeed.report.summary import (
    ASKED_KINDS,
    AskedKind,
    AskedResult,
    LedgerUnit,
    PromptResult,
    RunFacts,
    SubsidyFacts,
    Summary,
    TariffFacts,
    WorldName,
    ledger_table,
)
from backfeed.report.targets import regulator_targets
from backfeed.sim.columns import WorldSessions
from backfeed.sim.truth import Truth
from backfeed.store.ledger_seal import verify_file

RUN_ORDER: tuple[Policy, ...] = (Policy.UNMANAGED, Policy.V1G, Policy.V2G)


@dataclass(frozen=True)
class Judgement:
    """A judged run.

    Parameters
    ----------
    summary
        The numbers.
    prices
        Over the window, in quarter-hours.
    worlds, truths
        Verdict and truth of every world that ran, foresight last.
    runs
        What the simulated worlds left behind.
    foresight
        The plan behind the world of that name.
    v1g_uninvited
        The truth of a V1G world that knew of no event, where it ran.
    """

    summary: Summary
    prices: PriceSeries
    worlds: Mapping[WorldName, JudgedWorld]
    truths: Mapping[WorldName, Truth]
    runs: Mapping[Policy, WorldRun]
    foresight: Foresight | None
    v1g_uninvited: Truth | None = None


def judge_run(
    scene: Scene, runs: Mapping[Policy, WorldRun], uninvited: WorldRun | None = None, *, foresight: bool
) -> Judgement:
    """Judge the worlds of a run.

    Parameters
    ----------
    scene
        What they started from.
    runs
        The worlds that ran.
    uninvited
        The V1G world without events, against which deliveries are also counted.
    foresight
        Whether to compute what perfect foresight would have done.
    """
    prices = prices_on(scene.pilot, scene.tariff, scene.window_axis)
    truths: dict[WorldName, Truth] = {}
    worlds: dict[WorldName, JudgedWorld] = {}
    merely_steered = uninvited.truth if uninvited is not None else None
    for policy in RUN_ORDER:
        if policy in runs:
            run = runs[policy]
            truths[policy.value] = run.truth
            paid = _payouts(run.folder / LEDGER_FILE)
            outcomes = [_outcome(delivery, merely_steered) for delivery in run.deliveries]
            worlds[policy.value] = _judge(scene, run.truth, prices, outcomes, paid)
    foreseen: Foresight | None = None
    if foresight:
        deliveries = runs[Policy.V2G].deliveries if Policy.V2G in runs else ()
        foreseen = _foresee(scene, prices, deliveries)
        truths["foresight"] = foreseen.truth
        outcomes = [_foreseen_outcome(delivery, foreseen.truth, merely_steered) for delivery in deliveries]
        worlds["foresight"] = _judge(scene, foreseen.truth, prices, outcomes, {})
    summary = _summary(scene, runs, worlds, truths, prices)
    return Judgement(summary, prices, worlds, truths, runs, foreseen, merely_steered)


def judge_at_base_price(scene: Scene, judgement: Judgement, base_price: Decimal) -> dict[WorldName, float]:
    """Return every world's net value if charging had cost another base price; nobody decides anew."""
    prices = prices_on(scene.pilot, tariff_of(scene.pilot, base_price), scene.window_axis)
    values: dict[WorldName, float] = {}
    for name, truth in judgement.truths.items():
        judged = _judge(scene, truth, prices, (), {})
        values[name] = judged.result.net_value + judgement.worlds[name].result.dr_revenue
    return values


def held_back_value(scene: Scene, judgement: Judgement) -> dict[GapCause, float]:
    """Return what even foresight leaves to reserves and limits, and pays for wear; empty without foresight."""
    if judgement.foresight is None:
        return {}
    relaxed = held_back(
        judgement.foresight,
        prices=judgement.prices,
        sites=tuple(scene.enrolment.sites.values()),
        zone=scene.enrolment.zone,
        config=scene.world,
        terms=judge_terms(scene),
        consents=scene.enrolment.consents,
    )
    return {**relaxed, "wear": judgement.worlds["foresight"].result.wear_cost}


def _judge(
    scene: Scene,
    truth: Truth,
    prices: PriceSeries,
    outcomes: "list[DemandResponseOutcome] | tuple[()]",
    payouts: Mapping[str, float],
) -> JudgedWorld:
    return judge_world(
        truth,
        rows=WindowRows(scene.rows_total, len(scene.rejections)),
        prices=prices,
        sites=tuple(scene.enrolment.sites.values()),
        zone=scene.enrolment.zone,
        terms=judge_terms(scene),
        demand_response=outcomes,
        payouts=payouts,
    )


def judge_terms(scene: Scene) -> JudgeTerms:
    """Return how the pilot prices shortfalls, and how warm its cells are."""
    return JudgeTerms(shortfall_per_kwh=scene.pilot.plan.shortfall_per_kwh, temperature=scene.enrolment.temperature)


def _outcome(delivery: Delivery, merely_steered: Truth | None) -> DemandResponseOutcome:
    payment = delivery.payment
    return DemandResponseOutcome(
        delivery.commitment.invitation.id,
        payment.promised_wh / WH_PER_KWH,
        payment.delivered_wh / WH_PER_KWH,
        payment.net_micro / MICRO,
        baseline_kwh=int(delivery.baseline.net_wh.sum()) / WH_PER_KWH,
        metered_kwh=int(delivery.metered_wh.sum()) / WH_PER_KWH,
        v1g_kwh=_taken_kwh(merely_steered, delivery),
        before_kwh=None if delivery.before_wh is None else delivery.before_wh / WH_PER_KWH,
        after_kwh=None if delivery.after_wh is None else delivery.after_wh / WH_PER_KWH,
        peak_shave=delivery.commitment.is_upper,
        operator_agrees=delivery.operator_agrees,
    )


def _taken_kwh(truth: Truth | None, delivery: Delivery) -> float | None:
    """Return the net energy that a world's fleet took during an event [kWh]."""
    axis = delivery.commitment.axis
    return (
        None
        if truth is None
        else float(mean_power_kw(truth, axis, delivery.commitment.part_of(truth.sessions.token)).sum() * axis.step_h)
    )


def _foresee(scene: Scene, prices: PriceSeries, deliveries: tuple[Delivery, ...]) -> Foresight:
    events = tuple(_foresight_event(delivery, scene.sessions) for delivery in deliveries)
    return foresee(
        scene.sessions,
        prices=prices,
        sites=tuple(scene.enrolment.sites.values()),
        zone=scene.enrolment.zone,
        config=scene.world,
        terms=judge_terms(scene),
        events=events,
        consents=scene.enrolment.consents,
        budgets=budgets_at_start(scene.enrolment, scene.sessions.token),
    )


def _foresight_event(delivery: Delivery, sessions: WorldSessions) -> ForesightEvent:
    invitation = delivery.commitment.invitation
    curve = delivery.award.programme.payment_curve
    # From the last jump on: below it nothing is paid, so there is nothing to aim for.
    paid = [(float(ratio), float(multiple)) for ratio, multiple in curve if multiple > 0]
    return ForesightEvent(
        invitation=invitation.id,
        direction=invitation.kind.value,
        start_ms=invitation.start_ms,
        end_ms=invitation.end_ms,
        baseline_kwh=int(delivery.baseline.net_wh.sum()) / WH_PER_KWH,
        promised_kwh=delivery.award.promised_wh / WH_PER_KWH,
        price_per_kwh=float(delivery.award.price_per_kwh),
        curve=tuple(paid),
        takes_part=delivery.commitment.part_of(sessions.token),
    )


def _foreseen_outcome(delivery: Delivery, truth: Truth, merely_steered: Truth | None) -> DemandResponseOutcome:
    """Return what foresight delivers on an award, metered in its own truth against the same baseline."""
    axis, segments = delivery.commitment.axis, truth.segments
    inside = (segments.from_ms >= axis.start_ms) & (segments.from_ms < axis.end_ms)
    inside &= delivery.commitment.part_of(truth.sessions.token)[segments.session]
    step = (segments.from_ms[inside] - axis.start_ms) // axis.step_ms
    metered = np.bincount(step, segments.energy_kwh[inside] * WH_PER_KWH, axis.count).round().astype(np.int64)
    moved = delivered_wh(delivery.baseline.net_wh, metered, Direction(delivery.commitment.invitation.kind))
    award = delivery.award
    payment = settle_event(award, moved, axis.step_ms)
    return DemandResponseOutcome(
        award.invitation.id,
        award.promised_wh / WH_PER_KWH,
        int(moved.sum()) / WH_PER_KWH,
        payment.net_micro / MICRO,
        baseline_kwh=int(delivery.baseline.net_wh.sum()) / WH_PER_KWH,
        metered_kwh=int(metered.sum()) / WH_PER_KWH,
        v1g_kwh=_taken_kwh(merely_steered, delivery),
        peak_shave=delivery.commitment.is_upper,
    )


def _payouts(ledger: Path) -> dict[str, float]:
    """Return what owners were paid, by the unit they were paid in."""
    paid: dict[str, float] = {}
    for units in paid_by_owner(read_transfers(ledger)).values():
        for unit, amount in units.items():
            paid[unit] = paid.get(unit, 0.0) + amount
    return dict(sorted(paid.items()))


def _summary(
    scene: Scene,
    runs: Mapping[Policy, WorldRun],
    worlds: Mapping[WorldName, JudgedWorld],
    truths: Mapping[WorldName, Truth],
    prices: PriceSeries,
) -> Summary:
    details = captured(worlds, scene.sessions)
    v2g = runs.get(Policy.V2G)
    targets = {}
    if v2g is not None:
        targets = regulator_targets(
            target_stays(truths["v2g"], worlds["v2g"].sessions, prices, scene.world, _private(scene)),
            days=scene.pilot.pilot.days,
            discharge_power_kw=worlds["v2g"].result.discharge_power_max_kw,
            discharge_rated_kw=discharge_rated_kw(truths["v2g"]),
        )
    return Summary(
        worlds={name: judged.result for name, judged in worlds.items()},
        captured_share=details.captured_share.share,
        captured_v2g_share=details.captured_v2g_share.share,
        captured_detail=details,
        targets=targets,
        ledger=_ledger(_shown(runs).folder / LEDGER_FILE),
        run=_facts(scene, _shown(runs)),
        tariff=_tariff(scene),
        prompts=_prompts(v2g.prompts) if v2g is not None else None,
    )


def _tariff(scene: Scene) -> TariffFacts:
    """Return which tariff the money was counted by, with what a reader has to know about it."""

    def told(until: date | None) -> str | None:
        return None if until is None else until.isoformat()

    tariff = scene.tariff
    return TariffFacts(
        id=tariff.tariff_id,
        mark=tariff.provenance.mark.value,
        source=tariff.provenance.source,
        valid_until=told(tariff.provenance.valid_until),
        warnings=tuple(str(warning) for warning in scene.warnings),
        subsidies=tuple(
            SubsidyFacts(
                name=subsidy.name,
                payer=subsidy.payer,
                per_kwh=float(subsidy.per_kwh),
                up_to=subsidy.up_to,
                valid_until=told(subsidy.provenance.valid_until),
            )
            for subsidy in tariff.subsidies
        ),
    )


def _private(scene: Scene) -> NDArray[np.bool_]:
    """Return which sessions stand at private piles, shape `(session,)`."""
    public = {site.id for site in scene.pilot.sites if not site.private}
    site_of = scene.enrolment.site_of_location
    return np.array([site_of[location] not in public for location in scene.sessions.location], dtype=np.bool_)


def _ledger(ledger: Path) -> dict[str, LedgerUnit | bool]:
    verification = verify_file(ledger)
    units = {
        unit: LedgerUnit(debits=s.debits, credits=s.credits, balance=s.balance)
        for unit, s in verification.units.items()
    }
    return ledger_table(units, verified=verification.verified)


def _prompts(counts: PromptCounts | None) -> PromptResult | None:
    """Return what came of asking drivers, None where nobody was to be asked."""
    if counts is None:
        return None
    parts = (counts.departure, counts.charge)
    kinds: dict[AskedKind, AskedResult] = {
        kind: AskedResult(each.sent, each.answered, each.kept, each.bonus_micro / MICRO)
        for kind, each in zip(ASKED_KINDS, parts, strict=True)
        if each.sent
    }
    return PromptResult(
        sent=counts.sent,
        answered=sum(each.answered for each in parts),
        kept=sum(each.kept for each in parts),
        bonus_cost=sum(each.bonus_micro for each in parts) / MICRO,
        by_kind=kinds,
    )


def _shown(runs: Mapping[Policy, WorldRun]) -> WorldRun:
    """Return the run whose ledger, log and effort stand in the summary: the V2G world's where it ran."""
    return runs[max(runs, key=RUN_ORDER.index)]


def _facts(scene: Scene, of: WorldRun) -> RunFacts:
    """Return what made a world, and what it took."""
    return RunFacts(
        seed=scene.pilot.pilot.seed,
        config_hash=scene.pilot.config_hash,
        log_hash=of.log_hash,
        ledger_hash=of.ledger_hash,
        messages=of.messages,
        plans=of.plans,
        plan_gap_max=of.plan_gap_max,
        fallbacks=of.fallbacks,
        cpu_s=of.cpu_s,
        wall_s=of.wall_s,
        peak_mb=of.peak_mb,
        version=__version__,
    )
