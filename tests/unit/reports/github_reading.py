"""GitHub's side, for the tests of what is written for it: its parser of workflow commands, and
HTML read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_DATA = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
COMMANDS = {"error", "warning", "notice", "debug", "add-mask", "stop-commands", "group"}
TAGS = {"h2", "h3", "p", "ul", "li", "b", "br", "sub", "code", "pre", "details", "summary"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
VOID = {"br"}


@dataclass(frozen=True)
class Command:
    name: str
    properties: dict[str, str]
    data: str


def command(line: str) -> Command | None:
    """What a runner takes a line of output for (actions/runner, ActionCommand.TryParseV2)."""
    text = line.lstrip()
    if not text.startswith("::") or (end := text.find("::", 2)) < 0:
        return None
    name, _, rest = text[2:end].partition(" ")
    if name not in COMMANDS:
        return None
    pairs = (pair.split("=", 1) for pair in rest.strip().split(",") if pair)
    properties = {pair[0]: _unescaped(pair[1], _PROPERTY) for pair in pairs if len(pair) == 2}
    return Command(name, properties, _unescaped(text[end + 2 :], _DATA))


def _unescaped(text: str, mapping: dict[str, str]) -> str:
    for code, char in mapping.items():
        text = text.replace(code, char)
    return text


@dataclass
class Read:
    """A summary as a browser sees it: its text, and that of each element by its tag."""

    text: str = ""
    by_tag: dict[str, list[str]] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.read = Read()
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, f"<{tag}> was never meant"
        assert not attrs
        if tag not in VOID:
            self._open.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        opened, text = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        self.read.by_tag.setdefault(tag, []).append(text)

    def handle_data(self, data: str) -> None:
        self.read.text += data
        self._open = [(tag, text + data) for tag, text in self._open]

    def error_on_rest(self) -> None:
        assert not self._open, f"not closed: {self._open}"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")


def summary_read(text: str) -> Read:
    """A summary, read as GitHub does; fails where a part of it is no whole block of HTML that
    Markdown leaves alone (https://github.github.com/gfm/#html-blocks, kind 6: one that begins
    with such a tag goes on to the next blank line)."""
    reader = _Reader()
    blocks = [block for block in text.split("\n\n") if block]
    for block in blocks:
        assert "\n" not in block
        assert block.startswith(("<h2>", "<h3>", "<p>", "<table>", "<details>"))
        reader.feed(block)
        reader.error_on_rest()  # each block is whole by itself
    reader.close()
    return reader.read
