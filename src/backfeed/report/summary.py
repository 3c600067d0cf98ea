"""The numbers of a run as one JSON document: what `summary.json` holds, key by key.

The structs below are the format. The JSON schema beside the package is generated from them and a
test keeps the two equal, so a reader in another language can rely on the schema alone. Money is in
units of the pilot's currency except in `ledger`, which counts as the ledger does: millionths of the
currency, and watt-hours. Energy is kWh at the EVSE (AC) unless a key says otherwise.

The file is the same bytes for the same values: keys stand in the order of the structs, mappings are
sorted, floats are rounded to nine decimals and negative zero is written as zero.
"""

import inspect
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

WorldName = Literal["unmanaged", "v1g", "v2g", "foresight"]
WORLD_NAMES: Final[tuple[WorldName, ...]] = get_args(WorldName)

StatementKind = Literal["kept", "broken", "none"]
AskedKind = Literal["departure", "charge"]
ASKED_KINDS: Final[tuple[AskedKind, ...]] = get_args(AskedKind)
STATEMENT_KINDS: Final[tuple[StatementKind, ...]] = get_args(StatementKind)

TargetName = Literal[
    "offpeak_share",
    "offpeak_share_net",
    "offpeak_share_private",
    "offpeak_share_private_net",
    "discharge_power_kw",
    "discharged_kwh_per_year",
]
TARGET_NAMES: Final[tuple[TargetName, ...]] = get_args(TargetName)

AROUND_H: Final = 4
"""How many hours before and after an event are looked at: about as long as a car takes to charge ahead."""

SUMMARY_FILE: Final = "summary.json"
SCHEMA_FILE: Final = "summary.schema.json"
_DECIMALS: Final = 9
_OPEN_MAPPINGS: Final = frozenset({"payouts", "sites", "ledger"})


