"""Base images and prepared layers in one file, for a machine without network.

The file is a tar of two members: what the engine saves, gzipped, and after it a manifest that
says of each image its tag, id, age and architecture, and of the whole its sha256. It is
there when it is whole, and not before.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from distromatrix import __version__
from distromatrix.engines.changes import TooMuchError
from distromatrix.engines.contract import Engine
from distromatrix.engines.image_store import Image
from distromatrix.errors import InputError
from distromatrix.files.whole import whole_file
from distromatrix.images.store.bundle import (
    BLOCK,
    Bounded,
    Bundle,
    header,
    padding,
    require_whole,
    zipped,
)

FORMAT = 1
CONTENT = "distromatrix-images.tar.gz"
MANIFEST = "distromatrix-images.json"
_MODE = 0o644

Progress = Callable[[int], None]  # bytes so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """An image as it goes on its way. `also`: more tags that it is to have where it arrives."""

    image: Image
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in a file. `written`: seconds since the epoch; `sha256` and `bytes` are those of
    the compressed content."""

    format: int
    distromatrix: str
    engine: str
    written: float
    sha256: str
    bytes: int
    images: tuple[Carried, ...]


_FILE = Bundle(
    by="images export",
    members=(CONTENT, MANIFEST),
    said=MANIFEST,
    most=16 << 20,
    shape=Manifest,
    format=FORMAT,
)


# --- there ----------------------------------------------------------------------------------


def export(
    engine: Engine,
    images: Iterable[Carried],
    target: Path,
    progress: Progress,
    at_most: int | None = None,
) -> Manifest:
    """Write those images to the file `target`, wholly or not at all. Raises InputError where
    it would become larger than `at_most` bytes, InfrastructureError, OSError."""
    wanted = tuple({one.image.tag: one for one in images}.values())
    with whole_file(target, sync=True) as out:
        out.write(bytes(BLOCK))  # the header of what follows, as soon as its size is known
        bounded = Bounded(out, (at_most or sys.maxsize) - BLOCK)
        try:
            with zipped(bounded) as content:
                done = 0
                for chunk in engine.images.save(tuple(one.image.tag for one in wanted)):
                    content.write(chunk)
                    done += len(chunk)
                    progress(done)
        except TooMuchError:
            said = f"it would be larger than {(at_most or 0) / 1e6:.0f} MB"
            raise InputError(f"{target}: {said}, so nothing was written") from None
        manifest = Manifest(
            format=FORMAT,
            distromatrix=__version__,
            engine=str(engine.facts()),
            written=round(time.time(), 3),
            sha256=bounded.digest.hexdigest(),
            bytes=bounded.written,
            images=wanted,
        )
        text = json.dumps(asdict(manifest), indent=1).encode()
        out.write(padding(bounded.written) + header(MANIFEST, len(text), _MODE))
        out.write(text + padding(len(text)) + bytes(2 * BLOCK))
        out.seek(0)
        out.write(header(CONTENT, bounded.written, _MODE))
    return manifest


# --- and back -------------------------------------------------------------------------------


def import_(
    engine: Engine, source: Path, progress: Progress
) -> tuple[Manifest, tuple[Carried, ...]]:
    """Load what `export` wrote. Returns the manifest and those images that were not here
    before. Raises InputError where the file is not what it should be, InfrastructureError."""
    with _FILE.opened(source) as (manifest, members):
        _check(source, manifest, engine.facts().arch)
        content = cast("BinaryIO", members[CONTENT])
        require_whole(source, [content], manifest.sha256, progress)
        foreign = set(engine.images.tags_in(content)) - {c.image.tag for c in manifest.images}
        if foreign:
            raise InputError(f"{source}: {', '.join(sorted(foreign))} is in it and not of ours")
        fresh, known = [], []
        for one in manifest.images:
            here = engine.images.find(one.image.tag)
            if here is None or here.id != one.image.id:
                fresh.append(one)
                known.append(one.image)
            else:  # loading gives it a tag again, which must not make it younger
                known.append(replace(one.image, created=max(here.created, one.image.created)))
        if fresh:
            content.seek(0)
            engine.images.load(content, tuple(known))
        for one in manifest.images:
            for tag in one.also:
                engine.images.tag(one.image.tag, tag)
    return manifest, tuple(fresh)


def _check(source: Path, manifest: Manifest, arch: str) -> None:
    machines = sorted({c.image.arch for c in manifest.images} - {"", arch})
    if machines:
        raise InputError(f"{source}: holds images for {', '.join(machines)}; this host is {arch}")
    tags = [tag for c in manifest.images for tag in (c.image.tag, *c.also)]
    if foreign := [tag for tag in tags if not tag.startswith("distromatrix/")]:
        raise InputError(f"{source}: {', '.join(foreign)} is in it and not of ours")
