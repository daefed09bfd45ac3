"""What the commands do to a repository: pure steps on metadata, files, then signatures.

Each returns sentences about what was signed and what waits. Files go first, metadata after them,
the timestamp last: a gateway never hears of what is not there yet.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from edge_agent.durable import write_file
from edge_agent.errors import ModelError
from edge_agent.modelstore import desired as documents
from edge_agent.modelstore.manifest import Manifest, canonical_json, parse_manifest
from tools.repo import rollouts
from tools.repo.keys import add_entries, device_key, make_keys
from tools.repo.signing import ANCHOR, TARGETS_ROLES, RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from securesystemslib.signer import Key

    from edge_agent.modelstore.desired import Desired
    from tools.repo.signing import SigningDesk

OFFLINE = ("root", "targets", "models")
ONLINE = ("snapshot", "timestamp", "rollout")
DELEGATED = {"models": "models/*/*/manifest.json", "rollout": "rollout/*/desired.json"}


@dataclass(frozen=True, slots=True)
class Quorum:
    """`threshold` of `keys` must sign."""

    threshold: int = 1
    keys: int = 1


def init(desk: SigningDesk, keys: Path, quorums: Mapping[str, Quorum]) -> list[str]:
    """Create keys, in `keys`/offline and `keys`/online, and an empty repository signed by them.

    Raises RepositoryError where either is there already.
    """
    if desk.version("root") or (keys / "offline").exists() or (keys / "online").exists():
        raise RepositoryError("a repository or its keys are there already: nothing was changed")
    public = {
        role: make_keys(key_folder(keys, role), role, quorums.get(role, Quorum()).keys)
        for role in (*OFFLINE, *ONLINE)
    }
    root = Root(consistent_snapshot=True)
    for role in ("root", "targets", "snapshot", "timestamp"):
        for key in public[role]:
            root.add_key(key, role)
        root.roles[role].threshold = quorums.get(role, Quorum()).threshold
    delegated = {
        role: DelegatedRole(
            name=role,
            keyids=[key.keyid for key in public[role]],
            threshold=quorums.get(role, Quorum()).threshold,
            terminating=True,
            paths=[path],
        )
        for role, path in DELEGATED.items()
    }
    owners = {key.keyid: key for role in DELEGATED for key in public[role]}
    desk.draft("root", root)
    desk.draft("targets", Targets(delegations=Delegations(owners, delegated)))
    for role in DELEGATED:
        desk.draft(role, Targets())
    said = desk.advance()
    first_root = (desk.folder / "metadata" / ANCHOR).read_bytes()
    for folder in {key_folder(keys, role) for role in public}:
        write_file(folder / ANCHOR, first_root)
    return said


def add_models(desk: SigningDesk, bundles: list[Path], *, min_seq: int | None) -> list[str]:
    """Publish bundles under the `models` role.

    `min_seq`: enter it into their manifests: gateways will never again run an older one. Raises
    RepositoryError, ModelError; nothing is signed then.
    """
    models = desk.require("models")
    unproven = []
    for bundle in bundles:
        manifest, content = _manifest(bundle, min_seq)
        if not manifest.selftest.cases:
            unproven.append(
                f"{manifest.model_id} {manifest.version} has no golden samples: gateways will"
                " refuse it, for nothing tells whether its answers are right"
            )
        path = f"models/{manifest.model_id}/{manifest.version}/manifest.json"
        _require_new(models.signed, path, manifest, content)
        _publish_blobs(desk.folder, bundle, manifest)
        custom = {"seq": manifest.seq, "min_seq": manifest.min_seq}
        _publish_target(desk.folder, models.signed, path, content, custom)
    desk.draft("models", models.signed)
    return unproven + desk.advance()


def read_desired(desk: SigningDesk, fleet: str) -> Desired:
    """Return a fleet's document as it is signed, or waits to be, or an empty one.

    What lies there under its plain name counts for nothing: somebody could have put it there, to
    have it signed; and a command that was ended in the midst leaves one that nobody signed.
    """
    target = desk.require("rollout").signed.targets.get(f"rollout/{fleet}/desired.json")
    if target is None:
        return rollouts.EMPTY
    content = (desk.folder / "targets" / target.get_prefixed_paths()[0]).read_bytes()
    try:
        target.verify_length_and_hashes(content)
    except LengthOrHashMismatchError as error:
        raise RepositoryError(f"{target.path} is not as it was signed: {error}") from None
    return documents.parse(content)


def edit_desired(desk: SigningDesk, fleet: str, change: Callable[[Desired], Desired]) -> list[str]:
    """Publish a fleet's document after `change`. Raises what `change` raises, RepositoryError."""
    changed = change(read_desired(desk, fleet))
    known = desk.require("models").signed.targets
    for rule in changed.rules:
        for model in (rule.default, rule.rollout.to if rule.rollout else None):
            if model and f"models/{model.model_id}/{model.version}/manifest.json" not in known:
                raise RepositoryError(f"{model} is not in this repository: `add-model` puts it in")
    rollout = desk.require("rollout")
    path = f"rollout/{fleet}/desired.json"
    content = documents.encode(changed)
    # As a gateway reads it: once signed, a document that nobody takes stands in everybody's way.
    documents.parse(content)
    _publish_target(desk.folder, rollout.signed, path, content, {})
    desk.draft("rollout", rollout.signed)
    return desk.advance()


