"""Keeps secret values out of everything that is stored or shown."""

from __future__ import annotations

from bisect import bisect_right
from copy import copy
from typing import AnyStr

from distromatrix.collect.spellings import SHORTEST, spellings

MASK = "***"
_PIECES = 8  # in so many, at most, what is held back is doubled
# What is in most of the spellings that are long, and in few outputs, the rarest first.
_MARKS = (b"\0", b"&#", b"\\u", b"\\x", b"%", b"\\", b"&")


class Masker:
    """Replaces secret values by `***`, in text and in streams of bytes.

    `secrets` are the values; they are looked for in all `spellings`. Where those overlap, all of
    them are hidden. `notes` says (without the value) what is too short to be masked. A `stream`
    knows whether it has `found` one.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        short = {s for s in secrets if 0 < len(s) < SHORTEST}
        self.notes = tuple(
            f"a secret value of {len(s)} character(s) is too short to be masked" for s in short
        )
        forms = sorted({form for secret in secrets for form in spellings(secret)})
        texts = [form.decode("utf-8", "surrogateescape") for form in forms]
        self._forms = forms
        self._bytes = _by_mark(forms, _MARKS)
        self._texts = _by_mark(texts, tuple(mark.decode() for mark in _MARKS))
        self._sizes: dict[bytes, list[int]] = {}
        self.longest = max((len(form) for form in forms), default=0)  # bytes
        self.found = False
        self._pending = b""
        self._covered = 0  # so much of _pending lies under a mask that was already given out

    def stream(self) -> Masker:
        """The same secrets for a stream of its own: `feed` and `flush` serve one stream."""
        other = copy(self)
        other._pending, other._covered, other.found = b"", 0, False
        return other

    def mask(self, text: str) -> str:
        """`text` without the secrets."""
        if not self._texts:
            return text
        parts, at = [], 0
        for start, end in _spans(text, self._texts):
            parts += [text[at:start], MASK]
            at = end
        return "".join(parts) + text[at:]

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes of a stream, masked; what may be the beginning of a secret is held
        back until the next call."""
        if not self._bytes:
            return chunk
        data = self._pending + chunk
        if _PIECES * len(chunk) < len(self._pending):  # or single bytes would cost most
            self._pending = data
            return b""
        return self._give(data, self._undecided(data))

    def flush(self) -> bytes:
        """What was held back, at the end of the stream."""
        return self._give(self._pending, len(self._pending))

    def take_pending(self) -> bytes:
        """What was held back, unmasked, for one who goes on masking by `window`."""
        pending, self._pending = self._pending[self._covered :], b""
        self._covered = 0
        return pending

    def window(self, data: bytes, *, cut: bool) -> bytes:
        """A piece out of the middle of a stream, masked, without its last bytes where they may
        begin a secret. `cut`: bytes before it are missing; then it loses its first `longest`
        bytes too, which may be the end of a secret."""
        skip = min(self.longest, len(data)) if cut else 0
        stop = max(self._undecided(data), skip)
        parts, at = [], skip
        for start, end in _spans(data, self._bytes):
            if end > skip and start < stop:
                parts += [data[at:start], MASK.encode()]
                at = end
        return b"".join(parts) + data[at:stop]

    def _give(self, data: bytes, stop: int) -> bytes:
        parts, at = [], 0
        covered, self._covered = self._covered, 0
        for start, end in _spans(data, self._bytes, (0, covered)):
            if start >= stop:
                break
            self.found = True
            parts += [data[at:start], b"" if covered and start == 0 else MASK.encode()]
            at = end
        parts.append(data[at:stop])
        self._pending = data[stop:]
        self._covered = max(at, covered, stop) - stop
        return b"".join(parts)

    def _undecided(self, data: bytes) -> int:
        """Where the longest end of `data` begins that is the beginning of a secret."""
        if (sizes := self._sizes.get(data[-2:])) is None:
            sizes = self._sizes[data[-2:]] = self._sizes_to(data[-2:])
        for size in sizes:
            end = data[-size:]
            place = bisect_right(self._forms, end)
            if len(end) == size and any(f.startswith(end) for f in self._forms[place : place + 1]):
                return len(data) - size
        return len(data)

    def _sizes_to(self, pair: bytes) -> list[int]:
        """How long the beginnings of secrets may be that end in two such bytes, or in the last,
        the longest first."""
        found = {1}
        for form in self._forms if len(pair) == 2 else ():
            at = form.find(pair, 0, -1)
            while at >= 0:
                found.add(at + 2)
                at = form.find(pair, at + 1, -1)
        return sorted(found, reverse=True)


def _by_mark(texts: list[AnyStr], marks: tuple[AnyStr, ...]) -> dict[AnyStr, list[AnyStr]]:
    """The texts by the mark that each holds: where that is not, they need not be looked for."""
    found: dict[AnyStr, list[AnyStr]] = {}
    for text in texts:
        mark = next((mark for mark in marks if mark in text), text[:0])
        found.setdefault(mark, []).append(text)
    return found


def _spans(
    data: AnyStr, secrets: dict[AnyStr, list[AnyStr]], first: tuple[int, int] = (0, 0)
) -> list[tuple[int, int]]:
    """Where the secrets are, in order; overlapping places are one. `first` is one at 0 that
    is known already, (0, 0) for none."""
    found = [first] if first[1] else []
    for secret in (one for mark, some in secrets.items() if mark in data for one in some):
        at = data.find(secret)
        while at >= 0:
            if found and found[-1][0] <= at < found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], at + len(secret)))
            else:
                found.append((at, at + len(secret)))
            at = data.find(secret, at + 1)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
