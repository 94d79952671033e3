"""What the caches of a user's suites may hold on an engine, and how they go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.cache_store import CacheStore, KeptCache
from distromatrix.engines.caches import owner

_NOTES_KEPT = 90 * 86400.0  # seconds, of caches that may be on another engine
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """A cache with its bytes and when it was last used, in seconds since 1970."""

    cache: KeptCache
    size: int
    used: float


def measured(store: CacheStore, notes: Path) -> tuple[Measured, ...]:
    """This user's, on an engine; each is looked at once after each use. `notes`: see
    Caches.folder. Raises InfrastructureError."""
    return tuple(_measure(store, cache, notes / cache.name) for cache in store.list(owner()))


def _measure(store: CacheStore, cache: KeptCache, note: Path) -> Measured:
    used, known = cache.created, ""
    with suppress(OSError):
        used = note.stat().st_mtime
        known = note.read_text()[:_DIGITS]
    if known.isdecimal():
        return Measured(cache, int(known), used)
    size = store.size(cache.name) or 0
    with suppress(OSError):
        note.write_text(str(size))
        os.utime(note, (used, used))
    return Measured(cache, size, used)


def surplus(caches: tuple[Measured, ...], limit: int) -> Iterator[KeptCache]:
    """Those of projects that are gone; of the others, those that were not used for longest, where
    all are more than `limit` bytes."""
    for one in sorted(caches, key=lambda one: one.used, reverse=True):
        limit -= one.size
        if limit < 0 or not Path(one.cache.project).is_dir():
            yield one.cache


def bound(store: CacheStore, notes: Path, limit: int) -> None:
    """Remove what is surplus and not in use. Raises InfrastructureError."""
    for cache in surplus(measured(store, notes), limit):
        store.remove(cache.name)
    with suppress(OSError):
        for note in notes.iterdir():
            if time.time() - note.stat().st_mtime > _NOTES_KEPT:
                note.unlink()
