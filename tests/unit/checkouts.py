"""Checkouts to be copied, and what is in a copy."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from distromatrix.execute.product.snapshot import Snapshot

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=m"]


def git(folder: Path, *args: str) -> None:
    subprocess.run(
        [*GIT, "-c", "protocol.file.allow=always", *args],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"},
    )


def names(snapshot: Snapshot) -> set[str]:
    with tarfile.open(snapshot.path) as tar:
        return {m.name.removeprefix("product/") for m in tar if not m.isdir()}
