"""Which broker, and what goes over a connection to it: values, without any library for MQTT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from edge_agent.options import StrictOptions

if TYPE_CHECKING:
    from collections.abc import Callable

# Strict would refuse the text that a path is in every config file.
Lenient = Annotated[Path, Field(strict=False)]


class TlsOptions(StrictOptions):
    """Encryption, and who is who. Files are PEM; without `ca_file` the system's CAs are trusted."""

    ca_file: Lenient | None = None
    cert_file: Lenient | None = None
    """The client's own certificate."""
    key_file: Lenient | None = None


class BrokerOptions(StrictOptions):
    """Which MQTT broker, and as whom."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """auto: MQTT 5, and 3.1.1 where the broker cannot."""
    username: str | None = None
    password: SecretStr | None = None
    """From the environment only; better is `password_file`."""
    password_file: Lenient | None = None
    """Read at each connect, so that a new password needs no restart (systemd LoadCredential)."""
    tls: TlsOptions | None = None
    keepalive_s: Annotated[int, Field(ge=2, le=60)] = 10
    """A dead connection is seen after at most two of these."""
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    max_packet_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = 16 << 20
    """Larger messages are not sent, and end the connection when received (MQTT 5: never come)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One received message."""

    topic: str
    payload: bytes
    retain: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is received (`topic` may hold wildcards), and who takes it."""

    topic: str
    qos: Literal[0, 1]
    handler: Callable[[Message], None]
    urgent: bool = True
    """False: a few milliseconds more do not matter (a new config, not a part at the camera)."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes (QoS 1, retained) `delay_s` after the connection broke.

    The delay needs MQTT 5, and spares consumers the short breaks.
    """

    topic: str
    payload: bytes
    delay_s: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What every life of a connection has in common."""

    options: BrokerOptions
    client_id: str
    subscriptions: tuple[Subscription, ...]
    will: Will | None
    session_expiry_s: int
