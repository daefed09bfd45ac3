"""The camera source on real streams and files: what it hands out, and how it notices the end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.errors import EndOfStream, NotConnected
from edge_agent.line.capture import NewestCapture
from edge_agent.metrics import Counters
from edge_agent.sources.camera import CameraSource, Options
from tests.conftest import free_port
from tests.mjpeg import PICTURE_S, MjpegCamera, number_of, picture
from tests.sources import create, frames, read_all, read_one, source_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import WaitFor
    from tests.mjpeg import Mood

TIMEOUT_S = 0.5


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    server = MjpegCamera()
    server.start()
    yield server
    server.stop()


def stream(url: str, timeout_s: float = 10 * TIMEOUT_S, **options: str) -> CameraSource:
    source = create(
        source_context(),
        kind="camera",
        url=url,
        open_timeout_s=timeout_s,
        read_timeout_s=timeout_s,
        **options,
    )
    assert isinstance(source, CameraSource)
    return source


@pytest.fixture(params=[("MJPG", "avi"), ("mp4v", "mp4")], ids=["avi", "mp4"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Ten pictures at 50 a second."""
    fourcc, ending = request.param
    path = tmp_path / f"run.{ending}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), 50, (160, 120))
    for number in range(10):
        writer.write(picture(number))
    writer.release()
    return path


def file_source(path: Path, **options: object) -> CameraSource:
    context = source_context(folder=path.parent)
    source = create(context, kind="camera", file=path.name, **options)
    assert isinstance(source, CameraSource)
    return source


# ---------------------------------------------------------------------- streams


def test_a_network_camera_is_read_picture_by_picture(camera: MjpegCamera) -> None:
    source = stream(camera.url)
    assert source.capture == "newest"
    source.connect()
    items = frames([read_one(source) for _ in range(5)])
    assert [number_of(item.pixels) for item in items] == [0, 1, 2, 3, 4]
    assert [item.index for item in items] == [0, 1, 2, 3, 4]
    assert items[0].pixels.shape == (120, 160, 3)
    assert items[0].origin == camera.url
    source.close()


def test_a_camera_that_is_not_there_is_not_connected() -> None:
    source = stream(f"http://127.0.0.1:{free_port()}/stream")
    with pytest.raises(NotConnected, match="cannot be opened"):
        source.connect()
    with pytest.raises(NotConnected, match="not open"):
        source.read(0)


@pytest.mark.parametrize("mood", ["stalled", "dripping"])
def test_a_camera_that_stops_sending_is_noticed_and_is_back_after_reopening(
    camera: MjpegCamera, mood: Mood, wait_for: WaitFor
) -> None:
    source = stream(camera.url, TIMEOUT_S)

    def connects() -> bool:
        with suppress(NotConnected):  # on a busy machine half a second may be too short
            source.connect()
            return True
        return False

    wait_for(connects)
    read_one(source)
    camera.mood = mood
    began_s = time.monotonic()
    with pytest.raises(NotConnected, match="no picture came in time"):
        read_all(source)
    assert time.monotonic() - began_s < 20 * TIMEOUT_S  # OpenCV's own timeout is 30 s
    with pytest.raises(NotConnected, match="cannot be opened"):
        source.connect()
    camera.mood = "good"
    wait_for(connects)
    assert number_of(frames([read_one(source)])[0].pixels) == 0
    source.close()


def test_a_camera_that_dies_and_returns_is_read_again(camera: MjpegCamera) -> None:
    source = stream(camera.url)
    source.connect()
    before = read_one(source)
    camera.stop()
    with pytest.raises(NotConnected):
        read_all(source)
    with pytest.raises(NotConnected):
        source.connect()
    camera.start()
    source.connect()
    assert read_one(source).index > before.index
    source.close()


def test_a_camera_is_let_go_at_once_whenever_it_is_closed(
    camera: MjpegCamera, wait_for: WaitFor
) -> None:
    """Others may want it. Each time the close comes at another moment of a read."""
    sources = []
    for turn in range(20):
        source = stream(camera.url)
        sources.append(source)  # what Python frees by itself is no answer
        newest = NewestCapture(source, Counters())
        newest.connect()
        while newest.read(1) is None:
            pass
        time.sleep(turn * PICTURE_S / 20)
        newest.close()
        wait_for(lambda: camera.viewers == 0)


