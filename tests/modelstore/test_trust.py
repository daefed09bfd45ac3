from __future__ import annotations

import datetime as dt
import shutil
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from edge_agent.errors import SyncError
from edge_agent.modelstore import floors
from edge_agent.modelstore.desired import Desired, Match, ModelRef
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.modelstore.origin import FolderOrigin
from tests.modelstore.plant import DAY_S, NOW, served
from tests.modelstore.thief import point_at, sign
from tools.repo import keys, publishing, rollouts
from tools.repo.signing import PRETTY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.modelstore.trust import TrustedView
    from tests.modelstore.plant import Owner, Site

WEAR = ModelRef("wear", "1.0.0")


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(SyncError) as caught:
        action()
    return caught.value.code


def test_a_model_comes_from_a_folder_as_a_bundle_that_loads(owner: Owner, gateway: Site) -> None:
    model = owner.add()
    taken = gateway.take(model)
    bundle = load_bundle(taken.folder)
    assert bundle.manifest.model_id == "wear"
    assert len(bundle.model) == 5000
    assert taken.fetched_bytes == 5010
    assert (taken.folder / "model.tflite").stat().st_mode & 0o777 == 0o444


def test_the_same_comes_over_http_and_a_poll_without_news_is_two_requests(
    owner: Owner, gateway: Site
) -> None:
    model = owner.add()
    with served(owner.desk.folder) as url:
        gateway.origin = counted = Counting(HttpOrigin(url, HttpSettings()))
        gateway.take(model)
        counted.asked.clear()
        gateway.refresh()
        assert counted.asked == ["metadata/2.root.json", "metadata/timestamp.json"]
        gateway.origin.close()


class Counting:
    """An origin that remembers what it was asked for."""

    def __init__(self, origin: HttpOrigin) -> None:
        self.asked: list[str] = []
        self._origin = origin
        self.stream = origin.stream
        self.close = origin.close

    def read(self, path: str, limit: int) -> bytes:
        self.asked.append(path)
        return self._origin.read(path, limit)


def test_a_file_that_two_versions_share_is_fetched_once(owner: Owner, gateway: Site) -> None:
    gateway.take(owner.add())
    assert gateway.take(owner.add(version="2.0.0", seq=2), 2).fetched_bytes == 5000


def test_a_blob_that_rotted_on_the_disk_is_fetched_again(owner: Owner, gateway: Site) -> None:
    model = owner.add()
    first = gateway.take(model)
    blob = gateway.layout.blob(load_bundle(first.folder).model_sha256)
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[7] ^= 1
    blob.write_bytes(content)
    assert gateway.take(model, 2).fetched_bytes == 5000
    load_bundle(gateway.layout.generation("spindle", 2))


def test_metadata_of_yesterday_is_refused_after_that_of_today(
    owner: Owner, gateway: Site, tmp_path: Path
) -> None:
    shutil.copytree(owner.desk.folder, tmp_path / "yesterday")
    owner.add()
    gateway.refresh()
    gateway.origin = FolderOrigin(tmp_path / "yesterday")
    assert code_of(gateway.refresh) == "untrusted"


def test_the_same_metadata_for_too_long_is_refused_as_a_freeze(owner: Owner, gateway: Site) -> None:
    owner.add()
    view = gateway.refresh()
    gateway.clock_s += 8 * DAY_S
    assert code_of(gateway.refresh) == "expired"
    # What was there before is still there: nothing is unloaded because metadata is old.
    assert view.manifest(WEAR, "1.0.0").manifest.seq == 1
    owner.now += dt.timedelta(days=8)
    publishing.refresh(owner.desk)
    gateway.refresh()


def test_parts_of_two_states_do_not_mix(owner: Owner, gateway: Site, tmp_path: Path) -> None:
    owner.add()
    shutil.copytree(owner.desk.folder, tmp_path / "mixed")
    owner.add(version="2.0.0", seq=2)
    new = owner.desk.folder / "metadata"
    shutil.copy(new / "timestamp.json", tmp_path / "mixed" / "metadata")
    old_snapshot = tmp_path / "mixed" / "metadata" / "2.snapshot.json"
    shutil.copy(old_snapshot, tmp_path / "mixed" / "metadata" / "3.snapshot.json")
    gateway.origin = FolderOrigin(tmp_path / "mixed")
    assert code_of(gateway.refresh) == "untrusted"
    shutil.copy(new / "3.snapshot.json", tmp_path / "mixed" / "metadata")
    old_models = tmp_path / "mixed" / "metadata" / "2.models.json"
    shutil.copy(old_models, tmp_path / "mixed" / "metadata" / "3.models.json")
    assert code_of(gateway.refresh) == "untrusted"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "models", "root"])
def test_metadata_by_a_key_that_nobody_named_is_refused(
    owner: Owner, gateway: Site, role: str
) -> None:
    owner.add()
    name = {"timestamp": "timestamp", "root": "2.root"}.get(
        role, f"{owner.desk.version(role)}.{role}"
    )
    metadata = owner.desk.latest(role)
    assert metadata is not None
    metadata.signed.version += role in {"timestamp", "root"}
    metadata.sign(CryptoSigner.generate_ed25519())
    path = owner.desk.folder / "metadata" / f"{name}.json"
    path.unlink(missing_ok=True)
    path.write_bytes(metadata.to_bytes(PRETTY))
    assert code_of(gateway.refresh) == "untrusted"


def test_the_online_keys_cannot_publish_a_model(owner: Owner, gateway: Site) -> None:
    owner.add()
    evil = TargetFile.from_data("models/wear/9.9.9/manifest.json", b"{}", ["sha256"])
    rollout = owner.desk.require("rollout").signed
    rollout.targets[evil.path] = evil
    rollout.version += 1
    sign(owner, "rollout", rollout, "rollout")
    owner.desk.advance(renew=True)
    view = gateway.refresh()
    assert code_of(lambda: view.manifest(ModelRef("wear", "9.9.9"), "1.0.0")) == "not_signed"
    # Nor as the role itself: its metadata needs the offline key.
    models = owner.desk.require("models").signed
    models.targets[evil.path] = evil
    models.version += 1
    sign(owner, "models", models, "rollout")
    point_at(owner, "models")
    assert code_of(gateway.refresh) == "untrusted"


def test_an_old_model_through_a_stolen_online_key_is_refused(owner: Owner, gateway: Site) -> None:
    owner.add()
    owner.add(version="2.0.0", seq=2)
    view = gateway.refresh()
    gateway.take(ModelRef("wear", "2.0.0"))
    confirm(view, "wear", 2)
    assert code_of(lambda: gateway.take(WEAR)) == "too_old"


def test_what_the_makers_call_too_old_cannot_come_back_though_the_newer_was_never_offered(
    owner: Owner, gateway: Site
) -> None:
    owner.add()
    gateway.refresh()
    owner.add(version="2.0.0", seq=2, min_seq=2)
    assert code_of(lambda: gateway.take(WEAR)) == "too_old"


def confirm(view: TrustedView, model_id: str, seq: int) -> None:
    view.floor_file.write(floors.with_confirmed(view.floors(), model_id, seq))


def test_a_document_of_an_earlier_epoch_is_refused_until_the_keys_change(
    owner: Owner, gateway: Site
) -> None:
    model = owner.add()
    high = Desired(schema=1, epoch=2**62, rules=())
    publishing.edit_desired(owner.desk, "f", lambda _: high)
    gateway.refresh().desired("f")
    low = rollouts.with_default(rollouts.EMPTY, "spindle", Match(), model)
    publishing.edit_desired(owner.desk, "f", lambda _: low)
    assert code_of(lambda: gateway.refresh().desired("f")) == "rolled_back"
    publishing.rotate(owner.desk, owner.root / "keys", "rollout", set())
    assert gateway.refresh().desired("f").epoch == 1


@pytest.mark.parametrize("role", ["root", "targets", "models", "rollout", "snapshot", "timestamp"])
def test_after_a_rotation_the_old_key_counts_for_nothing_and_gateways_follow(
    owner: Owner, gateway: Site, role: str
) -> None:
    gateway.refresh()
    old = keys.read_keyring(publishing.key_folder(owner.root / "keys", role))
    stolen = next(entry for entry in old if entry.role == role)
    said = publishing.rotate(owner.desk, owner.root / "keys", role, set())
    assert not [line for line in said if "waits" in line or "not signed" in line]
    owner.add()
    gateway.refresh()
    metadata = owner.desk.latest(role)
    assert metadata is not None
    metadata.signed.version += 1
    metadata.sign(stolen.signer())
    name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
    (owner.desk.folder / "metadata" / name).write_bytes(metadata.to_bytes(PRETTY))
    if role not in {"root", "timestamp"}:
        point_at(owner, role)
    assert code_of(lambda: refresh_all(gateway)) == "untrusted"


