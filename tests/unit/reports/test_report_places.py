"""A failure points to the product's own source, and to nothing else."""

import pytest

from distromatrix.model import Case
from distromatrix.reports.github.places import place_of

PRODUCT = {"tests/test_time.py", "src/clock.py", "setup.py", "lib/a.c", "main_test.go"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("tests/test_time.py:12: AssertionError", ("tests/test_time.py", 12)),
        (
            "tests/test_time.py:12: in test\n    now()\nsrc/clock.py:7: ValueError",
            ("src/clock.py", 7),
        ),
        (
            'Traceback:\n  File "/distromatrix/product/src/clock.py", line 7, in now\n'
            '  File "/usr/lib/python3.11/re.py", line 99, in compile\nError',
            ("src/clock.py", 7),
        ),
        ("lib/a.c:33:5: assertion failed", ("lib/a.c", 33)),
        ("    main_test.go:30: want 1", ("main_test.go", 30)),
        ("at ./lib/a.c:33", ("lib/a.c", 33)),
        ("/usr/lib/python3/setup.py:3: Error", ("", 0)),
        ("../tests/test_time.py:1: Error", ("", 0)),
        ("see https://mirror.example/lib/a.c:80 please", ("", 0)),
        ("nothing to see", ("", 0)),
        ("tests/test_time.py:99999999999: Error", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_the_last_place_in_the_product_counts(text: str, place: tuple[str, int]) -> None:
    assert place_of(Case(name="t", status="failed", text=text), PRODUCT.__contains__) == place


def test_where_the_text_says_nothing_the_tool_may() -> None:
    case = Case(name="t", status="failed", file="src/clock.py", line=4)
    assert place_of(case, PRODUCT.__contains__) == ("src/clock.py", 4)


def test_a_long_text_without_an_end_is_read_quickly() -> None:
    text = "a/" * 8000 + "\n" + "a." * 8000 + "\n" + "1:" * 8000
    assert place_of(Case(name="t", status="failed", text=text), PRODUCT.__contains__) == ("", 0)
