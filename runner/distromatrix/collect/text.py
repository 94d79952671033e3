"""Text from a machine, made fit to be shown: nothing in it is obeyed by a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Colours and 'erase to the end of the line' carry no text: left out, for they only make
# output hard to read. Every other escape sequence is shown.
_STYLE = re.compile(r"\x1b\[[0-9;:]*[mK]")

# C0 (but tab and newline), DEL and C1; what changes the direction of text, breaks lines or is
# invisible (Unicode TR 36, 'bidirectional text spoofing'); tags and other fillers; lone surrogates
# and noncharacters, which neither UTF-8 nor XML can hold. Joiners (U+200C, U+200D) and selectors
# of variants stay: scripts and emoji are written with them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)

# What the runners of CI obey wherever it is printed: GitHub `::name::` at the beginning of a line,
# and `##[name]` anywhere in it (ActionCommand.cs of actions/runner; it trims a line first, and a
# carriage return ends one); Azure Pipelines `##[`, `##vso[`; TeamCity `##teamcity[`.
_OBEYED = re.compile(
    r"(?m)(?P<space>(?:^|\r)[^\S\r\n]*):(?=:)|(?<=#)#(?=(?:vso|teamcity)?\[)", re.IGNORECASE
)
_LOGIN = re.compile(r"//[^\s/@:]*+:[^\s/@]*+@")
_CI = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")  # set by them


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(value: str | bytes) -> str:
    """`value` with everything that a terminal might obey made visible (`\\x1b`, `\\u202e`).

    Invalid UTF-8 becomes U+FFFD; tabs and newlines stay; of a line that was overwritten
    through carriage returns (progress bars) the last state stays; colours are left out.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if "\r" in text:
        text = _OVERWRITTEN.sub("", re.sub(r"(?<!\r)\r++$", "", text, flags=re.MULTILINE))
    if "\x1b" in text:
        text = _STYLE.sub("", text)
    return _HIDDEN.sub(_show, text)


def fit(text: str, *, lines: bool = False) -> str:
    """A text of ours that has others' in it, with nothing left that a terminal obeys; on one line,
    unless `lines`: then it has the line breaks that it has. Unlike `printable` it takes nothing
    away but colours."""
    if text.isascii() and text.isprintable():
        return text
    shown = _HIDDEN.sub(_show, _STYLE.sub("", text))
    return shown if lines else shown.rstrip("\n").replace("\n", "\\n")


def obeyed(environ: Mapping[str, str]) -> bool:
    """Whether what is printed is read by one of CI's runners, which obeys some of it."""
    return any(environ.get(name) for name in _CI)


def unobeyed(text: str) -> str:
    """`text` with nothing that such a runner obeys: `\\u003a:error::`, `#\\u0023[error]`. JSON
    stays the same JSON."""
    return _OBEYED.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    space: str | None = match["space"]
    return "\\u0023" if space is None else f"{space}\\u003a"


def without_logins(text: str) -> str:
    """`text` without the logins in its URLs that have a password."""
    return _LOGIN.sub("//***@", text)


def shorten(text: str, length: int) -> str:
    """`text`, cut to at most `length` characters, an ellipsis in place of what is missing."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def one_line(value: str | bytes, length: int = 200) -> str:
    """The first line of `value` that is not blank, printable and at most `length` long."""
    for line in printable(value).split("\n"):
        if line.strip():
            return shorten(line.strip().expandtabs(4), length)
    return ""
