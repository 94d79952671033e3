"""What a product consists of: its files, links and folders, as they go into machines."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

FILE, LINK, FOLDER = "f", "l", "d"
Seen = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Entry:
    """One of them, with the two modes that git has for files, and what programs are run with:
    whatever umask the checkout was made with. `name`: from the product's root, '' for that."""

    name: str
    kind: str
    mode: int
    mtime: int  # nanoseconds
    size: int = 0
    target: str = ""  # of a link
    twin: str = ""  # the first of its names, where a file has several in the product
    path: str = ""  # where it lies, if not below the root at its name
    data: bytes | None = None  # its content, if that is no file's
    holes: bool = False  # it may have some that are worth being left out
    seen: Seen | None = None  # a file's inode, changes, size and mode: while they stay, so does it
    content: str = ""  # names what is in it, once that was read (`digest_of`)
    says: int = 0  # see python_says
    seal: str = ""  # of all that a copy shows of it; '' until that was reckoned (`seal_of`)

    def see(self, status: os.stat_result) -> None:
        """Take what it is from what stands there now, if that is another than the one listed."""
        if self.seen == (seen := seen_of(status)):
            return
        changed = status.st_mode & 0o100 and 0o111
        self.mode = (status.st_mode & 0o6000) | (0o644 | changed)
        self.seen, self.size, self.mtime = seen, status.st_size, status.st_mtime_ns
        self.content = self.seal = ""


def seen_of(status: os.stat_result) -> Seen:
    """What of a file is compared, as git does in its index."""
    return (
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_mode,
    )


class Listing:
    """The entries of a product, in the order in which they are packed: folders before what is in
    them. Nothing is read yet but where links lead."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._first: dict[tuple[int, int], Entry] = {}  # files that have several names

    def add_folder(self, path: Path | str, name: str) -> None:
        """A folder, with nothing that is in it."""
        self.entries[name] = Entry(name, FOLDER, 0o755, os.stat(path).st_mtime_ns)  # noqa: PTH116

    def add_bytes(self, content: bytes, name: str, like: Path) -> None:
        """A file of that content, as old as another."""
        digest = hashlib.sha256(content).hexdigest()
        self.entries[name] = Entry(
            name,
            FILE,
            0o644,
            like.stat().st_mtime_ns,
            len(content),
            data=content,
            content=digest,
        )

    def add(
        self,
        path: Path | str,
        name: str,
        executable: bool | None = None,
        status: os.stat_result | None = None,
        *,
        elsewhere: bool = False,
    ) -> None:
        """A file or a link; `elsewhere`: its path is not the root's and its name. Raises
        OSError."""
        status = status or os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)  # noqa: PTH115 - of many
            self.entries[name] = Entry(name, LINK, 0o777, status.st_mtime_ns, target=target)
            return
        runs = bool(status.st_mode & 0o100) if executable is None else executable
        special = status.st_mode & (stat.S_ISUID | stat.S_ISGID)
        mode = (0o755 if runs else 0o644) | special
        entry = Entry(name, FILE, mode, status.st_mtime_ns, status.st_size)
        entry.seen = seen_of(status)
        entry.holes = status.st_size - status.st_blocks * 512 >= 1 << 20
        if elsewhere:
            entry.path = os.fspath(path)
        if status.st_nlink > 1:
            first = self._first.setdefault((status.st_ino, status.st_dev), entry)
            if first is not entry:
                first.twin = entry.twin = first.name
        self.entries[name] = entry