def test_closing_does_not_wait_for_a_read_that_hangs(camera: MjpegCamera) -> None:
    source = stream(camera.url)
    source.connect()
    read_one(source)
    camera.mood = "stalled"
    ended: list[BaseException] = []

    def read_on() -> None:
        try:
            while True:
                source.read(1)
        except EndOfStream as error:
            ended.append(error)

    thread = threading.Thread(target=read_on)
    thread.start()
    source.close()
    thread.join(60)
    assert len(ended) == 1


def test_the_password_comes_from_its_file_and_stays_out_of_names(
    camera: MjpegCamera, tmp_path: Path
) -> None:
    camera.credentials = "viewer:p@ss/word"
    secret = tmp_path / "secret"
    secret.write_text("p@ss/word\n")
    source = stream(camera.url, username="viewer", password_file=str(secret))
    source.connect()
    assert read_one(source).origin == camera.url
    source.close()
    for password in ("wrong", ""):
        secret.write_text(password)
        with pytest.raises(NotConnected) as error:
            stream(camera.url, username="viewer", password_file=str(secret)).connect()
        assert "viewer" not in str(error.value)


def test_a_password_file_that_is_missing_is_named(camera: MjpegCamera, tmp_path: Path) -> None:
    source = stream(camera.url, username="viewer", password_file=str(tmp_path / "secret"))
    with pytest.raises(NotConnected, match="password_file"):
        source.connect()


# ---------------------------------------------------------------------- files


def test_every_picture_of_a_file_is_handed_out_and_then_the_stream_ends(video: Path) -> None:
    source = file_source(video)
    assert source.capture == "inline"
    source.connect()
    items = frames(read_all(source))
    assert [number_of(item.pixels) for item in items] == list(range(10))
    assert [item.index for item in items] == list(range(10))
    with pytest.raises(EndOfStream):
        source.read(0)


def test_a_looped_file_begins_again(video: Path) -> None:
    source = file_source(video, loop=True)
    source.connect()
    seen: list[int] = []
    while len(seen) < 25:
        item = source.read(10)
        seen += [number_of(frame.pixels) for frame in frames([item] if item else [])]
    assert seen == [number % 10 for number in range(25)]
    source.close()


def test_a_file_in_real_time_is_no_faster_than_it_was_recorded(video: Path) -> None:
    source = file_source(video, realtime=True)
    source.connect()
    time.sleep(2 / 50)  # as where opening a file takes longer than two of its pictures
    items = frames(read_all(source))
    assert len(items) == 10
    assert items[-1].captured_mono_ns - items[0].captured_mono_ns >= 0.999 * 9e9 / 50


def test_a_file_may_stand_in_for_a_live_camera(video: Path) -> None:
    source = file_source(video, pacing="live", fps=1000)
    assert source.capture == "newest"
    source.connect()
    assert len(read_all(source)) == 10


def test_a_slow_file_says_so_in_time(video: Path) -> None:
    source = file_source(video, realtime=True, fps=0.01)
    source.connect()
    read_one(source)
    assert source.read(0.01) is None
    source.close()
    with pytest.raises(EndOfStream):
        source.read(1000)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_file_that_is_no_video_is_not_connected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.mp4"
    path.write_bytes(content)
    with pytest.raises(NotConnected, match=r"run.mp4"):
        file_source(path).connect()


def test_a_truncated_file_ends_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (160, 120))
    rng = np.random.default_rng(0)
    for _ in range(20):
        writer.write(rng.integers(0, 255, (120, 160, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = file_source(path)
    source.connect()
    assert 0 < len(read_all(source)) < 20


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of device, url and file"),
        ({"device": 0, "file": "x.mp4"}, "exactly one of device, url and file"),
        ({"url": "ftp://host/x"}, "url must begin with"),
        ({"url": "/dev/video0"}, "url must begin with"),
        ({"url": "rtsp://user:secret@host/x"}, "use username and password_file"),
        ({"device": 0, "username": "x"}, "are for url"),
        ({"device": 0, "loop": True}, "are for file"),
        ({"url": "rtsp://host/x", "pacing": "file"}, "are for file"),
        ({"device": 0, "fourcc": "MJPEG"}, "pattern"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as error:
        Options.model_validate({"kind": "camera", **options})
    assert "secret" not in str(error.value)


def test_a_device_that_is_not_there_is_not_connected() -> None:
    source = create(source_context(), kind="camera", device=99, width=640, fourcc="MJPG")
    with pytest.raises(NotConnected, match="/dev/video99"):
        source.connect()
    assert source.capture == "newest"
