"""What users install: locks that plain pip takes from any mirror, and nothing that is too heavy."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-tflite-runtime.lock")

# Where packages come from is each machine's own setting. Written in parts, to pass their own test.
REGISTRY_HOSTS = [
    f"{name}.{top}"
    for name, top in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("piwheels", "org"),
        ("npmjs", "org"),
        ("debian", "org/debian"),
        ("download.pytorch", "org"),
    ]
]


def _locked(name: str) -> dict[str, str]:
    """Return the version of each package in a lock, and for a second version of it the last."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", text, re.MULTILINE))


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    tree: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return tree


def test_no_file_names_the_host_of_a_package_registry() -> None:
    named = {
        f"{file.relative_to(ROOT)} names {host}"
        for file in _tracked()
        for host in REGISTRY_HOSTS
        if host.encode() in file.read_bytes()
    }
    assert not named


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_with_hashes_and_says_nothing_of_where_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith(" "):
            assert re.match(r"[a-z0-9.-]+==[^ ]+( ; .*)? \\$", line), line
            assert following.startswith("    --hash=sha256:"), line


def test_tests_run_on_the_very_versions_that_are_installed_for_use() -> None:
    run, dev = _locked("requirements.lock"), _locked("requirements-dev.lock")
    assert run.items() <= dev.items()


def test_tflite_runtime_has_numpy_1_and_no_second_tensorflow_lite_beside_it() -> None:
    locked = _locked("requirements-tflite-runtime.lock")
    assert locked["tflite-runtime"] == "2.14.0"
    assert locked["numpy"].startswith("1.")
    assert "ai-edge-litert" not in locked


@pytest.mark.parametrize("lock", LOCKS)
def test_no_training_framework_is_installed(lock: str) -> None:
    assert not {"tensorflow", "torch", "keras", "jax"} & _locked(lock).keys()


def test_every_dependency_is_locked(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["onnx"], *extras["demo"]]
    names = {
        re.split(r"[<>=;\[ ]", need, maxsplit=1)[0] for need in wanted if '== "armv7l"' not in need
    }
    assert names <= _locked("requirements.lock").keys()


def test_the_license_is_apache_2(project: dict[str, Any]) -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert project["license"] == "Apache-2.0"


def test_make_help_lists_every_target_that_is_for_people() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"make ([a-z-]+)", said.stdout))
    assert {"run", "test", "check", "golden", "lock", "schemas", "clean"} <= listed
