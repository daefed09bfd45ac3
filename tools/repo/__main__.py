"""The commands of a model repository's owner: python -m tools.repo COMMAND.

init REPO                       keys in REPO-keys, an empty signed repository
add-model REPO BUNDLE...        run their golden samples, then publish them; --slot: every gateway
                                runs the last one there
import REPO --from mlflow M@A   bring a model and its evaluation from a registry, to be looked at
rollout REPO --slot S --to M@V  begin a change in stages
promote REPO --id R             its next stage; after the last it is the default
halt REPO --id R                no further gateway takes it (promote --resume goes on)
rotate REPO --role R            new keys for a role, the old ones no longer count
sign REPO                       add the signatures of the keys that are here
refresh REPO                    new dates by the online keys: daily, from a timer
status REPO                     versions, dates, models, rollouts
serve REPO                      a development server on loopback
control REPO                    promote and halt by what gateways report over MQTT
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.commands.verification import MEMORY_MB, verify
from edge_agent.errors import ModelError, SyncError
from edge_agent.modelstore.desired import Match, ModelRef, Rollout
from tools.repo import controller, importing, publishing, rollouts
from tools.repo.keys import NoKey
from tools.repo.publishing import Quorum
from tools.repo.serving import make_server
from tools.repo.signing import RepositoryError, SigningDesk

if TYPE_CHECKING:
    from collections.abc import Sequence

REFUSALS = (
    *(RepositoryError, ModelError, SyncError, NoKey),
    *(rollouts.NoSuchRule, msgspec.ValidationError),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 1 where it was refused."""
    options = _parser().parse_args(arguments)
    keys = options.keys or [options.repo.with_name(f"{options.repo.name}-keys")]
    try:
        for line in options.run(SigningDesk(options.repo, keys), options):
            print(line, flush=True)
    except (*REFUSALS, OSError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    return 0


def _init(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    named = dict(options.quorum)
    said = publishing.init(desk, desk.key_folders[0], named)
    root = desk.folder / "metadata" / "1.root.json"
    return [
        *said,
        f"gateways pin {root}",
        f"keep {desk.key_folders[0] / 'offline'} off this machine",
    ]


def _add_model(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    said = [] if options.unverified else _verified(options.bundle, options.memory_mb)
    said += publishing.add_models(desk, options.bundle, min_seq=options.min_seq)
    if options.slot:
        tree = msgspec.json.decode((options.bundle[-1] / "manifest.json").read_bytes())
        model = ModelRef(tree["model_id"], tree["version"])
        match = _match(options.match)
        said += publishing.edit_desired(
            desk,
            options.fleet,
            lambda document: rollouts.with_default(document, options.slot, match, model),
        )
    return said


def _verified(bundles: Sequence[Path], memory_mb: int) -> list[str]:
    """Return a sentence for each bundle that answers as it should. Raises RepositoryError."""
    said = []
    for bundle in bundles:
        found = verify(bundle, memory_mb=memory_mb)
        if not found.passed:
            text = "nothing was published; for one that this machine cannot run: --unverified"
            raise RepositoryError(f"{bundle}: {found.sentence()}; {text}")
        said.append(f"{bundle}: {found.sentence()}")
    return said


def _import(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    kind, reference = options.origin
    if kind not in importing.REGISTRIES:
        raise RepositoryError(f"{kind}: there is {', '.join(importing.REGISTRIES)}")
    out = options.out or desk.folder.with_name(f"{desk.folder.name}-imported")
    registry = importing.REGISTRIES[kind](options.server, os.environ)
    with contextlib.closing(registry):
        return importing.stage(registry.find(reference), out, options.like, publishing.seqs(desk))


def _rollout(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    name = options.id or f"{options.slot}-{options.to.version}"
    tree = {
        "id": name,
        "to": options.to,
        "unit": options.unit,
        "stages": [{"pct": percent} for percent in options.stages],
        "window": options.window,
        "deadline": options.deadline,
        "jitter_s": options.jitter_s,
        "allow_downgrade": options.allow_downgrade,
    }
    rollout = msgspec.convert(msgspec.to_builtins(tree), Rollout)
    match = _match(options.match)
    said = publishing.edit_desired(
        desk,
        options.fleet,
        lambda document: rollouts.with_rollout(document, options.slot, match, rollout),
    )
    return [*said, f"rollout {name} began"]


def _promote(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    if options.resume:
        return _halt(desk, options, halt=False)
    return publishing.edit_desired(
        desk, options.fleet, lambda document: rollouts.promoted(document, options.id)
    )


def _halt(desk: SigningDesk, options: argparse.Namespace, *, halt: bool = True) -> list[str]:
    return publishing.edit_desired(
        desk, options.fleet, lambda document: rollouts.halted(document, options.id, halt=halt)
    )


def _rotate(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    return publishing.rotate(
        desk, desk.key_folders[0], options.role, set(options.revoke), options.key
    )


def _serve(desk: SigningDesk, options: argparse.Namespace) -> list[str]:
    server = make_server(desk.folder, options.host, options.port)
    print(f"http://{options.host}:{server.server_address[1]}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.repo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        added.add_argument("repo", type=Path, help="the folder of the repository")
        added.add_argument("--keys", type=Path, action="append", help="a folder of keys")
        added.set_defaults(run=run)
        return added

    init = command("init", _init)
    init.add_argument("--quorum", type=_quorum, action="append", default=[], metavar="ROLE=2/3")
    add = command("add-model", _add_model)
    add.add_argument("bundle", type=Path, nargs="+")
    add.add_argument("--unverified", action="store_true", help="this machine cannot run them")
    add.add_argument("--memory-mb", type=int, default=MEMORY_MB, help="what a model may have")
    add.add_argument("--min-seq", type=int, help="gateways never again run one below")
    add.add_argument("--slot", default="", help="run the last bundle there, on all that match")
    _fleet_options(add, matching=True)
    bring = command("import", _import)
    bring.add_argument("--from", dest="origin", nargs=2, required=True, metavar=("mlflow", "M@A"))
    bring.add_argument("--server", default="", help="address; default: MLFLOW_TRACKING_URI")
    bring.add_argument("--like", type=Path, help="a bundle of the same task, for a plain file")
    bring.add_argument("--out", type=Path, help="default: REPO-imported")
    _rollout_options(command("rollout", _rollout))
    promote = command("promote", _promote)
    promote.add_argument("--resume", action="store_true", help="end a halt instead")
    for edit in (promote, command("halt", _halt)):
        edit.add_argument("--id", required=True, help="the rollout")
        _fleet_options(edit)
    rotate = command("rotate", _rotate)
    rotate.add_argument("--role", required=True, choices=publishing.OFFLINE + publishing.ONLINE)
    rotate.add_argument("--revoke", action="append", default=[], help="a key id; default: all")
    rotate.add_argument(
        "--key", action="append", default=[], metavar="URI", help="a key in a device, like hsm:2"
    )
    command("sign", lambda desk, _: desk.advance())
    command("refresh", lambda desk, _: publishing.refresh(desk))
    command("status", lambda desk, _: publishing.status(desk))
    serve = command("serve", _serve)
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    controller.add_options(command("control", controller.control))
    return parser


def _rollout_options(rollout: argparse.ArgumentParser) -> None:
    rollout.add_argument("--slot", required=True)
    rollout.add_argument("--to", type=_model, required=True, metavar="MODEL@VERSION")
    rollout.add_argument("--id", default="", help="default: SLOT-VERSION")
    rollout.add_argument("--unit", choices=("device", "site"), default="device")
    rollout.add_argument(
        "--stages", type=_percents, default=[100.0], help="percents, for example 1,25,100"
    )
    rollout.add_argument("--window", help="local times, for example 22:00-06:00")
    rollout.add_argument(
        "--deadline", type=_moment, help="ISO 8601; afterwards it waits for no window"
    )
    rollout.add_argument("--jitter-s", type=float, default=3600.0)
    rollout.add_argument("--allow-downgrade", action="store_true")
    _fleet_options(rollout, matching=True)


def _fleet_options(parser: argparse.ArgumentParser, *, matching: bool = False) -> None:
    parser.add_argument("--fleet", default="default")
    if matching:
        parser.add_argument(
            "--match", action="append", default=[], metavar="line=A", help="site, line, hw or tags"
        )


def _match(words: list[str]) -> Match:
    """Return the match for words like `line=A`; several of one kind add up."""
    tree: dict[str, list[str]] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in Match.__struct_fields__ or not value:
            known = ", ".join(Match.__struct_fields__)
            raise rollouts.NoSuchRule(f"--match {word}: one of {known}, like line=A")
        tree.setdefault(name, []).append(value)
    return msgspec.convert(tree, Match)


def _model(text: str) -> ModelRef:
    model_id, _, version = text.partition("@")
    try:
        return msgspec.convert({"model_id": model_id, "version": version}, ModelRef)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text}: MODEL@VERSION, like wear@1.2.0") from None


def _percents(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: percents, like 1,25,100") from None


def _moment(text: str) -> str:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: like 2026-12-24T06:00:00Z") from None
    return text


def _quorum(text: str) -> tuple[str, Quorum]:
    role, _, numbers = text.partition("=")
    threshold, _, keys = numbers.partition("/")
    known = role in publishing.OFFLINE + publishing.ONLINE
    if not (
        known and threshold.isdecimal() and keys.isdecimal() and 0 < int(threshold) <= int(keys)
    ):
        raise argparse.ArgumentTypeError(f"{text}: a role and a quorum, like models=2/3")
    return role, Quorum(int(threshold), int(keys))


if __name__ == "__main__":
    sys.exit(main())
