"""The scripts that users write: the shell that each is for."""

from __future__ import annotations

import shlex
from collections.abc import Callable

# What each is called with: it ends at the first command that fails and, where it can, when any
# command of a pipe does, as on GitHub (`bash -eo pipefail`).
_PIPEFAIL = "-e -o pipefail"
SHELLS = {
    "sh": "-e",
    "dash": "-e",
    "ash": "-e",
    "bash": _PIPEFAIL,
    "ksh": _PIPEFAIL,
    "mksh": _PIPEFAIL,
    "zsh": _PIPEFAIL,
}
MISSING = "distromatrix: there is no shell"  # begins the line that says so in a log
# Characters, of at most 4 bytes: an argument has at most 128 KiB (MAX_ARG_STRLEN of execve(2)).
_PIECE = 30_000


def under(shell: str, script: str) -> str:
    """`script`, for `sh -e`, so that it runs under `shell`: a name of SHELLS or a path that ends
    in one. Where that is missing, a line says so and the status is 127."""
    if shell == "sh":
        return script
    name = shlex.quote(shell)
    missing = shlex.quote(f"{MISSING} {shell} in this image")
    head = f"command -v {name} >/dev/null 2>&1 || {{ echo {missing} >&2; exit 127; }}\n"
    return head + passed_to(f"exec {name} {SHELLS[base(shell)]} -c", name, script) + "\n"


def passed_to(call: str, name: str, script: str, quote: Callable[[str], str] = shlex.quote) -> str:
    """`script` as the argument of a `call` of a shell (`sh -c`) that has that name: in pieces that
    are put together inside, if it is longer than an argument may be."""
    if len(script) <= _PIECE:
        return f"{call} {quote(script)}"
    pieces = [script[at : at + _PIECE] for at in range(0, len(script), _PIECE)]
    joined = "".join(f"${{{n}}}" for n in range(1, len(pieces) + 1))
    inner = f'_dm_s="{joined}"; shift $#; eval "unset _dm_s; $_dm_s"'
    return f"{call} {quote(inner)} {name} {' '.join(map(quote, pieces))}"


def base(shell: str) -> str:
    """The name of a shell that may be a path."""
    return shell.rpartition("/")[2]


def pipes_fail(shell: str) -> bool:
    """Whether, under that shell, a pipe fails when any of its commands does."""
    return SHELLS[base(shell)] == _PIPEFAIL
