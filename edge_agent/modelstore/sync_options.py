"""[sync]: where models come from, whom they are believed, and when they may change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge_agent.options import Name, ServerAddress, StrictOptions


class RepositoryOptions(StrictOptions):
    """The repository itself says what runs, in the fleet's signed document."""

    kind: Literal["repository"] = "repository"


class HawkbitOptions(StrictOptions):
    """Eclipse hawkBit says what runs, over its Direct Device Integration API.

    What may run, the repository's `models` role says all the same.
    """

    kind: Literal["hawkbit"]
    url: ServerAddress
    """The server. `proxy`, `ca_file`, `cert_file` and `key_file` of [sync] hold for it, too."""
    tenant: Annotated[str, Field(min_length=1, max_length=128)] = "DEFAULT"
    controller: Annotated[str, Field(max_length=256)] = ""
    """What hawkBit calls this gateway; "": the device's name."""
    token_file: Annotated[str, Field(min_length=1)]
    """A file with the security token alone, relative to the config file; read at each request."""
    shared: bool = False
    """Whether that is the gateway token, which all of a tenant share, and not the target's own."""


class SyncOptions(StrictOptions):
    """Models from a signed repository. Left out: every pipeline runs the bundle of its config."""

    url: Annotated[str, Field(min_length=1)]
    """The repository: http(s)://, or a folder, relative to the config file (a USB stick, say)."""
    root: Annotated[str, Field(min_length=1)]
    """The file root.json that came with the gateway, relative to the config file. Whom it names is
    believed, and nobody else."""
    source: Annotated[RepositoryOptions | HawkbitOptions, Field(discriminator="kind")] = (
        RepositoryOptions()
    )
    """Who says what runs."""
    fleet: Name = "default"
    """Whose document of wanted models is followed, where the repository says what runs."""
    poll_s: Annotated[float, Field(ge=0.2, le=86_400)] = 300.0
    """How often the repository is asked for news; each gateway varies it by a fifth."""
    quota_mb: Annotated[float, Field(ge=1, le=1_000_000)] = 1024.0
    """Room for models, those that run and those being fetched."""
    window: Annotated[str, Field(pattern=r"^[0-2]\d:[0-5]\d-[0-2]\d:[0-5]\d$")] | None = None
    """Local times between which models may change, as in "22:00-06:00"; left out: always. What the
    fleet's document says of times holds beside it."""
    swap_mode: Literal["overlap", "pause"] = "overlap"
    """overlap: the next model is loaded beside the one that runs, and compared with it; no item is
    missed. pause: for gateways without memory for two; inspection stops while it is loaded."""
    hw: Annotated[tuple[Name, ...], Field(min_length=1)] = ("cpu",)
    """What this gateway has, beside its `accelerators` and what its pipelines name as
    `accelerator`. A model's variants for any of it are fetched, and always the one for the CPU."""
    tags: tuple[Name, ...] = ()
    """What the fleet's document may choose this gateway by."""
    proxy: str = ""
    """An HTTP proxy; "": what the environment says (https_proxy, no_proxy)."""
    ca_file: str = ""
    """PEM of who may vouch for the server; "": the system's list."""
    cert_file: str = ""
    """PEM with which the gateway shows who it is (mutual TLS)."""
    key_file: str = ""
    """The key of `cert_file`."""
