"""Git, asked about a checkout: with nothing of our caller's own git calls, running nothing that
the checkout names, for so long and so much. Nothing else here calls git."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
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
# Settings by which a repository has git run something (git-config(1)): one that is committed as
# plain files into a folder that we are in, and one that came with its `.git`.
_SETTINGS = {
    "safe.bareRepository": "explicit",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.untrackedCache": "false",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "false",
    "core.sshCommand": "false",
    "core.gitProxy": "",
    "core.alternateRefsCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "protocol.allow": "never",
}
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # A partial clone would fetch what it lacks, from where it says and by what it says: git 2.45
    # can be told not to, and all can be told that there is no protocol, whatever is set.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
_OPTIONS = tuple(part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}"))
_WITHIN = 120.0  # seconds
_MOST = 256 * 1024**2  # bytes of an answer; a million files have some 100 MiB
_SAID = 64 * 1024  # bytes of what it says of a fault, the last
_NOTHING = 1  # status of a question that has no answer
_NOWHERE = b"not a git repository"
_BARE = ("safe.bareRepository", "must be run in a work tree")


def ask(
    folder: Path, *args: str, missing: bytes | None = None, settings: Iterable[str] = ()
) -> bytes:
    """What `git ARGS` prints in that folder, with more `settings` (`KEY=VALUE`). Where it has no
    answer, or there is no repository, it is `missing`, if that is given. Raises InputError;
    FileNotFoundError where there is no git."""
    status, out, err = _called(folder, args, [part for s in settings for part in ("-c", s)])
    if b"dubious ownership" in err:
        raise InputError(
            f"{folder}: git will not read it, as another user owns it; "
            f"run: git config --global --add safe.directory {folder}"
        )
    if status == 0:
        return out
    if missing is not None and (status == _NOTHING or _NOWHERE in err):
        return missing
    said = os.fsdecode(err).strip() or f"status {status}"
    if any(words in said for words in _BARE):
        raise _bare(folder)
    raise InputError(f"{folder}: git {args[0]}: {said.splitlines()[-1]}")


def is_work_tree(folder: Path) -> bool:
    """Whether it lies in a work tree that git knows. Raises InputError, also where files in it
    make it a repository itself; FileNotFoundError where there is no git."""
    answer = ask(folder, "rev-parse", "--show-toplevel", missing=b"")
    top = path_of(answer)
    # A git before 2.38 takes a bare repository wherever it finds one, with a work tree anywhere.
    if answer and not (os.path.lexists(top / ".git") and folder.resolve().is_relative_to(top)):
        raise _bare(folder)
    return answer != b""


def is_tracked(folder: Path, name: str) -> bool:
    """Whether git tracks anything of that name in that folder, in whatever case. Raises
    InputError."""
    try:
        return ask(folder, "ls-files", "-z", "--", f":(icase){name}", missing=b"") != b""
    except FileNotFoundError:
        return False


def head_of(folder: Path) -> str:
    """The commit that is checked out in that folder; '' where git says none."""
    try:
        return ask(folder, "rev-parse", "--verify", "-q", "HEAD", missing=b"").decode().strip()
    except (InputError, OSError, UnicodeDecodeError):
        return ""


def path_of(answer: bytes) -> Path:
    """The path that git printed alone, whatever is in it."""
    return Path(os.fsdecode(answer.removesuffix(b"\n")))


def _bare(folder: Path) -> InputError:
    return InputError(
        f"{folder}: files in it or above (HEAD, config, objects, refs) make it a bare git "
        "repository, whose config may name commands that git would run: remove them"
    )


def _called(
    folder: Path, args: tuple[str, ...], options: Sequence[str]
) -> tuple[int, bytes, bytes]:
    """Its status, and what it said. Raises InputError for too much of either."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("GIT_") or n in _KEPT}
    with subprocess.Popen(
        ["git", "--no-pager", *_OPTIONS, *options, "-C", str(folder), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**kept, **_ENVIRONMENT},
        process_group=0,
    ) as process:
        try:
            out, err = _heard(process, f"{folder}: git {args[0]}")
            return process.wait(_WITHIN), out, err
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _heard(process: subprocess.Popen[bytes], what: str) -> tuple[bytes, bytes]:
    assert process.stdout and process.stderr  # noqa: S101 - pipes
    out, err = bytearray(), bytearray()
    end = time.monotonic() + _WITHIN
    with selectors.DefaultSelector() as pipes:
        pipes.register(process.stdout, selectors.EVENT_READ, out)
        pipes.register(process.stderr, selectors.EVENT_READ, err)
        while pipes.get_map():
            left = end - time.monotonic()
            for key, _ in pipes.select(max(left, 0.0)):
                chunk = os.read(key.fd, 1024 * 1024)
                key.data.extend(chunk)
                if not chunk:
                    pipes.unregister(key.fileobj)
            if left <= 0:
                raise InputError(
                    f"{what} did not end within {_WITHIN:.0f} s: "
                    "is the disk slow, or a file in it a pipe?"
                )
            if len(out) > _MOST:
                raise InputError(
                    f"{what} prints more than {_MOST >> 20} MiB: these are too many files for a "
                    "product: name a smaller folder (`product:`), or let .gitignore leave out "
                    "what does not belong to it"
                )
            del err[:-_SAID]
    return bytes(out), bytes(err)
