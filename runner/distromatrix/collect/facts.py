"""The facts of a run's machines: `facts/DISTRO.json` in its folder. What is in them comes from
images, and in a shard's folder from anybody: whoever reads them bounds them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from stat import S_ISREG
from typing import Any

from distromatrix.collect.text import one_line
from distromatrix.files.below import Folder
from distromatrix.files.whole import disk_fault
from distromatrix.model import Facts

FOLDER = "facts"
MOST = 16 * 1024**2  # bytes of a file of them
MOST_OF_RUN = 64 * 1024**2  # bytes of all its files
MOST_ITEMS = 100_000  # packages of a machine
_MACHINES = 1000  # of a file
_LONGEST = 300  # characters of a value
_EMPTY = Facts()


def facts_from(said: Any) -> Facts:
    """Facts as JSON says them: what is none is left out."""
    found: dict[str, Any] = {}
    for one in fields(Facts):
        value = said.get(one.name) if isinstance(said, dict) else None
        like = getattr(_EMPTY, one.name)
        if isinstance(like, str) and isinstance(value, str):
            found[one.name] = _short(value)
        elif isinstance(like, tuple) and isinstance(value, list):
            found[one.name] = tuple(_short(v) for v in value[:100] if isinstance(v, str))
        elif isinstance(like, dict) and isinstance(value, dict):
            pairs = [*value.items()][:MOST_ITEMS]
            found[one.name] = {_short(k): _short(v) for k, v in pairs if isinstance(v, str)}
    return Facts(**found)


def _short(text: str) -> str:
    short = len(text) <= _LONGEST and text.isascii() and text.isprintable()
    return text if short else one_line(text, _LONGEST)


def facts_files(run: Path) -> dict[str, str]:
    """Where below a run's folder the facts of distros are, by their names. No link is one."""
    with suppress(OSError), Folder.at(run) as folder:
        names = {name.removesuffix(".json"): f"{FOLDER}/{name}" for name in folder.names(FOLDER)}
        return {name: path for name, path in names.items() if S_ISREG(folder.stat(path).st_mode)}
    return {}


def read_facts(run: Path) -> dict[str, Facts]:
    """Those of a run's cells, by their ids; {} where it has none, none of a file that is not
    usable. No link is followed."""
    found: dict[str, Facts] = {}
    left = MOST_OF_RUN
    with suppress(OSError), Folder.at(run) as folder:
        names = folder.names(FOLDER) if folder.has(FOLDER) else []
        for name in sorted(names):
            with suppress(
                OSError, ValueError, LookupError, RecursionError, AttributeError, TypeError
            ):
                text = folder.read_bytes(f"{FOLDER}/{name}", min(MOST, left))
                left -= len(text)
                for machine in json.loads(text)["machines"][:_MACHINES]:
                    facts = facts_from(machine)
                    distro = name.removesuffix(".json")
                    cells = machine["cells"][:MOST_ITEMS]
                    found |= {c: facts for c in cells if str(c).split("/")[0] == distro}
    return found


def machines_of(facts: Mapping[str, Facts]) -> list[dict[str, Any]]:
    """Those of cells as plain data: what is equal is there once, with its `cells`."""
    machines: list[tuple[Facts, list[str]]] = []
    for cell, one in facts.items():
        same = next((those for known, those in machines if known == one), None)
        if same is None:
            machines.append((one, [cell]))
        else:
            same.append(cell)
    return [{"cells": ids, **asdict(one)} for one, ids in machines]


def add_facts(run: Path, facts: Mapping[str, Facts]) -> None:
    """Write those of cells down, beside those that are there. Raises InfrastructureError where
    the disk is full; where they cannot be written else, there are none."""
    by_distro: dict[str, dict[str, Facts]] = defaultdict(dict)
    for cell, one in (read_facts(run) | dict(facts)).items():
        by_distro[cell.split("/")[0]][cell] = one
    try:
        with Folder.at(run) as folder:
            for distro, cells in by_distro.items():
                said = {"distro": distro, "machines": machines_of(cells)}
                text = json.dumps(said, indent=1)
                if len(text) <= MOST:
                    folder.make(FOLDER)
                    folder.write(f"{FOLDER}/{distro}.json", text.encode())
    except OSError as error:
        if fault := disk_fault(error, run):
            raise fault from error
