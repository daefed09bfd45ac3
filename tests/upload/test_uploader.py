"""What waits is sent once, whatever the line and the server do, and no faster than it may be."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from edge_agent.errors import SyncError
from edge_agent.upload import sending, spool
from edge_agent.upload.allowance import Allowance
from edge_agent.upload.options import UploadOptions
from edge_agent.upload.spool import Sidecar, Spool
from edge_agent.upload.uploader import Uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import WaitFor
    from tests.upload.bucket import Bucket


def put(root: Path, name: str, content: bytes = b"a picture" * 1000) -> None:
    """Have an item wait, as a worker does."""
    about = Sidecar(
        id=name,
        file=f"{name}.jpg",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        capture_ts="",
        device="gw-01",
        pipeline="camera",
        family="qc",
        part_id=None,
        verdict="fail",
        score=1.0,
        threshold=0.5,
        unit="",
        label="",
        reason="",
        regions=(),
        picture="whole",
        left=0,
        top=0,
        model="",
        model_version="",
        model_sha256="",
        config_rev=1,
    )
    Spool(root / "camera", 10**9).put(content, about)


@pytest.fixture
def start(tmp_path: Path, bucket: Bucket) -> Iterator[Callable[..., Uploader]]:
    """Start uploaders, which end with the test."""
    begun: list[Uploader] = []

    def begin(**options: Any) -> Uploader:
        wanted: dict[str, Any] = {"url": f"{bucket.url}evidence", "kb_per_s": 1e5} | options
        uploader = Uploader(UploadOptions(**wanted), "gw-01", tmp_path, tmp_path / "spool", 0.02)
        begun.append(uploader)
        uploader.start()
        return uploader

    yield begin
    for uploader in begun:
        uploader.stop()


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "spool" / "camera").iterdir())


def test_both_files_of_an_item_are_put_then_removed(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    put(tmp_path / "spool", "one", b"picture")
    uploader = start()
    wait_for(lambda: not left(tmp_path))
    assert bucket.files["/evidence/gw-01/camera/one.jpg"] == b"picture"
    assert json.loads(bucket.files["/evidence/gw-01/camera/one.json"])["id"] == "one"
    assert [head["Content-Type"] for head in bucket.heads] == ["image/jpeg", "application/json"]
    wait_for(lambda: uploader.figures().totals.get("items") == 1)
    assert uploader.figures().trouble == ""


@pytest.mark.parametrize("wrong", [0, 503, 401, 404, 302, 429])
def test_what_went_wrong_is_sent_again_and_nothing_is_removed_before(
    tmp_path: Path,
    bucket: Bucket,
    start: Callable[..., Uploader],
    wait_for: WaitFor,
    wrong: int,
) -> None:
    put(tmp_path / "spool", "one", bytes(100_000))
    bucket.always = wrong
    uploader = start()
    wait_for(lambda: uploader.figures().totals.get("failed", 0) > 1)
    assert left(tmp_path) == ["one.jpg", "one.json"]
    if wrong:
        assert str(wrong) in uploader.figures().trouble
    bucket.answers = [200, wrong, wrong]  # the picture, then not its sidecar
    bucket.always = None
    wait_for(lambda: not left(tmp_path))
    assert not bucket.answers
    assert bucket.files["/evidence/gw-01/camera/one.jpg"] == bytes(100_000)
    wait_for(lambda: not uploader.figures().trouble)


def test_an_item_that_the_server_refuses_stays_and_the_next_go_before_it(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    bucket.refuses = frozenset({"large"})
    put(tmp_path / "spool", "a-large")
    put(tmp_path / "spool", "b-small")
    uploader = start()
    wait_for(lambda: left(tmp_path) == ["a-large.jpg", "a-large.json"])
    wait_for(lambda: "refuses 1" in uploader.figures().trouble)
    uploader.stop()
    bucket.refuses = frozenset()
    start()
    wait_for(lambda: not left(tmp_path))


def test_a_refused_item_that_makes_way_for_others_is_refused_no_more(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    bucket.refuses = frozenset({"large"})
    put(tmp_path / "spool", "a-large")
    uploader = start()
    wait_for(lambda: "refuses 1" in uploader.figures().trouble)
    for path in (tmp_path / "spool").rglob("a-large.*"):
        path.unlink()
    wait_for(lambda: not uploader.figures().trouble)


def test_an_upload_that_is_broken_off_goes_on_at_the_next_start(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    bucket.pieces, bucket.slow_s = 4096, 0.05
    put(tmp_path / "spool", "one", bytes(200_000))
    uploader = start(kb_per_s=100)
    wait_for(bucket.began.is_set)
    uploader.stop()
    assert not uploader.alive
    assert left(tmp_path) == ["one.jpg", "one.json"]
    bucket.slow_s = 0
    start()
    wait_for(lambda: not left(tmp_path))
    assert bucket.files["/evidence/gw-01/camera/one.jpg"] == bytes(200_000)


def test_an_address_with_letters_of_a_language_is_sent_as_urls_write_them(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    put(tmp_path / "spool", "one", b"picture")
    start(url=f"{bucket.url}Prüfung/50%25/")
    wait_for(lambda: not left(tmp_path))
    assert bucket.files["/Pr%C3%BCfung/50%25/gw-01/camera/one.jpg"] == b"picture"


def test_a_disk_that_refuses_costs_nothing_of_the_day(tmp_path: Path) -> None:
    file = tmp_path / "today"
    file.mkdir()  # no file can take its place
    allowance = Allowance(file, 1e6, 100, lambda: 0.0)
    for _ in range(3):
        with pytest.raises(OSError, match="directory"):
            allowance.enter(90)
    file.rmdir()
    assert allowance.enter(90)
    assert not allowance.enter(90)


def test_an_upload_takes_no_more_of_the_line_than_its_share(
    tmp_path: Path, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    put(tmp_path / "spool", "one", bytes(100_000))
    began_s = time.monotonic()
    start(kb_per_s=100)
    wait_for(lambda: not left(tmp_path))
    assert time.monotonic() - began_s > 0.85  # 100 kB at 100 kB/s, the last piece not waited for


def test_a_day_has_its_limit_and_a_restart_does_not_lift_it(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    for name in ("a", "b", "c"):
        put(tmp_path / "spool", name, bytes(40_000))
    for _ in range(2):
        uploader = start(mb_per_day=0.09)
        wait_for(lambda: "in a day" in uploader.figures().trouble)  # noqa: B023  at once
        uploader.stop()
        assert left(tmp_path) == ["c.jpg", "c.json"]
    assert len(bucket.files) == 4


def test_the_next_day_begins_anew_and_a_file_larger_than_a_day_goes_alone(tmp_path: Path) -> None:
    clock = [86_400.0 * 20_000]
    allowance = Allowance(tmp_path / "sent.json", 1e6, 100, lambda: clock[0])
    assert allowance.enter(500)
    assert not allowance.enter(1)
    again = Allowance(tmp_path / "sent.json", 1e6, 100, lambda: clock[0])
    assert not again.enter(1)
    clock[0] += 86_400
    assert again.enter(60)
    assert not again.enter(60)
    assert again.today_bytes == 60


@pytest.mark.parametrize(
    ("text", "header"),
    [("bearer abc\n", "Bearer abc"), ("basic me:pass word\n", "Basic bWU6cGFzcyB3b3Jk")],
)
def test_the_server_is_shown_the_credentials_of_the_file_also_when_they_change(
    tmp_path: Path,
    bucket: Bucket,
    start: Callable[..., Uploader],
    wait_for: WaitFor,
    text: str,
    header: str,
) -> None:
    bucket.authorization = header
    (tmp_path / "credentials").write_text("bearer old")
    put(tmp_path / "spool", "one", bytes(300_000))  # more than fits into the sockets' buffers
    uploader = start(credentials_file="credentials")
    wait_for(lambda: "401" in uploader.figures().trouble)
    (tmp_path / "credentials").write_text(text)
    wait_for(lambda: not left(tmp_path))


@pytest.mark.parametrize(
    "text", ["", "token", "bearer", "basic nobody", "bearer a\nb: c", "bearer 5€"]
)
def test_credentials_that_are_none_are_told_and_not_sent(text: str) -> None:
    with pytest.raises(SyncError, match="credentials_file") as caught:
        sending.authorization(text)
    assert "nobody" not in str(caught.value)


def test_a_presigned_address_is_asked_for_and_never_told_the_credentials(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    bucket.authorization = "Bearer abc"
    (tmp_path / "credentials").write_text("bearer abc")
    put(tmp_path / "spool", "one")
    start(url=f"{bucket.url}sign/", how="presigned", credentials_file="credentials")
    wait_for(lambda: not left(tmp_path))
    assert "/files/gw-01/camera/one.jpg?signature=abc" in bucket.files
    assert all("Authorization" not in head for head in bucket.heads)


def test_what_a_power_cut_left_is_not_sent(
    tmp_path: Path, bucket: Bucket, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    root = tmp_path / "spool"
    for name in ("a-empty", "b-gone", "c-no-words", "d-well"):
        put(root, name)
    (root / "camera" / "a-empty.jpg").write_bytes(b"")
    (root / "camera" / "b-gone.jpg").unlink()
    (root / "camera" / "c-no-words.json").write_bytes(b"")
    start()
    wait_for(lambda: left(tmp_path) == ["c-no-words.jpg"])
    assert {Path(name).stem for name in bucket.files} == {"d-well"}
    spool.drop_orphans(root, now_s=time.time() + 3600)
    assert left(tmp_path) == []


@pytest.mark.parametrize("url", ["http://h:port/", "http://[::1/", "https:///", "http://u:p@h/"])
def test_an_address_that_is_none_is_refused_with_the_config(url: str) -> None:
    with pytest.raises(ValidationError):
        UploadOptions(url=url)


def test_an_address_that_leads_nowhere_is_told_and_ends_nothing(
    tmp_path: Path, start: Callable[..., Uploader], wait_for: WaitFor
) -> None:
    put(tmp_path / "spool", "one")
    uploader = start(url="https://127.0.0.1:1/")
    wait_for(lambda: uploader.figures().totals.get("failed", 0) > 1)
    assert "bug" not in uploader.figures().trouble


@pytest.mark.parametrize(
    "answer",
    [
        b"no json",
        b"{}",
        b'{"url": "file:///etc/passwd"}',
        b'{"url": "http://h:x/"}',
        b'{"url": "http://bad host/x"}',
        b'{"url": "http://' + b"h" * 64 + b'.example/x"}',
        '{"url": "http://h/Prüfung?signature=a"}'.encode(),
    ],
)
def test_a_signed_address_that_is_none_is_told_and_ends_nothing(
    tmp_path: Path,
    bucket: Bucket,
    start: Callable[..., Uploader],
    wait_for: WaitFor,
    answer: bytes,
) -> None:
    bucket.signs = answer
    put(tmp_path / "spool", "one")
    uploader = start(url=f"{bucket.url}sign/", how="presigned")
    wait_for(lambda: "presigned" in uploader.figures().trouble)
    assert not bucket.files
