"""Memory of pictures is used again, and never while somebody still looks at it."""

from __future__ import annotations

import gc
import mmap
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.pictures import image
from edge_agent.pictures.buffers import LARGE_BYTES, Buffers
from edge_agent.types import Frame
from tests.sources import create, source_context

LARGE = (512, 512, 3)
OUT_OF_MEMORY = """
import resource
from edge_agent.pictures.buffers import Buffers
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    Buffers().array((2 << 30, 1, 1))
except MemoryError as error:
    print(error)
"""


def place(array: np.ndarray) -> int:
    """Return where in memory it begins."""
    address: int = array.__array_interface__["data"][0]
    return address


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_picture_takes_the_place_of_one_that_has_gone() -> None:
    buffers = Buffers()
    first = buffers.array(LARGE)
    at = place(first)
    second = buffers.array(LARGE)
    assert place(second) != at
    del first
    assert place(buffers.array(LARGE)) == at


@pytest.mark.parametrize(
    "look",
    [
        lambda array: array[10:20, ::2],
        lambda array: array.reshape(-1)[5:],
        lambda array: memoryview(array)[3:4],
        lambda array: np.frombuffer(array, np.uint8)[7:],
        lambda array: np.asarray(array).view(np.int8).T,
    ],
    ids=["slice", "reshaped", "memoryview", "frombuffer", "view"],
)
def test_whatever_shows_a_part_of_a_picture_keeps_all_of_it(look: object) -> None:
    buffers = Buffers()
    array = buffers.array(LARGE)
    at = place(array)
    part = look(array)  # type: ignore[operator]
    del array
    gc.collect()
    another = buffers.array(LARGE)
    assert place(another) != at
    del part
    assert place(buffers.array(LARGE)) == at


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=60))
def test_it_never_has_more_than_were_in_use_at_the_same_time(
    steps: list[tuple[int, int]],
) -> None:
    mapped: list[weakref.ref[mmap.mmap]] = []
    map_memory = mmap.mmap

    def map_and_note(*arguments: int, **more: int) -> mmap.mmap:
        memory = map_memory(*arguments, **more)
        mapped.append(weakref.ref(memory))
        return memory

    buffers, held, most = Buffers(), [], 0
    with patch("mmap.mmap", map_and_note):
        for rows, kept in steps:
            held.append(buffers.array((rows, LARGE_BYTES)))
            most = max(most, len(held))
            assert len({place(one) for one in held}) == len(held)
            assert sum(memory() is not None for memory in mapped) <= most
            del held[: max(0, len(held) - kept)]


def test_what_is_not_in_use_goes_back_to_the_kernel() -> None:
    buffers = Buffers()
    held = buffers.array((64 << 20,))
    held[:] = 1
    kept = buffers.array((64 << 20,))
    kept[:] = 2
    del held
    buffers.let_go()  # it was in use until now
    before = resident_bytes()
    buffers.let_go()
    assert before - resident_bytes() > 60 << 20
    assert kept.min() == kept.max() == 2


def test_what_is_needed_now_and_again_stays_and_the_rest_goes() -> None:
    buffers = Buffers()
    places = {place(array) for array in [buffers.array(LARGE) for _ in range(5)]}
    buffers.let_go()
    for _ in range(3):
        busy = [buffers.array(LARGE) for _ in range(2)]
        assert {place(array) for array in busy} <= places
        places = {place(array) for array in busy}
        del busy
        buffers.let_go()
        assert len(buffers._free) == 2
    buffers.let_go()  # by now nobody has wanted any for all of the time
    assert not buffers._free


def test_small_ones_stay_on_the_heap() -> None:
    small, large = (LARGE_BYTES - 1,), (LARGE_BYTES,)
    assert Buffers().array(small).base is None
    assert Buffers().array(large).base is not None


def test_what_the_kernel_refuses_is_a_memory_error_which_ends_the_worker_alone() -> None:
    run = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, check=True
    )
    assert "2147483648 bytes for a picture" in run.stdout


def test_threads_never_share_a_picture() -> None:
    buffers, wrong = Buffers(), []

    def work(value: int) -> None:
        held: list[np.ndarray] = []
        for turn in range(300):
            array = buffers.array(LARGE)
            array[:] = value
            held.append(array[turn % 500 :])
            if any((one != value).any() for one in held):
                wrong.append(turn)
            del held[:-2]

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_decoded_picture_stays_what_it_is_while_others_are_decoded() -> None:
    def jpeg(value: int) -> bytes:
        return image.encode_jpeg(np.full(LARGE, value, np.uint8))

    first = image.decode(jpeg(10))
    part = image.decode(jpeg(90))[100:200]
    for _ in range(3):
        image.decode(jpeg(200))
    assert (first == 10).all()
    assert (part == 90).all()
    drawn = image.draw_defects(first, ())
    drawn[:] = 0
    assert (first == 10).all()


def test_what_is_decoded_and_drawn_takes_the_place_of_what_has_gone() -> None:
    content = image.encode_jpeg(np.full(LARGE, 10, np.uint8))
    places = {place(image.decode(content)) for _ in range(5)}
    assert len(places) == 1
    decoded = image.decode(content)
    assert len({place(image.draw_defects(decoded, ())) for _ in range(5)}) == 1


def test_pictures_of_a_camera_stay_what_they_are_also_when_their_size_changes(
    tmp_path: Path,
) -> None:
    for name, size in (("large", (640, 480)), ("small", (320, 240))):
        file = str(tmp_path / f"{name}.avi")
        video = cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"MJPG"), 10, size)
        for level in range(6):
            video.write(np.full((size[1], size[0], 3), 40 * level, np.uint8))
        video.release()
    (tmp_path / "now.avi").symlink_to(tmp_path / "large.avi")
    source = create(
        source_context(folder=tmp_path), kind="camera", file="now.avi", loop=True, realtime=False
    )
    source.connect()
    seen: list[Frame] = []
    while len(seen) < 12:
        frame = source.read(1.0)
        if len(seen) == 3:  # from the next turn on it is the other file
            (tmp_path / "now.avi").unlink()
            (tmp_path / "now.avi").symlink_to(tmp_path / "small.avi")
        if isinstance(frame, Frame):
            seen.append(frame)
    source.close()
    assert [frame.pixels.shape for frame in seen] == [(480, 640, 3)] * 6 + [(240, 320, 3)] * 6
    # The first of each size shows what it is; OpenCV makes an array of its own for it.
    assert [frame.pixels.base is None for frame in seen] == ([True] + [False] * 5) * 2
    for number, frame in enumerate(seen):
        np.testing.assert_allclose(frame.pixels, 40 * (number % 6), atol=6)
