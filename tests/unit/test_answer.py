"""What our own helper commands print is kept so far and no farther, whoever's programs they are."""

from __future__ import annotations

import tracemalloc

from distromatrix.engines.answer import MOST, Answer


def test_the_first_bytes_are_kept_of_however_many() -> None:
    said = Answer()
    tracemalloc.start()
    for _ in range(1024):  # a gibibyte
        said(bytes(1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bytes(said) == bytes(MOST)
    assert peak < 8 << 20


def test_it_is_text_and_bytes_and_empty() -> None:
    said = Answer(8)
    assert not said
    for piece in (b" 6.1.0", b"\xff-more"):
        said(piece)
    assert (bytes(said), str(said)) == (b" 6.1.0\xff-", "6.1.0\N{REPLACEMENT CHARACTER}-")
