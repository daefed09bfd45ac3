"""Who says what a gateway should run: a signed document of a repository, or a fleet server.

A source names models and moments, never bytes: whatever it says, the manifest must be signed by the
`models` role (trust.py) and not be too old (floors.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge_agent.errors import SyncError
from edge_agent.modelstore import desired
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from edge_agent.modelstore.origin import FolderOrigin, folder_of

if TYPE_CHECKING:
    from edge_agent.modelstore.desired import Choice, Gateway, ModelRef
    from edge_agent.modelstore.origin import Origin
    from edge_agent.modelstore.trust import TrustedView


class SlotReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one slot is with a choice: what a fleet server wants to hear of it.

    `state`: one of the states of a slot; `code`, `detail`: why it failed, "" where it did not.
    """

    slot: str
    state: str
    model: desired.ModelRef
    rollout_id: str = ""
    code: str = ""
    detail: str = ""


class OpenAction(msgspec.Struct, frozen=True, kw_only=True):
    """What a fleet server waits to hear the end of.

    `wants`: the model of each slot; `confirmed`: the slots that got there.
    """

    id: str
    wants: dict[str, desired.ModelRef]
    confirmed: tuple[str, ...] = ()


class DesiredSource(Protocol):
    """Where choices come from and where reports go."""

    @property
    def action(self) -> OpenAction | None:
        """What wants to be reported, after `get` or `report`; None: nothing does."""

    def get(self, view: TrustedView, running: dict[str, ModelRef]) -> dict[str, Choice]:
        """Return what each slot should run; a slot that is absent stays as it is.

        `view`: the repository as it is trusted now; `running`: what each slot runs now. Raises
        SyncError.
        """

    def report(self, report: SlotReport) -> None:
        """Say how far a slot is; again for each change of state. Raises SyncError."""


@dataclass(frozen=True, slots=True)
class RepositorySource:
    """The fleet's desired.json in the repository itself; the status topics are its reports."""

    fleet: str
    gateway: Gateway
    action: None = None

    def get(self, view: TrustedView, running: dict[str, ModelRef]) -> dict[str, Choice]:
        """See DesiredSource."""
        return desired.choices(view.desired(self.fleet), self.gateway, running)

    def report(self, report: SlotReport) -> None:
        """See DesiredSource."""


def origin_of(url: str, settings: HttpSettings) -> Origin:
    """Return the origin that an address names: http(s)://, file:// or a folder's path.

    Raises SyncError `bad_document` for any other.
    """
    folder = folder_of(url)
    if folder is not None:
        if "://" in url and not url.startswith("file://"):
            raise SyncError("bad_document", f"{url}: neither http(s):// nor a folder")
        return FolderOrigin(folder)
    return HttpOrigin(url, settings)
