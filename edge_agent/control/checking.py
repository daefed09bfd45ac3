"""Looks at the bundles and sources of a candidate in a process of its own, which may crash or hang.

The agent process itself reads no model; and what was sent from afar may name a hostile file.
"""

from __future__ import annotations

import multiprocessing
import resource
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

from edge_agent.commands.checks import doubted_models, wrong_pipelines
from edge_agent.commands.named_files import LIBRARY, missing_files
from edge_agent.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from edge_agent.config import Config

CHECK_S = 30.0
LEAVE_S = 1.0
TAKEN_BACK = "a pipeline that has to wait for it, and did not before, has the change taken back"


@dataclass(frozen=True, slots=True)
class Look:
    """`wrong`: what keeps pipelines from starting; `warnings`: what they start in spite of."""

    wrong: list[FieldError] = field(default_factory=list)
    warnings: list[FieldError] = field(default_factory=list)


def look(config: Config, folder: Path, pipelines: Iterable[str]) -> Look:
    """Return what is to be said of these pipelines beyond the config itself; waits for a child."""
    chosen = {name: config.pipelines[name] for name in pipelines}
    if not chosen:
        return Look()
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    part = config.model_copy(update={"pipelines": chosen})
    child = context.Process(target=_look, args=(theirs, part, folder), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(CHECK_S):
            return _failed("took too long to look at")
        wrong, warnings = ([FieldError(*entry) for entry in entries] for entries in ours.recv())
    except EOFError:
        return _failed("could not be looked at: the process that did so died")
    else:
        return Look(wrong, warnings)
    finally:
        child.join(LEAVE_S)
        child.kill()
        ours.close()


def _look(pipe: Connection, config: Config, folder: Path) -> None:
    limit = int(config.worker_memory_mb * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    wrong, warnings = wrong_pipelines(config, folder), _missing(config, folder)
    if not wrong:
        warnings += doubted_models(config, folder)
    with suppress(BrokenPipeError):  # the agent was killed meanwhile: nobody waits for the answer
        pipe.send([[astuple(each) for each in fields] for fields in (wrong, warnings)])


def _missing(config: Config, folder: Path) -> list[FieldError]:
    """Return the missing files of the pipelines, that of an accelerator where they choose it."""
    by_itself = config.model_copy(update={"accelerators": {}})
    return [
        FieldError(each.path.removesuffix(f"/{LIBRARY}"), each.kind, each.message)
        for each in missing_files(by_itself, folder, TAKEN_BACK)
        if each.path.startswith("/pipelines/")
    ]


def _failed(what: str) -> Look:
    return Look([FieldError("/pipelines", "check", f"the models and sources {what}")])
