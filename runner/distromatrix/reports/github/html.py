"""HTML that stands in GitHub's Markdown and is never more than was meant.

Markdown leaves a block of HTML alone up to the next blank line
(https://github.github.com/gfm/#html-blocks), so everything is written as such blocks, each of
one line: what products say is escaped for HTML, and no Markdown is ever made of it. It stands in
`<code>` or `<pre>`, where GitHub turns no `@name`, `#1` or `:tada:` into anything.
"""

from __future__ import annotations

from html import escape

from distromatrix.collect.text import one_line, printable, shorten

MIB = 1024 * 1024


def code(text: str, length: int = 200) -> str:
    """The first line of a text from elsewhere."""
    return f"<code>{escape(one_line(text, length)) or '&nbsp;'}</code>"


def pre(lines: tuple[str, ...], width: int = 300) -> str:
    """Lines from elsewhere, as they are; no line of the Markdown is blank for them."""
    shown = (escape(shorten(printable(ln).replace("\n", " "), width)) for ln in lines)
    return f"<pre>{'&#10;'.join(shown)}</pre>"


def details(summary: str, body: str) -> str:
    """Something that opens when it is clicked; both are HTML."""
    return f"<details><summary>{summary}</summary>{body}</details>"


def table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    """A table of HTML."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


class Page:
    """Blocks, one under the other, of at most `limit` bytes: a block that does not fit is left
    out whole."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._blocks: list[str] = []

    def add(self, block: str, *, keep: int = 0) -> bool:
        """Add a block where that leaves `keep` bytes; says whether it did."""
        assert "\n" not in block  # noqa: S101 - a blank line would end its HTML
        size = len(block.encode()) + 2
        if size > self._left - keep:
            return False
        self._left -= size
        self._blocks.append(block)
        return True

    def __str__(self) -> str:
        return "".join(f"{block}\n\n" for block in self._blocks)
