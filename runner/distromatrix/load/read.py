"""A YAML file to a `Document`: bounded, without tags, without duplicate keys.

Scalars stay text: what `1.10`, `on` or `2027-01-01` mean is decided by the type of the field
they stand in. Built on PyYAML's events and not on its nodes, because only the events tell an
explicit tag from an implied one, and because the limits then hold before anything grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import Reader

from distromatrix.load.document import Document, Node, Position
from distromatrix.wording import quoted

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 20_000  # after aliases are followed

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


EMPTY = "is empty"
LEADS_OUT = ("is a link that leads out of the project", "put what it leads to in its place")


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path below `root` leads elsewhere, by links. Raises OSError."""
    try:
        return not path.resolve().is_relative_to(root.resolve())
    except RuntimeError:  # a loop, before Python 3.13
        return False


class _UnreadableError(Exception):
    """Ends the reading of one file; its arguments are the fault's."""

    def __init__(self, message: str, hint: str = "", at: Position = (0, 0)) -> None:
        super().__init__(message, hint)
        self.at = at


def read_document(path: Path, within: Path | None = None) -> Document:
    """Read a file, which must not lead out of the folder `within`: what is wrong with it would be
    shown. What is wrong is in the document's faults; never raises."""
    document = Document(path)
    try:
        if within is not None and leads_out(path, within):
            raise _UnreadableError(*LEADS_OUT)
        data = _read(path)
    except _UnreadableError as error:
        document.fault(*error.args, at=error.at)
    except OSError as error:
        document.fault(f"cannot be read: {error.strerror or error}")
    else:
        _fill(document, data)
    return document


def parse_document(path: Path, data: bytes) -> Document:
    """The same of what was read from a file already."""
    document = Document(path)
    _fill(document, data)
    return document


def _fill(document: Document, data: bytes) -> None:
    text = ""
    try:
        text = _text(data)
        events = yaml.parse(text, Loader=_Loader)
        document.root = _Composer(document, events).compose()
    except _UnreadableError as error:
        document.fault(*error.args, at=error.at)
    except yaml.MarkedYAMLError as error:
        _syntax(document, text, error)
    except yaml.YAMLError as error:
        document.fault(f"not valid YAML: {error}".splitlines()[0])


def _syntax(document: Document, text: str, error: yaml.MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    at = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    line = text.splitlines()[mark.line] if mark and mark.line < text.count("\n") else ""
    hint = "indent with spaces, not tabs" if "\t" in line[: len(line) - len(line.lstrip())] else ""
    what = error.problem or error.context or "syntax error"
    document.fault(f"not valid YAML: {what}", hint, at=at)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise _UnreadableError("is a folder; a YAML file is expected here")
    if path.exists() and not path.is_file():  # a FIFO would hang, a device may never end
        raise _UnreadableError("is not a regular file")
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _UnreadableError(f"is larger than {MAX_BYTES >> 20} MiB, which no matrix needs")
    return data


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        at = _position(before, len(before))
        raise _UnreadableError("is not UTF-8", "save it as UTF-8", at) from None
    if bad := Reader.NON_PRINTABLE.search(text):
        name = f"U+{ord(bad.group()):04X}"
        at = _position(text, bad.start())
        raise _UnreadableError(f"control character {name} is not allowed in YAML", at=at)
    return text


def _position(text: str, offset: int) -> Position:
    return (text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


class _Composer:
    """Builds the tree of the one document in a stream of events."""

    def __init__(self, document: Document, events: Iterator[Any]) -> None:
        self.document = document
        self.events = events
        self.anchors: dict[str, Node] = {}

    def compose(self) -> Node:
        """The root. Raises _UnreadableError, or what PyYAML raises."""
        root: Node | None = None
        for event in self.events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                raise _stopped(event, "a second document begins; one file holds one")
            root = self.node(next(self.events), depth=1)
        if root is None or root.value == "":
            raise _UnreadableError(EMPTY)
        return root

    def node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        if depth > MAX_DEPTH:
            raise _stopped(event, f"nested deeper than {MAX_DEPTH} levels")
        if getattr(event, "tag", None) is not None:
            tag = quoted(str(event.tag).replace("tag:yaml.org,2002:", "!!"))
            self.document.fault(f"tag {tag} is not allowed", "leave it out", at=_at(event))
        if isinstance(event, yaml.ScalarEvent):
            node = Node(*_at(event), event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if event.anchor is not None:  # only now: an alias inside its own anchor has no end
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, depth: int) -> Node:
        target = self.anchors.get(event.anchor)
        if target is None:
            raise _stopped(event, f"alias `*{event.anchor}` names no anchor before it")
        if depth + target.height - 1 > MAX_DEPTH:
            raise _stopped(event, f"nested deeper than {MAX_DEPTH} levels")
        return Node(*_at(event), target.value, target.keys, target.size, target.height)

    def sequence(self, event: Any, depth: int) -> Node:
        items: list[Node] = []
        node = Node(*_at(event), items)
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            child = self.node(event, depth + 1)
            self.grow(node, child, event)
            items.append(child)
        return node

    def mapping(self, event: Any, depth: int) -> Node:
        items: dict[str, Node] = {}
        node = Node(*_at(event), items)
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value_event = next(self.events)
            value = self.node(value_event, depth + 1)
            self.grow(node, value, value_event)
            if self.usable(key, node):
                items[str(key.value)] = value
                node.keys[str(key.value)] = (key.line, key.column)
        return node

    def usable(self, key: Node, owner: Node) -> bool:
        at = (key.line, key.column)
        if not isinstance(key.value, str):
            self.document.fault("a key must be plain text", at=at)
        elif key.value == "<<":
            hint = "write the keys out, or use `defaults:` or `like:`"
            self.document.fault("merge keys (`<<`) are not supported", hint, at=at)
        elif key.value in owner.keys:
            line, column = owner.keys[key.value]
            first = f"the first is at {line}:{column}"
            self.document.fault(f"duplicate key {quoted(key.value)}", first, at=at)
        else:
            return True
        return False

    def grow(self, node: Node, child: Node, event: Any) -> None:
        node.size += child.size
        node.height = max(node.height, child.height + 1)
        if node.size > MAX_NODES:
            raise _stopped(event, f"more than {MAX_NODES} values once aliases are followed")


def _stopped(event: Any, message: str) -> _UnreadableError:
    return _UnreadableError(message, at=_at(event))


def _at(event: Any) -> Position:
    return (event.start_mark.line + 1, event.start_mark.column + 1)
