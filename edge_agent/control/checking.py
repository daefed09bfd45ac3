"""Looks at the bundles and sources of a candidate in a process of its own, which may crash or hang.

The agent process itself reads no model; and what was sent from afar may name a hostile file.
"""

from __future__ import annotations

import multiprocessing
import resource
from typing import TYPE_CHECKING

from edge_agent.commands.checks import check_pipelines
from edge_agent.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from edge_agent.config import Config

CHECK_S = 30.0
LEAVE_S = 1.0


def check(config: Config, folder: Path, pipelines: Iterable[str]) -> list[FieldError]:
    """Return what is wrong with these pipelines beyond the config itself; waits for the child."""
    chosen = {name: config.pipelines[name] for name in pipelines}
    if not chosen:
        return []
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    part = config.model_copy(update={"pipelines": chosen})
    child = context.Process(target=_look, args=(theirs, part, folder), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(CHECK_S):
            return [_failed("took too long to look at")]
        found: list[FieldError] = [FieldError(*entry) for entry in ours.recv()]
    except EOFError:
        return [_failed("could not be looked at: the process that did so died")]
    else:
        return found
    finally:
        child.join(LEAVE_S)
        child.kill()
        ours.close()


def _look(pipe: Connection, config: Config, folder: Path) -> None:
    limit = int(config.worker_memory_mb * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        check_pipelines(config, folder)
    except ConfigError as error:
        pipe.send([(field.path, field.kind, field.message) for field in error.fields])
    else:
        pipe.send([])


def _failed(what: str) -> FieldError:
    return FieldError("/pipelines", "check", f"the models and sources {what}")
