"""What a helper command of ours prints in a machine: its programs may be the product's."""

from __future__ import annotations

MOST = 64 * 1024  # bytes; ours print less than a hundred
MOST_LISTED = 4 * 1024**2  # of a list of processes


class Answer:
    """The first bytes of what is said; all else is heard, and not kept. To be given as
    `output`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = bytearray()

    def __call__(self, piece: bytes) -> None:
        """Hear that piece."""
        self._kept += piece[: self._most - len(self._kept)]

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __bytes__(self) -> bytes:
        return bytes(self._kept)

    def __str__(self) -> str:
        return self._kept.decode(errors="replace").strip()
