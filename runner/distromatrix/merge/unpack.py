"""What a cell made on another host, taken into a run's folder: nothing of it is believed."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from distromatrix.collect.artifacts import TarStream
from distromatrix.collect.plain_tar import plain_tar
from distromatrix.merge.untrusted import take_over
from distromatrix.record.folder import RunFolder

MOST_MADE = 4 << 30  # bytes
_CHUNK = 1 << 20


def unpack(chunks: Iterable[bytes], cell: str, folder: RunFolder) -> None:
    """A tar stream, gzipped, of `cells/CELL`; nothing where nothing comes. Raises CollectError,
    UnusableError, InfrastructureError, OSError, zlib.error."""
    coming = Path(tempfile.mkdtemp(prefix="coming-", dir=folder.path))
    try:
        plain = plain_tar(_gunzipped(chunks), MOST_MADE)
        with tarfile.open(fileobj=TarStream(plain), mode="r|") as tar:
            tar.extractall(coming, filter="data")
        take_over(coming, f"cells/{cell}", lambda: folder.cell(cell))
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """As much at once as a chunk, however much it grows; an empty archive where nothing comes."""
    packed = zlib.decompressobj(wbits=31)
    nothing = True
    for chunk in chunks:
        left = chunk
        while left:
            nothing = False
            yield packed.decompress(left, _CHUNK)
            left = packed.unconsumed_tail
    yield bytes(2 * tarfile.BLOCKSIZE) if nothing else packed.flush()
