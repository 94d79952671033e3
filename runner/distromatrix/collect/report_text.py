"""The text of a report that nobody vouches for: opened without following, bounded, decoded as its
first bytes say, and rid of the characters that XML forbids."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from distromatrix.collect.errors import CollectError
from distromatrix.collect.text import one_line, printable

MAX_BYTES = 64 * 1024 * 1024
_MIB = 1024 * 1024
_CHUNK = 64 * 1024
_MOST_TOLD = 5  # characters

# The first bytes of a file and the encoding that they give away: XML 1.0, appendix F.
_BEGINNINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
_ASCII = bytes(range(0x20, 0x7F))
# What says other things in these characters than they are.
_ESCAPING = {
    "utf-7",
    "unicode_escape",
    "raw_unicode_escape",
    "unicode-escape",
    "raw-unicode-escape",
}

# Characters that stand for those that XML forbids, until it is read: control characters, which
# become their text again, and bytes that the encoding does not know.
_STAND_IN = 0xF0000
_INVALID = chr(0xFFFFF)
_ILLEGAL = re.compile(
    "&#(?:x0{0,8}([0-9a-fA-F]{1,6})|0{0,8}([0-9]{1,7}));|<!\\[CDATA\\[|\\]\\]>"
    f"|[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff{_INVALID}]"
)
_STOOD_IN = re.compile(f"[{chr(_STAND_IN)}-{chr(_STAND_IN + 0x1F)}]")
_LONGEST = 20  # characters of what is replaced as a whole
_BEGUN = re.compile("[&<\\]]")


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - nothing is encoded with it
    return _INVALID, error.end


codecs.register_error("distromatrix.mark", _mark)


class ReportText:
    """The text of a report (its content, or its path), as XML can have it.

    `told`: the first few characters that it may not have, and their lines, once it was read.
    """

    def __init__(self, source: bytes | Path) -> None:
        self._source = source
        self._found: dict[str, int] = {}
        self._line = 1
        self._in_cdata = False

    @property
    def told(self) -> str:
        """Such as `U+001B in line 3`; '' where there is none."""
        return ", ".join(f"{what} in line {line}" for what, line in self._found.items())

    def chunks(self) -> Iterator[str]:
        """Raises CollectError, and FileNotFoundError."""
        left = ""
        for text in self.decoded():
            left += text
            begun = _BEGUN.search(left, max(0, len(left) - _LONGEST))
            good, left = self._repaired(left, begun.start() if begun else len(left))
            yield good
        yield self._repaired(left, len(left))[0]

    def decoded(self) -> Iterator[str]:
        """Its text as it is. Raises as `chunks` does."""
        decoder: codecs.IncrementalDecoder | None = None
        for data in _bytes(self._source):
            if decoder is None:
                decoder = codecs.getincrementaldecoder(_encoding(data))("distromatrix.mark")
            yield decoder.decode(data)
        if decoder is not None:
            yield decoder.decode(b"", final=True)

    def _repaired(self, text: str, stop: int) -> tuple[str, str]:
        """The first `stop` characters, and what is left."""
        at, parts = 0, []
        for match in _ILLEGAL.finditer(text):
            if match.start() >= stop:
                break
            if (good := self._replaced(match)) is None:
                continue
            what, instead = good
            if what not in self._found and len(self._found) < _MOST_TOLD:
                self._found[what] = self._line + text.count("\n", 0, match.start())
            parts += [text[at : match.start()], instead]
            at = match.end()
        self._line += text.count("\n", 0, stop)
        return "".join(parts) + text[at:stop], text[stop:]

    def _replaced(self, match: re.Match[str]) -> tuple[str, str] | None:
        """What an illegal character is called, and what stands for it."""
        found = match[0]
        if len(found) == 1:
            code = ord(found)
        elif found[0] != "&":
            self._in_cdata = found[0] == "<"
            return None
        elif self._in_cdata:  # mere text there
            return None
        else:
            code = int(match[1], 16) if match[1] else int(match[2])
        if code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE:
            return None
        if code < 0x20:
            return f"U+{code:04X}", chr(_STAND_IN + code)
        if 0x10000 <= code < 0x110000 and found != _INVALID:
            return None
        what = "an invalid byte" if found == _INVALID else f"U+{code:04X}"
        return what, "\ufffd"


def restored(text: str) -> str:
    """With the control characters again for which others stood in."""
    if not _STOOD_IN.search(text):
        return text
    return _STOOD_IN.sub(lambda match: chr(ord(match[0]) - _STAND_IN), text)


def legal(text: str) -> str:
    """With those made visible, for a file of XML."""
    return printable(restored(text)) if _STOOD_IN.search(text) else text


def _encoding(head: bytes) -> str:
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning):
            return name
    match = _DECLARED.match(head[:1024])
    if match is None:
        return "utf-8"
    declared = match[1].decode("ascii").lower()
    try:
        name = codecs.lookup(declared).name
        if name.startswith(("utf-16", "utf-32")):
            return "utf-8"  # it says so in single bytes: .NET's StringWriter, written as UTF-8
        known = name not in _ESCAPING and _ASCII.decode(name) == _ASCII.decode("ascii")
        codecs.getincrementaldecoder(name)
    except (LookupError, UnicodeError):
        known = False
    if not known:
        raise CollectError(
            f"the JUnit file cannot be read: unknown encoding {one_line(declared, 40)}"
        )
    return name


def _bytes(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        check_size(len(source))
        yield from (source[at : at + _CHUNK] for at in range(0, len(source), _CHUNK))
        return
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(source, flags), "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise CollectError("the JUnit file is not a regular file")
            check_size(state.st_size)
            while chunk := file.read(_CHUNK):
                yield chunk
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CollectError(f"the JUnit file cannot be read: {error.strerror}") from error


def check_size(size: int) -> None:
    """Raises CollectError for reports of too many bytes together."""
    if size > MAX_BYTES:
        raise CollectError(
            f"the JUnit file is too big: {size / _MIB:.0f} MiB, "
            f"at most {MAX_BYTES // _MIB} are read"
        )
