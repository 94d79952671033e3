"""Each key that a checkout may write is known to reach the host, or known not to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from distromatrix.load.shapes.distro import DistroShape
from distromatrix.load.shapes.matrix import MatrixShape
from distromatrix.trust.reach import KINDS

# Why these need no yes.
_IN_MACHINE = "is done in the machine, and to it"
_CHOICE = "only chooses among cells, distros or machines"
_MEANING = "says what a result means"
_WORDS = "is shown, printable and on one line"
_SHARE = "no more than the host has is given, and the time is the caller's to end"
_IMAGE = "an image may be its machine's root, and no more"
HARMLESS = {
    "MatrixShape.distros": _CHOICE,
    "MatrixShape.env": _IN_MACHINE,
    "ProductShape.git": "its settings go along without passwords and tokens",
    "MatrixShape.runners": "names CI's runners, as a branch's own workflow may",
    "MatrixShape.defaults": "its keys are those of suites",
    "MatrixShape.suites": "its keys are looked at one by one",
    "MatrixShape.variants": "its keys are looked at one by one",
    "MatrixShape.rules": "its keys are looked at one by one",
    "MatrixShape.sets": _CHOICE,
    "PrepareShape.run": _IN_MACHINE,
    "PrepareShape.files": "globs over the product's own files",
    "SuiteOptions.packages": _IN_MACHINE,
    "SuiteOptions.upgrade": _IN_MACHINE,
    "SuiteOptions.remove": _IN_MACHINE,
    "SuiteOptions.repositories": "its keys are looked at one by one; names mean a distro's own",
    "OwnRepositoryShape.url": "is asked by the machine alone",
    "OwnRepositoryShape.paths": _IN_MACHINE,
    "OwnRepositoryShape.key": "a file of the project, links followed; whose text goes to its cells",
    "OwnRepositoryShape.fingerprint": _MEANING,
    "OwnRepositoryShape.signed": _IN_MACHINE,
    "SuiteOptions.prepare": _IN_MACHINE,
    "SuiteOptions.setup": _IN_MACHINE,
    "SetupShape.in_": "the container has what the suite's `privileges` give, which are asked for",
    "SetupShape.run": _IN_MACHINE,
    "SuiteOptions.restore": _IN_MACHINE,
    "SuiteOptions.debug": _IN_MACHINE,
    "SuiteOptions.shell": _IN_MACHINE,
    "SuiteOptions.timeout": _SHARE,
    "SuiteOptions.env": _IN_MACHINE,
    "SuiteOptions.reads": "globs over the product's own files",
    "SuiteOptions.needs": "chooses a machine; what a container may have is said by `privileges`",
    "SuiteOptions.cases": _MEANING,
    "SuiteOptions.report": _MEANING,
    "SuiteOptions.retry_failed": _SHARE,
    "SuiteOptions.user": _IN_MACHINE,
    "SuiteOptions.caches": "volumes of this project's and this user's alone, bounded in size",
    "SuiteOptions.cpus": _SHARE,
    "SuiteOptions.network": "every cell has one unless it is told not to",
    "SuiteOptions.distros": _CHOICE,
    "SuiteOptions.tags": _CHOICE,
    "SuiteOptions.gating": _MEANING,
    "SuiteOptions.reason": _WORDS,
    "SuiteOptions.skip_status": _MEANING,
    "SuiteShape.run": _IN_MACHINE,
    "VariantShape.suites": _CHOICE,
    "VariantShape.distros": _CHOICE,
    "VariantShape.env": _IN_MACHINE,
    "VariantShape.packages": _IN_MACHINE,
    "VariantShape.tags": _CHOICE,
    "VariantShape.gating": _MEANING,
    "VariantShape.reason": _WORDS,
    "RuleShape.distro": _CHOICE,
    "RuleShape.suite": _CHOICE,
    "RuleShape.variant": _CHOICE,
    "RuleShape.skip": _WORDS,
    "RuleShape.expect": _MEANING,
    "RuleShape.cases": _MEANING,
    "RuleShape.phase": _MEANING,
    "RuleShape.expect_status": _MEANING,
    "RuleShape.reason": _WORDS,
    "RuleShape.until": _MEANING,
    "RuleShape.env": _IN_MACHINE,
    "RuleShape.packages": _IN_MACHINE,
    "RuleShape.repositories": "as a suite's",
    "RuleShape.setup": _IN_MACHINE,
    "RuleShape.retry_failed": _SHARE,
    "RuleShape.tags": _CHOICE,
    "RuleShape.gating": _MEANING,
    "SetShape.tags": _CHOICE,
    "SetShape.distros": _CHOICE,
    "DistroShape.title": _WORDS,
    "DistroShape.like": "takes over values that are looked at themselves",
    "DistroShape.arch": _CHOICE,
    "DistroShape.family": _MEANING,
    "DistroShape.package_manager": "chooses among our own scripts, for the machine",
    "DistroShape.libc": _MEANING,
    "DistroShape.eol": _MEANING,
    "DistroShape.verified": _MEANING,
    "DistroShape.image": "its sources are looked at one by one",
    "DistroShape.guest": "its keys are looked at one by one",
    "DistroShape.packages": _IN_MACHINE,
    "DistroShape.repositories": "paths below the mirror that the user has set",
    "DistroShape.extra_repositories": "its keys are looked at one by one",
    "ExtraRepositoryShape.paths": "paths below the mirror that the user or the image has set",
    "ExtraRepositoryShape.enable": _IN_MACHINE,
    "ExtraRepositoryShape.packages": _IN_MACHINE,
    "PullShape.refresh": _IMAGE,
    "BootstrapShape.bootstrap": "its keys are looked at one by one",
    "BootstrapShape.refresh": _IMAGE,
    "BootstrapOptions.tool": "one of ours, by name",
    "BootstrapOptions.suite": "a release of the mirror that the user has set",
    "BootstrapOptions.packages": "of that mirror, by name: files and URLs are refused for good",
    "ArchiveShape.archive": "its keys are looked at one by one",
    "ArchiveFile.file": "a name, without folders, with its sha256",
    "ArchiveFile.sha256": _IMAGE,
    "ContainerfileShape.refresh": _IMAGE,
    "GuestShape.bootstrap": "its keys are looked at one by one",
    "GuestShape.keep_ready": _CHOICE,
    "GuestBootstrapShape.kernel": _IMAGE,
    "GuestBootstrapShape.system": _IMAGE,
}


def shapes_in(kind: Any) -> Iterator[type[BaseModel]]:
    """The shapes that a type speaks of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from shapes_in(part)


def keys_of(*roots: type[BaseModel]) -> set[str]:
    """`Shape.key` of all that may be written, each with the shape that declares it."""
    waiting, seen, keys = list(roots), set[type[BaseModel]](), set[str]()
    while waiting:
        shape = waiting.pop()
        if shape in seen:
            continue
        seen.add(shape)
        for name, field in shape.model_fields.items():
            owner = next(
                c for c in reversed(shape.__mro__) if name in getattr(c, "model_fields", {})
            )
            keys.add(f"{owner.__name__}.{name}")
            waiting += shapes_in(field.annotation)
            waiting += [s for one in field.metadata for s in shapes_in(one)]
    return keys


def test_each_key_reaches_the_host_or_does_no_harm() -> None:
    reaching = {key for kind in KINDS.values() for key in kind.keys}
    assert keys_of(MatrixShape, DistroShape) == reaching | set(HARMLESS)
    assert not reaching & set(HARMLESS)
