"""What setup changed in a container, on its way into a guest that is made of the same image.

It is hostile. Here it is only counted and kept, in files without a name, and never looked into.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distromatrix.errors import InfrastructureError


class TooMuchError(InfrastructureError):
    """More was changed than its cell may write."""


@dataclass(slots=True)
class Changes:
    """`gone`: paths from /, each with a NUL after it; `there`: a tar of what is new or another.
    To be closed."""

    gone: BinaryIO
    there: BinaryIO

    @classmethod
    def kept(
        cls, gone: Iterable[bytes], there: Iterable[bytes], folder: Path, most: int
    ) -> Changes:
        """These streams, `most` bytes at the most, on the disk of that folder, in which nothing
        is to be seen of them. Raises TooMuchError, OSError."""
        first = _kept(gone, folder, most)
        try:
            return cls(first, _kept(there, folder, most))
        except BaseException:
            first.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of both."""
        return sum(os.fstat(file.fileno()).st_size for file in (self.gone, self.there))

    def close(self) -> None:
        """Forget them."""
        self.gone.close()
        self.there.close()


def _kept(pieces: Iterable[bytes], folder: Path, most: int) -> BinaryIO:
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see Changes.close
    try:
        for piece in pieces:
            if (most := most - len(piece)) < 0:
                raise TooMuchError("too much was changed", transient=False)
            file.write(piece)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file
