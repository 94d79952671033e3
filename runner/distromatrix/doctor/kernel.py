"""A kernel to prove acceleration with: this host's own, else one from its package mirror."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from distromatrix.doctor.command import Run, Say, must
from distromatrix.doctor.host import Host
from distromatrix.errors import InfrastructureError


def find_kernel(
    folder: Path, host: Host, run: Run, say: Say, *, root: Path = Path("/"), release: str = ""
) -> Path:
    """This host's kernel if it is there to be read, else one that is kept in `folder`, fetched
    where it is not there yet. Raises InfrastructureError."""
    release = release or os.uname().release
    kept = folder / "vmlinuz"
    own = (root / f"boot/vmlinuz-{release}", root / f"lib/modules/{release}/vmlinuz")
    for file in (*own, kept):
        if file.is_file() and os.access(file, os.R_OK):
            return file
    fetch_kernel(kept, host, run, say)
    return kept


def fetch_kernel(target: Path, host: Host, run: Run, say: Say) -> None:
    """Download the small kernel that this host's distribution has for virtual machines, without
    installing it. Raises InfrastructureError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    name = _package(host, run)
    with tempfile.TemporaryDirectory(prefix="distromatrix-kernel-", dir=target.parent) as made:
        folder = Path(made)
        must(_inside(folder, f"apt-get download {name}"), run, say)
        must(_inside(folder, "dpkg-deb --extract *.deb tree"), run, say)
        images = sorted(folder.glob("tree/boot/vmlinuz-*"))
        if not images:
            raise InfrastructureError(f"there is no kernel in package {name}", transient=False)
        shutil.move(images[-1], folder / "vmlinuz")
        (folder / "vmlinuz").replace(target)


def _package(host: Host, run: Run) -> str:
    """The package that holds the kernel, of which `kernel` in families.yaml only depends."""
    metas = [name.rstrip("?") for name in host.packages("kernel")]
    for meta in metas:
        listed = run(f"apt-cache depends --important {meta}").output
        if found := re.search(r"Depends: (linux-image-\S+)", listed):
            return found[1]
    raise InfrastructureError(
        f"no kernel was found to prove acceleration with: none in /boot that {host.user} may "
        f"read, and no package of {', '.join(metas) or host.title}",
        transient=False,
    )


def _inside(folder: Path, command: str) -> str:
    return f"sh -c {shlex.quote(f'cd {shlex.quote(str(folder))} && {command}')}"
