from __future__ import annotations

import datetime as dt
import http.client
import json
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from securesystemslib.signer import CryptoSigner

from edge_agent.errors import SyncError
from edge_agent.modelstore.desired import Gateway, ModelRef
from edge_agent.modelstore.desired_source import RepositorySource
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.origin import FolderOrigin
from tests.modelstore import plant
from tests.modelstore.plant import add_model, write_bundle
from tools.repo.__main__ import main
from tools.repo.signing import SigningDesk

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.modelstore.desired import Choice

GATEWAYS = [Gateway(f"gw-{n}", f"plant-{n % 20}") for n in range(100)]
OLD, NEW = ModelRef("wear", "1.0.0"), ModelRef("wear", "2.0.0")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Return a repository in which all gateways run `wear` 1.0.0."""
    bundle = write_bundle(tmp_path / "wear-1")
    assert main(["init", str(tmp_path / "repo")]) == 0
    assert add_model(tmp_path / "repo", bundle, "--slot", "spindle") == 0
    newer = write_bundle(tmp_path / "wear-2", version="2.0.0", seq=2)
    assert add_model(tmp_path / "repo", newer) == 0
    return tmp_path / "repo"


def site_of(repo: Path, tmp_path: Path) -> plant.Site:
    return plant.Site(
        StoreLayout(tmp_path / "store"),
        FolderOrigin(repo),
        (repo / "metadata" / "1.root.json").read_bytes(),
        clock_s=dt.datetime.now(dt.UTC).timestamp(),
    )


def models(repo: Path, tmp_path: Path, running: ModelRef = OLD) -> list[ModelRef]:
    """Return what each of a hundred gateways would run now."""
    view = site_of(repo, tmp_path).refresh()
    choices: list[Choice] = [
        RepositorySource("default", gateway).get(view, {"spindle": running})["spindle"]
        for gateway in GATEWAYS
    ]
    return [choice.model for choice in choices]


def test_a_rollout_goes_through_its_stages_halts_goes_on_and_becomes_the_default(
    repo: Path, tmp_path: Path
) -> None:
    start = ["rollout", str(repo), "--slot", "spindle", "--to", "wear@2.0.0"]
    assert main([*start, "--stages", "10,50,100", "--id", "r1"]) == 0
    first = models(repo, tmp_path).count(NEW)
    assert 2 <= first <= 20
    assert main(["promote", str(repo), "--id", "r1"]) == 0
    second = models(repo, tmp_path).count(NEW)
    assert first < second < 80
    assert main(["halt", str(repo), "--id", "r1"]) == 0
    assert models(repo, tmp_path).count(NEW) == 0
    assert main(["promote", str(repo), "--id", "r1"]) == 1
    assert main(["promote", str(repo), "--id", "r1", "--resume"]) == 0
    assert models(repo, tmp_path).count(NEW) == second
    for _ in range(2):
        assert main(["promote", str(repo), "--id", "r1"]) == 0
    assert models(repo, tmp_path) == [NEW] * 100
    assert main(["promote", str(repo), "--id", "r1"]) == 1


def test_a_rollout_for_one_plant_leaves_all_others_alone(repo: Path, tmp_path: Path) -> None:
    start = ["rollout", str(repo), "--slot", "spindle", "--to", "wear@2.0.0"]
    assert main([*start, "--match", "site=plant-3", "--match", "site=plant-4"]) == 0
    assert models(repo, tmp_path).count(NEW) == 10


def test_a_model_that_is_not_published_cannot_be_rolled_out(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", str(repo), "--slot", "spindle", "--to", "wear@9.9.9"]) == 1
    assert "add-model" in capsys.readouterr().err


def test_a_second_content_under_one_version_and_a_seq_that_goes_back_are_refused(
    repo: Path, tmp_path: Path
) -> None:
    other = write_bundle(tmp_path / "other", version="2.0.0", seq=2, size=10)
    assert add_model(repo, other) == 1
    older = write_bundle(tmp_path / "older", version="3.0.0", seq=2)
    assert add_model(repo, older) == 1
    assert add_model(repo, tmp_path / "wear-2") == 0


def test_a_bundle_whose_files_changed_is_not_signed(repo: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "wear-3", version="3.0.0", seq=3)
    (bundle / "model.tflite").write_bytes(b"other")
    before = (repo / "metadata" / "timestamp.json").read_bytes()
    assert add_model(repo, bundle) == 1
    assert (repo / "metadata" / "timestamp.json").read_bytes() == before


def test_two_of_three_key_holders_sign_one_after_the_other_on_machines_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, keys = tmp_path / "repo", tmp_path / "repo-keys"
    assert main(["init", str(repo), "--quorum", "models=2/3"]) == 0
    holders = []
    for number in (1, 2):
        holder = tmp_path / f"holder-{number}"
        shutil.copytree(keys / "offline", holder)
        keep_only(holder, f"models-{number}.pem")
        holders.append(str(holder))
    online = str(keys / "online")
    bundle = write_bundle(tmp_path / "wear-1")
    assert add_model(repo, bundle, "--keys", holders[0]) == 0
    assert "1 more signature" in capsys.readouterr().out
    assert main(["sign", str(repo), "--keys", online]) == 0
    with pytest.raises(SyncError, match="not_signed"):
        site_of(repo, tmp_path).take(OLD)
    assert main(["sign", str(repo), "--keys", holders[1]]) == 0
    assert "run `refresh`" in capsys.readouterr().out
    assert main(["refresh", str(repo), "--keys", online]) == 0
    site_of(repo, tmp_path).take(OLD)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "models", "rollout"])
def test_while_a_rotation_waits_for_a_signature_the_old_key_counts_and_gateways_see_no_gap(
    tmp_path: Path, role: str
) -> None:
    repo, keys = tmp_path / "repo", tmp_path / "repo-keys"
    main(["init", str(repo), "--quorum", "root=2/2", "--quorum", "targets=2/2"])
    add_model(repo, write_bundle(tmp_path / "wear-1"), "--slot", "spindle")
    site_of(repo, tmp_path).take(OLD)
    second = tmp_path / "second"
    second.mkdir()
    for name in ("root-2.pem", "targets-2.pem"):
        shutil.move(keys / "offline" / name, second / name)
    shutil.copy(keys / "offline" / "keyring.json", second)
    ring = json.loads((keys / "offline" / "keyring.json").read_bytes())
    mine = [entry for entry in ring if not (second / entry["uri"][6:]).exists()]
    (keys / "offline" / "keyring.json").write_text(json.dumps(mine))
    (second / "keyring.json").write_text(json.dumps([e for e in ring if e not in mine]))
    assert main(["rotate", str(repo), "--role", role]) == 0
    assert (repo / "staged").exists()
    assert models(repo, tmp_path) == [OLD] * 100
    assert main(["sign", str(repo), "--keys", str(second), "--keys", str(keys)]) == 0
    assert not list((repo / "staged").iterdir())
    assert models(repo, tmp_path) == [OLD] * 100


@pytest.mark.parametrize("role", ["models", "targets", "root"])
def test_what_somebody_put_on_the_server_is_never_signed_by_the_owners_keys(
    repo: Path, tmp_path: Path, role: str
) -> None:
    planted = SigningDesk(repo, []).require_published(role)
    planted.signed.version += 1
    planted.sign(CryptoSigner.generate_ed25519())
    path = repo / "metadata" / f"{planted.signed.version}.{role}.json"
    path.write_bytes(planted.to_bytes())
    newer = write_bundle(tmp_path / "wear-3", version="3.0.0", seq=3)
    timestamp = (repo / "metadata" / "timestamp.json").read_bytes()
    assert add_model(repo, newer) == 1
    assert (repo / "metadata" / "timestamp.json").read_bytes() == timestamp


def test_keys_sign_for_no_other_repository_than_theirs(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        assert main(["init", str(tmp_path / name)]) == 0
    mine = str(tmp_path / "mine-keys")
    assert main(["refresh", str(tmp_path / "theirs"), "--keys", mine]) == 1


def keep_only(folder: Path, name: str) -> None:
    """Leave one private key of a folder, and the keyring's line about it."""
    ring = folder / "keyring.json"
    entries = json.loads(ring.read_bytes())
    ring.write_text(json.dumps([e for e in entries if e["uri"] == f"file2:{name}"]))
    for path in folder.glob("*.pem"):
        if path.name != name:
            path.unlink()


