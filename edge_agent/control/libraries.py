"""Which libraries a config from afar may have loaded: those alone that the gateway's file defines.

A delegate is any shared object on the disk, run with the agent's rights; options of a provider or
of hardware may name another one. So a message chooses by word among `accelerators`, and brings
neither. What is in force already may stay as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import FieldError
from edge_agent.inference.accelerator import BARE

if TYPE_CHECKING:
    from edge_agent.config import Config


def brought(config: Config, current: Config) -> list[FieldError]:
    """Return where a config brings a library, or options, that `current` does not define."""
    found = []
    for name, options in config.pipelines.items():
        wanted, before = options.accelerator, current.pipelines.get(name)
        if before is not None and before.accelerator == wanted:
            continue
        if wanted in current.accelerators.values():
            continue
        if wanted.delegate is None and not wanted.options:
            continue
        place = "options" if wanted.delegate is None else "delegate"
        words = ", ".join(BARE | current.accelerators)
        text = (
            "cannot come over MQTT: define it as [accelerators.WORD] in the config file on the "
            f"gateway, and say the WORD here; there are: {words}"
        )
        found.append(FieldError(f"/pipelines/{name}/accelerator/{place}", "library", text))
    return found
