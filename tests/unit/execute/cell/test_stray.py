"""A JUnit file that lies elsewhere in the product is pointed at, where there was no report."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.model import Verdict

JUNIT = "<testsuite><testcase name='a'/></testsuite>"
WRITE = f'echo "{JUNIT}" >'
SAID = "write it to $DISTROMATRIX_JUNIT, or copy it there"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def warned(world: World, run: str, **other: object) -> tuple[str, ...]:
    return world.execute(cell("a/s", run, **other)).cells[0].warnings


@pytest.mark.parametrize("end", ["", "; exit 1"])
def test_a_report_that_lies_elsewhere_is_pointed_at(world: World, end: str) -> None:
    run = f"mkdir -p build/test-results; {WRITE}build/test-results/TEST-x.xml{end}"
    assert warned(world, run) == (f"found build/test-results/TEST-x.xml: {SAID}",)


def test_several_are_named_and_the_rest_is_not(world: World) -> None:
    (line,) = warned(world, f"for n in 1 2 3 4 5; do {WRITE}$n.xml; done")
    assert line.count(".xml") == 3
    assert line.endswith("and more: write them below $DISTROMATRIX_JUNIT_DIR, or copy them there")


@pytest.mark.parametrize(
    "run",
    [
        f"{WRITE}$DISTROMATRIX_JUNIT; {WRITE}report.xml",  # there is a report
        "echo '<coverage/>' >coverage.xml",
        f"mkdir node_modules; {WRITE}node_modules/a.xml",
        f"mkfifo a.xml; ln -s hello b.xml; {WRITE}report.txt",
    ],
)
def test_what_is_no_stray_report_is_not_spoken_of(world: World, run: str) -> None:
    assert warned(world, run) == ()


def test_what_came_with_the_product_or_of_its_setup_is_none(world: World) -> None:
    (world.folder / "product/report.xml").write_text(JUNIT)
    assert warned(world, "true") == ()
    assert warned(world, "true", setup=(f"{WRITE}setup.xml",)) == ()


def test_what_is_found_is_a_hostile_products_and_changes_no_verdict(world: World) -> None:
    world.secrets["TOKEN"] = "s3cr3t-value"
    name = "$(printf 'a\\033[2J\\n\\342\\200\\256s3cr3t-value.xml')"
    result = world.execute(cell("a/s", f'{WRITE}"{name}"')).cells[0]
    assert result.verdict is Verdict.PASSED
    assert all(line.isprintable() and "s3cr3t" not in line for line in result.warnings)
    assert "\x1b" not in "".join(result.warnings)
