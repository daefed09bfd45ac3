"""The worker's part: what may be sent of an item, put where the agent finds it.

The worker has the pixels in its hands: so the agent process need not decode a picture to cut it.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from edge_agent.clock import utc_text
from edge_agent.pictures import image
from edge_agent.sensing import window_file
from edge_agent.types import Frame
from edge_agent.upload.excerpt import excerpt
from edge_agent.upload.spool import Region, Sidecar, Spool

if TYPE_CHECKING:
    from edge_agent.metrics import Counters
    from edge_agent.types import Item, Verdict
    from edge_agent.upload.excerpt import Box
    from edge_agent.upload.options import UploadOrders

log = logging.getLogger(__name__)

JPEG_QUALITY = 92


class Outgoing:
    """One pipeline's; the evidence's thread uses it."""

    def __init__(
        self, orders: UploadOrders, pipeline: str, device: str, roi: Box | None, counters: Counters
    ) -> None:
        self._options = orders.options
        self._wanted = not orders.options.pipelines or pipeline in orders.options.pipelines
        self._spool = Spool(orders.folder / pipeline, int(orders.options.max_mb * 1e6))
        self._device = device
        self._counters = counters
        self._roi = roi

    def put(self, stem: str, verdict: Verdict, item: Item) -> None:
        """Have an item sent, if it is one that is; `stem`: the evidence's name. Raises OSError."""
        if not self._wanted or verdict.outcome not in self._options.outcomes:
            return
        left = top = 0
        if isinstance(item, Frame):
            part = excerpt(item.pixels, verdict.defects, self._roi, self._options)
            if part is None:
                self._counters.add("upload_nothing_to_show")
                return
            left, top = part.left, part.top
            name, content = f"{stem}.jpg", image.encode_jpeg(part.pixels, JPEG_QUALITY)
        else:
            name, content = f"{stem}.npz", window_file.encode(item)
        picture = self._options.picture if isinstance(item, Frame) else ""
        about = _sidecar(name, content, verdict, (left, top), (self._device, picture))
        if dropped := self._spool.put(content, about):
            self._counters.add("upload_dropped", dropped)
        self._counters.add("upload_items")


def _sidecar(
    name: str,
    content: bytes,
    verdict: Verdict,
    corner: tuple[int, int],
    device_and_picture: tuple[str, str],
) -> Sidecar:
    left, top = corner
    device, picture = device_and_picture
    return Sidecar(
        id=verdict.id,
        file=name,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        capture_ts=utc_text(verdict.captured_ns),
        device=device,
        pipeline=verdict.pipeline,
        family=verdict.family,
        part_id=verdict.part_id,
        verdict=verdict.outcome,
        score=verdict.score,
        threshold=verdict.threshold,
        unit=verdict.unit,
        label=verdict.label,
        reason=verdict.reason,
        regions=tuple(
            Region(d.label, d.score, d.x - left, d.y - top, d.w, d.h) for d in verdict.defects
        ),
        picture=picture,
        left=left,
        top=top,
        model=verdict.model,
        model_version=verdict.model_version,
        model_sha256=verdict.model_sha256,
        config_rev=verdict.config_rev,
    )
