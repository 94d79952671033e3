"""Git, asked about a checkout: with nothing of our caller's own git calls, and running nothing
that the checkout names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from distromatrix.errors import InputError

# Git sets its variables for hooks (git-rev-parse(1), --local-env-vars), and they lead away from
# the folder that is asked about. These say where the user's own settings lie.
_KEPT = {
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
}
_OPTIONS = (
    "--no-pager",
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
)
_WITHIN = 600  # seconds


def ask(folder: Path, *args: str, missing: bytes | None = None) -> bytes:
    """What `git ARGS` prints in that folder. Where git fails it is `missing`, if that is given.
    Raises InputError; FileNotFoundError where there is no git."""
    env = {n: v for n, v in os.environ.items() if not n.startswith("GIT_") or n in _KEPT}
    try:
        done = subprocess.run(
            ["git", *_OPTIONS, "-C", str(folder), *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**env, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            timeout=_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{folder}: git {args[0]} did not end within {_WITHIN} s") from error
    if b"dubious ownership" in done.stderr:
        raise InputError(
            f"{folder}: git will not read it, as another user owns it; "
            f"run: git config --global --add safe.directory {folder}"
        )
    if done.returncode == 0:
        return done.stdout
    if missing is not None:
        return missing
    said = os.fsdecode(done.stderr).strip() or f"status {done.returncode}"
    raise InputError(f"{folder}: git {args[0]}: {said.splitlines()[-1]}")


def path_of(answer: bytes) -> Path:
    """The path that git printed alone, whatever is in it."""
    return Path(os.fsdecode(answer.removesuffix(b"\n")))
