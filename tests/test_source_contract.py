"""What every source must do, run on each of them: connect, read, close."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edge_agent import registry
from edge_agent.errors import EndOfStream, NotConnected
from edge_agent.types import Frame, Window
from tests.conftest import free_port
from tests.mjpeg import picture
from tests.sources import create, read_one, source_context, window_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.sources.base import Source, SourceContext
    from tests.conftest import Mosquitto, Recorder, WaitFor

KINDS = registry.kinds("sources")
ITEMS = 3


@dataclass
class Case:
    """One way to set a source up.

    `give` makes the source's other side provide ITEMS items, once it is connected, and after
    them something that is counted as dropped. `away` are options under which that other side is
    missing. `live`: items do not end by themselves.
    """

    options: dict[str, Any]
    window: WindowPreprocess | None = None
    give: Callable[[Recorder], None] = lambda _client: None
    away: dict[str, Any] = field(default_factory=dict)
    live: bool = False


def send(topic: str, *payloads: bytes) -> Callable[[Recorder], None]:
    def give(client: Recorder) -> None:
        for payload in (*payloads, b""):
            client.publish(topic, payload)

    return give


JPEG = cv2.imencode(".jpg", np.zeros((60, 80, 3), np.uint8))[1].tobytes()
CASES = {
    "camera": Case({"file": "run.avi"}, away={"file": "none.avi"}),
    "folder": Case({"path": "pictures"}, away={"path": "none"}),
    "mqtt_image": Case(
        {"topic": "cam", "qos": 1, "queue": 8},
        give=send("cam", *[JPEG] * ITEMS),
        away={"topic": "cam"},
        live=True,
    ),
    "mqtt_sensor": Case(
        {"topic": "t", "qos": 1, "channels": {"x": {}}},
        window=window_shape(samples=4, hop=4),
        give=send("t", *[b"1.5"] * 4 * ITEMS),
        away={"topic": "t"},
        live=True,
    ),
    "replay": Case(
        {"file": "run.csv", "speed": 0},
        window=window_shape(samples=4, hop=4),
        away={"file": "none.csv"},
    ),
    "simulator": Case({"scene": "conveyor", "realtime": False, "count": ITEMS}),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with what the sources of files read."""
    (tmp_path / "pictures").mkdir()
    path = str(tmp_path / "run.avi")
    video = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 50, (160, 120))
    for number in range(ITEMS):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(JPEG)
        video.write(picture(number))
    video.release()
    (tmp_path / "run.csv").write_text("x\n" + "1.5\n" * 4 * ITEMS)
    return tmp_path


@dataclass
class Opened:
    """A connected source whose items have been provided."""

    source: Source
    context: SourceContext
    case: Case


@pytest.fixture
def opened(
    kind: str, folder: Path, mosquitto: Mosquitto, mqtt_client: Recorder
) -> Iterator[Opened]:
    case = CASES[kind]
    context = source_context(mosquitto, window=case.window, folder=folder)
    source = create(context, kind=kind, **case.options)
    source.connect()
    case.give(mqtt_client)
    yield Opened(source, context, case)
    source.close()


def test_every_kind_is_tried_here() -> None:
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_option_is_refused(kind: str) -> None:
    tree = {"kind": kind, **CASES[kind].options}
    options = TypeAdapter(registry.options_type("sources"))
    assert options.validate_json(json.dumps(tree)).kind == kind
    with pytest.raises(ValidationError, match="colour"):
        options.validate_json(json.dumps({**tree, "colour": "red"}))


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_well_formed_and_counted_from_zero(opened: Opened) -> None:
    items = [read_one(opened.source) for _ in range(ITEMS)]
    assert [item.index for item in items] == list(range(ITEMS))
    assert all(item.origin for item in items)
    for name in ("captured_ns", "captured_mono_ns"):
        times = [getattr(item, name) for item in items]
        assert times == sorted(times)
    for item in items:
        if isinstance(item, Frame):
            assert item.pixels.dtype == np.uint8
            assert item.pixels.ndim == 3
            assert item.pixels.shape[2] == 3
        else:
            shape = opened.case.window
            assert isinstance(item, Window)
            assert shape is not None
            assert item.samples.dtype == np.float32
            assert item.samples.shape == (shape.samples, len(shape.channels))
            assert (item.channels, item.rate_hz) == (shape.channels, shape.rate_hz)


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_last_item_the_stream_ends_or_waits(opened: Opened) -> None:
    for _ in range(ITEMS):
        read_one(opened.source)
    if opened.case.live:
        assert opened.source.read(0.01) is None
    else:
        for _ in range(2):
            with pytest.raises(EndOfStream):
                opened.source.read(0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_after_close_what_was_accepted_is_handed_out_and_then_the_stream_ends(
    opened: Opened, wait_for: WaitFor
) -> None:
    read_one(opened.source)
    if opened.case.live:
        wait_for(opened.context.counters.totals)
    opened.source.close()
    rest = 0
    while True:
        try:
            rest += opened.source.read(1) is not None
        except EndOfStream:
            break
    # Files accept nothing ahead; what came over the network was accepted when it came.
    assert rest == (ITEMS - 1 if opened.case.live else 0)
    with pytest.raises(EndOfStream):
        opened.source.read(0)
    opened.source.close()


@pytest.mark.parametrize("kind", KINDS)
def test_close_ends_a_read_that_waits_in_another_thread(opened: Opened) -> None:
    ended = threading.Event()

    def read_on() -> None:
        try:
            while True:
                opened.source.read(0.2)
        except EndOfStream:
            ended.set()

    thread = threading.Thread(target=read_on)
    thread.start()
    opened.source.close()
    assert ended.wait(60)
    thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_was_closed_before_it_connected_just_ends(
    kind: str, folder: Path, mosquitto: Mosquitto
) -> None:
    case = CASES[kind]
    context = source_context(mosquitto, window=case.window, folder=folder)
    source = create(context, kind=kind, **case.options)
    source.close()
    source.connect()
    with pytest.raises(EndOfStream):
        source.read(0)


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.away])
def test_without_its_other_side_a_source_is_made_but_not_connected(
    kind: str, tmp_path: Path
) -> None:
    case = CASES[kind]
    context = source_context(window=case.window, folder=tmp_path)
    nobody = context.broker.model_copy(update={"port": free_port()})
    context = type(context)(
        context.pipeline, context.device, nobody, context.counters, case.window, tmp_path
    )
    source = create(context, kind=kind, **{**case.options, **case.away})
    for _ in range(2):
        with pytest.raises(NotConnected) as error:
            source.connect()
        assert len(str(error.value)) > 10
    source.close()
