"""The folder door of a service: invitations come as files, and what becomes of them is written beside.

`DATA/invitations/NAME.json` is an invitation; whoever may write into the data folder may invite. It is answered once,
in `NAME.answer.json`, by the rules of the pilot's programme; a promise is planned for at once, stands in the books as
pending and is settled with its day, and the answer then tells what was delivered and what it earned. The event log
remembers invitation and promise, so that a service which starts again keeps it whatever has become of the file.
"""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from backfeed.app.assembly import AWARD_POSTED_AFTER_MS, Parts
from backfeed.core.instant import MS_PER_S, format_instant, local_datetime, to_ms
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.fleet.event import InvitationReceived
from backfeed.market.demand_response import BASELINES, Direction, Invitation
from backfeed.meter.interval import INTERVAL_MS

FOLDER = "invitations"
ANSWER = ".answer.json"
LOOK_EVERY_MS = 5 * MS_PER_S
BYTES_MAX = 64 * 1024
"""No invitation is longer."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


class InvitationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An invitation as written: instants with an offset, on quarter-hours; power a magnitude.

    `baseline` is the programme's own unless it is named; `offer_kw` is what a person has decided to offer instead of
    what the fleet's last days say it can.
    """

    kind: Literal["peak_shave", "valley_fill"]
    start: datetime
    end: datetime
    power_kw: float
    price_per_kwh: float
    baseline: str = ""
    offer_kw: float | None = None


class InvitationAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an invitation: `unreadable`, `refused`, `promised`, then `settled`.

    Reasons are words for people, in English and Simplified Chinese; money is in the programme's currency.
    """

    invitation: str
    state: Literal["unreadable", "refused", "promised", "settled"]
    at: str
    reasons: tuple[str, ...] = ()
    reasons_zh: tuple[str, ...] = ()
    power_kw: float | None = None
    promised_kwh: float | None = None
    baseline_kw: tuple[float, ...] = ()
    delivered_kwh: float | None = None
    revenue: float | None = None
    penalty: float | None = None
    currency: str = ""


@dataclass
class InvitationFolder:
    """Looks into the folder, has invitations answered and writes answers.

    Parameters
    ----------
    parts
        The platform, its desk and its books.
    data
        The service's data folder.
    """

    parts: Parts
    data: Path
    _seen: dict[str, int] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    async def watch(self) -> None:
        """Look for ever."""
        clock = self.parts.clock
        while True:
            self.look()
            # The log first: a promise that stands in the books alone could not be kept after a restart.
            await clock.sleep_until(clock.now_ms() + AWARD_POSTED_AFTER_MS)
            self.parts.settling.post_awards()
            self.tell_settled()
            await clock.sleep_until(clock.now_ms() + LOOK_EVERY_MS)

    def restore(self) -> None:
        """Stand again by what was promised before a restart."""
        for received in list(self.parts.demand.received.values()):
            if received.invitation not in self._told and received.baseline:
                self._told.add(received.invitation)
                self.parts.platform.invite(_as_received(received))

    def look(self) -> None:
        """Answer every invitation that is new, or has been written anew because it could not be read."""
        for path in sorted((self.data / FOLDER).glob("*.json")):
            name, changed = path.stem, path.stat().st_mtime_ns
            if path.name.endswith(ANSWER) or name in self._told or self._seen.get(name) == changed:
                continue
            self._seen[name] = changed
            self._take(path)

    def _take(self, path: Path) -> None:
        desk, now_ms, name = self.parts.demand, self.parts.clock.now_ms(), path.stem
        read = _read(path, now_ms, desk.programme.baseline)
        if isinstance(read, InvitationAnswer):
            self._write(read)
            return
        self._told.add(name)
        self.parts.platform.invite(*read)
        declined = desk.declined.get(name)
        if declined is not None:
            self._write(
                InvitationAnswer(
                    invitation=name,
                    state="refused",
                    at=format_instant(now_ms),
                    reasons=declined.reasons,
                    reasons_zh=declined.reasons_zh,
                )
            )
            return
        given = next(award for award in desk.awards() if award.invitation.id == name)
        promise = next(each for each in desk.commitments if each.invitation.id == name)
        self._write(
            InvitationAnswer(
                invitation=name,
                state="promised",
                at=format_instant(now_ms),
                power_kw=given.power_kw,
                promised_kwh=given.promised_wh / WH_PER_KWH,
                baseline_kw=tuple(round(float(power), 3) for power in promise.baseline_kw),
            )
        )

    def tell_settled(self) -> None:
        """Write what came of the promises whose day is settled."""
        desk, zone = self.parts.demand, self.parts.knowledge.enrolment.zone
        due = [
            each.invitation.id
            for each in desk.commitments
            if local_datetime(each.invitation.start_ms, zone).date() < self.parts.first_open
            and f"{each.invitation.id} settled" not in self._told
        ]
        for delivery in desk.deliveries() if due else ():
            name, payment = delivery.award.invitation.id, delivery.payment
            if name in due:
                self._told.add(f"{name} settled")
                self._write(
                    InvitationAnswer(
                        invitation=name,
                        state="settled",
                        at=format_instant(self.parts.clock.now_ms()),
                        power_kw=delivery.award.power_kw,
                        promised_kwh=payment.promised_wh / WH_PER_KWH,
                        baseline_kw=tuple(round(float(power), 3) for power in delivery.baseline.power_kw),
                        delivered_kwh=payment.delivered_wh / WH_PER_KWH,
                        revenue=payment.revenue_micro / MICRO,
                        penalty=payment.penalty_micro / MICRO,
                        currency=self.parts.settling.prices.currency,
                    )
                )

    def _write(self, answer: InvitationAnswer) -> None:
        path = self.data / FOLDER / f"{answer.invitation}{ANSWER}"
        partial = path.with_suffix(".part")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(answer)) + b"\n")
        partial.replace(path)


def _as_received(received: InvitationReceived) -> Invitation:
    return Invitation(
        received.invitation,
        Direction(received.direction),
        received.at_ms,
        received.start_ms,
        received.end_ms,
        received.power_kw,
        Decimal(str(received.price_per_kwh)),
        received.baseline,
    )


def _read(path: Path, invited_ms: int, baseline: str) -> tuple[Invitation, float | None] | InvitationAnswer:
    """Return an invitation and what to offer, or why the file is none."""
    told: list[tuple[str, str]] = []
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        said = msgspec.json.decode(raw, type=InvitationFile)
    except (OSError, msgspec.MsgspecError) as error:
        told.append((f"expected an invitation, found: {error}", f"无法读取邀约:{error}"))
        return _unreadable(path, invited_ms, told)
    if not _NAME.fullmatch(path.stem):
        told.append(("name: expected 1 to 60 of A-Z a-z 0-9 _ -", "文件名须为 1 至 60 个字母、数字、_ 或 -"))
    if said.start.tzinfo is None or said.end.tzinfo is None:
        told.append(("start, end: expected a time with an offset", "start、end 须带时区偏移"))
        return _unreadable(path, invited_ms, told)
    start_ms, end_ms = to_ms(said.start), to_ms(said.end)
    if not invited_ms < start_ms < end_ms:
        told.append(("expected now < start < end", "须满足:现在 < start < end"))
    if start_ms % INTERVAL_MS or end_ms % INTERVAL_MS:
        told.append(("start, end: expected quarter-hours", "start、end 须为整刻钟"))
    offer_kw = 0.0 if said.offer_kw is None else said.offer_kw
    for key, value in (("power_kw", said.power_kw), ("price_per_kwh", said.price_per_kwh), ("offer_kw", offer_kw)):
        if not (math.isfinite(value) and value >= 0):
            told.append((f"{key}: expected 0 or more, found {value}", f"{key} 须不小于 0,现为 {value}"))
    if said.baseline and said.baseline not in BASELINES:
        told.append((f"baseline: expected one of {', '.join(BASELINES)}", f"baseline 须为 {'、'.join(BASELINES)} 之一"))
    if told:
        return _unreadable(path, invited_ms, told)
    price = Decimal(str(said.price_per_kwh))
    kind, method = Direction(said.kind), said.baseline or baseline
    return Invitation(path.stem, kind, invited_ms, start_ms, end_ms, said.power_kw, price, method), said.offer_kw


def _unreadable(path: Path, at_ms: int, told: list[tuple[str, str]]) -> InvitationAnswer:
    return InvitationAnswer(
        invitation=path.stem,
        state="unreadable",
        at=format_instant(at_ms),
        reasons=tuple(en for en, _ in told),
        reasons_zh=tuple(zh for _, zh in told),
    )
