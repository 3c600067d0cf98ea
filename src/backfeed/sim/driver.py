"""Drivers who are asked: who answers, after how long, and what.

A driver answers with a share that rises with the bonus and differs from driver to driver. Whoever answers says when he
leaves as he would have said of his own accord, as honestly; and what his dashboard showed when he plugged in, in whole
percents, about right for most and far off for a few. All of it depends on the seed, the driver, the session and the
bonus, and on nothing else: asking one driver changes no other's answer.
"""

from dataclasses import dataclass
from math import exp, log

import numpy as np

from backfeed.core.instant import MS_PER_S
from backfeed.core.rng import Streams
from backfeed.sim.columns import WorldConfig, WorldSessions
from backfeed.sim.controller import transaction_id
from backfeed.sim.world import STATEMENT_EARLIEST_MS, word_of

CHARGE_WRONG_BY = (0.1, 0.5)
"""How far a wrong word for the state of charge is off, as a share of the capacity."""

_SURE = 1e-6


@dataclass(frozen=True, slots=True)
class Answer:
    """When a driver answers, which departure he states, and how full he says the car came (0 to 1, whole percents)."""

    at_ms: int
    departure_ms: int
    soc: float


class Drivers:
    """The drivers of a world's sessions, with their phones."""

    def __init__(self, sessions: WorldSessions, config: WorldConfig) -> None:
        """Know whose transaction is whose."""
        self._sessions = sessions
        self._config = config
        self._index = {transaction_id(name): index for index, name in enumerate(sessions.session_id)}

    def asked(self, transaction: str, bonus: float, at_ms: int) -> Answer | None:
        """Return a driver's answer to a question, None if he does not answer or has left before he does.

        Parameters
        ----------
        transaction
            Of his stay.
        bonus
            What he is offered in all for answers that prove right [currency].
        at_ms
            When he is asked.
        """
        index = self._index.get(transaction)
        if index is None:
            return None
        sessions, config = self._sessions, self._config
        streams = Streams(config.statement_seed)
        inclined = streams.generator("sim.answers", sessions.token[index]).normal()
        share = _share_of(float(inclined), bonus, config)
        point = streams.generator("sim.answer", sessions.session_id[index]).random()
        answers_ms = at_ms + round(config.answer_delay_s * MS_PER_S)
        if point >= share or answers_ms >= int(sessions.departure_ms[index]):
            return None
        _, stated_ms = word_of(sessions.session_id[index], int(sessions.departure_ms[index]), config)
        return Answer(answers_ms, max(stated_ms, answers_ms + STATEMENT_EARLIEST_MS), self._charge_word(index))

    def _charge_word(self, index: int) -> float:
        """Return how full a driver says that the car came."""
        sessions, config = self._sessions, self._config
        dice = Streams(config.statement_seed).generator("sim.charge_word", sessions.session_id[index])
        wrong, side = dice.random(2)
        far_off = dice.uniform(*CHARGE_WRONG_BY)
        error = dice.normal() * config.answer_charge_sd
        if wrong < config.answer_charge_wrong_share:
            error = far_off if side < 0.5 else -far_off  # noqa: PLR2004 - a fair coin
        soc = float(sessions.energy_arrival_kwh[index] / sessions.capacity_kwh[index])
        return round(100 * min(max(soc + error, 0.0), 1.0)) / 100


def answer_share(bonus: float, config: WorldConfig) -> float:
    """Return the share of middling drivers who answer for a bonus: linear between the curve's points, flat outside.

    >>> round(answer_share(1.5, WorldConfig(0, 1, 7.4, answer_curve=((1.0, 0.2), (2.0, 0.4)))), 6)
    0.3
    """
    if not config.answer_curve:
        return 0.0
    bonuses, shares = zip(*config.answer_curve, strict=True)
    return float(np.interp(bonus, bonuses, shares))


def _share_of(inclined: float, bonus: float, config: WorldConfig) -> float:
    """Return the share of one driver, whose log odds lie off the middling driver's."""
    middling = answer_share(bonus, config)
    if not _SURE < middling < 1 - _SURE:
        return middling
    odds = log(middling / (1 - middling)) + config.answer_spread * inclined
    return 1 / (1 + exp(-odds))
