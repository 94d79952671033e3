"""The ways in which tools write a value, so that a secret is found in whichever it comes."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

SHORTEST = 3  # characters; masking every 'a' of a log hides nothing and destroys the log
SHORTEST_LINE = 4  # of a secret of several lines
_SHORTEST_CODED = 4  # bytes of what does not show the secret itself
_SHORTEST_CASED = 8  # characters; shorter ones are words in another case
_QUOTES = {'"': "&quot;"}
_WRAPPED = (64, 76)  # columns after which base64 is broken: in PEM, and in MIME and coreutils
_SAFE = ("", "/", "!'()*", "!#$&'()*+,/:;=?@~")  # what is not URL-encoded, by whom


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, stripped and line by line, each in all spellings. Empty for one that is
    too short to be looked for."""
    lines = {line for line in secret.splitlines() if len(line.strip()) >= SHORTEST_LINE}
    values = {value for value in {secret, *lines} if len(value) >= SHORTEST}
    values |= {value.strip() for value in values if len(value.strip()) >= SHORTEST}
    found = set()
    for value in values:
        written = {*_escaped(value), *_cased(value)} - {value}
        if not lines or len(value.splitlines()) == 1:  # of others, the lines are found
            written |= {*_all_escaped(value)}
        raw = value.encode("utf-8", "surrogateescape")
        coded = {text.encode("utf-8", "surrogateescape") for text in written}
        coded |= {*_in_base64(raw), *_as_numbers(raw), *_in_utf16(value)}
        found |= {raw, *(code for code in coded if len(code) >= _SHORTEST_CODED)}
    return found


def _escaped(value: str) -> Iterator[str]:
    """Only what must be is escaped: XML and HTML, JSON and its like, shells, URLs."""
    yield value.replace("\n", "\r\n")
    names = dict.fromkeys("&<>", "")
    for quotes in ({}, _QUOTES, *(_QUOTES | {"'": one} for one in ("&apos;", "&#39;", "&#x27;"))):
        yield escape(value, quotes)
        yield escape(value, quotes | {one: f"&#{ord(one)};" for one in "\n\r\t"})
        yield escape(value, quotes | {one: f"&#x{ord(one):X};" for one in "\n\r\t"})
    yield escape(value, _QUOTES | {"'": "&#39;"}).replace("&quot;", "&#34;")
    for form in ("&#{};", "&#x{:x};", "&#x{:X};"):
        marked = (form.format(ord(c)) if c in {*names, '"', "'"} else c for c in value)
        yield "".join(marked)
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        go = re.sub("[&<>]", lambda found: f"\\u{ord(found[0]):04x}", text)
        for one in (text, go, go.replace("'", "\\u0027"), text.replace("'", "\\'")):
            upper = re.sub(r"\\u[0-9a-f]{4}", lambda found: "\\u" + found[0][2:].upper(), one)
            yield from (one, upper, one.replace("/", "\\/"), upper.replace("/", "\\/"))
    yield from (repr(value)[1:-1], repr(value.encode("utf-8", "surrogateescape"))[2:-1])
    yield value.replace("'", "'\\''")
    yield value.replace("'", "'\"'\"'")
    yield re.sub(r'(["\\$`])', r"\\\1", value)
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", value, flags=re.ASCII)  # printf %q
    yield re.sub(r"(['\\])", r"\\\1", value).replace("\n", "\\n").replace("\t", "\\t")
    raw = value.encode("utf-8", "surrogateescape")
    for text in (*(quote(raw, safe) for safe in _SAFE), quote_plus(raw)):
        yield from (text, _with_lower_hex(text))


def _all_escaped(value: str) -> Iterator[str]:
    """Everything is escaped."""
    for form in ("&#{};", "&#x{:x};", "&#x{:X};", "&#x{:04x};", "&#x{:04X};"):
        yield "".join(form.format(ord(c)) for c in value)
    both = value.encode("utf-16-be", "surrogatepass").hex()
    for digits in (both, both.upper()):
        yield "".join(f"\\u{digits[at : at + 4]}" for at in range(0, len(digits), 4))
    raw = value.encode("utf-8", "surrogateescape").hex(" ")
    for digits in (raw, raw.upper()):
        yield from (f"{mark}{digits.replace(' ', mark)}" for mark in ("%", "\\x"))


def _cased(value: str) -> Iterator[str]:
    if len(value) >= _SHORTEST_CASED:
        yield from (value.lower(), value.upper())


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """Wherever it stands in what was encoded, `user:` before it for one: without the characters
    at its ends that hold bits of others."""
    whole = b64encode(raw)
    texts = [whole, whole.rstrip(b"=")]
    for before, first in ((0, 0), (1, 2), (2, 3)):
        last = 8 * (before + len(raw)) // 6
        texts.append(b64encode(b"\0" * before + raw)[first:last])
    for columns in _WRAPPED:
        rows = [texts[2][at : at + columns] for at in range(0, len(texts[2]), columns)]
        texts += [end.join(rows) for end in (b"\n", b"\r\n", b"\\n")]
    for text in texts:
        quoted = quote(text, safe="")
        yield from (text, text.translate(bytes.maketrans(b"+/", b"-_")))
        yield from (quoted.encode(), _with_lower_hex(quoted).encode(), text.replace(b"/", b"\\/"))


def _as_numbers(raw: bytes) -> Iterator[bytes]:
    """Its bytes in hexadecimal: digits alone, or with blanks or colons between."""
    for between in ("", " ", ":"):
        digits = raw.hex(between) if between else raw.hex()
        yield from (digits.encode(), digits.upper().encode())


def _in_utf16(value: str) -> Iterator[bytes]:
    for name in ("utf-16-le", "utf-16-be"):
        for text in (value, value.replace("\n", "\r\n")):
            yield text.encode(name, "surrogatepass")


def _with_lower_hex(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text)
