"""The pages lead somewhere, and the first one is short."""

import re
from pathlib import Path

import pytest

from documents import ROOT, anchors, links, pages, prose


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    lost = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def test_every_page_of_the_docs_is_reached_from_the_readme() -> None:
    reached = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert {*ROOT.glob("docs/*.md")} <= reached


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md"])
def test_the_files_and_folders_that_a_page_names_are_there(name: str) -> None:
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", prose(ROOT / name))
    named += re.findall(r"`(\w+\.py)`", prose(ROOT / name))
    bases = (ROOT, ROOT / "runner/distromatrix", ROOT / "tests/integration")
    lost = [path for path in named if not any((base / path).exists() for base in bases)]
    made = re.compile("NAME|TARGET|debian-12-slim")  # by readers
    assert [path for path in lost if not made.search(path)] == []


def test_the_ground_plan_has_every_room() -> None:
    plan = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## The rooms")[2]
    first = "".join(re.findall(r"^\| (`.*?) \|", plan.partition("## The rest")[0], re.MULTILINE))
    rooms = {path.name for path in (ROOT / "runner/distromatrix").iterdir()}
    rooms -= {"__init__.py", "__main__.py", "__pycache__"}
    assert {name.strip("/") for name in re.findall(r"`([^`]+)`", first)} == rooms


def test_the_names_that_contributing_begins_with_are_where_it_says() -> None:
    rows = re.findall(r"^\|(.*)$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    found = re.findall(r"`(\w+)` in `([\w./]+\.py)`", "\n".join(rows))
    assert len(found) >= 4
    for name, path in found:
        code = (ROOT / "runner/distromatrix" / path).read_text("utf-8")
        assert re.search(rf"^(class |def )?{name}\b", code, re.MULTILINE), (name, path)
