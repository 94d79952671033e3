"""The caches of one project and one user: their names and labels on engines, and when each was last
used, which engines do not tell."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.cache_store import LABEL_OWNER, LABEL_PROJECT, Cache
from distromatrix.engines.contract import LABEL_HOST
from distromatrix.engines.parcel import folders, owner_of
from distromatrix.engines.shell.homes import HOME
from distromatrix.files.user_folders import host_name

# What CI calls an event by which strangers have their code run, and where it says so.
_STRANGERS = (("GITHUB_EVENT_NAME", "pull_request"), ("CI_PIPELINE_SOURCE", "merge_request_event"))


def owner() -> str:
    """This user, on this host."""
    return f"{os.geteuid()}@{host_name()}"


def is_strangers_run(environ: Mapping[str, str]) -> bool:
    """Whether CI runs a pull request."""
    return any(environ.get(name, "").startswith(event) for name, event in _STRANGERS)


def home_folders(user: str, caches: Iterable[Cache]) -> bytes:
    """A tar, to be unpacked at `/`, of the folders of those that lie in a home of ours, which no
    image has: of that user, with those above them. Empty where there are none."""
    paths = [path for one in caches for path in (Path(one.path), *Path(one.path).parents)]
    below = sorted({str(path)[1:] for path in paths if Path(HOME) in path.parents})
    return folders(owner_of(user), tuple(below)) if below else b""


@dataclass(frozen=True, slots=True)
class Caches:
    """Those of a project's folder. `folder`: where is noted when they were used, which need not be
    there; `private`: machines get copies."""

    project: Path
    folder: Path
    private: bool = False

    def of(self, distro: str, arch: str, user: str, paths: Mapping[str, str]) -> tuple[Cache, ...]:
        """What a machine of that user (`root` or `UID:GID`) is given, by name and path. It counts
        as used now."""
        labels = {
            LABEL_OWNER: owner(),
            LABEL_HOST: host_name(),
            LABEL_PROJECT: str(self.project),
        }
        found = []
        for name, path in paths.items():
            whole = json.dumps([*labels.values(), distro, arch, user, name])
            digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:20]
            found.append(
                Cache(
                    name=f"distromatrix-cache-{name}-{distro}-{digest}",
                    path=path,
                    labels=labels,
                    private=self.private,
                )
            )
        self._note_used(*(cache.name for cache in found))
        return tuple(found)

    def _note_used(self, *names: str) -> None:
        with suppress(OSError):  # then it is the engine's word that counts: when it was made
            if names:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in names:
                (self.folder / name).write_bytes(b"")  # its size is not known any more
