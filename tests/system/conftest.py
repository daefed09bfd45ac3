"""A Debian that boots in a container (systemd-nspawn), with the package of `make deb` installed.

Its processes are real ones under a real systemd; kernel and loopback are this machine's. The
broker runs in it, too: agents need a password there, and the consumer has a port of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.agents import DEVICE
from tests.conftest import free_port
from tests.faults.plant import Consumer, camera, pictures, until

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILT = Path(__file__).parents[2]
TREE = BUILT / "build" / "debian-tree.tar"
PACKAGE = "/srv/edge-agent.deb"  # in the booted tree
PASSWORD = "correct horse"
VIDEO_MAJOR = 81  # Documentation/admin-guide/devices.txt of Linux
VIDEO_GROUP = 44  # in every Debian (base-passwd)
BOOT_S = 60


class Machine:
    """A booted tree. `run` starts a program in it, as root."""

    def __init__(self, tree: Path, log: Path, devices: Path) -> None:
        self.tree = tree
        self.broker_port, self.consumer_port = free_port(), free_port()
        self._log = log
        self._devices = devices
        self._nspawn: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Start it; returns when systemd says that it has started everything."""
        binds = [f"--bind={node}:/dev/{node.name}" for node in self._devices.iterdir()]
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"]
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                [*command, "--console=pipe", f"--directory={self.tree}", *binds],
                env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait_until_up()

    def wait_until_up(self) -> None:
        deadline_s = time.monotonic() + BOOT_S
        while self.leader() is None or self._state() not in {"running", "degraded"}:
            assert self._nspawn is not None
            if self._nspawn.poll() is not None or time.monotonic() > deadline_s:
                raise TimeoutError(self._log.read_text(errors="replace")[-500:])
            time.sleep(0.2)

    def reboot(self) -> None:
        """Shut it down in order as `systemctl reboot` does, and boot it again."""
        assert self._nspawn is not None
        before = self.leader()
        self.run("systemctl", "reboot", check=False)
        # Some systemd-nspawn boot it again by themselves, some end.
        until(lambda: self._ended() or self.leader() not in {before, None}, BOOT_S)
        if self._ended():
            self.boot()
        else:
            self.wait_until_up()

    def _ended(self) -> bool:
        return self._nspawn is None or self._nspawn.poll() is not None

    def leader(self) -> int | None:
        """Return the process that is number 1 inside."""
        assert self._nspawn is not None
        pid = self._nspawn.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            systemd = [c for c in children if Path(f"/proc/{c}/comm").read_text() == "systemd\n"]
        except OSError:
            return None
        return int(systemd[0]) if systemd else None

    def run(self, *command: str, check: bool = True, timeout_s: float = 120) -> str:
        """Return what a program prints, on both ways; it must succeed unless told otherwise."""
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        enter = ["nsenter", f"--target={self.leader()}", *namespaces, "--wd=/"]
        done = subprocess.run(
            [*enter, "env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def agent(self, field: str) -> str:
        """Return one property of the agent's unit."""
        return self.run("systemctl", "show", "--value", f"--property={field}", "edge-agent").strip()

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit=edge-agent")

    def end(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.terminate()  # a clean halt
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()

    def _state(self) -> str:
        return self.run("systemctl", "is-system-running", check=False).strip()


@pytest.fixture(scope="session")
def package() -> Path:
    """Return the newest package that `make deb` made."""
    packages = sorted((BUILT / "dist").glob("*.deb"), key=lambda file: file.stat().st_mtime)
    if not packages:
        pytest.skip("there is no package in dist/: `make deb`")
    return packages[-1]


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Machine]:
    """Boot a fresh tree, install the package in it, and give it a password and a config."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to boot a container")
    for program in ("systemd-nspawn", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}: install systemd-container and util-linux")
    if not TREE.exists():
        pytest.skip(f"there is no {TREE}: `make test-system` makes it")
    folder = tmp_path_factory.mktemp("machine")
    tree = folder / "tree"
    with tarfile.open(TREE) as tar:
        tar.extractall(tree, filter="fully_trusted")  # noqa: S202  we made it
    (devices := folder / "dev").mkdir()
    os.mknod(devices / "video0", 0o020600, os.makedev(VIDEO_MAJOR, 0))
    os.chown(devices / "video0", 0, VIDEO_GROUP)
    (devices / "video0").chmod(0o660)
    machine = Machine(tree, folder / "console.log", devices)
    _add_broker(machine)
    shutil.copy(package, tree / PACKAGE.removeprefix("/"))
    try:
        machine.boot()
    except (TimeoutError, OSError) as error:
        machine.end()
        pytest.skip(f"systemd does not boot in a container here: {error}")
    yield machine
    machine.end()
    shutil.rmtree(tree)


@pytest.fixture(scope="session")
def installed(machine: Machine) -> Machine:
    """Install the package and give it something to do."""
    machine.run("dpkg", "--install", PACKAGE)
    etc = machine.tree / "etc" / "edge-agent"
    (etc / "credentials" / "broker-password").write_text(f"{PASSWORD}\n")
    (etc / "credentials" / "broker-password").chmod(0o600)
    pictures(etc / "pictures")
    configure(machine)
    machine.run("systemctl", "restart", "edge-agent")
    return machine


@pytest.fixture(scope="session")
def consumer(machine: Machine) -> Iterator[Consumer]:
    consumer = Consumer(machine.consumer_port)
    yield consumer
    consumer.close()


def configure(machine: Machine, *more_pipelines: str, **top: object) -> None:
    """Write the agent's config: pipeline "left", and more that inspect the same pictures."""
    one = camera(Path("pictures"), 20, Path("/opt/edge-agent/models/conveyor-parts"))
    tree = {
        "device": DEVICE,
        "broker": {
            "port": machine.broker_port,
            "username": "gateway",
            "password_file": "/run/credentials/edge-agent.service/secret_broker-password",
        },
        "pipelines": dict.fromkeys(("left", *more_pipelines), one),
    } | top
    file = machine.tree / "etc" / "edge-agent" / "config.toml"
    file.write_text(_toml(tree))


def _toml(tree: dict[str, object]) -> str:
    """Return a tree as TOML: its tables, once their values are inline, are JSON with = for :."""

    def value(part: object) -> str:
        if isinstance(part, dict):
            return "{" + ", ".join(f"{key} = {value(v)}" for key, v in part.items()) + "}"
        if isinstance(part, list):
            return "[" + ", ".join(map(value, part)) + "]"
        return json.dumps(part)

    return "".join(f"{key} = {value(part)}\n" for key, part in tree.items())


def _add_broker(machine: Machine) -> None:
    mosquitto = machine.tree / "etc" / "mosquitto"
    settings = [
        "per_listener_settings true",
        "autosave_on_changes true",
        "autosave_interval 1",
        "max_queued_messages 20000",
        f"listener {machine.broker_port} 127.0.0.1",
        "allow_anonymous false",
        "password_file /etc/mosquitto/passwords",
        f"listener {machine.consumer_port} 127.0.0.1",
        "allow_anonymous true",
    ]
    (mosquitto / "conf.d" / "plant.conf").write_text("\n".join(settings) + "\n")
    passwords = ["mosquitto_passwd", "-b", "-c", "/etc/mosquitto/passwords", "gateway", PASSWORD]
    subprocess.run(["chroot", str(machine.tree), *passwords], check=True, capture_output=True)
    (mosquitto / "passwords").chmod(0o644)


def newest(consumer: Consumer) -> int:
    """Return the highest number that has come."""
    return max((arrival.seq for arrival in consumer.arrivals), default=0)


def goes_on(consumer: Consumer, more: int = 20, timeout_s: float = 60) -> None:
    """Wait for that many numbers more."""
    wanted = newest(consumer) + more
    until(lambda: newest(consumer) >= wanted, timeout_s)
