"""Making a base image from the distribution's own packages: one small file a tool, and here
what they share: what must be there first, the running, and what a failure means.

The host's own configuration of these tools is neither read nor changed.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from distromatrix.errors import ImageError
from distromatrix.images.base.bootstrap import apk, dnf, mmdebstrap, pacman, zypper
from distromatrix.images.base.bootstrap.base import (
    BootstrapFailure,
    BootstrapJob,
    FailureKind,
    OutOfReachError,
    Tool,
)
from distromatrix.images.base.bootstrap.keys import find_keys
from distromatrix.images.base.bootstrap.running import (
    alone,
    as_root,
    bound_to_us,
    remove,
    run,
    tail,
)
from distromatrix.images.packages import Mirror
from distromatrix.load.shapes.bootstrap_options import (
    KEYS,
    NO_SIGNATURES,
    refused_options,
    refused_packages,
)
from distromatrix.model import Bootstrap, Distro
from distromatrix.wording import listing

__all__ = ["TOOLS", "OutOfReachError", "bootstrap", "declaration", "missing_programs", "remove"]

TIMEOUT = 1800.0
_SPACE_LEAST = 64 * 1024**2  # bytes; where a tool failed with no more, that is why

TOOLS: Mapping[str, Tool] = {
    module.TOOL.name: module.TOOL for module in (mmdebstrap, dnf, zypper, pacman, apk)
}


def declaration(distro: Distro, source: Bootstrap, mirror: str) -> tuple[str, ...]:
    """All that decides what the image holds."""
    declared = ("bootstrap", source.tool, source.suite, *source.options, mirror)
    if source.packages:
        declared += ("packages", *source.packages)
    if TOOLS[source.tool].builds_tree:
        declared += ("repositories", platform.machine(), *distro.repositories)
    return declared


def missing_programs(source: Bootstrap) -> dict[str, str]:
    """The programs of its tool that are not installed, each with how it is had."""
    return {
        names.rpartition("|")[2]: remedy
        for names, remedy in TOOLS[source.tool].programs
        if not any(shutil.which(name) for name in names.split("|"))
    }


def bootstrap(
    source: Bootstrap,
    distro: Distro,
    mirror: str,
    folder: Path,
    cancelled: Event,
    timeout: float = TIMEOUT,
) -> Path:
    """Build the root filesystem of `source` in `folder`, which is emptied before, and return
    its tar file. Raises OutOfReachError where the tool or its mirror is not to be had,
    ImageError for all else, also when `cancelled` is set meanwhile."""
    tool = TOOLS[source.tool]
    what = f"{source.tool} {source.suite}".strip()
    # A plan that was stored has not come through the loading of a distro's file.
    if refused := [
        *refused_options(source.tool, source.options),
        *refused_packages(source.packages),
    ]:
        raise ImageError(f"{what}: {listing(refused)} may not be given to it")
    prefix = _ready(tool, source, distro, mirror)
    keys: tuple[Path, ...] = ()
    if tool.builds_tree:
        keys = find_keys(what, source, distro.file.parent, tool.key_folders)
    arch = platform.machine()
    job = BootstrapJob(
        source=source,
        mirror=mirror,
        repositories=Mirror(url=mirror, repositories=distro.repositories).urls(arch),
        arch=arch,
        keys=keys,
        folder=folder,
        alone=alone(prefix),
    )
    remove(folder)  # of one that was killed
    folder.mkdir(parents=True)
    work = tool.work(job)
    _write({**work.files, "build.sh": work.script}, folder)
    log = folder / "log"
    status = run((*prefix, "sh", "-e", "build.sh"), folder, log, cancelled, timeout)
    text = tail(log)
    if cancelled.is_set():
        raise ImageError(f"{what}: cancelled", log=text)
    if status is None:
        raise ImageError(
            f"{what} did not end within {timeout / 60:.0f} min", log=text, transient=True
        )
    if status != 0:
        failure = tool.failure(text)
        raise _error(what, status, _perhaps_full(failure, folder), text)
    return job.target


def _ready(tool: Tool, source: Bootstrap, distro: Distro, mirror: str) -> tuple[str, ...]:
    """What the tool is run under. Raises OutOfReachError with all that is missing for it."""
    lacking = [
        f"{name} is not installed: {remedy}" for name, remedy in missing_programs(source).items()
    ]
    prefix: tuple[str, ...] | None = bound_to_us()
    if tool.builds_tree:
        if not mirror:
            distribution = distro.name.rpartition("-")[0] or distro.name
            lacking.insert(
                0,
                f"{tool.name} has no package mirror for {distro.name}: set `mirrors: "
                f"{{{distribution}: URL}}` in config.yaml",
            )
        if not distro.repositories:
            raise ImageError(f"{tool.name} wants `repositories` in the file of {distro.name}")
        prefix = as_root()
    if prefix is None:
        lacking.append(
            f"{tool.name} needs root, or a user namespace with a range of ids "
            "(newuidmap, and an entry of yours in /etc/subuid and /etc/subgid)"
        )
    if lacking or prefix is None:
        raise OutOfReachError("; ".join(lacking))
    return prefix


def _write(files: Mapping[str, str | bytes], folder: Path) -> None:
    for path, content in files.items():
        at = folder / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content if isinstance(content, bytes) else content.encode())


def _perhaps_full(failure: BootstrapFailure, folder: Path) -> BootstrapFailure:
    """Tools tell of a full disk in many ways, dnf as of a mirror that does not answer."""
    free = shutil.disk_usage(folder).free
    if failure.kind in ("signature", "not-found", "expired") or free > _SPACE_LEAST:
        return failure
    return BootstrapFailure("full", f"{free >> 20} MiB free at {folder}: {failure.text}")


_MEANS: Mapping[FailureKind, str] = {
    "unreachable": "package mirror not reachable ({}): set `mirrors` in config.yaml, or a proxy in "
    "http_proxy",
    "expired": "the mirror's Release file has expired ({}); add to the bootstrap's options: "
    '--aptopt=Acquire::Check-Valid-Until "false"',
    "not-found": "{}",
    "full": "this host's disk is full ({})",
}


def _error(what: str, status: int, failure: BootstrapFailure, log: str) -> Exception:
    """What the tool's failure means."""
    kind, text = failure
    if kind == "other":
        return ImageError(f"{what} failed with status {status}: {text}", log=log)
    said = _unchecked(text) if kind == "signature" else _MEANS[kind].format(text)
    if kind == "unreachable":
        return OutOfReachError(f"{what}: {said}")
    return ImageError(f"{what}: {said}", log=log)


def _unchecked(text: str) -> str:
    if "NO_PUBKEY" in text:
        return (
            "the mirror's signature cannot be checked: "
            "install debian-archive-keyring (or the keyring of that distribution)"
        )
    return (
        f"a signature does not hold ({text}): name the right keys in the bootstrap's options, "
        f"`{KEYS}FILE`, or switch the check off with `{NO_SIGNATURES}`"
    )