def rotate(
    desk: SigningDesk, keys: Path, role: str, revoked: set[str], devices: Sequence[str] = ()
) -> list[str]:
    """Replace keys of a role by as many new ones; no `revoked` means all of them.

    `devices`: URIs of keys in hardware or a KMS, taken before new ones are made in `keys`. The role
    itself is signed anew, and all that follows from it.
    """
    delegator = "targets" if role in DELEGATED else "root"
    metadata = desk.require(delegator)
    owner: Root | Targets = metadata.signed
    old = list(owner.get_delegated_role(role).keyids)
    leaving = [keyid for keyid in old if not revoked or keyid in revoked]
    if revoked - set(old):
        raise RepositoryError(f"{role} has no key {', '.join(sorted(revoked - set(old)))}")
    for keyid in leaving:
        owner.revoke_key(keyid, role)
    if len(devices) > len(leaving):
        raise RepositoryError(f"{len(devices)} keys for {len(leaving)} places")
    there = [device_key(uri) for uri in devices]
    new = add_entries(key_folder(keys, role), role, there)
    new += make_keys(key_folder(keys, role), role, len(leaving) - len(new))
    for key in new:
        _add_key(owner, key, role)
    desk.draft(delegator, owner)
    if role in TARGETS_ROLES:
        desk.draft(role, desk.require(role).signed)
    return desk.advance(renew=role in {"snapshot", "timestamp"})


def refresh(desk: SigningDesk) -> list[str]:
    """Sign what online keys sign, with new dates: for a daily timer."""
    rollout = desk.require("rollout")
    desk.draft("rollout", rollout.signed)
    return desk.advance(renew=True)


def key_folder(keys: Path, role: str) -> Path:
    """Return where keys of a role are made: one folder stays on the server, one leaves it."""
    return keys / ("offline" if role in OFFLINE else "online")


def _add_key(owner: Root | Targets, key: Key, role: str) -> None:
    owner.add_key(cast("Any", key), role)


def _manifest(bundle: Path, min_seq: int | None) -> tuple[Manifest, bytes]:
    try:
        content = (bundle / "manifest.json").read_bytes()
    except OSError as error:
        raise ModelError(f"{bundle}: {error.strerror}") from None
    manifest = parse_manifest(content)
    if min_seq is None:
        return manifest, content
    if min_seq > manifest.seq:
        raise RepositoryError(f"{bundle.name}: min-seq {min_seq} is above its own {manifest.seq}")
    content = canonical_json(msgspec.json.decode(content) | {"min_seq": min_seq})
    return parse_manifest(content), content


