"""What is said about configuration and commands; see messages.py for what holds of all messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_agent.reporting.messages import Device, Utc, Version

Status = Literal[
    "applied", "valid", "unconfirmed", "rolled_back", "bad_json", "stale", "busy", "refused"
]


Repeated = Annotated[
    bool, Meta(description="The same request was answered so before; it was not obeyed again.")
]


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong, and where (JSON pointer, RFC 6901; "": all of it)."""

    path: str
    type: str
    msg: str


class ConfigResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request on config/set."""

    v: Version = 1
    id: Annotated[str, Meta(description="Of the request; empty where it could not be read.")]
    status: Status
    code: Annotated[
        Literal[200, 400, 401, 409, 422, 500],
        Meta(
            description="200: applied, unconfirmed or valid; 400: bad JSON; 401: not signed as it "
            "must be; 409: stale base_rev, another change is on trial, or the id of another "
            "request; 422: invalid; 500: rolled back, or cannot be kept."
        ),
    ]
    rev: Annotated[int, Meta(ge=0, description="Of the config in force; its answer is this one.")]
    errors: list[Fault] = []
    warnings: Annotated[
        list[Fault],
        Meta(
            description="What is valid all the same, and not well: a file that is not there, a "
            "model that its maker holds unfit for use."
        ),
    ] = []
    repeated: Repeated = False


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command; what `result` holds depends on the verb."""

    v: Version = 1
    id: str
    verb: str
    status: Literal["done", "refused", "failed"]
    code: Literal[200, 400, 401, 404, 409, 422, 500]
    errors: list[Fault] = []
    warnings: Annotated[
        list[Fault], Meta(description="What was done all the same, and may not be as it should.")
    ] = []
    result: dict[str, Any] = {}
    repeated: Repeated = False


class ConfigReported(msgspec.Struct, frozen=True, kw_only=True):
    """The config in force."""

    v: Version = 1
    ts: Annotated[Utc, Meta(description="When it became so.")]
    device: Device
    rev: Annotated[int, Meta(ge=1, description="Grows with each change, and is never used twice.")]
    hash: Annotated[str, Meta(description="SHA-256 of `config`: keys sorted, without spaces.")]
    status: Annotated[
        Literal["applied", "trial", "unconfirmed", "rolled_back"],
        Meta(
            description="trial: it has to prove itself; unconfirmed: it did, and waits for a "
            "person's word; rolled_back: the last change was taken back."
        ),
    ]
    source: Annotated[
        Literal["file", "mqtt"], Meta(description="Whether it is the file's, or a change of it.")
    ]
    last_error: Annotated[str, Meta(description="Why the last change was not applied, or empty.")]
    config: Annotated[dict[str, Any], Meta(description="Secrets are masked as ***.")]
