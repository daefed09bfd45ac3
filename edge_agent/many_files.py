"""Files whose names are new each time, by the thousand: evidence, and what waits for an upload.

They are handled by strings. `pathlib` interns every part of a path (`sys.intern`), and CPython's
table of interned strings gives the place of a name that has gone to no other before it is made
anew, larger: a process that writes thousands of files would grow by a megabyte or two at a time.
"""

from __future__ import annotations

import os


def write(folder: str, name: str, content: bytes) -> None:
    """Put a file into `folder` that nobody sees half. Raises OSError.

    Not forced to the disk: after a power cut it may be empty.
    """
    part = f"{folder}/.{name}.part"
    with open(part, "wb") as file:
        file.write(content)
    os.replace(part, f"{folder}/{name}")


def remove(folder: str, name: str) -> int:
    """Take a file away and return how many bytes it had. Raises OSError."""
    path = f"{folder}/{name}"
    size = os.stat(path).st_size
    os.unlink(path)
    return size
