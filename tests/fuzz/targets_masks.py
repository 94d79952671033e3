"""A secret does not come through, however it is spelt and wherever the stream is cut."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from contextlib import suppress
from urllib.parse import quote, quote_plus

from fuzzing import split, target

from distromatrix.collect.masking import Masker


@target
def masks(data: bytes) -> None:
    """A secret (the first line) in its spellings, within a text (the rest), in pieces as long as
    its first byte says: no spelling comes through. What is longer than two lines of base64, or
    in more than a hundred pieces, teaches nothing new, and costs most in some thirty spellings."""
    first, rest = split(data)
    secret = first[:80].decode("utf-8", "surrogateescape").replace("\\n", "\n")
    masker = Masker((secret,))
    if len(secret.strip()) < 4 or "*" in secret:
        return
    least, rest = 1 + (rest[0] if rest else 0), rest[:100]
    for spelling in spellings(secret):
        whole = rest + spelling + rest[::-1] + spelling
        step = max(least, len(whole) // 100)
        stream = masker.stream()
        pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
        came = b"".join([*map(stream.feed, pieces), stream.flush()])
        assert spelling not in came
        with suppress(UnicodeDecodeError):  # in what is shown, no secret stays that is no text
            spelling.decode()
            text = masker.mask(whole.decode("utf-8", "replace"))
            assert spelling not in text.encode("utf-8", "surrogateescape")


def spellings(secret: str) -> set[bytes]:
    """What a secret looks like to whoever writes it in another way."""
    raw = secret.encode("utf-8", "surrogateescape")
    found = {raw, json.dumps(secret)[1:-1].encode()}
    amp = raw.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    found |= {amp, amp.replace(b'"', b"&quot;"), raw.replace(b"'", b"'\\''")}
    wide = secret.encode("utf-16-be", "surrogatepass")
    found |= {wide, secret.encode("utf-16-le", "surrogatepass"), re.sub(rb"(?s)..", _escaped, wide)}
    found |= {b64encode(raw), urlsafe_b64encode(raw), raw.hex().encode(), raw.hex(":").encode()}
    # Before and after what does not end where a group of base64 does.
    for before in (1, 2):
        found.add(
            b64encode(bytes(before) + raw + bytes(2))[before + 1 : (before + len(raw)) * 4 // 3]
        )
    for text in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        found |= {text.encode(), re.sub("%..", lambda one: one[0].lower(), text).encode()}
    found.add("".join(f"%{byte:02X}" for byte in raw).encode())
    found.add("".join(f"&#{ord(one)};" for one in secret).encode())
    return found


def _escaped(pair: re.Match[bytes]) -> bytes:
    return b"\\u" + pair[0].hex().encode()
