"""Attacks on the repository of models: each is refused by its name, and what runs keeps running.

A gateway that runs one model meets a repository in the hands of somebody else, on the server or
with stolen online keys. Single requests that go wrong are in tests/modelstore/test_fetcher.py.
"""

from __future__ import annotations

import datetime as dt
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from edge_agent.modelstore.desired import Desired, Match, ModelRef
from tests.faults import update_plant
from tests.faults.conftest import Finding, Trial
from tests.faults.lone_updater import SLOT, LoneUpdater
from tests.faults.update_plant import OLD, Plant, damage
from tests.modelstore import servers
from tests.modelstore.plant import Owner, serving
from tests.modelstore.thief import point_at, sign
from tools.repo import publishing, rollouts
from tools.repo.signing import PRETTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY_S = 86_400.0


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    updater = LoneUpdater({})
    try:
        (tmp_path / "plant").mkdir()
        yield update_plant.make(tmp_path / "plant", updater)
    finally:
        updater.end()


def nothing(_: Owner) -> None:
    """Leave the repository as it is."""


def mix(owner: Owner) -> None:
    """Show the snapshot of before under the number of today's."""
    metadata = owner.desk.folder / "metadata"
    newest = owner.desk.version("snapshot")
    before = (metadata / f"{newest - 1}.snapshot.json").read_bytes()
    (metadata / f"{newest}.snapshot.json").write_bytes(before)


def sign_with_another_key(owner: Owner) -> None:
    """Sign the newest timestamp with a key that nobody named."""
    metadata = owner.desk.latest("timestamp")
    assert metadata is not None
    metadata.signed.version += 1
    metadata.sign(CryptoSigner.generate_ed25519())
    (owner.desk.folder / "metadata" / "timestamp.json").write_bytes(metadata.to_bytes(PRETTY))


def publish_with_online_keys(owner: Owner) -> None:
    """Put a model into the metadata of the models role, signed with the rollout key."""
    models = owner.desk.require("models").signed
    evil = TargetFile.from_data("models/wear/9.9.9/manifest.json", b"{}", ["sha256"])
    models.targets[evil.path] = evil
    models.version += 1
    sign(owner, "models", models, "rollout")
    point_at(owner, "models")


def want_an_old_model(owner: Owner) -> None:
    """Choose the first version for everybody, with the rollout key."""
    publishing.edit_desired(
        owner.desk,
        "default",
        lambda document: rollouts.with_default(document, SLOT, Match(), ModelRef("wear", "1.0.0")),
    )


def go_back_an_epoch(owner: Owner) -> None:
    """Sign a document that counts from one again."""
    publishing.edit_desired(owner.desk, "default", lambda _: Desired(schema=1, epoch=1, rules=()))


def flip_a_bit_of(pattern: str) -> Callable[[Owner], None]:
    """Change one bit of each file of that name."""

    def flip(owner: Owner) -> None:
        for file in owner.desk.folder.glob(pattern):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.chmod(0o644)
            file.write_bytes(content)

    return flip


@dataclass(frozen=True, slots=True)
class Attack:
    """`code`: with which it is refused. `ahead_s`: how far the gateway's clock is ahead."""

    name: str
    code: str
    do: Callable[[Owner], None] = nothing
    server: Callable[[servers.Answer], None] | None = None
    ahead_s: float = 0.0


ATTACKS = (
    Attack("freeze", "expired", ahead_s=8 * DAY_S),
    Attack("mix-and-match", "untrusted", mix),
    Attack("wrong key", "untrusted", sign_with_another_key),
    Attack("online keys publish a model", "untrusted", publish_with_online_keys),
    Attack("online key chooses an old model", "too_old", want_an_old_model),
    Attack("document of an earlier epoch", "rolled_back", go_back_an_epoch),
    Attack("flipped bit in a signed file", "untrusted", flip_a_bit_of("metadata/*.snapshot.json")),
    Attack("flipped bit in a manifest", "untrusted", flip_a_bit_of("targets/models/*/4*/*")),
    Attack("flipped bit in a model", "bad_blob", flip_a_bit_of("blobs/sha256/*")),
    Attack("captive portal", "bad_answer", server=servers.portal),
    Attack("404", "not_found", server=servers.refusing(404)),
    Attack("503", "busy", server=servers.refusing(503)),
    Attack("endless", "too_large", server=servers.endless),
    Attack("cut", "offline", server=servers.cut_after(0)),
)


@pytest.mark.timeout(300)
def test_each_attack_is_refused_by_its_name_and_what_runs_keeps_running(
    plant: Plant, tmp_path: Path, trial: Trial
) -> None:
    found: dict[str, str] = {}
    wrong: list[str] = []
    for number, attack in enumerate(ATTACKS):
        root = tmp_path / f"attacked-{number}"
        shutil.copytree(plant.owner.root, root)
        owner = Owner(root, dt.datetime.now(dt.UTC))
        attack.do(owner)
        store = plant.copy_to(tmp_path / "store")
        with ExitStack() as stack:
            url = str(owner.desk.folder)
            if attack.server is not None:
                server = servers.server(servers.Behaviour(bytes(5000), attack.server))
                url = stack.enter_context(serving(server))
            code = plant.run(store, wanted="", url=url, ahead_s=attack.ahead_s)
        found[attack.name] = ", ".join(plant.said("refused"))
        ran = [bundle.rpartition("/")[2] for bundle in plant.said("runs")]
        if code or ran != ["3"] or damage(plant, store, [OLD]):
            wrong.append(f"{attack.name}: {code}, ran {ran}; {damage(plant, store, [OLD])}")
    back = plant.run(plant.copy_to(tmp_path / "store"))
    said = "; ".join(f"{name}: {code}" for name, code in found.items())
    trial.note(
        Finding(
            "attacks on the model repository",
            len(found),
            f"{len(wrong)} models",
            "with the next good repository",
            said,
        )
    )
    assert not wrong
    assert found == {attack.name: attack.code for attack in ATTACKS}
    assert back == 0


def test_yesterdays_repository_is_refused_after_that_of_today(plant: Plant, tmp_path: Path) -> None:
    shutil.copytree(plant.owner.root, tmp_path / "yesterday")
    plant.want(5)
    store = plant.copy_to(tmp_path / "store")
    assert plant.run(store, wanted="wear@5.0.0") == 0
    assert plant.run(store, wanted="", url=str(tmp_path / "yesterday" / "repo")) == 0
    assert plant.said("refused") == ["untrusted"]
    assert not damage(plant, store, ["wear@5.0.0"])