def test_keys_are_for_their_owner_alone_and_never_written_over(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    assert main(["init", str(repo)]) == 0
    pems = sorted((tmp_path / "repo-keys").rglob("*.pem"))
    assert [path.stat().st_mode & 0o777 for path in pems] == [0o600] * 6
    before = [path.read_bytes() for path in pems]
    assert main(["init", str(repo)]) == 1
    assert [path.read_bytes() for path in pems] == before


def test_status_tells_versions_dates_models_and_rollouts(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["rollout", str(repo), "--slot", "spindle", "--to", "wear@2.0.0"]
    main([*start, "--stages", "1,100", "--match", "line=a"])
    capsys.readouterr()
    assert main(["status", str(repo)]) == 0
    said = capsys.readouterr().out
    assert "wear@2.0.0 seq 2" in said
    assert "slot spindle [line=a]" in said
    assert "1 % of devices (stages 1->100)" in said
    assert "timestamp" in said


def test_refresh_moves_every_date_that_online_keys_sign(repo: Path) -> None:
    later = SigningDesk(repo, [], lambda: dt.datetime.now(dt.UTC))
    before = {role: later.version(role) for role in ("rollout", "snapshot", "timestamp")}
    assert main(["refresh", str(repo)]) == 0
    for role, version in before.items():
        assert later.version(role) == version + 1


def test_the_development_server_serves_ranges_and_nothing_beside_the_repository(
    repo: Path,
) -> None:
    blob = next((repo / "blobs" / "sha256").iterdir())
    (repo / "staged" / "draft.json").write_bytes(b"{}")
    with plant.served(repo) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)

        def get(path: str, range_: str = "") -> tuple[int, bytes]:
            connection.request("GET", path, headers={"Range": range_} if range_ else {})
            answer = connection.getresponse()
            return answer.status, answer.read()

        path = f"/blobs/sha256/{blob.name}"
        content = blob.read_bytes()
        assert get(path) == (200, content)
        assert get(path, "bytes=3-5") == (206, content[3:6])
        assert get(path, "bytes=3-") == (206, content[3:])
        assert get(path, f"bytes={len(content)}-")[0] == 416
        for secret in ("/staged/draft.json", "/../repo-keys/online/keyring.json", "/", "/metadata"):
            assert get(secret)[0] == 404
        connection.close()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--slot", "two words"],
        ["--to", "wear"],
        ["--stages", "a,b"],
        ["--stages", "50,1"],
        ["--deadline", "tomorrow"],
        ["--window", "late"],
        ["--match", "lines=a"],
        ["--match", "line"],
    ],
)
def test_a_rollout_that_no_gateway_could_read_is_not_signed(
    repo: Path, tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["rollout", str(repo), "--slot", "spindle", "--to", "wear@2.0.0"]
    try:
        status = main([*start, *wrong])
    except SystemExit as ended:  # argparse names the option
        status = int(str(ended.code))
    assert status != 0
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "invalid _" not in said, "a name of the code's own"
    assert models(repo, tmp_path) == [OLD] * 100
    assert main(start) == 0, "the document is as good as before"


def test_a_key_in_a_device_whose_library_is_absent_is_refused_in_a_sentence(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (repo / "metadata" / "timestamp.json").read_bytes()
    for uri in ("tpm:1", "hsm:2?label=nobody", "awskms:alias/nothing", "azurekms:"):
        assert main(["rotate", str(repo), "--role", "models", "--key", uri]) == 1
        assert capsys.readouterr().err.startswith(f"refused: {uri}: ")
    assert (repo / "metadata" / "timestamp.json").read_bytes() == before
