"""What an engine keeps for machines from one run to the next, for everyone who uses one. See
`contract`: what is said there of an engine's methods holds for these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

# Whose a cache is, and of which project's folder.
LABEL_OWNER = "distromatrix.owner"
LABEL_PROJECT = "distromatrix.project"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder of a machine, by its absolute `path` there, that is kept on the engine under `name`,
    with those labels. `private`: the machine has a copy, which goes with it."""

    name: str
    path: str
    labels: Mapping[str, str]
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCache:
    """One that is there. `created`: seconds since 1970."""

    name: str
    project: str
    created: float


class CacheStore(Protocol):
    """The caches on an engine."""

    def list(self, owner: str) -> tuple[KeptCache, ...]:
        """Those with that LABEL_OWNER."""

    def size(self, name: str) -> int | None:
        """The bytes in one; None where that cannot be known."""

    def remove(self, name: str) -> bool:
        """Remove it, if no machine uses it: whether it is gone."""

    def read(self, cache: Cache, labels: Mapping[str, str]) -> Iterator[bytes]:
        """What is in it, as a tar stream of `.`; nothing where it is not there. What the
        engine needs for it has those labels."""

    def write(self, cache: Cache, labels: Mapping[str, str], tar: Iterable[bytes]) -> None:
        """Extract a tar stream into it; it is made where it is not there."""
