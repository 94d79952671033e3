"""A tree of fmf's files (Flexible Metadata Format) with its inheritance done, in which every text
knows its line.

The library of that name gives no lines, follows links anywhere, bounds nothing and runs the files'
regular expressions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from distromatrix.errors import Fault, InputError
from distromatrix.files.below import Folder
from distromatrix.load.document import Document, Node, shown
from distromatrix.load.read import EMPTY, MAX_BYTES, parse_document

MAX_FILES = 5_000
MAX_FOLDERS = 20_000
MAX_LEVELS = 30  # of names in a name
MAX_FAULTS = 100
MAX_MERGED = 4_000_000  # keys, items and characters that inheritance may copy
MAX_ITEMS = 200_000  # of lists, own or inherited, of all nodes
_NUMBER = re.compile(r"[-+]?[0-9.]+")
_NULL = ("null", "Null", "NULL", "~")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_SUFFIX = re.compile(r"(\+<|\+|-~|-|~)\Z")


class Placed(str):
    """Text out of a file, and where it stands: `FILE:LINE`."""

    at: str = ""

    @classmethod
    def of(cls, text: str, at: str) -> Placed:
        """That text, of that place."""
        placed = cls(text)
        placed.at = at
        return placed


class Unread(Placed):
    """The key that asks for a value that is not computed: by a regular expression or a sum."""


@dataclass(slots=True)
class Branch:
    """A node of the tree. `data`: plain values whose texts are `Placed`, inherited ones, too.
    `folder`: from the tree's root, where what says it lies."""

    name: str
    folder: str
    data: dict[str, Any] = field(default_factory=dict)
    inherits: bool = True
    selected: bool | None = None
    children: dict[str, Branch] = field(default_factory=dict)


