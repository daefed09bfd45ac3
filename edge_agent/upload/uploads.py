"""The agent's uploads: a thread where the config has [upload], else nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.upload.figures import Figures


class Uploads:
    """One agent's; safe to use from any thread."""

    def __init__(self, config: Config, folder: Path, spool: Path) -> None:
        """`folder`: where relative paths of the config start; `spool`: where files wait."""
        self._uploader = None
        if config.upload is not None:
            # What it takes (HTTP, TLS) costs memory that an agent without it has no use for.
            from edge_agent.upload.uploader import Uploader  # noqa: PLC0415

            self._uploader = Uploader(config.upload, config.device.name, folder, spool)

    def start(self) -> None:
        """Begin to send."""
        if self._uploader is not None:
            self._uploader.start()

    def stop(self) -> None:
        """Send no more: what was not sent whole is sent again at the next start."""
        if self._uploader is not None:
            self._uploader.stop()

    def figures(self) -> Figures | None:
        """Return how it goes."""
        return self._uploader.figures() if self._uploader is not None else None
