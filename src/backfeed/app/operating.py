"""Operating: the door between a demand desk and whoever operates a programme, and the simulated one behind it.

An operator invites, hears offers, clears and confirms, is handed meter data and says what was delivered and what it is
worth. `Door` carries that both ways; a real operator's adapter stands where `SimulatedDoor` does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from backfeed.app.assembly import AWARD_POSTED_AFTER_MS, Parts
from backfeed.app.calling import call_of, invitation_of, rules_of
from backfeed.app.demand import DemandDesk, OperatorStatement
from backfeed.app.platform import Platform
from backfeed.app.scene import Scene
from backfeed.core.clock import Clock
from backfeed.core.rng import Streams
from backfeed.market.calendar import DayKind, day_kind
from backfeed.sim.operator import Call, SimulatedOperator
from backfeed.sim.verification import Meters, Verified


@dataclass
class Door:
    """What a platform hears from an operator, and what an operator may ask of it.

    Parameters
    ----------
    platform, desk
        Who hears.
    post_awards, clock
        Posts the promises that are new, once they stand in the log.
    """

    platform: Platform
    desk: DemandDesk
    post_awards: Callable[[], None]
    clock: Clock

    def invited(self, call: Call) -> None:
        """Hand an invitation to the platform."""
        self.platform.invite(invitation_of(call))

    async def awarded(self, call_id: str, power_kw: float) -> None:
        """Hand an award to the platform, and have it posted."""
        self.platform.hear_award(call_id, power_kw)
        # The log first: a promise that stands in the books alone could not be kept after a restart.
        await self.clock.sleep_until(self.clock.now_ms() + AWARD_POSTED_AFTER_MS)
        self.post_awards()

    def declined(self, call_id: str, reason: str) -> None:
        """Tell the platform that its offer was not taken."""
        self.platform.hear_refusal(call_id, reason)

    def metered(self) -> Meters:
        """Return the meter data of all who take part."""
        table = self.desk.metered()
        return Meters(table.start_ms.tolist(), table.import_wh.tolist(), table.export_wh.tolist())

    def verified(self, call_id: str, statement: Verified) -> None:
        """Hand the operator's statement of a delivery to the platform."""
        self.platform.hear_statement(
            OperatorStatement(
                call_id,
                statement.promised_wh,
                statement.delivered_wh,
                statement.revenue_micro,
                statement.penalty_micro,
            )
        )


def simulated_operator(scene: Scene, parts: Parts, clock: Clock) -> SimulatedOperator:
    """Put a simulated operator before a platform's door; the desk makes its offers to him from then on."""
    door = Door(parts.platform, parts.demand, parts.settling.post_awards, clock)
    temper = scene.calling.temper
    assert temper is not None, "the pilot names a simulated operator"

    def is_workday(day: date) -> bool:
        return day_kind(day, scene.tariff.holidays) is DayKind.WORKDAY

    operator = SimulatedOperator(
        rules_of(scene.calling.programme),
        temper,
        tuple(call_of(invitation) for invitation in scene.invitations),
        door,
        clock,
        Streams(scene.pilot.pilot.seed),
        is_workday,
        scene.pilot.start_ms,
    )
    parts.demand.offer_to = operator.offer
    return operator
