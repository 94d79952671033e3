"""A secret does not come through, however it is spelt and wherever the stream is cut."""

from __future__ import annotations

import json
from contextlib import suppress

from fuzzing import split, target

from distromatrix.collect.masking import Masker


@target
def masks(data: bytes) -> None:
    """A secret (the first line) in its spellings, within a text (the rest), in pieces as long as
    its first byte says: no spelling comes through."""
    first, rest = split(data)
    secret = first.decode("utf-8", "surrogateescape").replace("\\n", "\n")
    masker = Masker((secret,))
    if len(secret.strip()) < 4 or "*" in secret:
        return
    step, rest = 1 + (rest[0] if rest else 0), rest[:500]
    for spelling in spellings(secret):
        whole = rest + spelling + rest[::-1] + spelling
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
    found |= {amp, amp.replace(b'"', b"&quot;")}
    return found
