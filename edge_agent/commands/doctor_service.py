"""The systemd unit: whether it is there, starts at boot, and has a watchdog."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.doctor_findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway

UNIT = "edge-agent.service"
FIELDS = ("LoadState", "ActiveState", "UnitFileState", "WatchdogUSec", "NRestarts", "User")
ANSWER_S = 10.0


def check_service(_: Gateway) -> Iterator[Finding]:
    """Ask systemd about the unit."""
    if not Path("/run/systemd/system").is_dir():
        text = "this machine was not booted by systemd: nothing restarts the agent"
        yield Finding("warn", "service", text, "have something else start, watch and restart it")
        return
    unit = unit_properties()
    if unit.get("LoadState") != "loaded":
        advice = "install the package (docs/service.md)"
        yield Finding("warn", "service", f"{UNIT} is not installed", advice)
        return
    yield from _judged(unit)


def unit_properties() -> dict[str, str]:
    """Return what systemd says of the unit; empty where it says nothing."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return {}
    command = [systemctl, "show", UNIT, *(f"--property={field}" for field in FIELDS)]
    try:
        said = subprocess.run(  # noqa: S603  fixed arguments
            command, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)


def _judged(unit: dict[str, str]) -> Iterator[Finding]:
    state, watchdog = unit.get("ActiveState", "?"), unit.get("WatchdogUSec", "0")
    text = f"{UNIT} is {state}, watchdog {watchdog}, restarted {unit.get('NRestarts', '?')} times"
    log = "`journalctl -u edge-agent -e` says why"
    if state not in {"active", "reloading"}:
        advice = f"`systemctl start edge-agent`; {log}"
        yield Finding("warn", "service", text, advice)
    elif watchdog in {"0", "infinity"}:
        advice = "set WatchdogSec= in the unit: a hung agent is not noticed"
        yield Finding("warn", "service", text, advice)
    elif unit.get("NRestarts", "0") != "0":
        yield Finding("warn", "service", text, log)
    else:
        yield Finding("ok", "service", text)
    if unit.get("UnitFileState") not in {"enabled", "enabled-runtime"}:
        advice = "`systemctl enable edge-agent`"
        yield Finding("warn", "service", "does not start when the gateway boots", advice)
