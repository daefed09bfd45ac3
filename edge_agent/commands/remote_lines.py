"""What `edge-agent config` says: what differs, what was answered, what is reported: in lines."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from edge_agent.control.trees import changes
from edge_agent.errors import at

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

# Of what is reported, beside the config itself.
TOLD = ("ts", "rev", "status", "last_error")
PIPELINE = re.compile(r"/pipelines/[^/]+")


def change_lines(before: object, after: object) -> list[str]:
    """Return what differs between two configs, a line each."""
    return [_line(*each) for each in changes(before, after)]


def answer_lines(answer: dict[str, Any]) -> list[str]:
    """Return an answer as a person reads it."""
    lines = [f"{answer['status']} ({answer['code']}); revision {answer['rev']} is in force"]
    lines += [f"  {at(each['path'], each['msg'])}" for each in answer["errors"]]
    return lines + warning_lines(answer)


def warning_lines(answer: dict[str, Any]) -> list[str]:
    """Return what an answer warns of, in lines."""
    warnings = answer.get("warnings", [])  # an agent of an earlier version says nothing of any
    return [f"  warning: {each['path']}: {each['msg']}" for each in warnings]


def to_be_confirmed(rev: int, options: argparse.Namespace, clock_s: float) -> list[str]:
    """Return until when a change is to be confirmed, and by which command, in lines."""
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(clock_s + options.confirm_within))
    words = ["edge-agent", "config", "confirm", str(rev), *_same_target(options)]
    return [f"  it is taken back at {until} UTC, unless you say:", f"  {shlex.join(words)}"]


def pretty(tree: object) -> str:
    """Return a tree as indented JSON."""
    return json.dumps(tree, indent=2, ensure_ascii=False)


def watched(reports: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield each report as JSON: whole where the config is another one, else its state alone."""
    shown: tuple[int, object] | None = None
    for report in reports:
        now = report["rev"], report["config"]
        told = {name: report[name] for name in TOLD}
        yield json.dumps(told, ensure_ascii=False) if now == shown else pretty(report)
        shown = now


def _same_target(options: argparse.Namespace) -> list[str]:
    """Return the arguments that lead to the same agent again."""
    words = ["--host", options.host, "--port", str(options.port), "--device", options.device]
    more = {
        "--username": options.username,
        "--password-file": options.password_file,
        "--ca-file": options.ca_file,
    }
    words += [word for name, value in more.items() if value for word in (name, str(value))]
    return words + (["--key", *options.key] if options.key else [])


def _line(path: str, before: object, after: object) -> str:
    if before is ...:
        return f"+ {path}: {_shown(path, after)}"
    if after is ...:
        return f"- {path}: {_shown(path, before)}"
    return f"~ {path}: {_shown(path, before)} -> {_shown(path, after)}"


def _shown(path: str, value: object) -> str:
    """Return a value as JSON, and of a whole pipeline no more than which one it is."""
    if not PIPELINE.fullmatch(path) or not isinstance(value, dict) or "model" not in value:
        return json.dumps(value, ensure_ascii=False)
    source = value.get("source")
    kind = source.get("kind") if isinstance(source, dict) else source
    return f"{value.get('family')}, source {kind}, model {value.get('model')}"
