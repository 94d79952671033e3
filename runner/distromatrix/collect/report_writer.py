"""Writes reports: well-formed XML in UTF-8, without secrets however they were spelt there."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from distromatrix.collect.errors import CollectError
from distromatrix.collect.masking import Masker
from distromatrix.collect.report_text import MAX_BYTES, legal

_HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n'


class ReportWriter:
    """Writes one file of what it receives as a parser's target, element by element: masked,
    without namespaces and comments. `several`: documents, which become one. Raises CollectError
    for more than MAX_BYTES."""

    def __init__(self, out: IO[bytes], masker: Masker | None = None, *, several: bool) -> None:
        self._out = out
        self._masker = (masker or Masker()).stream()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._several = several
        self._depth = 0
        self._size = 0
        self._open = False  # the last start tag lacks its end
        self._held = False  # text is held back by the masker
        self._write(_HEAD + (b"<testsuites>\n" if several else b""))

    def finish(self) -> None:
        """No document comes any more."""
        if self._several:
            self._write(b"</testsuites>\n")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._settle()
        self._depth += 1
        if name := self._named(tag):
            pairs = "".join(
                f" {key}={quoteattr(legal(self._masker.mask(value)))}"
                for key, value in attributes.items()
                if "}" not in key
            )
            self._write(f"<{name}{pairs}".encode())
            self._open = True

    def data(self, text: str) -> None:
        """Text, or a piece of it."""
        if self._open:
            self._open = False
            self._write(b">")
        self._held = True
        self._write_text(self._masker.feed(text.encode()))

    def end(self, tag: str) -> None:
        """An element ends."""
        name = self._named(tag)
        if self._open:
            self._open = False
            self._write(b"/>")
        else:
            self._settle()
            self._write(f"</{name}>".encode() if name else b"")
        self._depth -= 1
        if not self._depth:
            self._write(b"\n")

    def _named(self, tag: str) -> str:
        """The element's name here; '' for one that is left out."""
        name = tag.rpartition("}")[2]
        left_out = self._several and self._depth == 1 and name.lower() == "testsuites"
        return "" if left_out else name

    def _settle(self) -> None:
        if self._open:
            self._open = False
            self._write(b">")
        if self._held:
            self._held = False
            self._write_text(self._masker.flush(), final=True)

    def _write_text(self, data: bytes, *, final: bool = False) -> None:
        if text := self._decoder.decode(data, final):
            self._write(escape(legal(text)).encode())

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_BYTES:
            mib = MAX_BYTES // 1024**2
            raise CollectError(f"the JUnit file is too big: more than {mib} MiB once it is decoded")
        self._out.write(data)
