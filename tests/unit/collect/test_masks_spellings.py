"""A secret is hidden however a tool spells it, and wherever the stream is cut."""

from __future__ import annotations

import base64
import html
import json
import shlex
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import quoteattr

import pytest

from distromatrix.collect.masking import MASK, Masker

SECRET = "s3/c+r?t 'É\"<&>$x~%"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEAx/Yz+w9\nab\nQ0FB/Zm9v\n-----END KEY-----\n"


def lower(text: str) -> str:
    return "".join(
        c.lower() if at and text[max(at - 2, 0) : at].count("%") else c for at, c in enumerate(text)
    )


def raw(value: str) -> bytes:
    return value.encode()


SPELLINGS: dict[str, Callable[[str], str | bytes]] = {
    "as it is": lambda s: s,
    "stripped": lambda s: s.strip(),
    "upper": lambda s: s.upper(),
    "lower": lambda s: s.lower(),
    "base64": lambda s: base64.b64encode(raw(s)),
    "base64 in a URL": lambda s: quote(base64.b64encode(raw(s)), safe=""),
    "base64, URL-safe": lambda s: base64.urlsafe_b64encode(raw(s)).rstrip(b"="),
    "base64 in lines": lambda s: base64.encodebytes(raw(s)).strip(),
    "base64 in lines of 64": lambda s: "\n".join(
        textwrap.wrap(base64.b64encode(raw(s)).decode(), 64)
    ),
    "URL": quote,
    "URL, all": lambda s: quote(s, safe=""),
    "form": quote_plus,
    "URL in lower hex": lambda s: lower(quote(s)),
    "form in lower hex": lambda s: lower(quote_plus(s)),
    "JavaScript's encodeURIComponent": lambda s: quote(s, safe="!'()*~"),
    "JavaScript's encodeURI": lambda s: quote(s, safe="!#$&'()*+,/:;=?@~"),
    "XML": lambda s: quoteattr(s, {'"': "&quot;"})[1:-1],
    "HTML": html.escape,
    "HTML without quotes": lambda s: html.escape(s, quote=False),
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON in UTF-8": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "JSON of Go": lambda s: json.dumps(s, ensure_ascii=False)[1:-1]
    .replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "repr": lambda s: repr(s)[1:-1],
    "repr of bytes": lambda s: repr(raw(s))[2:-1],
    "shell": lambda s: s.replace("'", "'\\''"),
    "shell, by Python": lambda s: shlex.quote(f"{s} ")[1:-2],
    "shell, double": lambda s: "".join(f"\\{c}" if c in '"\\$`' else c for c in s),
    "hex": lambda s: raw(s).hex(),
    "HEX": lambda s: raw(s).hex().upper(),
    "hex with blanks": lambda s: raw(s).hex(" "),
    "HEX with colons": lambda s: raw(s).hex(":").upper(),
    "UTF-16 LE": lambda s: s.encode("utf-16-le"),
    "UTF-16 BE": lambda s: s.encode("utf-16-be"),
}  # fmt: skip
ALL = {
    "%xx": lambda s: "".join(f"%{b:02x}" for b in raw(s)),
    "%XX": lambda s: "".join(f"%{b:02X}" for b in raw(s)),
    r"\xNN": lambda s: "".join(f"\\x{b:02x}" for b in raw(s)),
    r"\u00xx": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    r"\u00XX": lambda s: "".join(f"\\u{ord(c):04X}" for c in s),
    "&#1;": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "&#xa;": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "&#xA;": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
}


def as_bytes(spelt: str | bytes) -> bytes:
    return spelt if isinstance(spelt, bytes) else spelt.encode()


@pytest.mark.parametrize("name", [*SPELLINGS, *ALL])
def test_a_spelling_is_masked_wherever_the_stream_is_cut(name: str) -> None:
    spelt = as_bytes((SPELLINGS | ALL)[name](SECRET))
    masker, whole = Masker((SECRET,)), b"before " + spelt + b" after"
    for cut in range(len(whole) + 1):
        stream = masker.stream()
        came = stream.feed(whole[:cut]) + stream.feed(whole[cut:]) + stream.flush()
        assert came == b"before *** after"
        assert stream.found
    one_by_one = masker.stream()
    came = b"".join(one_by_one.feed(bytes([byte])) for byte in whole) + one_by_one.flush()
    assert came == b"before *** after"


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_secret_of_several_lines_is_masked_in_a_spelling(name: str) -> None:
    masker = Masker((KEY,))
    for spelt in (SPELLINGS[name](KEY), *map(SPELLINGS[name], KEY.splitlines())):
        if len(as_bytes(spelt)) > len("ab") * 4:  # a line that is too short stays
            stream = masker.stream()
            assert as_bytes(spelt) not in stream.feed(as_bytes(spelt)) + stream.flush()


@pytest.mark.parametrize("name", ALL)
def test_a_line_of_a_secret_is_masked_in_a_spelling(name: str) -> None:
    line = KEY.splitlines()[1]
    assert Masker((KEY,)).mask(as_bytes(ALL[name](line)).decode()) == MASK


@pytest.mark.parametrize("user", ["", "u", "us", "use"])
def test_a_login_in_base64_shows_nothing_of_the_secret(user: str) -> None:
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        said = code(raw(f"{user}:{SECRET}:{user}")).decode()
        masked = Masker((SECRET,)).mask(f"Authorization: Basic {said}")
        assert MASK in masked
        left = masked.removeprefix("Authorization: Basic ").replace(MASK, "")
        assert len(left) <= len(code(raw(f"{user}::{user}"))) + 2


def test_what_is_short_is_masked_only_where_it_cannot_be_chance() -> None:
    masker = Masker(("abc", "Word"))
    assert masker.mask("abc YWJj 616263") == "*** *** ***"
    assert masker.mask("ABC word WORD") == "ABC word WORD"
