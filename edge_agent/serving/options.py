"""Tables of the config: the agent's own HTTP server, and what health takes for trouble."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge_agent.options import StrictOptions


class HttpOptions(StrictOptions):
    """Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`. Nobody has to log in."""

    on: bool = True
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Loopback alone. For a Prometheus elsewhere name an address of the gateway, in a network
    where everybody may read this."""
    port: Annotated[int, Field(ge=1, le=65535)] = 9464
    """Where it is taken, the agent inspects without HTTP, says so, and tries again."""


class HealthOptions(StrictOptions):
    """When the agent is not ready, beside what is not to be argued about."""

    disk_free_mb: Annotated[float, Field(ge=0)] = 20.0
    """Less than this left for the state folder: `disk_room` fails."""
    verdict_within_s: Annotated[float, Field(ge=1, le=86_400)] = 10.0
    """Nothing but errors for this long, or one item under way: `verdict_produced` fails."""
    broker_within_s: Annotated[float, Field(ge=10, le=3600)] = 12.0
    """Connected, yet nothing acknowledged for this long: `broker_acknowledging` fails. The agent
    publishes its status every 5 s, so there is always something to acknowledge."""
