"""Public keys in OpenPGP's ASCII armor: their fingerprints.

https://www.rfc-editor.org/rfc/rfc9580 (5.5.4 Fingerprints; 6 ASCII armor).
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode
from collections.abc import Iterator

_BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = "-----END PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY = 6  # the packet's type


def fingerprints(text: str) -> tuple[str, ...]:
    """Those of the primary keys in a text, in upper-case hexadecimal digits; none where it holds
    no key that can be read."""
    return tuple(one for block in _blocks(text) for one in _of_block(block))


def _blocks(text: str) -> Iterator[str]:
    """What stands between headers, which end with an empty line, and the checksum."""
    block: list[str] | None = None
    within = False
    for line in map(str.strip, text.splitlines()):
        if line == _BEGIN:
            block, within = [], False
        elif block is None:
            continue
        elif line == _END:
            yield "".join(block)
            block = None
        elif not within:
            within = not line
        elif not line.startswith("="):
            block.append(line)


def _of_block(block: str) -> list[str]:
    try:
        data = b64decode(block, validate=True)
    except (binascii.Error, ValueError):
        return []
    found = []
    while data:
        kind, start, end = _packet(data)
        if end <= 0 or end > len(data):
            break
        body = data[start:end]
        if kind == _PUBLIC_KEY and body[:1] == b"\x04":
            packed = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(packed, usedforsecurity=False).hexdigest().upper())
        elif kind == _PUBLIC_KEY and body[:1] == b"\x06":
            packed = b"\x9b" + len(body).to_bytes(4, "big") + body
            found.append(hashlib.sha256(packed).hexdigest().upper())
        data = data[end:]
    return found


def _packet(data: bytes) -> tuple[int, int, int]:
    """The type of the first packet, and where its body begins and ends; an end of 0 where that
    is not said (4.2 Packet Headers)."""
    tag = data[0]
    if tag & 0xC0 == 0xC0:
        kind, first = tag & 0x3F, data[1] if len(data) > 1 else 255
        if first < 192:
            return kind, 2, 2 + first
        if first < 224 and len(data) > 2:
            return kind, 3, 3 + ((first - 192) << 8) + data[2] + 192
        return (kind, 6, 6 + int.from_bytes(data[2:6], "big")) if first == 255 else (kind, 0, 0)
    size = 1 << (tag & 3)
    end = 1 + size + int.from_bytes(data[1 : 1 + size], "big")
    return (tag & 0x3C) >> 2, 1 + size, end if size < 8 else 0
