"""What the faults share.

With `--full` each is injected as often and for as long as docs/reliability.md says; without it they
are short variants of the same, for `make test`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.plant import Broker, Consumer, Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLONE_NEWNET = 0x40000000  # unshare(2)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table."""

    fault: str
    injected: int
    lost: str
    recovery: str = "-"
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """How much to inject (`full`: this is `make faults`), and where to say what came of it.

    Times and rates are held to their limits at full length alone: beside the short variants other
    tests run.
    """

    full: bool
    note: Callable[[Finding], None]


@pytest.fixture
def trial(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Trial:
    return Trial(
        full=bool(request.config.getoption("--full", default=False)),
        note=lambda finding: record_property("finding", asdict(finding)),
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.end()


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    consumer = Consumer(broker.consumer_port)
    yield consumer
    consumer.close()


@pytest.fixture
def gateway(tmp_path: Path, broker: Broker) -> Iterator[Callable[..., Gateway]]:
    """Start an agent with these pipelines."""
    gateways: list[Gateway] = []

    def start(pipelines: dict[str, Any], folder: Path = tmp_path, **more: Any) -> Gateway:
        folder.mkdir(exist_ok=True)
        gateways.append(Gateway(folder, broker.port, pipelines, **more))
        gateways[-1].start()
        return gateways[-1]

    yield start
    for each in gateways:
        each.end()


@pytest.fixture
def own_network() -> Iterator[None]:
    """Give this thread, and all that it starts, a network of its own to break."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        pytest.skip("needs root and iptables")
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip("this kernel or container gives no network namespace")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
        libc.setns(before.fileno(), CLONE_NEWNET)
