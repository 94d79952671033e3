"""A distribution's own kernel, from its package mirror, for tests that boot one."""

from __future__ import annotations

from pathlib import Path

from distromatrix.doctor.command import run_command
from distromatrix.doctor.host import look_at_host
from distromatrix.doctor.kernel import fetch_kernel
from distromatrix.errors import InfrastructureError
from given import unobtainable


def cloud_kernel() -> Path:
    """The small kernel of this host's distribution, kept below the tests' cache."""
    from filelock import FileLock
    from platformdirs import user_cache_path

    folder = user_cache_path("distromatrix") / "tests" / "kernel"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "vmlinuz"
    with FileLock(folder / "lock"):
        if not kept.exists():
            try:
                fetch_kernel(kept, look_at_host(), run_command, lambda _: None)
            except InfrastructureError as error:
                unobtainable(f"there is no kernel to boot: {error}")
    return kept
