"""desired.json: which model each slot of a fleet should run, and who takes a new one when.

Pure functions over frozen values: no clock, no files. The document is signed by an online key,
which may choose among signed models and among gateways, and nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge_agent.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKETS = 10_000
MAX_DESIRED_BYTES = 1 << 20

Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.+-]{1,64}$")]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
ClockTimes = Annotated[str, msgspec.Meta(pattern=r"^[0-2]\d:[0-5]\d-[0-2]\d:[0-5]\d$")]


class ModelRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model by its name: what runs under it, the `models` role decides."""

    model_id: Word
    version: Version

    def __str__(self) -> str:
        return f"{self.model_id}@{self.version}"


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which gateways a rule is for; an empty list is no condition.

    `site`, `line`, `hw`: the gateway has one of them. `tags`: it has all of them.
    """

    site: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    hw: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ring: `pct` of the units, in percent; two decimals count."""

    pct: Percent


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change on its way.

    `window`: local times between which a model may be changed, "22:00-06:00"; `deadline`: ISO 8601
    in UTC, after which it no longer waits for the window. `jitter_s`: within how many seconds the
    gateways of a stage spread their downloads. `allow_downgrade`: `to` may be older than what runs,
    down to the `min_seq` that the `models` role signed.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
    to: ModelRef
    stages: Annotated[tuple[Stage, ...], msgspec.Meta(min_length=1)]
    stage: Annotated[int, msgspec.Meta(ge=0)] = 0
    unit: Literal["device", "site"] = "device"
    halted: bool = False
    window: ClockTimes | None = None
    deadline: str | None = None
    jitter_s: Annotated[float, msgspec.Meta(ge=0, le=604_800)] = 3600.0
    allow_downgrade: bool = False

    def __post_init__(self) -> None:
        if self.stage >= len(self.stages):
            raise ValueError(f"rollout {self.id}: stage {self.stage} of {len(self.stages)}")
        percents = [stage.pct for stage in self.stages]
        if percents != sorted(percents):
            raise ValueError(f"rollout {self.id}: a stage has fewer gateways than the one before")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one slot should run on the gateways that match; the first that matches counts."""

    slot: Word
    match: Match = Match()
    default: ModelRef | None = None
    rollout: Rollout | None = None


class Desired(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document. `epoch` grows with each change: an older one is refused."""

    schema: Literal[1]
    epoch: Annotated[int, msgspec.Meta(ge=0)]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who asks: `device` and `site` are unique names, the rest is what rules match."""

    device: str
    site: str = ""
    line: str = ""
    hw: frozenset[str] = frozenset({"cpu"})
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """What a slot should run. `rollout` is None for the rule's default, else how to go there."""

    slot: str
    model: ModelRef
    rollout: Rollout | None = None

    @property
    def allow_downgrade(self) -> bool:
        """Whether it may be older than what runs."""
        return self.rollout is not None and self.rollout.allow_downgrade


def parse(content: bytes) -> Desired:
    """Return the document in `content`; raise SyncError `bad_document` that names the field."""
    try:
        return msgspec.json.decode(content, type=Desired)
    except (msgspec.DecodeError, ValueError) as error:
        raise SyncError("bad_document", f"desired.json: {error}") from None


def encode(desired: Desired) -> bytes:
    """Return the document as it is signed and published."""
    return msgspec.json.format(msgspec.json.encode(desired), indent=1) + b"\n"


def choices(desired: Desired, gateway: Gateway, running: dict[str, ModelRef]) -> dict[str, Choice]:
    """Return what each slot should run here; a slot that no rule names is absent: it stays.

    `running`: what slots run now. It decides one thing: a halted rollout takes no further gateway,
    and takes the new model away from none.
    """
    found: dict[str, Choice] = {}
    for rule in desired.rules:
        if rule.slot in found or not matches(rule.match, gateway):
            continue
        for choice in _choice(rule, gateway, running.get(rule.slot)):
            found[rule.slot] = choice
    return found


def matches(match: Match, gateway: Gateway) -> bool:
    """Return whether every condition of `match` holds for the gateway."""
    return (
        (not match.site or gateway.site in match.site)
        and (not match.line or gateway.line in match.line)
        and (not match.hw or not gateway.hw.isdisjoint(match.hw))
        and gateway.tags.issuperset(match.tags)
    )


def bucket(rollout_id: str, unit: str) -> int:
    """Return where a unit stands in a rollout, 0 to 9999.

    The first 8 bytes of sha256(rollout_id NUL unit), big-endian, modulo 10,000: each rollout meets
    other gateways first, and the same gateway always stands at the same place of one.
    """
    digest = hashlib.sha256(f"{rollout_id}\0{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def takes_part(rollout: Rollout, gateway: Gateway) -> bool:
    """Return whether the rollout has reached this gateway's ring."""
    unit = gateway.site if rollout.unit == "site" else gateway.device
    share = rollout.stages[rollout.stage].pct * (BUCKETS / 100)
    return bucket(rollout.id, unit) < round(share)


def _choice(rule: Rule, gateway: Gateway, running: ModelRef | None) -> Iterator[Choice]:
    rollout = rule.rollout
    if rollout is not None and takes_part(rollout, gateway):
        if not rollout.halted or running == rollout.to:
            yield Choice(rule.slot, rollout.to, rollout)
            return
        if running is not None:
            yield Choice(rule.slot, running)
            return
    if rule.default is not None:
        yield Choice(rule.slot, rule.default)
