"""Keys of a repository: Ed25519 files, or anything that securesystemslib can sign with.

A key folder holds keyring.json and private keys (`models-1.pem`, PKCS#8, mode 0600). An entry of
the keyring names its key by a URI: `file2:models-1.pem`, or `hsm:...`, `awskms:...`, `gcpkms:...`,
`azurekms:...`, `hv:...` where the libraries for those are installed. Of a key in a device only the
public part is read; the private one never leaves it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from getpass import getpass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from securesystemslib.signer import (
    AWSSigner,
    AzureSigner,
    CryptoSigner,
    GCPSigner,
    HSMSigner,
    Key,
    Signer,
    VaultSigner,
)

from edge_agent.durable import make_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

KEYRING = "keyring.json"
PIN = "REPO_KEY_PIN"


class NoKey(Exception):
    """A key in a device cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of a keyring; `folder` is where a relative file2: path starts."""

    folder: Path
    role: str
    uri: str
    public: Key

    def signer(self) -> Signer:
        """Return what signs with it. Raises OSError where the private part is not here."""
        scheme, _, path = self.uri.partition(":")
        uri = f"file2:{self.folder / path}" if scheme == "file2" else self.uri
        return Signer.from_priv_key_uri(uri, self.public, _ask)


def make_keys(folder: Path, role: str, count: int) -> list[Key]:
    """Create `count` new keys for a role in `folder`; return their public parts."""
    make_folder(folder)
    entries = [_tree(entry) for entry in read_keyring(folder)]
    public = []
    for _ in range(count):
        signer = CryptoSigner.generate_ed25519()
        name = _free_name(folder, role)
        # Private from its first byte on, and never over another key.
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
            file.flush()
            os.fsync(descriptor)
        entries.append(_tree(KeyEntry(folder, role, f"file2:{name}", signer.public_key)))
        public.append(signer.public_key)
    _write(folder, entries)
    return list(public)


def device_key(uri: str) -> tuple[str, Key]:
    """Return URI and public part of a key in a device. Raises NoKey."""
    scheme, _, rest = uri.partition(":")
    try:
        match scheme:
            case "hsm":  # hsm:KEYID?label=TOKEN, both optional
                number, _, query = rest.partition("?")
                label = parse_qs(query).get("label", [None])[0]
                return HSMSigner.import_(int(number) if number else None, label, _ask)
            case "awskms":
                return AWSSigner.import_(rest)
            case "gcpkms":
                return GCPSigner.import_(rest)
            case "azurekms":  # azurekms://VAULT.vault.azure.net/keys/KEY
                parts = urlsplit(uri)
                vault, key = parts.netloc.partition(".")[0], parts.path.split("/")[2]
                return AzureSigner.import_(vault, key)
            case "hv":
                return VaultSigner.import_(rest)
    except Exception as error:  # each of their libraries has exceptions of its own
        raise NoKey(f"{uri}: {error or type(error).__name__}") from error
    raise NoKey(f"{uri}: none of hsm:, awskms:, gcpkms:, azurekms:, hv:")


def add_entries(folder: Path, role: str, found: Iterable[tuple[str, Key]]) -> list[Key]:
    """Enter keys in devices into a folder's keyring; return their public parts."""
    make_folder(folder)
    entries = [KeyEntry(folder, role, uri, public) for uri, public in found]
    if entries:
        _write(folder, [_tree(entry) for entry in [*read_keyring(folder), *entries]])
    return [entry.public for entry in entries]


def read_keyring(folder: Path) -> list[KeyEntry]:
    """Return the keys of a folder; none where it has no keyring."""
    path = folder / KEYRING
    if not path.exists():
        return []
    return [
        KeyEntry(folder, tree["role"], tree["uri"], Key.from_dict(tree["keyid"], tree["public"]))
        for tree in json.loads(path.read_bytes())
    ]


def signers(folders: Iterable[Path], keyids: Collection[str]) -> Iterator[Signer]:
    """Yield a signer for each of `keyids` whose private part is in one of `folders`, or below."""
    seen: set[str] = set()
    for folder in folders:
        for keyring in sorted(folder.rglob(KEYRING)):
            for entry in read_keyring(keyring.parent):
                if entry.public.keyid in keyids and entry.public.keyid not in seen:
                    seen.add(entry.public.keyid)
                    yield entry.signer()


def _free_name(folder: Path, role: str) -> str:
    number = 1
    while (folder / f"{role}-{number}.pem").exists():
        number += 1
    return f"{role}-{number}.pem"


def _ask(secret: str) -> str:
    """Return the PIN of a device: from the environment, where nobody sits before it."""
    return os.environ.get(PIN) or getpass(f"{secret} of the key's device: ")


def _write(folder: Path, entries: list[dict[str, Any]]) -> None:
    content = (json.dumps(entries, indent=1) + "\n").encode()
    write_file(folder / KEYRING, content, mode=0o600)


def _tree(entry: KeyEntry) -> dict[str, Any]:
    return {
        "role": entry.role,
        "keyid": entry.public.keyid,
        "uri": entry.uri,
        "public": entry.public.to_dict(),
    }
