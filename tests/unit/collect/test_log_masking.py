"""Secrets never reach a log, wherever a stream happens to be cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from distromatrix.collect.masking import Masker

SMALL = st.text(alphabet="ab<\n", max_size=30)


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab<", min_size=3, max_size=6)), SMALL, st.data())
def test_a_stream_is_masked_as_the_whole_text_is(secrets: list[str], text: str, data) -> None:
    masker = Masker(tuple(secrets))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b].encode() for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    streamed = b"".join(masker.feed(piece) for piece in pieces) + masker.flush()
    assert streamed.decode() == masker.mask(text)
    assert not any(secret in streamed.decode() for secret in secrets)


def test_a_piece_without_bytes_forgets_nothing() -> None:
    masker = Masker(("<<<",))
    assert masker.feed(b"<<<") + masker.feed(b"") + masker.flush() == b"***"


def test_the_longest_secret_wins_and_overlapping_ones_are_all_hidden() -> None:
    masker = Masker(("token", "token-long", "long-tail"))
    assert masker.mask("a token b token-long c") == "a *** b *** c"
    assert masker.mask("token-long-tail") == "***"
    assert Masker(("aba",)).mask("ababa") == "***"


def test_a_secret_of_several_lines_is_hidden_line_by_line() -> None:
    masker = Masker(("-----BEGIN\nMIIEpAIB\n=\n",))
    assert masker.mask("indented:\n  MIIEpAIB\n") == "indented:\n  ***\n"


def test_a_secret_is_found_in_the_spelling_of_xml_and_json() -> None:
    masker = Masker(('p&ss"w<rd',))
    assert masker.mask('<a b="p&amp;ss&quot;w&lt;rd"/>') == '<a b="***"/>'
    assert masker.mask('{"a": "p&ss\\"w<rd"}') == '{"a": "***"}'


def test_what_is_too_short_is_said_and_left_alone() -> None:
    masker = Masker(("ab", ""))
    assert masker.mask("ab") == "ab"
    assert len(masker.notes) == 1
    assert "too short" in masker.notes[0]


def test_one_masker_serves_several_streams() -> None:
    masker = Masker(("secret",))
    one, other = masker.stream(), masker.stream()
    assert one.feed(b"sec") + other.feed(b"x") + one.feed(b"ret") == b"x***"
