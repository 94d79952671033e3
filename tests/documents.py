"""The project's pages, read as GitHub shows them: their headings, links and blocks of code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pages() -> list[Path]:
    """Every page that is for readers."""
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md"),
            *ROOT.glob("benchmarks/*.md")]  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the line on which it begins, the comment
    `<!-- test: … -->` on the line before it, and what it holds."""

    page: Path
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """A page's blocks, of these languages or of all."""
    found, lines = [], page.read_text("utf-8").splitlines()
    begin: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if begin is None:
            begin = number
            continue
        note = re.fullmatch(r"<!-- test: (.*) -->", lines[begin - 1]) if begin else None
        text = "".join(f"{inner}\n" for inner in lines[begin + 1 : number])
        found.append(Block(page, begin + 1, lines[begin][3:], note[1] if note else "", text))
        begin = None
    assert begin is None, f"{page}:{begin}: a block has no end"
    return [b for b in found if not languages or b.language in languages]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What `#…` can lead to: GitHub's names of its headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = 0
        while slug + f"-{number}" * bool(number) in found:
            number += 1
        found.add(slug + f"-{number}" * bool(number))
    return found


def links(page: Path) -> list[str]:
    """Where its links and pictures lead, but for those to the web."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [link for link in found if not re.match(r"https?:", link)]


def alike(line: str) -> str:
    """A printed line without what differs from run to run: how long, which run, which blanks."""
    line = " ".join(line.split())
    line = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", line)
    return re.sub(r"\b(\d+ min )?\d+(\.\d+)? s\b", "TIME", line)
