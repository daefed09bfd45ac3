"""A key that never leaves its device signs models: SoftHSM stands in for a token."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.modelstore.desired import ModelRef
from tests.modelstore.plant import add_model, write_bundle
from tests.modelstore.test_repo_commands import site_of
from tools.repo.__main__ import main

pytest.importorskip("pkcs11", reason="pip install 'securesystemslib[PKCS11]' signs with tokens")
LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
if not LIBRARY.exists() or shutil.which("pkcs11-tool") is None:
    pytest.skip("apt-get install softhsm2 opensc makes a token", allow_module_level=True)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a token with an ECDSA key of id 2; return its URI."""
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(config))
    monkeypatch.setenv("PYKCS11LIB", str(LIBRARY))
    monkeypatch.setenv("REPO_KEY_PIN", "1234")
    make = ["softhsm2-util", "--init-token", "--free", "--label", "safe"]
    subprocess.run([*make, "--pin", "1234", "--so-pin", "1234"], check=True, capture_output=True)
    key = ["pkcs11-tool", "--module", str(LIBRARY), "--token-label", "safe", "--login"]
    key += ["--pin", "1234", "--keypairgen", "--key-type", "EC:prime256v1", "--id", "02"]
    subprocess.run(key, check=True, capture_output=True, env=os.environ)
    return "hsm:2?label=safe"


def test_a_key_in_a_token_takes_the_place_of_a_file_and_signs_a_model(
    tmp_path: Path, token: str
) -> None:
    repo = tmp_path / "repo"
    assert main(["init", str(repo)]) == 0
    assert main(["rotate", str(repo), "--role", "models", "--key", token]) == 0
    for old in (tmp_path / "repo-keys" / "offline").glob("models-*.pem"):
        old.unlink()
    assert add_model(repo, write_bundle(tmp_path / "wear-1")) == 0
    site_of(repo, tmp_path).take(ModelRef("wear", "1.0.0"))
