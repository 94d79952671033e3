"""What it does to the host."""

import subprocess
from pathlib import Path

SETTINGS = {"net/ipv4/tcp_syncookies": "1", "kernel/kptr_restrict": "2"}


def run(*command, **how):
    return subprocess.run(command, check=True, text=True, capture_output=True, **how).stdout


def fence(script):
    """Load a ruleset."""
    run("nft", "-f", "-", input=script)


def tune():
    """Write the settings; returns those that were other before."""
    changed = {}
    for name, value in SETTINGS.items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() != value:
            changed[name] = path.read_text().strip()
            path.write_text(f"{value}\n")
    return changed


def records(image, where, megabytes=8):
    """Mount a disk of its own for records, made if it is not there."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(megabytes * 1024**2)
        run("mke2fs", "-q", "-t", "ext4", "-F", str(image))
    where.mkdir(exist_ok=True)
    run("mount", "-o", "loop", str(image), str(where))
