"""[upload]: where evidence is sent, how much of it, and how much of a picture may leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge_agent.options import Name, ServerAddress, StrictOptions

if TYPE_CHECKING:
    from pathlib import Path


class UploadOptions(StrictOptions):
    """Evidence is sent to a server of yours, so that the next model learns from it.

    Left out: nothing is.
    """

    url: ServerAddress
    """Each file is PUT below it, as DEVICE/PIPELINE/NAME; a query is kept."""
    how: Literal["put", "presigned"] = "put"
    """presigned: the same address is asked by GET, answers `{"url": "..."}`, and the file is PUT
    there, without credentials: for buckets whose keys do not belong on a gateway."""
    credentials_file: str = ""
    """A file with `bearer TOKEN` or `basic USER:PASSWORD`, relative to the config file; read at
    each request. "": none."""
    outcomes: Annotated[
        tuple[Literal["pass", "fail", "uncertain", "error"], ...], Field(min_length=1)
    ] = ("fail", "uncertain")
    """Of the evidence that is kept, what is sent."""
    pipelines: tuple[Name, ...] = ()
    """Whose; left out: all."""
    picture: Literal["whole", "crop", "blur"] = "whole"
    """whole: the inspected part. crop: the box around what was found, or `roi`. blur: all of the
    picture, coarse beyond recognition outside that box. Where nothing was found and there is no
    `roi`, crop and blur send nothing."""
    margin_px: Annotated[int, Field(ge=0, le=10_000)] = 32
    """How much around what was found crop and blur leave."""
    kb_per_s: Annotated[float, Field(ge=1, le=1_000_000)] = 128.0
    """The line's share; an upload takes no more at any time."""
    mb_per_day: Annotated[float, Field(gt=0, le=10_000_000)] = 200.0
    """And no more in a day of UTC, failed attempts included."""
    max_mb: Annotated[float, Field(gt=0, le=1_000_000)] = 256.0
    """Room per pipeline for what waits; the oldest go first."""
    proxy: str = ""
    """An HTTP proxy; "": what the environment says (https_proxy, no_proxy)."""
    ca_file: str = ""
    """PEM of who may vouch for the server; "": the system's list."""
    cert_file: str = ""
    """PEM with which the gateway shows who it is (mutual TLS)."""
    key_file: str = ""
    """The key of `cert_file`."""


@dataclass(frozen=True, slots=True)
class UploadOrders:
    """What a worker is told: the options, and the folder where files wait for the agent."""

    options: UploadOptions
    folder: Path
