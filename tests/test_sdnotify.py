"""The notification protocol of systemd, against a real datagram socket as systemd opens it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from edge_agent.sdnotify import Systemd

UNIT = Path(__file__).parents[1] / "systemd" / "edge-agent.service"


def _listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(5)
    return listener


def test_systemd_hears_ready_status_alive_and_stopping(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with _listen(address) as systemd:
        notifier = Systemd({"NOTIFY_SOCKET": address}, pid=1)
        notifier.ready()
        notifier.status("2 pipelines\nrun")
        notifier.alive()
        notifier.reloading(1234)
        notifier.stopping(10.0)
        heard = [systemd.recv(1000) for _ in range(5)]
    assert heard[:3] == [b"READY=1", b"STATUS=2 pipelines run", b"WATCHDOG=1"]
    assert heard[3:] == [
        b"RELOADING=1\nMONOTONIC_USEC=1234",
        b"STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000",
    ]


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"edge-agent-test-{os.getpid()}"
    with _listen(f"\0{name}") as systemd:
        Systemd({"NOTIFY_SOCKET": f"@{name}"}, pid=1).ready()
        assert systemd.recv(1000) == b"READY=1"


def test_without_systemd_nothing_is_sent_and_nothing_fails() -> None:
    notifier = Systemd({"WATCHDOG_USEC": "20000000"}, pid=1)
    notifier.ready()
    assert notifier.watchdog_s is None


def test_a_socket_that_is_gone_is_logged_and_not_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=1).ready()
    assert "systemd: not told READY" in caplog.text


def test_a_full_queue_does_not_hold_up_the_agent(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with _listen(address):
        notifier = Systemd({"NOTIFY_SOCKET": address}, pid=1)
        for _ in range(5000):  # far more than /proc/sys/net/unix/max_dgram_qlen
            notifier.alive()


def test_what_is_said_once_waits_for_room_behind_signs_of_life(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with _listen(address) as systemd:
        notifier = Systemd({"NOTIFY_SOCKET": address}, pid=1)
        for _ in range(5000):
            notifier.alive()
        reading = threading.Timer(0.2, systemd.recv, (1000,))
        reading.start()
        notifier.reloading(1234)
        reading.join()
        while not systemd.recv(1000).startswith(b"RELOADING"):  # fails when there is none
            pass


@pytest.mark.parametrize(
    ("environ", "expected_s"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_timeout_and_only_by_whom_it_watches(
    environ: dict[str, str], expected_s: float | None
) -> None:
    assert Systemd({"NOTIFY_SOCKET": "/x", **environ}, pid=7).watchdog_s == expected_s


def test_the_unit_holds_what_keeps_a_gateway_alive() -> None:
    lines = UNIT.read_text().splitlines()
    unit = lines[: lines.index("[Service]")]
    assert "StartLimitIntervalSec=0" in unit, "in [Unit]; elsewhere systemd ignores it"
    settings = {line for line in lines if line and not line.startswith("#")}
    needed = {"Type=notify", "Restart=always", "KillMode=mixed", "StateDirectory=edge-agent"}
    assert needed <= settings
    assert any(line.startswith("WatchdogSec=") for line in settings)
    assert not any(line.startswith("ProcSubset") for line in settings)
