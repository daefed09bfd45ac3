"""Evidence that gateways uploaded, labelled by people, as photos to train on.

    python -m tools.uploaded RECEIVED OUT --labels labels.csv
    python -m tools.uploaded SORTED OUT

RECEIVED is what the server has: DEVICE/PIPELINE/NAME.jpg with NAME.json beside it. labels.csv has
the columns file and label, a file by its name or by the end of its path. Without it, the pictures
were sorted into folders, and the first one below SORTED is the label. OUT becomes a folder for each
class, and groups.csv, which keeps pictures of one part out of two sides of a split:

    python -m tools.train classify OUT models/next --groups OUT/groups.csv
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.upload.spool import Sidecar
from tools.bundling.fresh_folder import fresh_folder
from tools.photos.layout import pictures
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUPS = "groups.csv"
# What a person writes who has looked and cannot say.
UNSURE = {"", "skip", "?"}
# "2026-01-02T03:04": pictures of one minute are of one part, or of one light.
MINUTE = 16


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture, what a person calls it, and what the agent said; `about`: None without sidecar."""

    path: Path
    label: str
    about: Sidecar | None

    @property
    def name(self) -> str:
        """Return a name that no other gateway's picture has."""
        if self.about is None:
            return self.path.name
        return f"{self.about.device}-{self.about.pipeline}-{self.path.name}"

    @property
    def group(self) -> str:
        """Return what it shares with its near-duplicates."""
        if self.about is None:
            return self.path.stem
        part = self.about.part_id or self.about.capture_ts[:MINUTE]
        return f"{self.about.device}/{self.about.pipeline}/{part}"


def read(folder: Path, labels: Mapping[str, str] | None) -> tuple[list[Labelled], Counter[str]]:
    """Return the labelled pictures, and how many were left out and why.

    `labels`: by file; None: by folder.
    """
    found: list[Labelled] = []
    sidecars = {path.stem: path for path in folder.rglob("*.json")}  # who sorts moves pictures
    left_out: Counter[str] = Counter()
    for path in pictures(folder):
        label = _by_folder(path, folder) if labels is None else _by_file(path, folder, labels)
        about, damage = _sidecar(path, sidecars.get(path.stem))
        if label is None:
            left_out["without a label"] += 1
        elif label.lower() in UNSURE:
            left_out["a person was unsure"] += 1
        elif damage:
            left_out[damage] += 1
        else:
            found.append(Labelled(path, label, about))
    windows = sum(1 for _ in folder.rglob("*.npz"))
    if windows:
        left_out["a window of samples: see tools.train sensor-classify"] += windows
    return found, left_out


def read_labels(path: Path) -> dict[str, str]:
    """Return the labels of a CSV file with the columns file and label. Raises DataUnfit."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise DataUnfit(f"{path}: the columns file and label are wanted")
        labels: dict[str, str] = {}
        for row in rows:
            name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
            if labels.setdefault(name, label) != label:
                raise DataUnfit(f"{path}: {name} is both {labels[name]} and {label}")
    return labels


def write(found: Sequence[Labelled], out: Path) -> None:
    """Write OUT. Raises OSError, DataUnfit for nothing, or a label that can be no folder."""
    if not found:
        raise DataUnfit("no labelled picture")
    with fresh_folder(out, marker=GROUPS) as making:
        with (making / GROUPS).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("file", "group"))
            for each in found:
                if each.label != Path(each.label).name or each.label.startswith("."):
                    raise DataUnfit(f"{each.path.name}: {each.label!r} cannot be a folder's name")
                rows.writerow((f"{each.label}/{each.name}", each.group))
        for each in found:
            (making / each.label).mkdir(exist_ok=True)
            (making / each.label / each.name).write_bytes(each.path.read_bytes())


def account(found: Sequence[Labelled], left_out: Mapping[str, int]) -> list[str]:
    """Return what there is of each class, what the agent had said, and what is missing."""
    said = Counter((each.label, each.about.verdict if each.about else "?") for each in found)
    lines = [f"{count:6} {label}, where the agent said {v}" for (label, v), count in said.items()]
    lines.sort(key=lambda line: line[7:])
    return lines + [f"{count:6} left out: {why}" for why, count in left_out.items()]


def _by_folder(path: Path, root: Path) -> str | None:
    inside = path.relative_to(root).parts
    return inside[0] if len(inside) > 1 else None


def _by_file(path: Path, root: Path, labels: Mapping[str, str]) -> str | None:
    parts = path.relative_to(root).parts
    for start in range(len(parts)):
        label = labels.get("/".join(parts[start:]))
        if label is not None:
            return label
    return None


def _sidecar(path: Path, sidecar: Path | None) -> tuple[Sidecar | None, str]:
    """Return what is known of a picture, and what is wrong with it, or ""."""
    if sidecar is None:
        return None, ""
    try:
        about = msgspec.json.decode(sidecar.read_bytes(), type=Sidecar)
    except (OSError, msgspec.DecodeError):
        return None, ""
    same = hashlib.sha256(path.read_bytes()).hexdigest() == about.sha256
    return about, "" if same else "not what the gateway sent"


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring labelled evidence into shape; return 1 where it cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.uploaded",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="what was received, or sorted")
    parser.add_argument("out", type=Path, help="a new folder for the recipe")
    parser.add_argument("--labels", type=Path, help="CSV with the columns file and label")
    options = parser.parse_args(arguments)
    try:
        labels = read_labels(options.labels) if options.labels else None
        found, left_out = read(options.folder, labels)
        print("\n".join(account(found, left_out)))
        write(found, options.out)
    except (DataUnfit, OSError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    groups = options.out / GROUPS
    print(f"now: python -m tools.train classify {options.out} models/NEXT --groups {groups}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
