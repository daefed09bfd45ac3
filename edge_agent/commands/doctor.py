"""`edge-agent doctor`: says whether a gateway is fit for its config, and if not, what to do.

A check is a function that takes a Gateway and yields Findings; a new one is added to CHECKS.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.doctor_accelerators import check_accelerators
from edge_agent.commands.doctor_broker import check_broker
from edge_agent.commands.doctor_cameras import check_cameras
from edge_agent.commands.doctor_disk import check_disk
from edge_agent.commands.doctor_findings import Finding, Gateway
from edge_agent.commands.doctor_machine import check_clock, check_cpu, check_memory
from edge_agent.commands.doctor_models import check_files, check_models
from edge_agent.commands.doctor_runtimes import check_codecs, check_runtimes
from edge_agent.commands.doctor_service import check_service, unit_properties
from edge_agent.commands.doctor_sync import check_sync

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from edge_agent.commands.doctor_findings import Check
    from edge_agent.config import Config
    from edge_agent.errors import FieldError

__all__ = ["Finding", "Gateway", "examine", "gateway"]

# Where the service's state is (StateDirectory=), if nothing else is said of a config in /etc.
SERVICE_CONFIGS, SERVICE_STATE = Path("/etc"), Path("/var/lib/edge-agent")

CHECKS: tuple[Check, ...] = (
    check_cpu,
    check_memory,
    check_clock,
    check_disk,
    check_service,
    check_codecs,
    check_runtimes,
    check_files,
    check_cameras,
    check_models,
    check_accelerators,
    check_broker,
    check_sync,
)


def examine(gateway: Gateway, wrong: Iterable[FieldError] = ()) -> Iterator[Finding]:
    """Yield what every check finds, as it is found; takes some seconds.

    `wrong`: why there is no config, where there is a file for one.
    """
    for field in wrong:
        advice = "`edge-agent check` looks at the rest, too"
        yield Finding("fail", "config", str(field), advice)
    for check in CHECKS:
        yield from check(gateway)


def gateway(options: argparse.Namespace, config: Config | None) -> Gateway:
    """Return what the command line asks to examine."""
    folder = options.config.resolve().parent if options.config else Path.cwd()
    serves = SERVICE_CONFIGS in folder.parents
    state = options.state or (SERVICE_STATE if serves else folder / "state")
    return Gateway(config, folder, state, _user(), every_topic=options.every_topic)


def _user() -> str:
    """Return whose rights count: the service's user where root asks, else whoever does."""
    if os.geteuid() == 0 and (user := unit_properties().get("User")):
        return user
    return pwd.getpwuid(os.geteuid()).pw_name
