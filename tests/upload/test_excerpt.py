"""How much of a picture may leave, and what is written beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.config import EvidenceOptions
from edge_agent.line.evidence import EvidenceRing
from edge_agent.metrics import Counters
from edge_agent.types import Defect, Window
from edge_agent.upload.excerpt import region
from edge_agent.upload.options import UploadOptions, UploadOrders
from edge_agent.upload.outgoing import Outgoing
from tests.test_evidence import keep, picture, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.types import Item, Verdict
    from edge_agent.upload.excerpt import Box

FOUND = Defect("scratch", 0.9, 20, 30, 40, 10)


def kept(
    folder: Path, seen: Verdict, item: Item, roi: Box | None = None, **options: Any
) -> tuple[list[Path], dict[str, int]]:
    """Keep one item as a worker does; return what waits to be sent, and the counters."""
    counters = Counters()
    wanted = UploadOptions(url="http://label.example/", **options)
    orders = UploadOrders(wanted, folder / "upload")

    def upload(own: Counters) -> Outgoing:
        return Outgoing(orders, "camera", "gw-01", roi, own)

    ring = EvidenceRing(folder / "camera", EvidenceOptions(), counters, roi, upload)
    keep(ring, item, seen)
    ring.close(10)
    spool = folder / "upload" / "camera"
    return sorted(spool.iterdir()) if spool.is_dir() else [], counters.totals()


def read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return pixels


def test_a_crop_shows_what_was_found_with_its_margin_and_says_where_it_lay(tmp_path: Path) -> None:
    (content, sidecar), _ = kept(tmp_path, verdict(), picture(), picture="crop", margin_px=5)
    cut = read(content)
    assert cut.shape == (20, 50, 3)
    assert np.abs(cut.astype(int) - picture().pixels[25:45, 15:65]).mean() < 4
    tree = json.loads(sidecar.read_bytes())
    assert (tree["left"], tree["top"], tree["picture"]) == (15, 25, "crop")
    assert tree["regions"] == [
        {"label": "scratch", "score": 0.9, "x": 5.0, "y": 5.0, "w": 40.0, "h": 10.0}
    ]


def test_what_a_blur_hides_cannot_be_seen_and_what_was_found_can(tmp_path: Path) -> None:
    frame = picture()
    frame.pixels[60:, 80:] = np.random.default_rng(1).integers(0, 256, (60, 80, 3))
    (content, _), _ = kept(tmp_path, verdict(), frame, picture="blur", margin_px=0)
    sent = read(content).astype(int)
    assert sent.shape == (120, 160, 3)
    assert np.abs(sent[32:38, 24:56] - frame.pixels[32:38, 24:56]).mean() < 8
    assert frame.pixels[64:, 84:].std() > 70
    assert sent[64:, 84:].std() < 20


@pytest.mark.parametrize("how", ["crop", "blur"])
def test_where_nothing_was_found_nothing_is_sent_unless_a_roi_says_what_may(
    tmp_path: Path, how: str
) -> None:
    nothing = replace(verdict("uncertain"), defects=())
    files, totals = kept(tmp_path / "without", nothing, picture(), picture=how)
    assert files == []
    assert totals["upload_nothing_to_show"] == 1
    files, _ = kept(tmp_path / "with", nothing, picture(), (10, 20, 64, 48), picture=how)
    assert read(files[0]).shape == ((48, 64, 3) if how == "crop" else (120, 160, 3))


def test_the_sidecar_has_the_verdict_and_the_model_and_no_secret(tmp_path: Path) -> None:
    seen = replace(verdict(), score=0.91, threshold=0.5, model="parts", model_version="1.2.0")
    (_, sidecar), _ = kept(tmp_path, seen, picture(), credentials_file="/secret/file")
    text = sidecar.read_text()
    tree = json.loads(text)
    assert tree["verdict"] == "fail"
    assert (tree["score"], tree["threshold"]) == (0.91, 0.5)
    assert (tree["model"], tree["model_version"]) == ("parts", "1.2.0")
    assert (tree["device"], tree["pipeline"]) == ("gw-01", "camera")
    assert "secret" not in text
    assert "label.example" not in text


def test_a_window_goes_as_it_is(tmp_path: Path) -> None:
    samples = np.arange(12, dtype=np.float32).reshape(6, 2)
    window = Window(samples, ("x", "y"), 100.0, 0, 0, 0)
    (sidecar, content), _ = kept(tmp_path, verdict(), window, picture="crop")
    assert sidecar.suffix == ".json"
    with np.load(content) as sent:
        assert (sent["samples"] == samples).all()


@pytest.mark.parametrize(
    ("seen", "options"),
    [("uncertain", {"outcomes": ("fail",)}), ("fail", {"pipelines": ("other",)})],
)
def test_only_the_outcomes_and_pipelines_that_are_asked_for_are_sent(
    tmp_path: Path, seen: Any, options: dict[str, Any]
) -> None:
    assert kept(tmp_path, verdict(seen), picture(), **options)[0] == []


def test_the_oldest_give_way_when_the_server_is_away_for_long(tmp_path: Path) -> None:
    for second in range(12):
        files, totals = kept(tmp_path, verdict(), picture(second), max_mb=0.02)
        assert sum(path.stat().st_size for path in files) <= 20_000
    assert totals["upload_dropped"] >= 1
    assert "T221331" in files[-1].name
    assert len(files) % 2 == 0


def test_a_region_stays_within_what_is_inspected_and_ignores_what_is_no_number() -> None:
    assert region([FOUND], (0, 0, 50, 35), 100) == (0, 0, 50, 35)
    assert region([FOUND, Defect("a", 1, 0, 0, 5, 5)], (0, 0, 160, 120), 0) == (0, 0, 60, 40)
    assert region([Defect("a", 1, float("nan"), 0, 1, 1)], (0, 0, 9, 9), 3) is None
    assert region([FOUND], (100, 100, 10, 10), 1) is None
