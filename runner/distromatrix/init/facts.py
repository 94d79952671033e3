"""What looking at a product's folder gives: plain data between the looking and the writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distromatrix.init.folder import ScannedFolder

# Of what compiles in `setup`.
IN_CONTAINER = (
    "If its tests need a kernel of their own (`needs:`), write `setup: {in: container, run: …}`: "
    "an emulated guest compiles some thirty times slower."
)


def shared_family(families: Iterable[str]) -> str:
    """The family of distros that all are for; '' where there are others."""
    known = set(families)
    return known.pop() if len(known) == 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One suite to write. `about`: lines of comment above it. `files` belong to `prepare`.
    `user`: who runs it ('': an ordinary one); `family`: of the distros that it is for ('': of
    all). Or, in place of what it does: `keys`, as they are, of which all scalars are text; or the
    folders that it `imports`, and the names of the suites that this `stands_for`."""

    name: str
    run: str = ""
    about: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    prepare: str = ""
    setup: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: str = "30m"
    user: str = ""
    network: bool = True
    family: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one kind of product was recognised by. `source` is the file, `what` what it says
    (`pytest`); `git`: the product's version comes out of its `.git`."""

    source: str
    what: str
    drafts: tuple[Draft, ...] = ()
    notes: tuple[str, ...] = ()
    git: bool = False


# A kind of product: looks at a folder, runs nothing of it, and says what there is of this kind.
Kind = Callable[[ScannedFolder], Finding | None]
