"""Looks at what stands around the engine: image tools, archives, Python, git."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from distromatrix.doctor.host import Host
from distromatrix.doctor.model import Check
from distromatrix.images.base.bootstrap import missing_programs
from distromatrix.images.base.sources import find_archive
from distromatrix.model import Archive, Bootstrap, Distro, ImageSource
from distromatrix.wording import some_of

_SHOWN = 5  # of many distros
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def tool_checks(
    distros: Iterable[Distro], away: Iterable[Distro], archives: tuple[Path, ...], host: Host
) -> tuple[Check, ...]:
    """What images are made with, and what this program stands on. `away`: those of the distros
    whose registry is out of reach, so that their images come from elsewhere."""
    away = tuple(away)
    built = [d.name for d in away if any(map(_by_mmdebstrap, d.image))]
    files = [(d, source) for d in away for source in d.image if isinstance(source, Archive)]
    known = any(_by_mmdebstrap(source) for d in distros for source in d.image)
    return (
        *((_bootstrap(built, host),) if known else ()),
        *((_archives(files, archives),) if files else ()),
        _tool("tar", host, "archives are read with it"),
        _tool("git", host, "the product's files are what git tracks"),
        _tool("ps", host, "a local engine lists with it which command hung"),
        Check(name="Python", status="ok", found=platform.python_version()),
    )


def other_bootstraps(mirrored: Iterable[Distro]) -> tuple[Check, ...]:
    """The tools that build what mmdebstrap does not. `mirrored`: the distros whose registry is
    out of reach and whose packages come from a mirror of the user's. Recommended only: who
    tests on Debian needs none of them."""
    name = "bootstrap tools"
    sources = [
        (distro.name, source)
        for distro in mirrored
        for source in distro.image
        if isinstance(source, Bootstrap) and source.tool != "mmdebstrap"
    ]
    lacking = [(distro, found) for distro, source in sources if (found := missing_programs(source))]
    remedies = {program: remedy for _, found in lacking for program, remedy in found.items()}
    if not sources:
        return ()
    if not remedies:
        tools = dict.fromkeys(source.tool for _, source in sources)
        return (Check(name=name, status="ok", found=", ".join(tools)),)
    wanting = tuple(dict.fromkeys(distro for distro, _ in lacking))
    return (
        Check(
            name=name,
            status="warning",
            found=f"no {', no '.join(remedies)}",
            why=f"from your mirrors, these are built with it: {some_of(wanting, _SHOWN)}",
            mend=tuple(dict.fromkeys(remedies.values())),
        ),
    )


def _by_mmdebstrap(source: ImageSource) -> bool:
    return isinstance(source, Bootstrap) and source.tool == "mmdebstrap"


def _bootstrap(built: list[str], host: Host) -> Check:
    wanted = {
        "mmdebstrap": shutil.which("mmdebstrap") is not None,
        str(KEYRING): KEYRING.exists(),
        # Without root, user namespaces stand in for it.
        "newuidmap": host.root or shutil.which("newuidmap") is not None,
    }
    lacking = [name for name, there in wanted.items() if not there]
    if not lacking:
        return Check(name="image tools", status="ok", found="mmdebstrap and its keyring")
    why = f"without a registry distros are built with it: {some_of(built, _SHOWN)}"
    check = host.lacks("bootstrap", "image tools", f"no {', no '.join(lacking)}", why)
    if built:
        return check
    why = "distros are built with it where no registry is in reach"
    return replace(check, status="warning", why=why)


def _archives(files: list[tuple[Distro, Archive]], folders: tuple[Path, ...]) -> Check:
    absent = [
        source.file for distro, source in files if find_archive(distro, source, folders) is None
    ]
    if not absent:
        found = ", ".join(source.file for _, source in files)
        return Check(name="archives", status="ok", found=found)
    return Check(
        name="archives",
        status="warning",
        found=f"no {', no '.join(absent)}",
        why="without a registry these distros come from a root filesystem archive",
        mend=("export DISTROMATRIX_ARCHIVES=FOLDER  # the folder that holds them",),
    )


def _tool(name: Literal["tar", "git", "ps"], host: Host, why: str) -> Check:
    if path := shutil.which(name):
        return Check(name=name, status="ok", found=path)
    return host.lacks(name, name, "not installed", why)
