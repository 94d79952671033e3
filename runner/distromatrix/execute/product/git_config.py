"""What of a repository's configuration goes into a copy: what says how to read it and where it
came from, and no secret. CI leaves tokens there (`http.….extraheader`, the user of a URL), and
programs may leave whatever they like under a name of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from distromatrix.files.git import ask

_KEPT = re.compile(
    r"core\.(?!askpass$|gitproxy$|sshcommand$).*"
    r"|remote\..*\.(url|pushurl|fetch|push|mirror|tagopt|promisor|partialclonefilter)"
    r"|(extensions|branch|submodule|user|author|committer|diff|merge|filter|index|i18n)\..*",
    re.DOTALL,
)
_TOKEN = re.compile(rb"(https?://)[^/\s\"]+@", re.IGNORECASE)  # also as a user without a password
_PASSWORD = re.compile(rb"(://[^/\s\":@]*):[^/\s\"]*@")


def without_secrets(config: Path, leave_out: tuple[str, ...] = ()) -> bytes:
    """That file of a configuration as it may be handed on, without the keys of `leave_out`.
    Raises InputError; FileNotFoundError where there is no git."""
    listed = ask(config.parent, "config", "--file", str(config), "--null", "--list")
    return b"".join(_lines(listed, leave_out))


def without_passwords(text: bytes) -> bytes:
    """A text in which URLs name no password, and over HTTP no user."""
    return _PASSWORD.sub(rb"\1@", _TOKEN.sub(rb"\1", text))


def _lines(listed: bytes, leave_out: tuple[str, ...]) -> Iterator[bytes]:
    for entry in filter(None, listed.split(b"\0")):
        raw, given, value = entry.partition(b"\n")
        key = os.fsdecode(raw)
        if key in leave_out or not _KEPT.fullmatch(key) or without_passwords(raw) != raw:
            continue
        section, _, rest = key.partition(".")
        below, _, name = rest.rpartition(".")
        title = f"{section} {_quoted(below)}" if below else section
        setting = f" = {_quoted(os.fsdecode(without_passwords(value)))}" if given else ""
        yield os.fsencode(f"[{title}]\n\t{name}{setting}\n")


def _quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
