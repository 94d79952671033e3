"""Keeps secret values out of everything that is stored or shown."""

from __future__ import annotations

import json
from copy import copy
from typing import AnyStr
from xml.sax.saxutils import escape

MASK = "***"
_SHORTEST = 3  # masking every 'a' of a log hides nothing and destroys the log
_SHORTEST_LINE = 4  # of a secret of several lines


class Masker:
    """Replaces secret values by `***`, in text and in streams of bytes.

    `secrets` are the values; those of several lines are also looked for line by line, and all
    of them as XML and JSON would write them. Where values overlap, all of them are hidden.
    `notes` says (without the value) what is too short to be masked.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        short = {s for s in secrets if 0 < len(s) < _SHORTEST}
        self.notes = tuple(
            f"a secret value of {len(s)} character(s) is too short to be masked" for s in short
        )
        forms = {form for secret in secrets for form in _forms(secret)}
        self._texts = tuple(sorted(forms, key=len, reverse=True))
        self._bytes = tuple(text.encode("utf-8", "surrogateescape") for text in self._texts)
        self.longest = max((len(b) for b in self._bytes), default=0)  # bytes
        self._pending = b""
        self._covered = 0  # so much of _pending lies under a mask that was already given out

    def stream(self) -> Masker:
        """The same secrets for a stream of its own: `feed` and `flush` serve one stream."""
        other = copy(self)
        other._pending, other._covered = b"", 0
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
            parts += [data[at:start], b"" if covered and start == 0 else MASK.encode()]
            at = end
        parts.append(data[at:stop])
        self._pending = data[stop:]
        self._covered = max(at, covered, stop) - stop
        return b"".join(parts)

    def _undecided(self, data: bytes) -> int:
        """Where the longest end of `data` begins that is the beginning of a secret."""
        held = 0
        for secret in self._bytes:
            for size in range(min(len(secret) - 1, len(data)), held, -1):
                if data.endswith(secret[:size]):
                    held = size
                    break
        return len(data) - held


def _forms(secret: str) -> set[str]:
    """All spellings of a secret that are worth looking for."""
    values = {secret, *(ln for ln in secret.splitlines() if len(ln.strip()) >= _SHORTEST_LINE)}
    values = {v for v in values | {v.strip() for v in values} if len(v) >= _SHORTEST}
    forms = set(values)
    for value in values:
        forms |= {escape(value), escape(value, {'"': "&quot;"}), json.dumps(value)[1:-1]}
        forms.add(escape(value, {'"': "&quot;", "'": "&#x27;"}))
        forms.add(json.dumps(value, ensure_ascii=False)[1:-1])
    return forms


def _spans(
    data: AnyStr, secrets: tuple[AnyStr, ...], first: tuple[int, int] = (0, 0)
) -> list[tuple[int, int]]:
    """Where the secrets are, in order; overlapping places are one. `first` is one at 0 that
    is known already, (0, 0) for none."""
    found = [first] if first[1] else []
    for secret in secrets:
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
