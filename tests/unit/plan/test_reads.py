"""Which suites a change does not touch."""

from __future__ import annotations

import pytest

from distromatrix.errors import NothingSelectedError
from distromatrix.model import Prepare, Selection, Suite
from distromatrix.plan.reads import path_glob, untouched
from distromatrix.plan.select import select


def suite(name: str, *reads: str, files: tuple[str, ...] = ()) -> Suite:
    prepare = Prepare(run="true", files=files) if files else None
    return Suite(name=name, run="true", reads=reads, prepare=prepare)


SRC, DOC = suite("src", "src/**", "*.toml"), suite("doc", "docs/**/*.md")
ALL = suite("all")


@pytest.mark.parametrize(
    ("changed", "left_out"),
    [
        ([], {"src", "doc"}),
        (["src/deep/down.c"], {"doc"}),
        (["pyproject.toml"], {"doc"}),
        (["docs/a.md"], {"src"}),
        (["docs/deep/b.md", "docs/c.md"], {"src"}),
        (["docs/a.md", "src/a\nb"], set()),
    ],
)
def test_a_suite_is_left_out_where_no_change_matches_its_globs(
    changed: list[str], left_out: set[str]
) -> None:
    found, unread = untouched([SRC, DOC, ALL], changed, "`main` (abc)")
    assert (set(found), unread) == (left_out, "")
    assert set(found.values()) <= {"nothing that it reads changed since `main` (abc)"}


@pytest.mark.parametrize("path", ["LICENSE", "sub/pyproject.toml", "docs/a.png", "src"])
def test_a_file_that_no_suite_mentions_runs_everything(path: str) -> None:
    assert untouched([SRC, DOC, ALL], ["src/a", path], "") == ({}, path)


def test_what_a_suite_prepares_with_is_read() -> None:
    prepared = suite("prepared", "src/**", files=("requirements*.txt", "!requirements-no.txt"))
    found, unread = untouched([prepared, DOC], ["requirements-dev.txt"], "")
    assert (set(found), unread) == ({"doc"}, "")
    # Where a suite reads everything anyway, it mentions nothing.
    everything = suite("everything", files=("requirements*.txt",))
    assert untouched([everything, DOC], ["requirements.txt"], "") == ({}, "requirements.txt")


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("src/**", "src/a/b", True),
        ("src/**", "src", False),
        ("**/*.c", "a.c", True),
        ("**/*.c", "deep/down/a.c", True),
        ("*.c", "deep/a.c", False),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
        ("src/**", "src/new\nline", True),
    ],
)
def test_globs_are_over_paths(glob: str, path: str, matches: bool) -> None:
    assert bool(path_glob(glob).fullmatch(path)) == matches


TAGS = {"one/src": ["quick"], "one/doc": [], "two/doc/v": []}


def test_what_is_untouched_is_left_out_of_what_is_selected() -> None:
    untouched = {"doc": "why"}
    left_out = select(TAGS, Selection(selectors=("one",), untouched=untouched))
    assert left_out == {"one/doc": "why", "two/doc/v": "not selected by one"}


def test_nothing_to_run_is_no_fault_but_a_selector_without_a_cell_is() -> None:
    chosen = Selection(selectors=("*/doc",), untouched={"doc": "why"})
    assert set(select(TAGS, chosen)) == set(TAGS)
    with pytest.raises(NothingSelectedError):
        select(TAGS, Selection(selectors=("*/dok",), untouched={"doc": "why"}))
    with pytest.raises(NothingSelectedError):
        select(TAGS, Selection(selectors=("one/src",), exclude=("one/*",), untouched={"doc": ""}))
