"""Evidence is kept in a ring under its budget, and never costs a verdict."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.config import EvidenceOptions
from edge_agent.line.evidence import EvidenceRing
from edge_agent.line.pipeline import Identity, error_verdict
from edge_agent.metrics import Counters
from edge_agent.pictures import image
from edge_agent.types import Defect, Frame, Verdict, Window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.types import Item, Outcome
    from tests.conftest import WaitFor

DEFECT = Defect("scratch", 0.9, 20, 30, 40, 10)


def captured_ns(second: int) -> int:
    return (1_700_000_000 + second) * 10**9 + 678_000_000


def picture(second: int = 0) -> Frame:
    """Soft grey spots: like a photo, and unlike noise, JPEG keeps them."""
    rng = np.random.default_rng(second)
    spots = rng.integers(60, 200, (12, 16, 1), np.uint8).repeat(3, axis=2)
    pixels = cv2.resize(spots, (160, 120)).astype(np.uint8)
    return Frame(pixels, captured_ns(second), 0, second)


def window(second: int = 0) -> Window:
    return Window(np.zeros((64, 2), np.float32), ("x", "y"), 100.0, captured_ns(second), 0, 0)


def verdict(outcome: Outcome = "fail") -> Verdict:
    blank = error_verdict(Identity("camera", "qc", 1), "")
    return replace(blank, outcome=outcome, defects=(DEFECT,))


def keep(ring: EvidenceRing, item: Item, seen: Verdict | None = None) -> str:
    """Have it kept with its verdict, as a pipeline does; return the name of its evidence."""
    seen = seen or verdict()
    name = ring.name_of(seen.outcome, seen.id, item)
    ring.keep(replace(seen, captured_ns=item.captured_ns, evidence=name), item)
    return name


def ring(
    folder: Path, max_mb: float = 10, roi: tuple[int, int, int, int] | None = None
) -> EvidenceRing:
    return EvidenceRing(folder / "camera", EvidenceOptions(max_mb=max_mb), Counters(), roi)


def test_a_fail_is_kept_with_its_regions_drawn_and_as_it_was(tmp_path: Path) -> None:
    kept = ring(tmp_path)
    name = keep(kept, picture())
    kept.close(10)
    assert name.startswith("camera/20231114T221320.678Z-")
    drawn = cv2.imread(str(tmp_path / name))
    raw = cv2.imread(str(tmp_path / name.replace(".jpg", ".raw.jpg")))
    assert drawn is not None
    assert raw is not None
    assert drawn.shape == raw.shape == (120, 160, 3)
    frame_line = drawn[30:40, 20].astype(int)  # the left edge of the box is red
    assert (frame_line[:, 2] - frame_line[:, 0]).mean() > 60
    assert np.abs(raw.astype(int) - picture().pixels).mean() < 3


def test_the_raw_picture_is_the_inspected_part(tmp_path: Path) -> None:
    kept = ring(tmp_path, roi=(10, 20, 64, 48))
    name = keep(kept, picture())
    kept.close(10)
    raw = cv2.imread(str(tmp_path / name.replace(".jpg", ".raw.jpg")))
    assert raw is not None
    assert raw.shape == (48, 64, 3)


def test_a_window_is_kept_with_its_channels(tmp_path: Path) -> None:
    samples = np.arange(12, dtype=np.float32).reshape(6, 2)
    kept = ring(tmp_path)
    name = keep(kept, Window(samples, ("x", "y"), 100.0, 0, 0, 0))
    kept.close(10)
    with np.load(tmp_path / name) as content:
        assert (content["samples"] == samples).all()
        assert content["channels"].tolist() == ["x", "y"]
        assert content["rate_hz"] == 100.0


@pytest.mark.parametrize("outcome", ["pass", "error"])
def test_only_the_outcomes_of_the_config_are_kept(tmp_path: Path, outcome: Outcome) -> None:
    kept = ring(tmp_path)
    assert keep(kept, picture(), verdict(outcome)) == ""
    kept.close(10)
    assert list((tmp_path / "camera").iterdir()) == []


def test_the_oldest_go_when_the_budget_is_full_also_after_a_restart(tmp_path: Path) -> None:
    budget_mb = 0.02
    names = []
    for second in range(12):  # a new ring each time: what is there is counted at the start
        kept = ring(tmp_path, budget_mb)
        names.append(keep(kept, picture(second)))
        kept.close(10)
    files = sorted(path.name for path in (tmp_path / "camera").iterdir())
    assert sum((tmp_path / "camera" / name).stat().st_size for name in files) <= budget_mb * 1e6
    assert names[-1].removeprefix("camera/") in files
    assert names[0].removeprefix("camera/") not in files


def test_the_two_files_of_a_picture_come_and_go_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for second in range(20):
        side = 250 if second % 2 == 0 else 100  # what frees room is larger than what needs it
        noise = rng.integers(0, 256, (side, side, 3), np.uint8)
        kept = ring(tmp_path, 0.15)
        keep(kept, Frame(noise, captured_ns(second), 0, second))
        kept.close(10)
        stems = [path.name.partition(".")[0] for path in (tmp_path / "camera").iterdir()]
        assert len(stems) == 2 * len(set(stems))
    assert stems


def test_a_picture_larger_than_the_budget_is_kept_alone(tmp_path: Path) -> None:
    kept = ring(tmp_path, 0.001)
    for second in range(3):
        name = keep(kept, picture(second))
    kept.close(10)
    raw = name.replace(".jpg", ".raw.jpg")
    assert {f"camera/{path.name}" for path in (tmp_path / "camera").iterdir()} == {name, raw}


def test_a_picture_that_no_jpeg_can_hold_costs_its_own_evidence_alone(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    counters = Counters()
    kept = EvidenceRing(tmp_path / "camera", EvidenceOptions(), counters)
    keep(kept, Frame(np.zeros((100, 70_000, 3), np.uint8), captured_ns(0), 0, 0))
    wait_for(lambda: counters.totals().get("evidence_errors") == 1)
    name = keep(kept, picture(1))
    kept.close(10)
    assert (tmp_path / name).exists()


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path, wait_for: WaitFor) -> None:
    counters = Counters()
    kept = EvidenceRing(tmp_path / "camera", EvidenceOptions(), counters)
    wait_for((tmp_path / keep(kept, window(0))).exists)
    shutil.rmtree(tmp_path / "camera")
    keep(kept, window(1))
    wait_for(lambda: counters.totals().get("evidence_errors") == 1)
    wait_for((tmp_path / keep(kept, window(2))).exists)
    kept.close(10)


def test_where_nothing_is_drawn_both_names_are_one_file_and_count_once(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    folder = tmp_path / "camera"
    for start in (0, 20):  # what an agent finds there when it starts counts once as well
        kept, nothing = ring(tmp_path, 0.05), replace(verdict(), defects=())
        for second in range(start, start + 20):
            raw = keep(kept, picture(second), nothing).replace(".jpg", ".raw.jpg")
            wait_for((tmp_path / raw).exists)
        kept.close(10)
        stems = {path.name.removesuffix(".raw.jpg") for path in folder.glob("*.raw.jpg")}
        assert all((folder / f"{a}.jpg").samefile(folder / f"{a}.raw.jpg") for a in stems)
        assert len(stems) == 50_000 // 4096
        assert len(list(folder.iterdir())) == 2 * len(stems)


def test_a_file_system_without_links_keeps_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(here: str, _: str) -> None:
        raise PermissionError(1, "Operation not permitted", here)

    monkeypatch.setattr(os, "link", no_links)
    counters = Counters()
    kept = EvidenceRing(tmp_path / "camera", EvidenceOptions(), counters)
    name = keep(kept, picture(), replace(verdict(), defects=()))
    kept.close(10)
    raw = name.replace(".jpg", ".raw.jpg")
    assert (tmp_path / name).read_bytes() == (tmp_path / raw).read_bytes()
    assert not (tmp_path / name).samefile(tmp_path / raw)
    assert counters.totals() == {}


def test_small_files_count_as_the_blocks_that_they_take(tmp_path: Path, wait_for: WaitFor) -> None:
    kept = ring(tmp_path, 0.02)
    for second in range(12):
        name = keep(kept, window(second))
        wait_for((tmp_path / name).exists)
    kept.close(10)
    files = list((tmp_path / "camera").iterdir())
    assert all(path.stat().st_size < 4096 for path in files)
    assert len(files) == 20_000 // 4096


def test_files_that_somebody_else_removed_no_longer_count(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    kept = ring(tmp_path, 0.02)
    folder = tmp_path / "camera"
    for second in range(24):
        name = keep(kept, window(second))
        wait_for((tmp_path / name).exists)
        if second == 12:
            for path in folder.iterdir():
                path.unlink()
    kept.close(10)
    assert len(list(folder.iterdir())) == 20_000 // 4096


@pytest.mark.parametrize(
    ("size", "waiting"), [((1080, 1920), 8), ((2160, 3840), 2), ((4320, 7680), 1)]
)
def test_what_waits_for_the_disk_is_bounded_also_by_its_memory(
    tmp_path: Path, size: tuple[int, int], waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on, encode = threading.Event(), threading.Event(), image.encode_jpeg

    def encode_once_allowed(pixels: NDArray[np.uint8], quality: int) -> bytes:
        at_work.set()
        go_on.wait(30)
        return encode(pixels[:8, :8], quality)

    monkeypatch.setattr(image, "encode_jpeg", encode_once_allowed)
    counters = Counters()
    kept = EvidenceRing(tmp_path / "camera", EvidenceOptions(), counters)
    pixels = np.zeros((*size, 3), np.uint8)
    keep(kept, Frame(pixels, captured_ns(0), 0, 0))
    assert at_work.wait(10)
    for second in range(1, 13):
        keep(kept, Frame(pixels, captured_ns(second), 0, 0))
    assert counters.totals()["evidence_dropped"] == 12 - waiting
    go_on.set()
    kept.close(10)
    stamps = {path.name[:15] for path in (tmp_path / "camera").glob("*.raw.jpg")}
    assert stamps == {
        time.strftime("%Y%m%dT%H%M%S", time.gmtime(1_700_000_000 + second))
        for second in [0, *range(13 - waiting, 13)]
    }


def test_a_folder_that_cannot_be_written_costs_evidence_only(tmp_path: Path) -> None:
    (tmp_path / "camera").write_text("a file where the folder should be")
    counters = Counters()
    kept = EvidenceRing(tmp_path / "camera", EvidenceOptions(), counters)
    assert keep(kept, picture()) != ""
    kept.close(10)
    assert counters.totals()["evidence_errors"] == 1