class Tree:
    """The tree in a folder of the product; `leaves()` gives what fmf takes for objects. `left_out`:
    lines about what is not read. Raises InputError with all faults of all its files."""

    def __init__(self, product: Folder, path: str) -> None:
        self.left_out: list[str] = []
        self._faults: list[Fault] = []
        self._folders = self._files = self._merged = self._items = 0
        self._entered: set[tuple[int, int]] = set()  # by links
        self._top = Branch(name="", folder=".")
        # Links are followed within the tree, as if it were all there is.
        root = Folder(product.path / path, product.open(path, _FOLDER), links=True)
        with root as self._root:
            self._check_version()
            self._grow(self._top, "")
        if not self._faults:
            self._inherit(self._top, {})
        if self._faults:
            raise InputError(*self._faults[:MAX_FAULTS])

    def leaves(self) -> Iterator[Branch]:
        """The nodes that have no others below, or say `select: true`, sorted by name."""
        below = [self._top]
        while below:
            branch = below.pop()
            if branch.selected if branch.selected is not None else not branch.children:
                yield branch
            below.extend(child for _, child in sorted(branch.children.items(), reverse=True))

    # --- reading ---------------------------------------------------------------------------

    def _check_version(self) -> None:
        document = self._document(".fmf/version")
        if document.root is None or document.root.value != "1":
            document.fault("expected 1, the version of fmf's format that is known")
            raise InputError(*document.faults)
        if self._root.has(".fmf/config"):
            config = shown(self._root.path / ".fmf/config")
            self.left_out.append(f"{config}:1: is not read, nor hidden files that it may name")

    def _document(self, path: str) -> Document:
        shown_as = self._root.path / path
        try:
            return parse_document(shown_as, self._root.read_bytes(path, MAX_BYTES))
        except OSError as error:
            document = Document(shown_as)
            document.fault(f"cannot be read: {error.strerror}")
            return document

    def _grow(self, branch: Branch, path: str) -> None:
        """Read the files in a folder (its path from the root, with a `/` after it), and below."""
        self._folders += 1
        if self._folders > MAX_FOLDERS:
            raise self._too_large(f"more than {MAX_FOLDERS:,} folders")
        names, folders = [], []
        try:
            fd = self._root.open(path or ".", _FOLDER)
            try:
                for entry in os.scandir(fd):
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        folders += [entry.name] if self._is_new_folder(path + entry.name) else []
                    elif entry.is_dir():
                        folders.append(entry.name)
                    if entry.name.endswith(".fmf") and entry.name not in folders:
                        names.append(entry.name)
            finally:
                os.close(fd)
        except OSError as error:
            file = shown(self._root.path / path)
            self._faults.append(Fault(file, 0, 0, f"cannot be read: {error.strerror}"))
            return
        for name in sorted(names, key=lambda name: (name != "main.fmf", name)):
            self._read(branch, path, name)
        for name in sorted(folders):
            below = f"{path}{name}/"
            if self._root.has(f"{below}.fmf"):
                continue  # a tree of its own
            new = name not in branch.children
            child = self._child(branch, name, below)
            self._grow(child, below)
            if new and not child.children and not child.folder:  # no metadata
                del branch.children[name]

    def _is_new_folder(self, link: str) -> bool:
        """Whether a link leads to a folder of the tree to which no other has led."""
        try:
            fd = self._root.open(link, _FOLDER)
        except NotADirectoryError:
            return False
        except OSError:
            self.left_out.append(
                f"{shown(self._root.path)}/{link}:1: a link to nothing in the tree"
            )
            return False
        at = os.fstat(fd)
        os.close(fd)
        known = (at.st_dev, at.st_ino) in self._entered
        self._entered.add((at.st_dev, at.st_ino))
        return not known

    def _read(self, branch: Branch, path: str, name: str) -> None:
        self._files += 1
        if self._files > MAX_FILES:
            raise self._too_large(f"more than {MAX_FILES:,} files")
        document = self._document(path + name)
        if faults := [fault for fault in document.faults if fault.message != EMPTY]:
            self._faults += faults
            return
        if name != "main.fmf":
            branch = self._child(branch, name.removesuffix(".fmf"), path + name)
        branch.folder = path.rstrip("/") or "."
        if document.root is not None:
            self._update(branch, document.root, document.file)

    def _update(self, branch: Branch, node: Node, file: str) -> None:
        if node.value == "":
            return
        if not isinstance(node.value, dict):
            self._fault(f"{file}:{node.line}", "expected a mapping")
            return
        for key, value in node.value.items():
            at = f"{file}:{node.keys[key][0]}"
            if key == "/":
                self._obey(branch, value.plain(), at)
            elif key.startswith("/"):
                below = branch
                for name in filter(None, key.split("/")):
                    below = self._child(below, name, at)
                self._update(below, value, file)
            else:
                branch.data.pop(key, None)  # a key knows its place, too
                branch.data[Placed.of(key, at)] = _placed(value, file)

    def _child(self, branch: Branch, name: str, at: str) -> Branch:
        if branch.name.count("/") >= MAX_LEVELS:
            raise self._too_large(f"names of more than {MAX_LEVELS} levels", at)
        return branch.children.setdefault(name, Branch(name=f"{branch.name}/{name}", folder=""))

    def _obey(self, branch: Branch, said: Any, at: str) -> None:
        """The directives of a node."""
        known = said if isinstance(said, dict) else {"/": ""}
        for key, value in known.items():
            if key not in ("inherit", "select") or value not in ("true", "false"):
                self._fault(at, "a directive is `inherit` or `select` with true or false")
            elif key == "inherit":
                branch.inherits = value == "true"
            else:
                branch.selected = value == "true"

    # --- inheriting ------------------------------------------------------------------------

    def _inherit(self, branch: Branch, data: Mapping[str, Any], folder: str = ".") -> None:
        branch.folder = branch.folder or folder
        own, branch.data = branch.data, dict(data) if branch.inherits else {}
        self._merge(branch.data, own)
        self._count(len(branch.data))
        self._items += sum(len(v) for v in branch.data.values() if isinstance(v, list))
        if self._items > MAX_ITEMS:
            raise self._too_large(f"its nodes have more than {MAX_ITEMS:,} items of lists")
        for child in branch.children.values():
            self._inherit(child, branch.data, branch.folder)

    def _merge(self, data: dict[str, Any], own: Mapping[str, Any]) -> None:
        """Put a node's own keys into what it inherits, as their suffixes ask for."""
        for key, value in own.items():
            name = _SUFFIX.sub("", key)
            suffix = key[len(name) :]
            at = key.at if isinstance(key, Placed) else ""
            there = name in data
            old = data.pop(name, None)
            if not suffix or (not there and suffix.startswith("+")):
                merged = value
            elif not there:
                continue  # there is nothing to take away from
            elif suffix.startswith("+"):
                merged = self._added(old, value, at, key)
            else:
                merged = self._reduced(old, value, at, key)
            data[Placed.of(name, at)] = merged

    def _added(self, old: Any, value: Any, at: str, key: str) -> Any:
        """`KEY+:`, or `KEY+<:`, which puts it before."""
        first = key.endswith("<")
        self._count(_weight(old) + _weight(value))
        added: Any
        match old, value:
            case (Unread(), _):
                added = old
            case (dict(), dict()):
                added = self._updated(old, value)
            case (list(), dict()) if all(isinstance(item, dict) for item in old):
                added = [self._updated(item, value) for item in old]
            case (dict(), list()) if all(isinstance(item, dict) for item in value):
                added = [self._updated(old, item) for item in value]
            case (str(), str()) if _NUMBER.fullmatch(old) and _NUMBER.fullmatch(value):
                added = Unread.of(key, at)
            case (str(), str()):
                added = Placed.of(value + old if first else old + value, at)
            case (list(), list()):
                added = value + old if first else old + value
            case _:
                self._fault(at, "cannot be added to what is inherited, which is of another kind")
                added = old
        return added

    def _updated(self, old: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(old)
        self._merge(made, own)
        self._count(len(made))
        return made

    def _reduced(self, old: Any, value: Any, at: str, key: str) -> Any:
        """`KEY-:` of lists and mappings; all else is asked for by regular expressions."""
        self._count(_weight(old) + _weight(value))
        if key.endswith("-") and isinstance(value, list):
            gone = {item for item in value if isinstance(item, str)}
            if isinstance(old, list) and len(gone) == len(value):
                return [item for item in old if not (isinstance(item, str) and item in gone)]
            if isinstance(old, dict):
                return {name: kept for name, kept in old.items() if name not in gone}
        return Unread.of(key, at)

    # --- faults ----------------------------------------------------------------------------

    def _count(self, copied: int) -> None:
        self._merged += copied
        if self._merged > MAX_MERGED:
            raise self._too_large("inheritance makes too much of it")

    def _too_large(self, why: str, at: str = "") -> InputError:
        return InputError(
            Fault(at or shown(self._root.path), 0, 0, f"the tmt tree is too large: {why}")
        )

    def _fault(self, at: str, message: str) -> None:
        file, _, line = at.rpartition(":")
        self._faults.append(Fault(file, int(line or 0), 1, message))


def _placed(node: Node, file: str) -> Any:
    if isinstance(node.value, str):
        text = "" if node.value in _NULL else node.value
        return Placed.of(text, f"{file}:{node.line}")
    if isinstance(node.value, list):
        return [_placed(item, file) for item in node.value]
    return {
        Placed.of(key, f"{file}:{node.keys[key][0]}"): _placed(value, file)
        for key, value in node.value.items()
    }


def _weight(value: Any) -> int:
    return len(value) if isinstance(value, str | list | dict) else 1
