"""A world whose programme somebody operates: offers, awards, opt-in, statements that agree to the micro-unit."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from backfeed.app.assembly import EVENTS_FILE, LEDGER_FILE
from backfeed.app.dispatching import Policy
from backfeed.app.judging import judge_run
from backfeed.app.scene import load_scene
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.problem import InputError
from backfeed.settle.transfer import Code
from backfeed.store.ledger_detail import verify_details
from backfeed.store.ledger_seal import open_ledger, verify_file
from backfeed.store.log_file import read_log_file

START_MS = parse_instant("2026-07-14T20:00:00+08:00")
OPERATED = """
[demand_response]
operator = "simulated"
calls_per_week = 0
refused_share = 0.0
award_share_min = 0.8
opt_in_share = 0.5
opt_out_share = 0.4

[[events]]"""


@pytest.fixture(scope="module")
def path(small_pilot, tmp_path_factory):
    return small_pilot.with_text("\n[[events]]", OPERATED).write(tmp_path_factory.mktemp("operated"))


@pytest.fixture(scope="module")
def scene(path):
    return load_scene(path)


@pytest.fixture(scope="module")
def run(path, play, tmp_path_factory):
    return play(path, tmp_path_factory.mktemp("run"))


def events_of(run, *kinds):
    return read_log_file(run.folder / EVENTS_FILE, frozenset(kinds)).events


def test_an_offer_is_cleared_and_an_award_is_at_most_what_was_offered(run):
    (offer,) = events_of(run, "offer")
    (award,) = events_of(run, "award")
    assert 0.8 * offer.power_kw - 0.1 <= award.power_kw <= offer.power_kw
    assert award.at_ms == START_MS - 15 * MS_PER_MIN  # this programme's gate stays open until delivery
    assert award.baseline_kw == offer.baseline_kw


def test_operator_and_platform_agree_to_the_micro_unit(run, scene):
    (statement,) = events_of(run, "delivery_verified")
    (delivery,) = run.deliveries
    assert statement.agrees
    assert delivery.operator_agrees
    assert delivery.payment.revenue_micro == statement.revenue_micro
    assert statement.promised_wh > 0
    assert judge_run(scene, {Policy.V2G: run}, foresight=False).summary.worlds["v2g"].dr[0].operator_agrees
    with open_ledger(run.folder / LEDGER_FILE, readonly=True) as ledger:
        transfers = list(ledger.transfers())
    posted = sum(t.amount for t in transfers if t.code is Code.DR_REVENUE and t.phase.value in ("single", "post"))
    assert posted == statement.revenue_micro
    assert verify_file(run.folder / LEDGER_FILE).verified
    assert not verify_details(run.folder / "days", transfers)


def test_cars_of_owners_who_take_no_part_are_not_used_and_earn_nothing(run, scene):
    tokens = {event.transaction: event.token for event in events_of(run, "transaction") if event.token}
    at = {}
    delivered, during = set(), set()
    for event in events_of(run, "transaction", "setpoint_ordered"):
        if event.__struct_config__.tag == "transaction":
            at[event.station, event.evse] = tokens.get(event.transaction)
        elif START_MS <= event.at_ms < START_MS + MS_PER_H:
            during.add(at[event.station, event.evse])
            if event.bound_by == "delivery":
                delivered.add(at[event.station, event.evse])
    out = {token for token in during if not scene.calling.takes_part(token)}
    assert out
    assert during - out
    assert not delivered & out
    # What was delivered is counted over those who take part alone.
    part = run.deliveries[0].commitment.part_of(run.truth.sessions.token)
    segments = run.truth.segments
    inside = (segments.from_ms >= START_MS) & (segments.from_ms < START_MS + MS_PER_H) & part[segments.session]
    metered_kwh = run.deliveries[0].metered_wh.sum() / 1000
    assert metered_kwh == pytest.approx(segments.energy_kwh[inside].sum(), abs=0.05)


@pytest.mark.nightly
def test_the_same_seed_gives_the_same_bytes(path, run, play, tmp_path):
    again = play(path, tmp_path)
    assert (again.log_hash, again.ledger_hash) == (run.log_hash, run.ledger_hash)


def test_perfect_foresight_counts_the_same_owners(scene, run):
    judged = judge_run(scene, {Policy.V2G: run}, foresight=True).summary.worlds
    assert judged["foresight"].net_value >= judged["v2g"].net_value - 1.0
    assert judged["foresight"].dr[0].promised_kwh == judged["v2g"].dr[0].promised_kwh


def test_a_programme_that_asks_for_a_yes_has_nobody_without_one(small_pilot, tmp_path):
    asking = OPERATED.replace("calls_per_week = 0", 'calls_per_week = 7\nprogramme = "jiangsu"')
    scene = load_scene(small_pilot.with_text("\n[[events]]", asking).write(tmp_path))
    answers = scene.calling.answers
    assert any(answers.values())
    assert all(scene.calling.takes_part(owner) is answers.get(owner, False) for owner in scene.enrolment.owners)
    assert not scene.calling.takes_part("a stranger")
    assert scene.calling.programme.programme_id == "jiangsu"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('programme = "mars"', "programme: programme: expected a file or one of the presets"),
        ('operator = "real"', "operator: expected one of none, simulated, found 'real'"),
        ("opt_in_share = 0.8\nopt_out_share = 0.3", "opt_out_share: expected at most 0.2, found 0.3"),
        ("duration_min = 50", "duration_min: expected a number of quarter-hours, found 50"),
        ("power_kw = -1.0", "power_kw: expected 0 or more, found -1.0"),
        ("refused_share = 2", "refused_share: expected a fraction between 0 and 1"),
        ("clears = true", "clears: unknown key"),
    ],
)
def test_a_mistake_in_the_table_is_told(small_pilot, tmp_path, wrong, told):
    table = f"\n[demand_response]\n{wrong}\n\n[[events]]"
    with pytest.raises(InputError, match=re.escape(told)):
        load_scene(small_pilot.with_text("\n[[events]]", table).write(tmp_path))


def test_a_baseline_that_nobody_computes_is_refused(small_pilot, tmp_path):
    pilot = small_pilot.with_text("\n[[events]]", OPERATED)
    pilot = replace(pilot, text=pilot.text.rstrip() + '\nbaseline = "last-year"\n')
    with pytest.raises(
        InputError, match=r"baseline: expected one of mean-5-workdays, .*, regression, found 'last-year'"
    ):
        load_scene(pilot.write(tmp_path))


def test_without_an_operator_events_are_taken_as_they_are(worlds):
    (delivery,) = worlds[Policy.V2G].deliveries
    assert delivery.operator_agrees is None
    assert not events_of(worlds[Policy.V2G], "offer", "delivery_verified")
    assert delivery.award.price_per_kwh == Decimal("0.8")