def refresh_all(gateway: Site) -> None:
    gateway.refresh().desired("default")


def test_a_clock_at_1970_neither_stops_updates_nor_hides_a_freeze(
    owner: Owner, gateway: Site
) -> None:
    gateway.refresh()
    gateway.clock_s = 0
    gateway.refresh()
    owner.now -= dt.timedelta(days=30)  # what a freezer would show: signed long ago
    publishing.refresh(owner.desk)
    assert code_of(gateway.refresh) == "expired"


def test_a_clock_two_years_ahead_does_not_lock_updates_out_nor_when_it_is_set_right(
    owner: Owner, gateway: Site
) -> None:
    gateway.refresh()
    gateway.clock_s += 730 * DAY_S
    gateway.take(owner.add())
    gateway.clock_s = NOW.timestamp()
    owner.now += dt.timedelta(hours=2)
    gateway.take(owner.add(version="2.0.0", seq=2), 2)


def test_a_gateway_that_was_dark_for_a_year_follows_new_roots_and_updates(
    owner: Owner, gateway: Site
) -> None:
    gateway.refresh()
    for _ in range(3):
        owner.now += dt.timedelta(days=130)
        publishing.rotate(owner.desk, owner.root / "keys", "root", set())
    for role in ("targets", "models"):
        owner.desk.draft(role, owner.desk.require(role).signed)
    publishing.refresh(owner.desk)
    gateway.clock_s = owner.now.timestamp()
    gateway.take(owner.add())


@pytest.mark.parametrize(
    "name", ["root.json", "root_history/1.root.json", "timestamp.json", "models.json"]
)
def test_a_file_that_a_power_cut_emptied_is_replaced(
    owner: Owner, gateway: Site, name: str
) -> None:
    gateway.take(owner.add())
    (gateway.layout.metadata / name).write_bytes(b"")
    gateway.take(owner.add(version="2.0.0", seq=2), 2)


def test_a_portal_that_answers_everything_with_a_page_is_no_repository(
    owner: Owner, gateway: Site
) -> None:
    owner.add()
    gateway.refresh()
    for path in (owner.desk.folder / "metadata").iterdir():
        path.unlink()
        path.write_bytes(b"<html>log in</html>")
    (owner.desk.folder / "metadata" / "2.root.json").write_bytes(b"<html>log in</html>")
    assert code_of(gateway.refresh) == "bad_answer"


def test_a_stick_that_was_pulled_is_offline(owner: Owner, gateway: Site) -> None:
    shutil.move(owner.desk.folder, owner.desk.folder.with_name("elsewhere"))
    assert code_of(gateway.refresh) == "offline"


def test_a_manifest_that_was_changed_on_the_server_is_refused(owner: Owner, gateway: Site) -> None:
    model = owner.add()
    for path in (owner.desk.folder / "targets" / "models").rglob("*.json"):
        path.write_bytes(path.read_bytes().replace(b'"seq": 1', b'"seq": 7'))
    assert code_of(lambda: gateway.take(model)) == "untrusted"


def test_a_model_for_a_newer_agent_or_other_hardware_is_left_alone(
    owner: Owner, gateway: Site
) -> None:
    model = owner.add(extra={"min_agent": "1.10.0"})
    assert code_of(lambda: gateway.take(model)) == "too_new"
    model = owner.add(version="2.0.0", seq=2, hw="edgetpu")
    assert code_of(lambda: gateway.take(model)) == "no_variant"


def test_a_gateway_fetches_the_variant_for_the_cpu_and_those_for_what_it_has(
    owner: Owner, gateway: Site
) -> None:
    model = owner.add(others=("edgetpu", "gpu"))
    for number, (hw, files) in enumerate(
        [
            ({"cpu"}, {"model.tflite"}),
            ({"edgetpu"}, {"model.tflite", "model-edgetpu.tflite"}),
        ]
    ):
        folder = gateway.take(model, number + 1, hw=hw).folder
        assert {path.name for path in folder.glob("model*.tflite")} == files
        assert load_bundle(folder).variant.hw == ("cpu",)
