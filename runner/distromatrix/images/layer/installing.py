"""Installing a cell's packages in a machine, and saying what went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import Machine
from distromatrix.errors import ImageError
from distromatrix.files.small_tar import tar_of
from distromatrix.images.layer.downloading import Downloading
from distromatrix.images.layer.step import Step
from distromatrix.images.packages import MANAGERS, Addition, Mirror, PackageFailure, PackageManager
from distromatrix.images.packages.base import filled
from distromatrix.images.packages.lookup import GUESSED, answers
from distromatrix.images.packages.suggest import hint
from distromatrix.images.store.downloads import Downloads
from distromatrix.load.settings import Settings
from distromatrix.model import Distro, Repository
from distromatrix.plan.held import Held, held_in

_SEARCH_TIMEOUT = 10.0  # no failure is told later than that for the sake of a hint
_MOST_SAID = 256 * 1024  # bytes of what a lookup finds
_ADDED = "distromatrix-added-"  # and a number: a repository in a machine


class Installed(NamedTuple):
    """What is worth a word of an installation, or ''; and what was named by what it holds
    (`cmake(Foo)`), was optional, and is not there."""

    told: str = ""
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSource:
    """Where a distro's packages come from: its manager's name, the user's mirror where the
    image does not point at it already, and what is said when something is not found there:
    the distro's common names, and `advice` on an old release. `added`: repositories beside
    those, in the matrix's order, by their URLs or ''. `warning`: what is wrong with the user's
    settings."""

    distro: str
    manager: str
    mirror: Mirror | None = None
    common: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    advice: str = ""
    added: tuple[str, ...] = ()
    warning: str = ""

    @property
    def key(self) -> tuple[object, ...] | None:
        """What of it decides what a machine is like afterwards, beside the manager."""
        mirror = self.mirror
        return (mirror.url, mirror.repositories, mirror.archive) if mirror else None


def package_source(
    distro: Distro, kind: str, settings: Settings, added: tuple[Repository, ...] = ()
) -> PackageSource:
    """Where packages come from in a distro's image of that kind of source, with what is `added`.
    What was bootstrapped points at the user's mirror, as it came from it."""
    more = tuple(path for one in added if not one.url for path in one.paths)
    url = settings.mirror(distro) if more or kind != "bootstrap" else ""
    mirror, warning = None, ""
    if url and distro.repositories:
        archive = settings.archived(distro)
        paths = tuple(dict.fromkeys((*distro.repositories, *more)))
        mirror = Mirror(url=url, repositories=paths, archive=archive)
    elif url:
        warning = (
            f"{distro.name}: packages do not come from {url}, as its file does not say which "
            "`repositories` lie below it"
        )
    return PackageSource(
        distro=distro.name,
        manager=distro.package_manager,
        mirror=mirror,
        common=distro.packages,
        advice=settings.archive_advice(distro),
        added=tuple(one.url for one in added),
        warning=warning,
    )


def use_mirror(source: PackageSource, machine: Machine, step: Step) -> None:
    """Let a machine get its packages from the user's mirror, if there is one. Raises
    ImageError."""
    if source.mirror is not None:
        step.must(machine, _manager(source).use(source.mirror))


def add_repositories(
    repositories: tuple[Repository, ...],
    source: PackageSource,
    machine: Machine,
    step: Step,
    downloads: Downloads | None = None,
) -> None:
    """Let a machine have these, too. Those that lie on the user's mirror it has already. Raises
    ImageError."""
    manager = _manager(source)
    for number, one in enumerate(repositories, 1):
        name = f"{_ADDED}{number}"
        key = manager.keys.format(name=name, file=one.key_file) if one.key else ""
        if key:
            machine.put(tar_of(((key.lstrip("/"), one.key.encode(), 0o644),)), "/")
        if manager.add and not (source.mirror and one.paths and not one.url):
            step.must(machine, manager.add(Addition(name=name, repository=one, key=key)))
        if one.packages:
            install(source, one.packages, machine, step, downloads)


def install(
    source: PackageSource,
    packages: tuple[str, ...],
    machine: Machine,
    step: Step,
    downloads: Downloads | None = None,
) -> Installed:
    """Install packages by their native names, or by what they hold; with `downloads`, by what is
    kept there. Raises ImageError."""
    manager = _manager(source)
    packages, found = _looked_up(source, manager, packages, machine, step)
    if not packages:
        return found
    status: int | None = 0
    if downloads is None or not manager.downloads:
        script, told = manager.script, ""
    else:
        files = Downloading(downloads, machine, step)
        status = files.run(manager, packages)
        script, told = manager.rest, files.told
    if status == 0:
        status = step.run(machine, filled(script, packages)).status
    if status == 0:
        return Installed("; ".join(filter(None, (told, found.told))), found.absent)
    raise _failed(source, manager, machine, step, status)


