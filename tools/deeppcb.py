"""Put DeepPCB into YOLO's layout, so that `python -m tools.train detect` reads it.

    python -m tools.deeppcb --data ../shared/data build/deeppcb

Tang et al., "Online PCB Defect Detector on a New PCB Defect Dataset", 2019: boxes of six kinds of
defects on photos of 640 x 640 pixels. For research only: nothing that is made from it ships. The
official lists say which photos are for testing. Pictures are linked, not copied.
"""

from __future__ import annotations

import argparse
from pathlib import Path

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
SIDE = 640


def main(arguments: list[str] | None = None) -> int:
    """Write links, labels and names into a folder; return 1 where there is nothing to link."""
    parser = argparse.ArgumentParser(description="Put DeepPCB into YOLO's layout.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    root = (options.data / "deeppcb").resolve()
    count = 0
    for part, name in (("train", "trainval.txt"), ("test", "test.txt")):
        for line in (root / name).read_text().splitlines() if root.is_dir() else ():
            picture, labels = (root / word for word in line.split())
            picture = picture.with_name(f"{picture.stem}_test{picture.suffix}")
            if picture.is_file() and labels.is_file():
                _link(options.out, part, picture, labels)
                count += 1
    if not count:
        print(f"deeppcb: no pictures in {root}")
        return 1
    (options.out / "classes.txt").write_text("".join(f"{kind}\n" for kind in KINDS))
    print(f"{count} pictures in {options.out}")
    return 0


def _link(out: Path, part: str, picture: Path, labels: Path) -> None:
    place = out / "images" / part / f"{picture.parent.name}_{picture.name}"
    text = out / "labels" / part / f"{place.stem}.txt"
    for path in (place, text):
        path.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(picture)
    text.write_text("".join(_line(line) for line in labels.read_text().splitlines() if line))


def _line(line: str) -> str:
    """Return a line of DeepPCB (left, top, right, bottom, kind from 1) as one of YOLO."""
    left, top, right, bottom, kind = (int(word) for word in line.split())
    middle = (left + right) / 2 / SIDE, (top + bottom) / 2 / SIDE
    size = (right - left) / SIDE, (bottom - top) / SIDE
    numbers = " ".join(f"{number:.6f}" for number in (*middle, *size))
    return f"{kind - 1} {numbers}\n"


if __name__ == "__main__":
    raise SystemExit(main())
