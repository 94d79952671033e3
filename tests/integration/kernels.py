"""A distribution's own kernel, from its package mirror, for tests that boot one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from distromatrix.errors import InfrastructureError
from given import unobtainable

PACKAGE = "linux-image-cloud-amd64"


def cloud_kernel() -> Path:
    """The kernel of Debian's clouds as this host's apt gives it, kept below the tests' cache."""
    from filelock import FileLock
    from platformdirs import user_cache_path

    folder = user_cache_path("distromatrix") / "tests" / "kernel"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        kept = folder / "vmlinuz"
        if not kept.exists():
            try:
                _fetch(folder, kept)
            except (OSError, subprocess.CalledProcessError, InfrastructureError) as error:
                said = getattr(error, "stderr", "") or ""
                unobtainable(f"there is no kernel to boot: {error} {said}".strip())
    return kept


def _fetch(folder: Path, kept: Path) -> None:
    depends = _run(folder, "apt-cache", "depends", "--important", PACKAGE)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise InfrastructureError(f"apt knows no {PACKAGE}")
    _run(folder, "apt-get", "download", found[1])
    (package,) = folder.glob("linux-image-*.deb")
    tree = folder / "tree"
    _run(folder, "dpkg-deb", "--extract", str(package), str(tree))
    (image,) = tree.glob("boot/vmlinuz-*")
    image.replace(kept)
    shutil.rmtree(tree)
    package.unlink()


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout
