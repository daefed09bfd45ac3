"""The installed service under a real systemd, from installation to purge, in this order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.judging import catch_up, out_of_order
from tests.faults.plant import Consumer, until
from tests.system.conftest import PACKAGE, Machine, configure, goes_on, newest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

WATCHDOG_S = 20


def test_the_fresh_package_runs_without_being_configured(machine: Machine) -> None:
    machine.run("dpkg", "--install", PACKAGE)
    until(lambda: machine.agent("ActiveState") == "active")
    assert machine.agent("UnitFileState") == "enabled"
    assert "edge-agent" in machine.run("edge-agent", "--help")


def test_the_service_is_active_and_its_verdicts_arrive_on_the_broker(
    installed: Machine, consumer: Consumer
) -> None:
    """With the password that only root can read: systemd handed it over."""
    goes_on(consumer)
    assert installed.agent("ActiveState") == "active"
    assert installed.agent("User") == "edge-agent"
    assert {arrival.verdict for arrival in consumer.arrivals[-20:]} <= {"pass", "fail"}


def test_the_sandbox_leaves_the_agent_its_processor_and_its_limits(
    installed: Machine, consumer: Consumer
) -> None:
    goes_on(consumer)
    worker = _workers(installed)["left"]
    limits = installed.run("cat", f"/proc/{worker}/limits")
    assert "Max data size             1024000000" in limits
    status = installed.run("cat", f"/proc/{worker}/status")
    assert "Seccomp:\t2" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "flags" in installed.run("nsenter", "-m", "-t", worker, "cat", "/proc/cpuinfo")


def test_doctor_finds_the_gateway_fit_and_sees_who_may_use_a_camera(installed: Machine) -> None:
    # The service's own secrets are its own: doctor runs beside it, with a copy of the password.
    said = installed.run("edge-agent", "doctor", check=False, timeout_s=60)
    assert "edge-agent.service is active, watchdog 20s" in said
    assert "/dev/video0 does not open: No such device" in said, "no driver, but the right to it"
    assert "models      /opt/edge-agent/models/conveyor-parts: verified" in said
    installed.run("chgrp", "root", "/dev/video0")
    said = installed.run("edge-agent", "doctor", check=False, timeout_s=60)
    installed.run("chgrp", "video", "/dev/video0")
    assert "edge-agent may not use /dev/video0" in said


def test_a_stopped_agent_is_back_by_the_watchdog(
    installed: Machine, consumer: Consumer, record_property: Callable[[str, object], None]
) -> None:
    goes_on(consumer)
    before = installed.agent("MainPID")
    installed.run("bash", "-c", f"kill -STOP {before}")
    began_s = time.monotonic()
    until(lambda: installed.agent("MainPID") not in {before, "0"}, 3 * WATCHDOG_S)
    goes_on(consumer)
    took_s = time.monotonic() - began_s
    record_property("seconds", took_s)
    assert took_s < WATCHDOG_S + 15
    assert installed.agent("ActiveState") == "active"
    assert catch_up(consumer, 30)
    assert "Watchdog timeout" in installed.run("journalctl", "--no-pager")
    assert "most recent call first" in installed.journal(), "it says where it hung"


def test_reload_takes_a_changed_config_in_the_same_process_and_loses_nothing(
    installed: Machine, consumer: Consumer
) -> None:
    before, worker = installed.agent("MainPID"), _workers(installed)["left"]
    for pipelines in (("right",), (), ("right", "top"), ()):
        goes_on(consumer)
        configure(installed, *pipelines)
        installed.run("systemctl", "reload", "edge-agent")
        assert installed.agent("ActiveState") == "active"
        assert "is in force" in installed.agent("StatusText")
        for name in pipelines:
            came = len(consumer.of(name))
            until(lambda n=name, c=came: len(consumer.of(n)) > c)  # type: ignore[misc]
    assert _workers(installed)["left"] == worker, "what did not change was not started anew"
    configure(installed, outbox={"max_age_h": 24.0})
    installed.run("systemctl", "reload", "edge-agent")
    until(lambda: _workers(installed).get("left") not in {None, worker})
    assert installed.agent("MainPID") == before
    goes_on(consumer)
    assert catch_up(consumer, 30)
    assert out_of_order(consumer.arrivals) == 0


def test_reload_of_a_wrong_config_fails_and_disturbs_nothing(
    installed: Machine, consumer: Consumer
) -> None:
    before = installed.agent("MainPID")
    configure(installed, stats_every_s=-1)
    assert "failed" in installed.run("systemctl", "reload", "edge-agent", check=False)
    assert "/stats_every_s" in installed.journal()
    assert "reload refused" in installed.agent("StatusText")
    goes_on(consumer)
    assert installed.agent("MainPID") == before
    configure(installed)


def test_restarts_lose_no_committed_verdict(installed: Machine, consumer: Consumer) -> None:
    for _ in range(3):
        goes_on(consumer)
        installed.run("systemctl", "restart", "edge-agent")
    goes_on(consumer)
    assert catch_up(consumer, 30)
    assert out_of_order(consumer.arrivals) == 0


def test_an_upgrade_keeps_config_and_state_and_goes_on(
    installed: Machine, consumer: Consumer
) -> None:
    goes_on(consumer)
    before, config = installed.agent("MainPID"), _config(installed).read_text()
    installed.run("dpkg", "--install", PACKAGE)
    assert _config(installed).read_text() == config
    assert installed.agent("MainPID") not in {before, "0"}
    goes_on(consumer)
    assert catch_up(consumer, 30)


def test_after_a_reboot_it_goes_on_where_it_was(installed: Machine, consumer: Consumer) -> None:
    goes_on(consumer)
    before = newest(consumer)
    installed.reboot()
    until(lambda: newest(consumer) > before, 60)
    goes_on(consumer)
    assert catch_up(consumer, 30)
    assert out_of_order(consumer.arrivals) == 0


def test_removal_keeps_state_and_config_and_a_purge_takes_all(
    installed: Machine, consumer: Consumer
) -> None:
    goes_on(consumer)
    before = newest(consumer)
    installed.run("dpkg", "--remove", "edge-agent")
    assert not (installed.tree / "opt/edge-agent").exists()
    assert "could not be found" in installed.run("systemctl", "status", "edge-agent", check=False)
    assert _config(installed).exists()
    installed.run("dpkg", "--install", PACKAGE)
    until(lambda: newest(consumer) > before)
    assert catch_up(consumer, 30)
    installed.run("dpkg", "--purge", "edge-agent")
    for gone in ("opt/edge-agent", "var/lib/edge-agent", "etc/edge-agent/config.toml"):
        assert not (installed.tree / gone).exists(), gone
    assert "edge-agent" not in (installed.tree / "etc/passwd").read_text()
    assert "edge-agent" not in installed.run("systemctl", "list-unit-files", "--no-pager")


def _workers(machine: Machine) -> dict[str, str]:
    """Return the process of each worker, by its name."""
    pids = machine.run("cat", "/sys/fs/cgroup/system.slice/edge-agent.service/cgroup.procs")
    names = {
        machine.run("cat", f"/proc/{pid}/comm", check=False).strip(): pid for pid in pids.split()
    }
    return {name.removeprefix("ea:"): pid for name, pid in names.items() if name.startswith("ea:")}


def _config(machine: Machine) -> Path:
    return machine.tree / "etc" / "edge-agent" / "config.toml"
