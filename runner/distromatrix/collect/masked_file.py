"""Files that a suite left: those that are text are masked, of others it is told what they hold."""

from __future__ import annotations

import codecs
import os

from distromatrix.collect.masking import Masker

_CHUNK = 1024 * 1024
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class MaskedFile:
    """One file, as its bytes are written, in their order, to `fd`, open to read and write.

    Text is UTF-8, or UTF-16 that begins with its mark, and has no NUL. `finish` masks a text that
    holds a secret, where it lies: nothing gets longer by that, since no mask is longer than what
    it hides. `told`: it holds one, and is no text.
    """

    def __init__(self, masker: Masker, fd: int) -> None:
        self._masker = masker
        self._fd = fd
        self._raw, self._text = masker.stream(), masker.stream()
        self._encoding = ""
        self._decoder: codecs.IncrementalDecoder | None = None
        self.told = False

    def feed(self, chunk: bytes) -> None:
        """The next bytes, at least two at first unless there is one."""
        if not self._masker.longest:
            return
        if not self._encoding:
            self._encoding = _MARKS.get(chunk[:2], "utf-8")
            self._decoder = codecs.getincrementaldecoder(self._encoding)()
        self._raw.feed(chunk)
        self._decode(chunk)

    def finish(self) -> None:
        """All is written."""
        self._decode(b"", final=True)
        for stream in (self._raw, self._text):
            stream.flush()
        if self._raw.found or self._text.found:
            self.told = self._decoder is None
            if not self.told:
                self._rewrite()

    def _decode(self, chunk: bytes, *, final: bool = False) -> None:
        if self._decoder is None:
            return
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            self._decoder = None
        elif self._encoding != "utf-8":
            self._text.feed(text.encode())

    def _rewrite(self) -> None:
        stream, at, into = self._masker.stream(), 0, 0
        decoder = codecs.getincrementaldecoder(self._encoding)()
        again = codecs.getincrementaldecoder("utf-8")("ignore")
        while chunk := os.pread(self._fd, _CHUNK, at):
            at += len(chunk)
            masked = stream.feed(decoder.decode(chunk).encode())
            into += self._put(again.decode(masked), into)
        into += self._put(again.decode(stream.flush(), final=True), into)
        os.ftruncate(self._fd, into)

    def _put(self, text: str, at: int) -> int:
        data = memoryview(text.encode(self._encoding))
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:], at + done)
        return done
