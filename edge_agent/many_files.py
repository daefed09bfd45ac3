"""Files whose names are new each time, by the thousand: evidence, and what waits for an upload.

They are handled by strings. `pathlib` interns every part of a path (`sys.intern`), and CPython's
table of interned strings gives the place of a name that has gone to no other before it is made
anew, larger: a process that writes thousands of files would grow by a megabyte or two at a time.
"""

from __future__ import annotations

import contextlib
import os


def write(folder: str, name: str, content: bytes) -> None:
    """Put a file into `folder` that nobody sees half. Raises OSError.

    Not forced to the disk: after a power cut it may be empty.
    """
    part = f"{folder}/.{name}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, f"{folder}/{name}")
    except OSError:
        # On a full disk each would leave one behind, under a name that nobody looks for.
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def name_again(folder: str, name: str, other: str) -> None:
    """Give a file a second name, at no room. Raises OSError, also where the system has no links."""
    os.link(f"{folder}/{name}", f"{folder}/{other}")


def remove(folder: str, name: str) -> int:
    """Take a name away and return how many bytes went with it: none if there is another name.

    Raises OSError.
    """
    path = f"{folder}/{name}"
    found = os.stat(path)
    os.unlink(path)
    return found.st_size if found.st_nlink == 1 else 0