def _keys(names: tuple[str, ...]) -> msgspec.Meta:
    """Say in the schema which keys a mapping may have."""
    return msgspec.Meta(extra_json_schema={"propertyNames": {"enum": list(names)}})


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the summary: no key that is not named here."""


class SessionCounts(_Part, frozen=True):
    """Rows of the session file inside the window: `served + rejected = total`."""

    total: int
    served: int
    rejected: int


class Departures(_Part, frozen=True):
    """How many promises could be kept, and how many were not.

    `feasible` counts departures inside the window whose recorded energy charging at once would have met; `short`
    those of them that left more than 1 kWh below it, `short_kwh` what these lacked, `worst_kwh` the largest lack.
    Energies are kWh in the battery.
    """

    feasible: int
    short: int
    short_kwh: float
    worst_kwh: float


class OffpeakShare(_Part, frozen=True):
    """Valley kWh over charged kWh: of all that was charged, and of what was not discharged again."""

    gross: float | None
    net: float | None


class SiteResult(_Part, frozen=True):
    """The connection point of a site: extremes of its net power, and how often a limit was exceeded."""

    peak_import_kw: float
    peak_export_kw: float
    violations: int


class DemandResponseResult(_Part, frozen=True):
    """One invitation: what was promised, what the meters showed against the baseline, and what else they show.

    Parameters
    ----------
    baseline_kwh, metered_kwh
        Net energy over the event: what the programme's baseline says would have been taken, and what was.
    v1g_kwh, against_v1g_kwh
        Net energy that a fleet takes which is merely steered and was not invited, and what was delivered against that;
        null where that world did not run.
    before_kwh, after_kwh
        What the fleet took beyond the same kind of baseline in the `AROUND_H` hours before and after: a fleet that is
        told ahead charges ahead, which no baseline sees. Null where nothing usual is known or the window ends.
    operator_agrees
        Whether the programme's operator came to the same energies and the same money, to the last micro-unit; null
        where nobody operates the programme.
    """

    id: str
    promised_kwh: float
    delivered_kwh: float
    ratio: float | None
    baseline_kwh: float | None = None
    metered_kwh: float | None = None
    v1g_kwh: float | None = None
    against_v1g_kwh: float | None = None
    before_kwh: float | None = None
    after_kwh: float | None = None
    operator_agrees: bool | None = None


class WorldResult(_Part, frozen=True):
    """One world judged.

    `net_value` = `discharge_revenue` + `dr_revenue` - `energy_cost` - `wear_cost` - `shortfall_cost` +
    `terminal_adjustment`. `subsidy` is what granted subsidies have added to `discharge_revenue`; subsidies end, so the
    net value is also told without them, for the same decisions.
    """

    sessions: SessionCounts
    charged_kwh: float
    discharged_kwh: float
    energy_cost: float
    discharge_revenue: float
    dr_revenue: float
    wear_cost: float
    shortfall_cost: float
    terminal_adjustment: float
    net_value: float
    payouts: dict[str, float]
    departures: Departures
    offpeak_share: OffpeakShare
    sites: dict[str, SiteResult]
    dr: tuple[DemandResponseResult, ...]
    discharge_power_max_kw: float
    subsidy: float = 0.0
    net_value_without_subsidy: float | None = None


class StatementShare(_Part, frozen=True):
    """A captured share over the sessions of one kind of departure statement."""

    sessions: int
    share: float | None
    share_without_shortfalls: float | None


class CapturedDetail(_Part, frozen=True):
    """A captured share with what it rests on; where it is not given, `reason` says why.

    The split leaves demand-response revenue out, because an event is won by a fleet and not by a session.
    """

    share: float | None
    share_without_shortfalls: float | None
    foresight_gain: float | None
    foresight_gain_per_session: float | None
    sessions: int
    reason: str | None
    by_statement: Annotated[dict[StatementKind, StatementShare], _keys(STATEMENT_KINDS)]


class CapturedDetails(_Part, frozen=True):
    """The detail behind the two captured shares."""

    captured_share: CapturedDetail
    captured_v2g_share: CapturedDetail


class Target(_Part, frozen=True):
    """A regulator's target: what it asks, what was achieved, what is within reach.

    The gap is split: `structural` is what no control could close with these stays and chargers, `controllable` the
    rest. Both are in the unit of the target and zero where it is met.
    """

    required: float
    achieved: float | None
    reachable: float | None
    met: bool
    controllable: float
    structural: float


class SubsidyFacts(_Part, frozen=True):
    """A subsidy of the tariff: what is paid per discharged kWh, at most where nothing has been granted yet."""

    name: str
    payer: str
    per_kwh: float
    up_to: bool
    valid_until: str | None


class TariffFacts(_Part, frozen=True):
    """Which tariff the money was counted by, how well it is known, until when it holds, what to know about it."""

    id: str
    mark: str
    source: str
    valid_until: str | None
    warnings: tuple[str, ...]
    subsidies: tuple[SubsidyFacts, ...]


class LedgerUnit(_Part, frozen=True):
    """One unit of the ledger: millionths of a currency, watt-hours, points."""

    debits: int
    credits: int
    balance: int


class AskedResult(_Part, frozen=True):
    """How often drivers were asked for one thing, answered, and were right, and what that cost the platform."""

    sent: int
    answered: int
    kept: int
    bonus_cost: float


class PromptResult(_Part, frozen=True):
    """Drivers who were asked in the V2G world, their answers, those that proved right, and what that cost the platform.

    A question may ask for two things, so `by_kind` may add up to more than was `sent`. The bonus goes from the platform
    to owners: it is no part of a world's `net_value`, which counts all parties.
    """

    sent: int
    answered: int
    kept: int
    bonus_cost: float
    by_kind: Annotated[dict[AskedKind, AskedResult], _keys(ASKED_KINDS)] = {}


class RunFacts(_Part, frozen=True):
    """What made the run, so that it can be repeated, and what it took."""

    seed: int
    config_hash: str
    log_hash: str | None
    ledger_hash: str | None
    messages: int
    plans: int
    plan_gap_max: float | None
    fallbacks: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    version: str


class Summary(_Part, frozen=True):
    """A whole `summary.json`. Worlds that were not asked for are absent from `worlds`."""

    worlds: Annotated[dict[WorldName, WorldResult], _keys(WORLD_NAMES)]
    captured_share: float | None
    captured_v2g_share: float | None
    captured_detail: CapturedDetails
    targets: Annotated[dict[TargetName, Target], _keys(TARGET_NAMES)]
    ledger: dict[str, LedgerUnit | bool]
    run: RunFacts
    tariff: TariffFacts | None = None
    prompts: PromptResult | None = None


def ledger_table(units: Mapping[str, LedgerUnit], *, verified: bool) -> dict[str, LedgerUnit | bool]:
    """Return the `ledger` part: one entry per unit beside `verified`, the result of checking the hash chain."""
    assert "verified" not in units, "no ledger unit may be called 'verified'"
    return {**{unit: units[unit] for unit in sorted(units)}, "verified": verified}


def encode_summary(summary: Summary) -> bytes:
    """Return a summary as the bytes of `summary.json`.

    Raises
    ------
    ValueError
        If a number is not finite; the message names its key.
    """
    document = _in_order(msgspec.to_builtins(summary), "summary")
    return (json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def decode_summary(content: bytes) -> Summary:
    """Return the summary that `encode_summary` wrote.

    Raises
    ------
    msgspec.ValidationError
        If the content is not a summary; the message names the key.
    """
    return msgspec.json.decode(content, type=Summary)


def write_summary(summary: Summary, path: Path) -> None:
    """Write `summary.json` in one piece: a reader sees the old file or the new one, never half."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(encode_summary(summary))
    partial.replace(path)


def summary_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of `summary.json`, generated from the structs."""
    schema = msgspec.json.schema(Summary)
    for definition in schema["$defs"].values():
        definition["description"] = inspect.cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Backfeed run summary",
        **schema,
    }


def encode_schema() -> bytes:
    """Return the schema as the bytes of the shipped file."""
    return (json.dumps(summary_schema(), ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def shipped_schema() -> bytes:
    """Return the schema file that is part of the package."""
    return resources.files("backfeed.report").joinpath("data", SCHEMA_FILE).read_bytes()


def _in_order(value: Any, where: str) -> Any:  # noqa: ANN401 - any JSON value
    """Round floats and sort open mappings; struct keys keep the order of their declaration."""
    if isinstance(value, float):
        if not math.isfinite(value):
            message = f"{where} must be finite, found {value}"
            raise ValueError(message)
        return round(value, _DECIMALS) + 0.0
    if isinstance(value, dict):
        keys = sorted(value) if where.rpartition(".")[2] in _OPEN_MAPPINGS else list(value)
        return {key: _in_order(value[key], f"{where}.{key}") for key in keys}
    if isinstance(value, list | tuple):
        return [_in_order(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    return value
