"""What can be wrong with what a cell left for us."""

from __future__ import annotations


class CollectError(Exception):
    """What a cell left cannot be used. `str()` of it is one printable line that says why;
    whoever catches it makes the cell `failed` in the phase `collect`, never green."""
