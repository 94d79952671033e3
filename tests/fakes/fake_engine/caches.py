"""The fake engine's caches: a JSON file and a tar each. Its machines see none of them: their paths
are this host's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from distromatrix.engines.cache_store import LABEL_OWNER, LABEL_PROJECT, Cache, KeptCache
from distromatrix.files.whole import read_json
from fake_engine.state import write_json


class FakeCaches:
    """See CacheStore."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}.{kind}"

    def list(self, owner: str) -> tuple[KeptCache, ...]:
        """See CacheStore."""
        found = []
        for file in sorted(self._folder.glob("*.json")):
            labels = read_json(file) or {}
            if labels.get(LABEL_OWNER) == owner:
                made = file.stat().st_mtime
                found.append(KeptCache(name=file.stem, project=labels[LABEL_PROJECT], created=made))
        return tuple(found)

    def size(self, name: str) -> int | None:
        """See CacheStore."""
        file = self._file(name, "tar")
        return file.stat().st_size if file.exists() else None

    def remove(self, name: str) -> bool:
        """See CacheStore."""
        for kind in ("json", "tar"):
            self._file(name, kind).unlink(missing_ok=True)
        return True

    def read(self, cache: Cache, labels: Mapping[str, str]) -> Iterator[bytes]:
        """See CacheStore."""
        del labels
        if (file := self._file(cache.name, "tar")).exists():
            yield file.read_bytes()

    def write(self, cache: Cache, labels: Mapping[str, str], tar: Iterable[bytes]) -> None:
        """See CacheStore; what was in it goes."""
        del labels
        self._folder.mkdir(exist_ok=True)
        self._file(cache.name, "tar").write_bytes(b"".join(tar))
        write_json(self._file(cache.name, "json"), dict(cache.labels))
