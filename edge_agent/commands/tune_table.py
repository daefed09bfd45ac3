"""What `edge-agent tune` found: as a table, as lines of config, and as a file that keeps it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent import durable
from edge_agent.commands.tune_runs import Measured
from edge_agent.errors import EdgeAgentError
from edge_agent.inference.accelerator import AcceleratorOptions, word_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEAD = (
    f"{'accelerator':<25}{'threads':>8}{'batch':>6}{'p50 ms':>9}{'p95 ms':>9}{'items/s':>10}"
    f"{'CPU ms/item':>13}{'speed':>7}{'share':>7}  ran on"
)
# From so much more CPU time for an item on, it is said.
MUCH_CPU = 1.2
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: what it did, or why it does not run.

    `asked`: AcceleratorOptions, less what is default.
    """

    asked: dict[str, Any]
    threads: int
    batch: int
    measured: Measured | None = None
    failure: str = ""

    @property
    def accelerator(self) -> AcceleratorOptions:
        """Return what was asked for."""
        return AcceleratorOptions.model_validate(self.asked)

    def line(self) -> str:
        """Return it as a line of the table below HEAD."""
        name = self.accelerator.name + ("*" if self.accelerator.options else "")
        begin = f"{name:<25}{self.threads:>8}{self.batch:>6}"
        it = self.measured
        if it is None:
            return f"{begin}  {self.failure}"
        share = "-" if it.share is None else f"{it.share:.0%}"
        return (
            f"{begin}{it.p50_ms:>9.3f}{it.p95_ms:>9.3f}{it.rate_hz:>10.1f}{it.cpu_ms:>13.3f}"
            f"{it.against:>7.2f}{share:>7}  {it.effective}"
        )


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """All settings that were measured in one run; the first is the present one.

    `best`: which row to use. `note`: why the present setting is not what the config asks for, and
    `asked`: what that is (as in Row). `defined`: what the config's words mean (as in Row).
    `varies`: whether the model takes several items at once. `made`: UTC.
    """

    pipeline: str
    made: str
    model_id: str
    version: str
    sha256: str
    cores: int
    rows: list[Row]
    best: int
    note: str
    varies: bool
    asked: dict[str, Any] | None = None
    defined: dict[str, dict[str, Any]] = {}

    def lines(self) -> list[str]:
        """Return it for a person."""
        return [
            f"{self.pipeline}: {self.model_id} {self.version} on {self.cores} cores, {self.made}",
            HEAD,
            *(row.line() for row in self.rows),
            *self.remarks(),
        ]

    def remarks(self) -> list[str]:
        """Return what the table means, and the lines of config."""
        present, best = self.rows[0], self.rows[self.best]
        lines = ["speed: of the median run, against the first line, which is measured beside each."]
        lines += [f"*: {toml(row.asked, {})}" for row in self.rows if row.accelerator.options]
        lines = list(dict.fromkeys(lines))
        if self.varies:
            lines.append("The agent inspects items one by one: batches above 1 are shown only.")
        else:
            lines.append("The model takes one item at a time: no other batch is possible.")
        if self.note:
            lines.append(self.note)
        chosen = best.asked
        if self.best == 0:
            lines.append("Nothing that answers rightly is worth a change. As it is:")
            chosen = self.asked or chosen
        else:
            lines.append(
                f"Measured once more, {_speed(best):.2f} times as fast as the present setting:"
            )
            if (times := _cpu(best) / max(_cpu(present), 1e-9)) > MUCH_CPU:
                lines.append(
                    f"(it takes {times:.1f} times the CPU: fit for cores with time to spare)"
                )
        words = {word: AcceleratorOptions.model_validate(a) for word, a in self.defined.items()}
        lines += ["", f"[pipelines.{self.pipeline}]", f"accelerator = {toml(chosen, words)}"]
        return [*lines, f"threads = {best.threads}"]


def write(tuning: Tuning, state_folder: Path) -> Path:
    """Keep it under the state folder; return the file. Raises OSError."""
    file = file_of(state_folder, tuning.pipeline)
    durable.write_file(file, msgspec.json.format(msgspec.json.encode(tuning)) + b"\n")
    return file


def read(state_folder: Path, pipeline: str) -> Tuning:
    """Return what was kept. Raises EdgeAgentError where there is nothing, or nothing readable."""
    file = file_of(state_folder, pipeline)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Tuning)
    except FileNotFoundError:
        raise EdgeAgentError(f"{pipeline} was not tuned yet: there is no {file}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise EdgeAgentError(f"{file}: {error}") from None


def file_of(state_folder: Path, pipeline: str) -> Path:
    """Return where a pipeline's tuning is kept."""
    return state_folder / "tuning" / f"{pipeline}.json"


def toml(asked: dict[str, Any], defined: Mapping[str, AcceleratorOptions]) -> str:
    """Return AcceleratorOptions as the config has them: a word where one says all, or a table."""
    word = word_for(AcceleratorOptions.model_validate(asked), defined)
    return _inline(word or asked)


def _inline(value: Any) -> str:  # noqa: ANN401  any value of such a table
    if isinstance(value, dict):
        pairs = (f"{_key(name)} = {_inline(each)}" for name, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value, ensure_ascii=False)  # a text, number or bool is the same in TOML


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name)


def _speed(row: Row) -> float:
    return row.measured.against if row.measured else 0.0


def _cpu(row: Row) -> float:
    return row.measured.cpu_ms if row.measured else 0.0
