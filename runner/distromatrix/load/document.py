"""A file's content as a tree of text in which every key and value knows its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distromatrix.errors import Fault
from distromatrix.files.user_folders import current_folder

Position = tuple[int, int]
Place = tuple[int, int, str]  # with the file, '' for the document's own
Steps = Sequence[str | int]  # the keys and indexes that lead to a value


@dataclass(slots=True)
class Node:
    """A scalar, list or mapping, and where it begins (from 1). `size` and `height` count what
    it stands for with aliases followed. `file`: where it was imported from."""

    line: int
    column: int
    value: str | list[Node] | dict[str, Node]
    keys: dict[str, Position] = field(default_factory=dict)
    size: int = 1
    height: int = 1
    file: str = ""

    def plain(self) -> Any:
        """The same as str, list and dict; nothing in it is shared, even where an alias was."""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return {key: node.plain() for key, node in self.value.items()}


class Document:
    """One file's tree, and the faults found in it so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = shown(path)
        self.faults: list[Fault] = []
        self.spoilt: frozenset[Position] = frozenset()  # told already, before any decoding
        self.root: Node | None = None  # None: no usable YAML at all; the faults say why

    def fault(self, message: str, hint: str = "", *, at: Position | Place = (0, 0)) -> None:
        """Note a fault at a position."""
        file = at[2] if len(at) == 3 else ""
        self.faults.append(Fault(file or self.file, at[0], at[1], message, hint))

    def locate(self, steps: Steps, *, key: bool = False) -> Place:
        """Where the value at the end of `steps` begins, or its key; of steps that lead to
        nothing, the last that leads to something."""
        for end in range(len(steps), -1, -1):
            if (node := self.node(steps[:end])) is None:
                continue
            owner = self.node(steps[: end - 1]) if key and end == len(steps) > 0 else None
            if owner is not None and isinstance(owner.value, dict):
                return (*owner.keys[str(steps[-1])], owner.file)
            return (node.line, node.column, node.file)
        return (0, 0, "")

    def node(self, steps: Steps) -> Node | None:
        """What is at the end of `steps`, or None."""
        node = self.root
        for step in steps:
            value = node.value if node else None
            if isinstance(value, dict):
                node = value.get(str(step))
            elif isinstance(value, list) and isinstance(step, int):
                node = value[step]
            else:
                return None
        return node

    def where(self, steps: Steps) -> str:
        """`file:line:column` of a value."""
        line, column, file = self.locate(steps)
        return f"{file or self.file}:{line}:{column}"


def shown(path: Path) -> str:
    """A path as a message shows it: relative where it lies below the working directory."""
    try:
        return str(path.resolve().relative_to(current_folder().resolve()))
    except (ValueError, OSError):
        return str(path)
