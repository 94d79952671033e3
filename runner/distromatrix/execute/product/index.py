"""What a snapshot holds, written down: in the folder of its run, and as the index by which the next
one knows what has not changed, as git's does.

An entry of a file tells by `seen` whether it is as it was when it was read. A file that had been
written to just before may have been written to again since, at the same time by the disk's clock:
of that `seen` is not kept, so that it is read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from distromatrix.execute.product.entries import FILE, FOLDER, LINK, Entry
from distromatrix.files.whole import write_whole

_VERSION = 1
_JUST = 2 * 10**9  # nanoseconds: no disk's clock is coarser
_FIELDS = tuple(field.name for field in fields(Entry))
_SEEN, _DATA = _FIELDS.index("seen"), _FIELDS.index("data")
_row = attrgetter(*_FIELDS)
_NUMBERS = (int,) * 4
_KINDS = (FILE, LINK, FOLDER)


def save(path: Path, entries: Iterable[Entry], warnings: Iterable[str], listed: int) -> None:
    """`listed`: when they were, in nanoseconds. Raises OSError."""
    rows: list[tuple[Any, ...]] = []
    data: dict[str, str] = {}
    for entry in entries:
        row, seen = _row(entry), entry.seen
        if seen is not None and max(seen[1], seen[2]) >= listed - _JUST:
            row = (*row[:_SEEN], None, *row[_SEEN + 1 :])
        if entry.data is not None:
            data[entry.name] = entry.data.decode("latin-1")
            row = (*row[:_DATA], None, *row[_DATA + 1 :])
        rows.append(row)
    text = {"version": _VERSION, "warnings": list(warnings), "data": data, "entries": rows}
    write_whole(path, json.dumps(text, separators=(",", ":")), mode=0o600)


def load(path: Path) -> tuple[dict[str, Entry], tuple[str, ...]] | None:
    """The entries and the warnings; None where there is nothing that can be read."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        found = json.loads(path.read_bytes())
        if found["version"] != _VERSION:
            return None
        entries: dict[str, Entry] = {}
        for row in found["entries"]:
            entry = Entry(*row)
            entry.seen = row[_SEEN] and tuple(row[_SEEN])
            if not _is_sound(entry):
                return None
            entries[entry.name] = entry
        for name, content in found["data"].items():
            entries[name].data = content.encode("latin-1")
        return entries, tuple(map(str, found["warnings"]))
    return None


def _is_sound(entry: Entry) -> bool:
    name = entry.name
    if type(name) is not str or type(entry.content) is not str or type(entry.target) is not str:
        return False
    if name[:1] == "/" or (".." in name and ".." in name.split("/")):
        return False
    numbers = type(entry.mode), type(entry.mtime), type(entry.size), type(entry.says)
    return numbers == _NUMBERS and entry.kind in _KINDS


def take_over(entries: Mapping[str, Entry], known: Mapping[str, Entry]) -> None:
    """What is known of the files that have not changed."""
    for name, entry in entries.items():
        if entry.seen is None or (old := known.get(name)) is None:
            continue
        if old.seen == entry.seen and (old.path, old.data) == (entry.path, None):
            entry.content, entry.says = old.content, old.says
            if (old.mode, old.twin, old.mtime) == (entry.mode, entry.twin, entry.mtime):
                entry.seal = old.seal


def unread(entries: Iterable[Entry]) -> list[Entry]:
    """The files of which is not known what is in them."""
    return [entry for entry in entries if entry.kind == FILE and not entry.content]
