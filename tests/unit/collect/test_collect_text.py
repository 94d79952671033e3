"""Text from machines is shown, never obeyed."""

import pytest

from distromatrix.collect.text import one_line, printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"caf\xc3\xa9\ttab\n", "café\ttab\n"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        ("\x1b[2Jgone\x07\x00", "\\x1b[2Jgone\\x07\\x00"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m c1", "\\x9b31m c1"),
        ("\x1b[1;31mred\x1b[0m\x1b[K", "red"),
        ("safe\u202eevil\u2066", "safe\\u202eevil\\u2066"),
        ("lone \ud800 surrogate \uffff", "lone \\ud800 surrogate \\uffff"),
        (" 10%\r 50%\r100%\nnext", "100%\nnext"),
        (" 10%\r 50%\r\nwindows\r\n", " 50%\nwindows\n"),
    ],
)
def test_nothing_is_left_for_a_terminal_to_obey(raw: str | bytes, shown: str) -> None:
    assert printable(raw) == shown


def test_one_line_is_the_first_that_says_something_and_bounded() -> None:
    assert one_line("\n\n  first \nsecond") == "first"
    assert one_line("x" * 500, 10) == "x" * 9 + "…"
    assert one_line("") == ""
