"""Eclipse hawkBit as the one who says what a gateway should run, by its Direct Device Integration.

    GET  {tenant}/controller/v1/{controller}                          is there anything to do?
    GET  .../deploymentBase/{action}                                  chunks: one model each
    POST .../deploymentBase/{action}/feedback                         how far a slot is
    GET, POST .../cancelAction/{action}[/feedback]                    forget it
    PUT  .../configData                                               what hawkBit may group by

A software module is a model: its name is the model_id, its version the version, and metadata `slot`
that the target may see is the slot (without one, the slot is called like the model). Artifacts are
not used: what the model is, the `models` role of the repository says; hawkBit chooses.
API: https://eclipse.dev/hawkbit/rest-api/ddi/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from edge_agent.clock import utc_text
from edge_agent.errors import SyncError
from edge_agent.modelstore.desired import Choice, ModelRef, Version, Word
from edge_agent.modelstore.desired_source import OpenAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.modelstore.desired import Gateway
    from edge_agent.modelstore.desired_source import SlotReport
    from edge_agent.modelstore.http_origin import HttpOrigin
    from edge_agent.modelstore.trust import TrustedView

T = TypeVar("T")
MAX_ANSWER_BYTES = 1 << 20
# States of a slot that hawkBit has a word for; all others are "proceeding".
EXECUTION = {
    "available": "scheduled",
    "deferred": "scheduled",
    "downloading": "download",
    "verified": "downloaded",
}
FAILED = {"failed", "rolled_back"}


class Link(msgspec.Struct, frozen=True):
    """A link of HAL: the server's own idea of its address."""

    href: str


class Base(msgspec.Struct, frozen=True):
    """The answer to a poll; unknown links are left alone."""

    links: dict[str, Link] = msgspec.field(name="_links", default_factory=dict)


class Metadatum(msgspec.Struct, frozen=True):
    """A pair of a software module."""

    key: str
    value: str


class Chunk(msgspec.Struct, frozen=True):
    """A software module."""

    name: Word
    version: Version
    metadata: tuple[Metadatum, ...] = ()


class Deployment(msgspec.Struct, frozen=True):
    """What to install, and whether now."""

    chunks: Annotated[tuple[Chunk, ...], msgspec.Meta(min_length=1)]
    update: str = "forced"
    window: str = msgspec.field(name="maintenanceWindow", default="available")


class DeploymentBase(msgspec.Struct, frozen=True):
    """An action."""

    id: str
    deployment: Deployment


class CancelBase(msgspec.Struct, frozen=True):
    """An action that should be forgotten."""

    id: str


class HawkbitAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where hawkBit is and who asks it.

    `token_file`: holds the target's token or, where `shared`, that of all gateways of the tenant.
    """

    url: str
    tenant: str
    controller: str
    token_file: str
    shared: bool = False

    def authorization(self) -> str:
        """Return the header; raise SyncError `disk` where the file cannot be read."""
        try:
            token = Path(self.token_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SyncError("disk", f"token_file: {error}") from None
        return f"{'GatewayToken' if self.shared else 'TargetToken'} {token}"


class HawkbitSource:
    """See DesiredSource. `server`: an HttpOrigin for the root of the hawkBit server.

    `controller`: what hawkBit calls this gateway. `utc_ns`: nanoseconds since 1970, for the
    reports. `action`: the one that is open, from an earlier `get`. One thread uses it.
    """

    def __init__(
        self,
        server: HttpOrigin,
        address: HawkbitAddress,
        gateway: Gateway,
        utc_ns: Callable[[], int],
        action: OpenAction | None = None,
    ) -> None:
        tenant, controller = (quote(n, safe="") for n in (address.tenant, address.controller))
        self._server = server
        self._base = f"{tenant}/controller/v1/{controller}"
        self._gateway = gateway
        self._utc_ns = utc_ns
        self.action = action

    def get(self, view: TrustedView, running: dict[str, ModelRef]) -> dict[str, Choice]:  # noqa: ARG002  as every source
        """See DesiredSource: what the open action says, nothing where there is none."""
        links = self._read(self._base, Base).links
        if "configData" in links:
            self._tell_attributes()
        if "cancelAction" in links:
            self._cancel(links["cancelAction"])
            return {}
        if "deploymentBase" not in links:
            self.action = None
            return {}
        found = self._read(_target(links["deploymentBase"]), DeploymentBase)
        chosen = {choice.slot: choice for choice in map(_choice, found.deployment.chunks)}
        if self.action is None or self.action.id != found.id:
            wants = {slot: choice.model for slot, choice in chosen.items()}
            self.action = OpenAction(id=found.id, wants=wants)
        waits = found.deployment.update == "skip" or found.deployment.window == "unavailable"
        return {} if waits else chosen

    def report(self, report: SlotReport) -> None:
        """See DesiredSource: the action is closed once all its slots are confirmed, or one failed.

        Reports of slots or models that no open action is about are nobody's business there.
        """
        action = self.action
        if action is None or action.wants.get(report.slot) != report.model:
            return
        confirmed = set(action.confirmed)
        if report.state == "confirmed":
            confirmed.add(report.slot)
        finished = "none"
        if report.state in FAILED:
            finished = "failure"
        elif confirmed == action.wants.keys():
            finished = "success"
        execution = EXECUTION.get(report.state, "proceeding")
        says = [f"{report.slot}: {report.model} {report.state}", report.code, report.detail]
        progress = {"cnt": len(confirmed), "of": len(action.wants)}
        self._feedback(
            f"deploymentBase/{action.id}",
            "closed" if finished != "none" else execution,
            {"finished": finished, "progress": progress},
            [text for text in says if text],
        )
        self.action = (
            OpenAction(id=action.id, wants=action.wants, confirmed=tuple(sorted(confirmed)))
            if finished == "none"
            else None
        )

    def _cancel(self, link: Link) -> None:
        """Agree: an action that is open has confirmed nothing yet, so nothing must be undone."""
        found = self._read(_target(link), CancelBase)
        self._feedback(f"cancelAction/{found.id}", "closed", {"finished": "success"}, [])
        self.action = None

    def _tell_attributes(self) -> None:
        gateway = self._gateway
        attributes = {
            "site": gateway.site,
            "line": gateway.line,
            "hw": ",".join(sorted(gateway.hw)),
            "tags": ",".join(sorted(gateway.tags)),
        }
        self._send("PUT", f"{self._base}/configData", {"mode": "merge", "data": attributes})

    def _feedback(
        self, path: str, execution: str, result: dict[str, Any], details: list[str]
    ) -> None:
        status = {"execution": execution, "result": result, "details": details}
        body = {"time": utc_text(self._utc_ns()), "status": status}
        self._send("POST", f"{self._base}/{path}/feedback", body)

    def _send(self, method: str, target: str, body: dict[str, Any]) -> None:
        self._server.exchange(method, target, msgspec.json.encode(body), MAX_ANSWER_BYTES)

    def _read(self, target: str, kind: type[T]) -> T:
        content = self._server.exchange("GET", target, b"", MAX_ANSWER_BYTES)
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise SyncError("bad_answer", f"{target}: {error}") from None


def _target(link: Link) -> str:
    """Return path and query of a link; its host is never asked, for it would be told the token."""
    parts = urlsplit(link.href)
    return parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")


def _choice(chunk: Chunk) -> Choice:
    slot = next((pair.value for pair in chunk.metadata if pair.key == "slot"), chunk.name)
    return Choice(slot, ModelRef(chunk.name, chunk.version))
