"""`edge-agent models`: what each slot runs and has at hand; pin it, go back, release a model.

It reads what the agent wrote, and leaves notes that the agent finds, whether it runs or not.
`edge-agent verify` tests bundles that lie anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.commands.verification import verify
from edge_agent.errors import EdgeAgentError, no_such
from edge_agent.modelstore.in_force import bundle_name
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.modelstore.synced import store_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.modelstore.slot_record import Generation

DIGEST_LEAST = 8  # of its letters: fewer may be meant for another one


@dataclass(frozen=True, slots=True)
class Said:
    """What a command has to say, and whether all is well."""

    lines: list[str]
    good: bool = True


def answer(
    options: argparse.Namespace,
    read: Callable[[Path], Config],
    state: Callable[[argparse.Namespace], Path],
) -> Said:
    """Do what was asked; `read` and `state`: the config, and its state folder."""
    if options.command == "verify":
        return verify_bundles(options.bundle, options.memory_mb)
    folder = options.config.resolve().parent
    return run(options, read(options.config), folder, state(options))


def verify_bundles(bundles: Sequence[Path], memory_mb: int) -> Said:
    """Test bundles."""
    found = {folder: verify(folder, memory_mb=memory_mb) for folder in bundles}
    lines = []
    for folder, verification in found.items():
        lines.append(f"{folder}: {verification.sentence()}")
        lines += [f"{folder}: warning: {doubt}" for doubt in verification.doubts]
    return Said(lines, all(each.passed for each in found.values()))


def run(options: argparse.Namespace, config: Config, folder: Path, state_folder: Path) -> Said:
    """Do what `edge-agent models VERB` asks. Raises EdgeAgentError, OSError."""
    layout = StoreLayout(store_of(state_folder))
    factories = {each.slot or name: folder / each.model for name, each in config.pipelines.items()}
    slot = getattr(options, "slot", None)
    if slot is not None and slot not in factories:
        raise EdgeAgentError(no_such("slot", slot, factories))
    slots = {
        name: _Slot(SlotFolder(layout, name), factory)
        for name, factory in factories.items()
        if slot in {None, name}
    }
    match options.verb:
        case "list":
            return Said([each.line() for each in slots.values()])
        case "show":
            return Said([line for each in slots.values() for line in each.lines()])
        case "verify":
            bundles = [bundle for each in slots.values() for bundle in each.bundles().values()]
            return verify_bundles(bundles, int(config.worker_memory_mb))
        case "release":
            return _release([each.folder for each in slots.values()], options.model)
    chosen = slots[options.slot].folder
    if options.verb == "pin":
        chosen.pin(on=not options.off)
        return Said([f"{slot}: {'takes' if options.off else 'no longer takes'} other models"])
    record = chosen.record.read()
    coming = record.candidate.generation if record.candidate else None
    left = coming if record.state == "trial" else record.active
    if left is None:
        raise EdgeAgentError(
            f"{slot}: {coming.model} is on its way ({record.state}) and does not inspect yet"
            if coming
            else f"{slot} runs the bundle of the config: there is nothing to go back to"
        )
    chosen.recall(left.digest)
    back = f"{slot}: goes back from {left.model} to the model before"
    return Said([f"{back}; the agent does so at once, or at its next start"])


def _release(folders: Sequence[SlotFolder], wanted: str) -> Said:
    """Ask for a model, by its name or digest, to leave the quarantine of every slot."""
    lines, known = [], []
    for folder in folders:
        record = folder.record.read()
        for digest, why in record.quarantine.items():
            name = record.quarantined_as.get(digest, "")
            known.append(f"{folder.slot}: {record.quarantined_name(digest)}")
            by_digest = len(wanted) >= DIGEST_LEAST and digest.startswith(wanted)
            if by_digest or wanted == name:
                folder.release(digest, on=True)
                lines.append(f"{known[-1]} may be tried again; it was in quarantine for {why}")
    if not lines:
        raise EdgeAgentError(f"{wanted} is not in quarantine; in it: {', '.join(known) or 'none'}")
    return Said([*lines, "The agent does so at once, or at its next start."])


@dataclass(frozen=True, slots=True)
class _Slot:
    folder: SlotFolder
    factory: Path

    def line(self) -> str:
        record = self.folder.record.read()
        if record.state in {"failed", "rolled_back"} and record.error:
            # Of another model than the one that runs.
            state = f"runs; the last to come {record.state}: {record.error.code}"
        else:
            to = f" -> {record.candidate.generation.model}" if record.candidate else ""
            state = f"{record.state}{to}"
        pinned = ", pinned" if self.folder.pinned else ""
        return f"{self.folder.slot}: {self._name(record.active)} {state}{pinned}"

    def lines(self) -> list[str]:
        record = self.folder.record.read()
        found = [self.line(), f"  runs      {self._name(record.active)}"]
        if record.active:
            found.append(f"  before it {self._name(record.fallback)}")
        if record.candidate:
            candidate = record.candidate
            what = "on trial" if record.state == "trial" else "to come "
            found.append(f"  {what}  {candidate.generation.model}, attempt {candidate.attempt}")
        if record.error:
            found.append(f"  trouble   {record.error.code}: {record.error.detail}")
        never = record.quarantine.items()
        found += [f"  never     {record.quarantined_name(digest)} {why}" for digest, why in never]
        return found

    def bundles(self) -> dict[str, Path]:
        record = self.folder.record.read()
        kept = {str(each.number): self.folder.bundle(each) for each in record.generations}
        return {"factory": self.factory} | {
            name: bundle for name, bundle in kept.items() if bundle.is_dir()
        }

    def _name(self, generation: Generation | None) -> str:
        if generation is not None:
            return f"{generation.model} ({generation.digest[:12]})"
        return f"{bundle_name(self.factory) or self.factory} (of the config)"