def _looked_up(
    source: PackageSource,
    manager: PackageManager,
    packages: tuple[str, ...],
    machine: Machine,
    step: Step,
) -> tuple[tuple[str, ...], Installed]:
    """The packages, all by native names, and what came of looking them up. Raises ImageError."""
    wanted = {name: held for name in packages if (held := held_in(name))}
    if not wanted:
        return packages, Installed()
    told: list[str] = []
    found: Mapping[Held, str] = {}
    if manager.lookup:
        every = tuple(dict.fromkeys(wanted.values()))
        said = Answer(_MOST_SAID)
        ended = step.run(machine, manager.lookup.ask(every), answer=said)
        if ended.status != 0:
            raise _failed(source, manager, machine, step, ended.status)
        text = bytes(said).decode(errors="replace")
        found = answers(text, every)
        if GUESSED in text.splitlines():
            names = ", ".join(f"{name} for {held}" for held, name in found.items())
            told.append(f"by its name, as its mirror has no lists of files: {names}")
    absent = [name for name, held in wanted.items() if held not in found]
    if needed := tuple(name for name in absent if not wanted[name].optional):
        how = "no package has" if manager.lookup else "nothing can be looked up for"
        text = f"{how} {', '.join(needed)} in {source.distro} ({manager.name})"
        raise step.error(f"{text}: name the package itself", absent=needed)
    native = (found[wanted[n]] if n in wanted else n for n in packages if n not in absent)
    missing = tuple(str(wanted[name]) for name in absent)
    if missing:
        told.append(f"not in {source.distro}: {', '.join(missing)}")
    return tuple(dict.fromkeys(native)), Installed("; ".join(told), missing)


def _failed(
    source: PackageSource,
    manager: PackageManager,
    machine: Machine,
    step: Step,
    status: int | None,
) -> ImageError:
    """What a tool's failure means."""
    why = manager.failure(step.text)
    where = f"{source.distro} ({manager.name})"
    if broken := _mirror_fault(source, where, why):
        return step.error(broken, bool(why.unreachable))
    if why.not_found:
        names = why.not_found
        text = f"package{'s' * (len(names) > 1)} {', '.join(map(repr, names))} not found in {where}"
        there = manager.found(step.ask(machine, manager.search, _SEARCH_TIMEOUT))
        text += "".join(f"; {h}" for h in hint(names, there, source.common))
        return step.error(text, absent=names)
    return step.error(f"{step.name} failed with status {status}: {why.error or step.last}")


def _manager(source: PackageSource) -> PackageManager:
    manager = MANAGERS.get(source.manager)
    if manager is None:
        raise ImageError(
            f"packages cannot be installed in {source.distro}: its package manager is "
            f"{source.manager}, and only {', '.join(MANAGERS)} are known here",
            phase="packages",
        )
    return manager


def _mirror_fault(source: PackageSource, where: str, why: PackageFailure) -> str:
    """What is wrong with the mirror, or ''. Then that a package is not found says nothing."""
    if added := _added_one(source, why.unreachable or why.gone or why.expired or why.untrusted):
        return _repository_fault(added, where, why)
    advice = f"; {source.advice}" if source.advice else ""
    if why.unreachable:
        return f"package mirror of {where} not reachable: {why.unreachable}"
    if why.gone:
        return f"the package mirror does not have {where}: {why.gone}{advice}"
    if why.expired:
        return (
            f"the package mirror's Release file has expired for {where}: {why.expired}; a mirror "
            'that is up to date mends it, or Acquire::Check-Valid-Until "false" in its apt.conf'
            f"{advice}"
        )
    if why.untrusted:
        return f"the package mirror of {where} is not trusted: {why.untrusted}"
    return ""


def _added_one(source: PackageSource, said: str) -> str:
    """The URL of the added repository that a tool's line speaks of, by its name or its URL (its
    host, where the line has no URL), or ''."""
    for number, url in enumerate(source.added, 1):
        if url:
            place = url.rstrip("/") if "://" in said else urlsplit(url).netloc
            if re.search(rf"({re.escape(place)}|{_ADDED}{number})(?![\w.:-])", said):
                return url
    return ""


def _repository_fault(url: str, where: str, why: PackageFailure) -> str:
    if why.unreachable:
        return f"the repository {url} is not reachable from {where}: {why.unreachable}"
    if why.gone:
        return f"the repository {url} has nothing for {where}: {why.gone}"
    if why.expired:
        return f"the Release file of the repository {url} has expired, for {where}: {why.expired}"
    return f"the repository {url} is not trusted by {where}: {why.untrusted}"
