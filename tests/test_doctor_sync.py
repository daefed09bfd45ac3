"""What `edge-agent doctor` says of [sync]: server, root of trust, until when metadata holds."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.commands.doctor import Finding, Gateway
from edge_agent.commands.doctor_sync import check_sync
from edge_agent.config import parse_json
from edge_agent.modelstore.desired import Match, ModelRef
from tests.agents import DEVICE
from tests.conftest import free_port
from tests.modelstore import plant
from tools.repo import publishing, rollouts

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC)
LIFE_DAYS = {
    "timestamp": 7, "snapshot": 30, "rollout": 90, "targets": 365, "models": 365, "root": 730
}  # fmt: skip


def repository(folder: Path, now: dt.datetime = NOW) -> plant.Owner:
    """Make a repository with a fleet, whose root.json the gateway has."""
    owner = plant.Owner(folder / "server", now=now)
    owner.init()
    owner.add()
    model = ModelRef("wear", "1.0.0")
    publishing.edit_desired(
        owner.desk, "default", lambda desired: rollouts.with_default(desired, "a", Match(), model)
    )
    (folder / "root.json").write_bytes(owner.pinned_root)
    return owner


def found(folder: Path, url: str | Path, **sync: Any) -> list[Finding]:
    tree = {"device": DEVICE, "sync": {"url": str(url), "root": "root.json"} | sync}
    config = parse_json(json.dumps(tree).encode())
    return [*check_sync(Gateway(config, folder, folder / "state", "nobody"))]


def test_without_sync_nothing_is_said(tmp_path: Path) -> None:
    config = parse_json(json.dumps({"device": DEVICE}).encode())
    assert not [*check_sync(Gateway(config, tmp_path, tmp_path / "state", "nobody"))]


def test_a_repository_that_is_well_says_until_when_its_metadata_holds(tmp_path: Path) -> None:
    owner = repository(tmp_path)
    with plant.served(owner.desk.folder) as url:
        answers, holds, fleet = found(tmp_path, url)
    assert [each.level for each in (answers, holds, fleet)] == ["ok"] * 3
    assert answers.text.startswith(f"{url} answers after ")
    for role, days in LIFE_DAYS.items():
        assert f"{role} {NOW + dt.timedelta(days=days):%Y-%m-%d}" in holds.text
    assert holds.text.index("timestamp") < holds.text.index("root 2")
    assert fleet.text == "fleet default: its document is signed, epoch 1"
    assert not (tmp_path / "state").exists(), "the agent's own store is not touched"


def test_what_expires_soon_and_is_signed_by_hand_is_warned_of(tmp_path: Path) -> None:
    owner = repository(tmp_path, NOW - dt.timedelta(days=360))
    owner.now = NOW
    publishing.refresh(owner.desk)
    _, holds, _ = found(tmp_path, owner.desk.folder)
    assert holds.level == "warn"
    assert "have targets, models signed anew" in holds.advice


def test_metadata_that_has_expired_fails(tmp_path: Path) -> None:
    owner = repository(tmp_path, NOW - dt.timedelta(days=8))
    answers, expired = found(tmp_path, owner.desk.folder)
    assert [answers.level, expired.level] == ["ok", "fail"]
    assert "expired" in expired.text
    assert "signed anew" in expired.advice


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "no-such-folder"])
def test_a_server_that_does_not_answer_fails(url: str, tmp_path: Path) -> None:
    repository(tmp_path)
    (offline,) = found(tmp_path, url.format(port=free_port()))
    assert offline.level == "fail"
    assert ": offline: " in offline.text
    assert "the server there" in offline.advice


def test_without_root_of_trust_nothing_is_believed_and_the_server_answers_all_the_same(
    tmp_path: Path,
) -> None:
    owner = repository(tmp_path)
    (tmp_path / "root.json").unlink()
    none, answers = found(tmp_path, owner.desk.folder)
    assert [none.level, answers.level] == ["fail", "ok"]
    assert none.text == f"no root of trust: {tmp_path}/root.json cannot be read"


def test_another_repository_is_not_believed_and_another_fleet_is_not_signed(tmp_path: Path) -> None:
    owner = repository(tmp_path)
    *_, fleet = found(tmp_path, owner.desk.folder, fleet="other")
    assert fleet.level == "fail"
    assert fleet.text.startswith("fleet other: not_signed: ")
    (tmp_path / "else").mkdir()
    other = repository(tmp_path / "else")
    _, untrusted = found(tmp_path, other.desk.folder)
    assert untrusted.level == "fail"
    assert "untrusted: " in untrusted.text


def test_what_the_agent_has_seen_already_is_not_given_up(tmp_path: Path) -> None:
    owner = repository(tmp_path)
    before = tmp_path / "before"
    shutil.copytree(owner.desk.folder, before)
    publishing.refresh(owner.desk)
    site = plant.site(tmp_path, owner)
    site.clock_s = NOW.timestamp()
    site.refresh()
    shutil.copytree(site.layout.root, tmp_path / "state" / "models")
    _, older = found(tmp_path, before)
    assert older.level == "fail"
    assert "untrusted: " in older.text
