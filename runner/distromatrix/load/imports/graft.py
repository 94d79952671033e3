"""`import` below `suites`: what it names is read, and put in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from distromatrix.errors import InputError
from distromatrix.files.below import Folder
from distromatrix.load.decode import decode
from distromatrix.load.document import Document, Node, Position
from distromatrix.load.imports.formats import FORMATS
from distromatrix.load.imports.imported import Imported, ImportedSuite, named_apart
from distromatrix.load.shapes.imports import ImportsShape
from distromatrix.model import Distro
from distromatrix.wording import listing, quoted

KEY = "import"
MAX_RULES = 20_000


def graft_imports(document: Document, root: Path, distros: Sequence[Distro]) -> tuple[str, ...]:
    """Take `import` out of the document's suites, and put the suites there that it stands for:
    from then on they are as if they were written. `root`: the project's; `distros`: the matrix's.
    What is wrong becomes a fault of the document, in the file where it is. Returns a line for
    each thing that was left out."""
    top, suites = document.root, document.node(["suites"])
    if not (top and suites and isinstance(top.value, dict) and isinstance(suites.value, dict)):
        return ()
    if KEY not in suites.value:
        return ()
    at = suites.keys[KEY]
    rules = top.value.setdefault("rules", Node(*at, []))
    top.keys.setdefault("rules", at)
    wanted = _wanted(document, suites.value.pop(KEY), at)
    left_out: list[str] = []
    for prefix, node in wanted:
        path, at = str(node.value), (node.line, node.column)
        try:
            with Folder.at(root) as project, project.folder(_product(document)) as product:
                found = _read(product, path, prefix)
        except OSError as error:
            where = f"the product's folder, in which {quoted(path)} lies, cannot be opened"
            document.fault(f"{where}: {error.strerror}", at=at)
        except InputError as error:
            for one in error.faults:
                place = (one.line, one.column, one.file) if one.file else at
                document.fault(one.message, one.hint, at=place)
        else:
            left_out += found.left_out
            names = [d.name for d in distros if found.family in ("", d.family)]
            if found.suites and not names:
                left_out.append(
                    f"{document.file}:{at[0]}: the suites of {path} are for distros of the family "
                    f"{found.family}, and this matrix has none"
                )
            else:
                brought = _put(document, suites.value, found, names)
                if isinstance(rules.value, list):
                    rules.value += brought
                suites.keys |= dict.fromkeys(suites.value.keys() - suites.keys.keys(), at)
    if wanted and not suites.value and not document.faults:
        why = f": {left_out[0]}" if left_out else ""
        document.fault(f"there is no suite{why}", at=(suites.line, suites.column))
    return tuple(left_out)


def _wanted(document: Document, node: Node, at: Position) -> list[tuple[str, Node]]:
    """The folders that are named, each with the prefix of its suites ('': none); what is wrong
    with them is a fault of the document."""
    part = Document(document.path)
    part.root = Node(*at, {KEY: node}, {KEY: at})
    if decode(ImportsShape, part) is None:
        document.faults += part.faults
        return []
    if isinstance(node.value, dict):
        return list(node.value.items())
    return [("", one) for one in (node.value if isinstance(node.value, list) else [node])]


def _product(document: Document) -> str:
    """The product's folder as it is written; whether it is one, its field says."""
    node = document.node(["product", "path"]) or document.node(["product"])
    return node.value if node and isinstance(node.value, str) else "."


def _read(product: Folder, path: str, prefix: str) -> Imported:
    """What a folder of the product holds. Raises InputError."""
    for one in FORMATS.values():
        if one.is_there(product, path):
            found = one.read_suites(product, path)
            prefixed = ((f"{prefix}-{name}", suite) for name, suite in found.suites.items())
            return replace(found, suites=named_apart(prefixed)) if prefix else found
    holds = listing([one.holds for one in FORMATS.values()])
    raise InputError(f"{quoted(path)} holds no tests to import: expected a folder with {holds}")


def _put(
    document: Document, suites: dict[str, Node], found: Imported, names: Sequence[str]
) -> list[Node]:
    """Put suites among those of the document. Returns the rules that come with them, for those of
    the distros `names` that they are for."""
    rules: list[Node] = []
    for name, suite in found.suites.items():
        if name in suites:
            other = f"the other is at {document.where(['suites', name])}"
            hint = f"{other}; `import: {{PREFIX: FOLDER}}` puts a prefix before names"
            there = (suite.line, 1, suite.file)
            document.fault(f"the suite {quoted(name)} is there already", hint, at=there)
            continue
        keys = {"distros": list(names), **suite.keys} if found.family else suite.keys
        suites[name] = _node(keys, suite)
        for wanted, said in suite.rules:
            for distro in _meant(wanted, tuple(names)):
                rules.append(_node({"distro": distro, "suite": name, **said}, suite))
        if len(rules) > MAX_RULES:
            many = f"more than {MAX_RULES:,} rules come with these suites: import fewer at once"
            document.fault(many, at=(suite.line, 1, suite.file))
            return []
    return rules


@cache
def _meant(wanted: tuple[str, ...], distros: tuple[str, ...]) -> list[str]:
    """Those distros whose names begin with the parts of one that is wanted."""
    parts = [re.split("[-.:]", one) for one in wanted]
    split = {name: re.split("[-.:]", name) for name in distros}
    return [name for name in distros if any(split[name][: len(one)] == one for one in parts)]


def _node(value: Any, suite: ImportedSuite) -> Node:
    at = (suite.line, 1)
    if isinstance(value, str):
        return Node(*at, value, file=suite.file)
    if isinstance(value, list | tuple):
        return Node(*at, [_node(one, suite) for one in value], file=suite.file)
    items = {key: _node(one, suite) for key, one in value.items()}
    return Node(*at, items, dict.fromkeys(items, at), file=suite.file)
