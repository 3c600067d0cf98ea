"""Asked: the world's drivers on the other side of the app.

Questions are read where the platform writes them down, in the log; an answer comes back as an event of its own. In a
service on the road a driver's app stands here.
"""

import asyncio
from dataclasses import dataclass, field

from backfeed.core.clock import Clock
from backfeed.core.money import MICRO
from backfeed.fleet.event import AnyEvent, ChargeAnswered, DepartureAnswered, DriverPrompted
from backfeed.sim.driver import Answer, Drivers
from backfeed.store.log import EventLog


@dataclass
class App:
    """Hands questions to the drivers of a world, and their answers to the log.

    Parameters
    ----------
    log, clock
        Where questions stand and answers go, and when it is.
    drivers
        Who answers.
    group
        Where answers wait until they are given.
    """

    log: EventLog
    clock: Clock
    drivers: Drivers
    group: asyncio.TaskGroup
    waiting: list[asyncio.Task[None]] = field(default_factory=list)

    def on_committed(self, event: AnyEvent) -> None:
        """Hand a question on."""
        if isinstance(event, DriverPrompted):
            offered = (event.bonus_micro + event.charge_bonus_micro) / MICRO
            answer = self.drivers.asked(event.transaction, offered, event.at_ms)
            if answer is not None:
                self.waiting.append(self.group.create_task(self._tell(event, answer)))

    async def _tell(self, asked: DriverPrompted, answer: Answer) -> None:
        await self.clock.sleep_until(answer.at_ms)
        now_ms, station, evse, transaction = self.clock.now_ms(), asked.station, asked.evse, asked.transaction
        if "charge" in asked.asks:
            await self.log.commit(
                ChargeAnswered(at_ms=now_ms, station=station, evse=evse, transaction=transaction, soc=answer.soc)
            )
        if "departure" in asked.asks:
            departure_ms = answer.departure_ms
            await self.log.commit(
                DepartureAnswered(
                    at_ms=now_ms, station=station, evse=evse, transaction=transaction, departure_ms=departure_ms
                )
            )

    def close(self) -> None:
        """Forget answers that nobody waits for any more."""
        for task in self.waiting:
            task.cancel()