def seqs(desk: SigningDesk) -> dict[str, int]:
    """Return the highest `seq` that is published of each model."""
    return _seqs(desk.require("models").signed)


def _seqs(models: Targets) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, target in models.targets.items():
        model_id = name.split("/")[1]
        found[model_id] = max(found.get(model_id, 0), target.custom["seq"])
    return found


def _require_new(models: Targets, path: str, manifest: Manifest, content: bytes) -> None:
    """Refuse a second content under one name, and a `seq` that gateways would take for older."""
    known = models.targets.get(path)
    if known is not None:
        if known.hashes.get("sha256") != hashlib.sha256(content).hexdigest():
            raise RepositoryError(f"{path} is published with other content: use a new version")
        return
    before = _seqs(models).get(manifest.model_id, -1)
    if manifest.seq <= before:
        raise RepositoryError(f"{path}: seq {manifest.seq} is not above the last, {before}")


def _publish_blobs(folder: Path, bundle: Path, manifest: Manifest) -> None:
    for file in {file.sha256: file for v in manifest.variants for file in v.files}.values():
        try:
            content = (bundle / file.path).read_bytes()
        except OSError as error:
            raise ModelError(f"{bundle.name}/{file.path}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != file.sha256 or len(content) != file.length:
            raise ModelError(f"{bundle.name}/{file.path}: differs from what manifest.json says")
        blob = folder / "blobs" / "sha256" / file.sha256
        if not blob.exists():
            write_file(blob, content, mode=0o444)


def _publish_target(
    folder: Path, role: Targets, path: str, content: bytes, custom: dict[str, int]
) -> None:
    """Write a target under its plain name and under the one that clients ask for (with hash)."""
    target = TargetFile.from_data(path, content, ["sha256"])
    if custom:
        target.unrecognized_fields["custom"] = custom
    for name in (*target.get_prefixed_paths(), path):
        write_file(folder / "targets" / name, content)
    role.targets[path] = target


def status(desk: SigningDesk) -> list[str]:
    """Return lines about versions, dates, waiting signatures, models and rollouts."""
    lines = []
    for role in ("root", *TARGETS_ROLES, "snapshot", "timestamp"):
        metadata: Metadata[Any] | None = desk.latest(role)
        if metadata is None:
            lines.append(f"{role:10} not published")
            continue
        days = (metadata.signed.expires - desk.now()).total_seconds() / 86_400
        waits = (desk.folder / "staged" / f"{role}.json").exists()
        note = ", a draft waits for signatures" if waits else ""
        lines.append(f"{role:10} {metadata.signed.version:5}  holds for {days:6.1f} days{note}")
    models = desk.require("models").signed.targets
    for path, target in sorted(models.items()):
        _, model_id, version, _ = path.split("/")
        lines.append(f"model      {model_id}@{version} seq {target.custom['seq']}")
    for path in sorted(desk.require("rollout").signed.targets):
        fleet = path.split("/")[1]
        document = read_desired(desk, fleet)
        lines.append(f"fleet      {fleet}, epoch {document.epoch}")
        lines += [f"  {_rule_text(rule)}" for rule in document.rules]
    return lines


def _rule_text(rule: documents.Rule) -> str:
    named = {n: v for n in rule.match.__struct_fields__ if (v := getattr(rule.match, n))}
    match = " ".join(f"{name}={','.join(values)}" for name, values in named.items())
    text = f"slot {rule.slot} [{match or 'all'}]: {rule.default or 'stays as it is'}"
    rollout = rule.rollout
    if rollout is None:
        return text
    stages = "->".join(f"{stage.pct:g}" for stage in rollout.stages)
    now = f"{rollout.stages[rollout.stage].pct:g} % of {rollout.unit}s"
    halted = ", HALTED" if rollout.halted else ""
    return f"{text}; rollout {rollout.id} to {rollout.to}: {now} (stages {stages}){halted}"
