"""What a cell made on another host, taken into a run's folder: nothing of it is believed."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from distromatrix.collect.artifacts import TARFILES, TarStream
from distromatrix.collect.errors import CollectError
from distromatrix.collect.plain_tar import plain_tar
from distromatrix.collect.text import one_line
from distromatrix.files.whole import disk_fault
from distromatrix.merge.untrusted import take_over
from distromatrix.record.folder import RunFolder

MOST_MADE = 4 << 30  # bytes
_CHUNK = 1 << 20


def unpack(chunks: Iterable[bytes], cell: str, folder: RunFolder) -> None:
    """A tar stream, gzipped, of `cells/CELL`; nothing where nothing comes. What is neither file nor
    folder, or cannot be written under its name, is left out. Raises CollectError, UnusableError,
    InfrastructureError where the disk is full, and whatever `chunks` raises."""
    coming = Path(tempfile.mkdtemp(prefix="coming-", dir=folder.path))
    try:
        plain = plain_tar(_gunzipped(chunks), MOST_MADE)
        with tarfile.open(fileobj=TarStream(plain), mode="r|") as tar:
            for member in tar:
                if member.isdir() or member.isreg():
                    _extract(tar, member, coming)
        take_over(coming, f"cells/{cell}", lambda: folder.cell(cell))
    except (tarfile.TarError, zlib.error, EOFError, *TARFILES) as error:
        raise CollectError(f"it is unreadable: {one_line(str(error))}") from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, coming: Path) -> None:
    try:
        tar.extract(member, coming, filter="data")
    except OSError as error:
        if fault := disk_fault(error, coming):
            raise fault from error


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
