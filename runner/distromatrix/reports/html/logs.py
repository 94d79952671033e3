"""What a cell left, as the page shows it: the end of its log in its own colours, its files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from markupsafe import Markup

from distromatrix.collect.text import printable
from distromatrix.files.below import Folder

_SGR = re.compile(r"\x1b\[([0-9;:]*)m")
_CUBE = (0, 95, 135, 175, 215, 255)  # the levels of xterm's 6×6×6 colours
_STYLES = {1: "bold", 2: "dim", 3: "italic", 4: "under"}
_ENDS = {22: ("bold", "dim"), 23: ("italic",), 24: ("under",)}
MOST_FILES = 100  # of a cell's artifacts
_DEEP = 12  # folders in folders
_LONGEST = 4000  # characters of a line


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLog:
    """The end of a cell's log as HTML; `link` leads to the whole, which has `size` bytes; `cut`:
    there is more than is shown."""

    link: str
    size: int
    cut: bool
    html: Markup


def link_to(path: str) -> str:
    """A relative link to a file in the run's folder."""
    return quote(path, safe="/", errors="surrogateescape")


def log_of(run: Folder, cell: str, limit: int, mask: Callable[[str], str]) -> ShownLog | None:
    """The log of the cell's folder `cell`, of which at most `limit` bytes are shown; None where
    there is none."""
    path = f"cells/{cell}/log.txt"
    try:
        with run.read(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - limit, 0))
            data = file.read(limit)
    except OSError:
        return None
    cut = size > limit
    if cut:
        data = data[data.find(b"\n") + 1 :]
    return ShownLog(link=link_to(path), size=size, cut=cut, html=coloured(data, mask))


def files_of(run: Folder, cell: str) -> tuple[tuple[str, ...], int]:
    """The paths of the files below the cell's folder that are not its log, in the run's folder,
    artifacts and all; and how many are left out."""
    found = sorted(_files(run, f"cells/{cell}", 0))
    return tuple(found[:MOST_FILES]), max(len(found) - MOST_FILES, 0)


def _files(run: Folder, path: str, deep: int) -> Iterator[str]:
    names: list[str] = []
    with suppress(OSError):
        names = run.names(path)
    for name in names:
        mode = 0
        with suppress(OSError):
            mode = run.stat(f"{path}/{name}").st_mode
        if stat.S_ISDIR(mode) and deep < _DEEP:
            yield from _files(run, f"{path}/{name}", deep + 1)
        elif stat.S_ISREG(mode) and (deep or name != "log.txt"):
            yield f"{path}/{name}"


def coloured(data: bytes, mask: Callable[[str], str] = str) -> Markup:
    """An output as HTML: its colours are classes, of which both themes have their own shade;
    backgrounds are left out. Every other control character is shown."""
    parts: list[str] = []
    state: dict[str, None] = {}
    for line in data.decode("utf-8", "replace").rstrip("\n").split("\n"):
        text = line.rstrip("\r")
        text = text[text.rfind("\r") + 1 :]  # what overwrote the rest of it
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + "…"
        pieces = _SGR.split(text)
        for number, piece in enumerate(pieces):
            if number % 2:
                _apply(state, piece)
            elif piece:
                said = escape(mask(printable(piece)))
                classes = " ".join(state)
                parts.append(f'<span class="{classes}">{said}</span>' if classes else said)
        parts.append("\n")
    return Markup("".join(parts))  # noqa: S704 - escaped above, and the classes are ours


def _apply(state: dict[str, None], codes: str) -> None:
    """What a 'select graphic rendition' (ECMA-48, 8.3.117) makes of the classes."""
    numbers = [int(code[:5] or 0) for code in codes.replace(":", ";").split(";")]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            state.clear()
        elif code in _STYLES:
            state[_STYLES[code]] = None
        elif code in _ENDS:
            for name in _ENDS[code]:
                state.pop(name, None)
        elif 30 <= code <= 39 or 90 <= code <= 97:
            for name in [name for name in state if name[:1] == "c"]:
                del state[name]
            index = _extended(numbers) if code == 38 else code - 30 if code < 90 else code - 82
            if code != 39 and index is not None:
                state[f"c{index}"] = None
        elif code == 48:
            _extended(numbers)


def _extended(numbers: list[int]) -> int | None:
    """The nearest of the sixteen colours to the one of 256, or of red, green and blue, that the
    next numbers name; they are taken away."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        index = numbers.pop(0)
        if index < 16:
            return index
        if index >= 232:
            return _nearest(*[(index - 232) * 10 + 8] * 3)
        return _nearest(*(_CUBE[(index - 16) // size % 6] for size in (36, 6, 1)))
    if kind == 2 and len(numbers) >= 3:
        red, green, blue, *rest = numbers
        numbers[:] = rest
        return _nearest(red, green, blue)
    numbers.clear()
    return None


def _nearest(red: int, green: int, blue: int) -> int:
    high = max(red, green, blue)
    if high - min(red, green, blue) < 40:  # a grey
        return 0 if high < 60 else 8 if high < 150 else 7 if high < 220 else 15
    bits = sum((value > high * 0.6) << n for n, value in enumerate((red, green, blue)))
    return bits + (8 if high > 200 else 0)
