"""Calling: what a pilot's demand response comes to before anything runs: programme, invitations, who takes part."""

from dataclasses import dataclass, replace
from decimal import Decimal

from backfeed.app.config import Pilot
from backfeed.app.config_events import EventTable
from backfeed.core.instant import to_ms
from backfeed.core.problem import InputError, Problem
from backfeed.core.rng import Streams
from backfeed.market.demand_response import BASELINES, Deadline, Direction, Invitation, Programme, takes_part
from backfeed.market.programme import load_programme, programme_names
from backfeed.sim.operator import Call, Temper, draw_answers, draw_calls
from backfeed.sim.verification import Moment, Rules

OWN_PROGRAMME = "pilot"
"""The programme without a place of its own: its clock and its currency are the pilot's."""


@dataclass(frozen=True)
class Calling:
    """A pilot's demand response.

    Parameters
    ----------
    programme
        Its rules.
    invitations
        What the pilot names and what the simulated operator calls for beside, by the instant of the invitation.
    temper
        How the simulated operator is; absent where nobody operates the programme.
    answers
        Which owners have said yes or no.
    """

    programme: Programme
    invitations: tuple[Invitation, ...]
    temper: Temper | None
    answers: dict[str, bool]

    def takes_part(self, owner: str) -> bool:
        """Say whether an owner's car is used for events."""
        return takes_part(self.programme, answer=self.answers.get(owner))


def calling_of(pilot: Pilot, owners: tuple[str, ...]) -> Calling:
    """Return a pilot's demand response.

    Parameters
    ----------
    pilot
        The pilot.
    owners
        Those who are asked whether they take part.

    Raises
    ------
    InputError
        If there is no such programme, or a baseline that nobody can compute.
    """
    table = pilot.demand_response
    known = table.programme in programme_names()
    try:
        programme = load_programme(table.programme if known else pilot.resolve(table.programme))
    except InputError as error:
        where = f"{pilot.path} [demand_response] programme"
        raise InputError([replace(each, where=f"{where}: {each.where}") for each in error.problems]) from error
    if programme.programme_id == OWN_PROGRAMME:
        programme = replace(programme, timezone=pilot.pilot.timezone, currency=pilot.pilot.currency)
    invitations = [_invitation(event) for event in pilot.events]
    temper = None
    streams = Streams(pilot.pilot.seed)
    if table.operator == "simulated":
        temper = Temper(
            calls_per_week=table.calls_per_week,
            power_kw=table.power_kw,
            duration_min=table.duration_min,
            shave_price_per_kwh=Decimal(str(table.shave_price_per_kwh)),
            fill_price_per_kwh=Decimal(str(table.fill_price_per_kwh)),
            refused_share=table.refused_share,
            award_share_min=table.award_share_min,
        )
        window_ms = (pilot.start_ms, pilot.end_ms)
        invitations += map(invitation_of, draw_calls(rules_of(programme), temper, window_ms, streams))
    _check(pilot, programme, invitations)
    answers = draw_answers(owners, table.opt_in_share, table.opt_out_share, streams)
    return Calling(
        programme, tuple(sorted(invitations, key=lambda each: (each.invited_at_ms, each.id))), temper, answers
    )


def _check(pilot: Pilot, programme: Programme, invitations: list[Invitation]) -> None:
    problems = [
        Problem(
            f"{pilot.path} [[events]] {event.id}",
            f"baseline: expected one of {', '.join(BASELINES)}, found {event.baseline!r}",
        )
        for event in pilot.events
        if event.baseline not in BASELINES
    ]
    if programme.currency != pilot.pilot.currency:
        what = f"expected a programme in {pilot.pilot.currency}, found one in {programme.currency}"
        problems.append(Problem(f"{pilot.path} [demand_response] programme", what))
    names = [invitation.id for invitation in invitations]
    problems += [
        Problem(f"{pilot.path} [[events]] {name}", "the simulated operator calls for an event of this name as well")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise InputError(problems)


def _invitation(event: EventTable) -> Invitation:
    return Invitation(
        id=event.id,
        kind=Direction(event.kind),
        invited_at_ms=to_ms(event.invited_at),
        start_ms=to_ms(event.start),
        end_ms=to_ms(event.end),
        power_kw=event.power_kw,
        price_per_kwh=Decimal(str(event.price_per_kwh)),
        baseline=event.baseline,
    )


def rules_of(programme: Programme) -> Rules:
    """Return a programme's rules as the numbers that the simulated operator works with."""

    def moment(deadline: Deadline | None) -> Moment | None:
        return None if deadline is None else Moment(deadline.minutes, deadline.days_before)

    penalty = programme.penalty
    return Rules(
        timezone=programme.timezone,
        directions=tuple(direction.value for direction in programme.directions),
        invitation=moment(programme.invitation),
        gate_closure=Moment(programme.gate_closure.minutes, programme.gate_closure.days_before),
        confirmation=moment(programme.confirmation),
        power_min_kw=programme.power_min_kw,
        duration_min_min=programme.duration_min_min,
        price_cap_per_kwh=tuple((direction.value, price) for direction, price in programme.price_cap_per_kwh),
        price_floor_per_kwh=tuple((direction.value, price) for direction, price in programme.price_floor_per_kwh),
        baseline=programme.baseline,
        payment_curve=programme.payment_curve,
        penalty=None if penalty is None else (penalty.below_ratio, penalty.factor),
        settlement_min=programme.settlement_min,
    )


def call_of(invitation: Invitation) -> Call:
    """Return an invitation that a pilot names as a call of the simulated operator."""
    return Call(
        invitation.id,
        invitation.kind.value,
        invitation.invited_at_ms,
        invitation.start_ms,
        invitation.end_ms,
        invitation.power_kw,
        invitation.price_per_kwh,
        invitation.baseline,
    )


def invitation_of(call: Call) -> Invitation:
    """Return a call as the platform takes it."""
    return Invitation(
        call.id,
        Direction(call.direction),
        call.invited_at_ms,
        call.start_ms,
        call.end_ms,
        call.power_kw,
        call.price_per_kwh,
        call.baseline,
    )
