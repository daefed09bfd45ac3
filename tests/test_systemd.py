"""The unit: without mistakes, well shut off, and as its document says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "systemd" / "edge-agent.service"
DOCUMENT = (ROOT / "docs" / "service.md").read_text()
MOST_EXPOSED = 1.2

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is absent"
)


def _settings() -> dict[str, list[str]]:
    """Return the values of each setting, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if re.match(r"[A-Z]", line):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@needs_systemd
def test_systemd_finds_no_mistake_in_the_unit_nor_in_what_it_names(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edge-agent/bin/edge-agent", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_shut_off_as_well_as_its_document_says() -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED, said
    assert f"`systemd-analyze security` gives the unit {found[1]}" in DOCUMENT


def test_a_processor_is_never_hidden_from_the_runtimes() -> None:
    assert "ProcSubset" not in _settings()


def test_a_wrong_config_fails_a_reload_and_the_agent_hears_of_it() -> None:
    tell, check = _settings()["ExecReload"]
    assert check.endswith("check /etc/edge-agent/config.toml")
    assert "kill -HUP $MAINPID" in tell


def test_the_document_names_the_credentials_as_the_unit_hands_them_over() -> None:
    name, _, folder = _settings()["LoadCredential"][0].partition(":")
    assert f"`{folder}/`" in DOCUMENT
    assert f"/run/credentials/{UNIT.name}/{name}_broker-password" in DOCUMENT
    assert f"{name}_broker-password" in (ROOT / "systemd" / "config.toml").read_text()


def test_the_user_of_the_unit_is_made_and_is_in_the_cameras_group() -> None:
    (user,) = _settings()["User"]
    made = (ROOT / "systemd" / "sysusers.conf").read_text()
    assert re.search(rf"^u {user} ", made, re.MULTILINE)
    assert f"m {user} video" in made
    assert "DeviceAllow" in _settings()


def test_the_document_names_all_that_an_installation_leaves_to_be_removed(tmp_path: Path) -> None:
    (built := tmp_path / "built" / "bin").mkdir(parents=True)
    (built / "edge-agent").touch()
    root = tmp_path / "root"
    install = ROOT / "tools" / "packaging" / "install.sh"
    subprocess.run([install, built.parent, root, "/opt/edge-agent"], check=True)
    lines = re.findall(r"^    rm -rf (.+)$", DOCUMENT, re.MULTILINE)
    named = [root / path.removeprefix("/") for line in lines for path in line.split()]
    there = [path for path in root.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert len(there) >= 5
    assert not [path for path in there if not {path, *path.parents} & set(named)]


def test_the_first_config_is_one_that_the_agent_takes() -> None:
    from edge_agent.config import parse_toml  # noqa: PLC0415  it reads every plug-in

    assert not parse_toml((ROOT / "systemd" / "config.toml").read_bytes()).pipelines


@pytest.mark.parametrize("script", sorted((ROOT / "tools" / "packaging").iterdir(), key=str))
def test_a_packaging_script_has_no_mistake_of_syntax_and_may_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    shell = "bash" if script.suffix == ".sh" else "sh"
    assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0
