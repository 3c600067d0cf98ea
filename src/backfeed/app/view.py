"""What the HTTP interface shows: plain values that the platform fills and nobody can act on.

The descriptions below are those of the OpenAPI document.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from backfeed.battery.fleet_wear import FleetBattery

Instant = Annotated[str, Meta(description="UTC, ISO 8601", extra_json_schema={"format": "date-time"})]
Power = Annotated[float, Meta(description="kW at the charger or the site's connection, positive taken from the grid")]
Limit = Annotated[float, Meta(ge=0, description="kW, a magnitude")]
Share = Annotated[float, Meta(description="State of charge, 0 to 1")]
Price = Annotated[float, Meta(description="Currency per kWh")]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the service can do its work, and the reasons if not."""

    status: Annotated[str, Meta(description="`ok` or `degraded`")]
    version: str
    now: Instant
    stations_connected: int
    sessions: int
    log_events: int
    reasons: tuple[str, ...]


class StationView(msgspec.Struct, frozen=True, kw_only=True):
    """A charging station and its link."""

    station: str
    site: str
    connected: bool
    since: Instant


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A car that is plugged in: what it does, what it was told, and why.

    States of charge are the platform's belief as a band; `reason` says in words what bounded the power.
    """

    station: str
    evse: int
    site: str
    transaction: str
    owner: str
    since: Instant
    power_kw: Annotated[Power, Meta(description="kW as last metered, positive charges")]
    ordered_kw: Annotated[Power, Meta(description="kW as last ordered, positive charges")] | None
    bound_by: Annotated[str, Meta(description="Which authority decided the power")] | None
    reason: Annotated[str, Meta(description="The same as a sentence for the driver, in English")] | None
    reason_zh: Annotated[str, Meta(description="The sentence in Simplified Chinese")] | None
    discharge_blocked: (
        Annotated[str, Meta(description="Why nothing is discharged for others: `cold`, `warranty`")] | None
    )
    discharge_blocked_reason: Annotated[str, Meta(description="The same as a sentence, in English")] | None
    discharge_blocked_reason_zh: Annotated[str, Meta(description="The sentence in Simplified Chinese")] | None
    warranty_left_kwh: Annotated[float, Meta(ge=0, description="kWh that the warranty allows to discharge")] | None
    battery_page: Annotated[str, Meta(description="Path of the page of this owner's battery")]
    soc_low: Share
    soc_high: Share
    reserve_soc: Share
    target_soc: Share
    departure_stated: Annotated[Instant, Meta(description="When the driver said to leave")] | None
    departure_promised: Annotated[Instant, Meta(description="By when the target is promised")] | None
    departure_expected: Annotated[Instant, Meta(description="The middle of the forecast")]


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """A connection point: what its cars and its building take now, and what it may."""

    site: str
    cars: int
    cars_kw: Power
    building_kw: Power
    import_limit_kw: Limit | None
    export_limit_kw: Limit | None


class PriceStep(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of a quarter-hour."""

    start: Instant
    buy_per_kwh: Price
    sell_per_kwh: Price
    period: Annotated[str, Meta(description="The tariff's name for this part of the day")]


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of the running hour and those after it."""

    tariff: str
    currency: str
    timezone: str
    steps: tuple[PriceStep, ...]


class QuestionView(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a driver, for his app: when the car will leave, how full it was when it was plugged in, or both."""

    station: str
    evse: int
    transaction: str
    token: Annotated[str, Meta(description="What the driver showed at the charger")]
    asked_at: Instant
    asks: Annotated[tuple[str, ...], Meta(description="What waits for an answer: `departure`, `charge`")]
    bonus: Annotated[float, Meta(ge=0, description="What a kept departure is paid, in the pilot's currency")]
    charge_bonus: Annotated[float, Meta(ge=0, description="What a right state of charge is paid")]
    words: Annotated[str, Meta(description="The question for the driver, in English")]
    words_zh: Annotated[str, Meta(description="The question in Simplified Chinese")]


class AnswerView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a driver has answered in his app: all that was asked, or a part of it."""

    station: str
    transaction: str
    departure: Annotated[str, Meta(description="ISO 8601 with an offset, in the coming 31 days")] | None = None
    charge_percent: (
        Annotated[float, Meta(description="What the dashboard showed when the car was plugged in, 0 to 100")] | None
    ) = None


class JudgedView(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a driver's answer, for his app, once his car has left."""

    station: str
    transaction: str
    owner: str
    asks: Annotated[str, Meta(description="What was asked for: `departure` or `charge`")]
    judged_at: Instant
    verdict: Annotated[
        str,
        Meta(
            description="`departure_kept`, `left_early`, `left_late`, `charge_right`, `charge_wrong`, or"
            " `charge_unproven` where the car left before it had shown what it came with"
        ),
    ]
    bonus: Annotated[float, Meta(ge=0, description="What is paid for it, in the pilot's currency")]
    words: Annotated[str, Meta(description="Why, for the driver, in English")]
    words_zh: Annotated[str, Meta(description="Why, in Simplified Chinese")]


class Refusal(StrEnum):
    """Why an answer does not count."""

    NOT_ASKED = "nobody waits for an answer on this transaction: it was not asked, has been answered or is over"
    NO_DEPARTURE = "expected a departure in the coming 31 days, ISO 8601 with an offset"
    NO_CHARGE = "expected a state of charge from 0 to 100 percent"
    NO_ANSWER = "expected a departure, a charge_percent or both"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request has no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class PlatformView(Protocol):
    """The read side of a running platform."""

    def health(self) -> Health:
        """Return whether the service can do its work."""
        ...

    def stations(self) -> tuple[StationView, ...]:
        """Return every station that ever connected, by name."""
        ...

    def sessions(self) -> tuple[SessionView, ...]:
        """Return every car that is plugged in, by station and EVSE."""
        ...

    def sites(self) -> tuple[SiteView, ...]:
        """Return every connection point, by name."""
        ...

    def prices(self) -> PriceView:
        """Return the prices of a day from the running hour on."""
        ...

    def batteries(self) -> Callable[[], FleetBattery]:
        """Return what tells, from the present state, how the batteries have fared; it may run beside the loop."""
        ...

    def battery_page(self, page: str) -> Callable[[], str | None]:
        """Return what writes a page on batteries from the present state, None if there is none of that name."""
        ...


class DriverDesk(Protocol):
    """What a driver's app may ask of a running platform, and tell it."""

    def admits(self, token: str) -> bool:
        """Return whether a token is a driver's app's."""
        ...

    def questions(self) -> tuple[QuestionView, ...]:
        """Return the questions that wait for an answer."""
        ...

    def judged(self) -> tuple[JudgedView, ...]:
        """Return what came of the answers of the last 31 days."""
        ...

    async def answer(self, given: AnswerView) -> Refusal | None:
        """Take an answer, or say why it does not count."""
        ...
