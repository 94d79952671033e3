"""Cases that say what they need: `@pytest.mark.needs("kernel-modules")` in a product's tests, or
a skip whose message begins with `needs:`.

Where a product's Python uses either, a file that knows it is put beside the product in the
machine, and pytest is told to load it, also inside tox. It skips what this machine cannot serve,
and writes down which tests that were; in a second machine it runs those alone. A product that
uses neither sees nothing of this. Of other suites the JUnit file says the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from distromatrix.collect.artifacts import extract
from distromatrix.collect.errors import CollectError
from distromatrix.collect.log import Masker
from distromatrix.collect.text import one_line, printable
from distromatrix.engines.contract import Machine
from distromatrix.engines.parcel import ids_of
from distromatrix.files.small_tar import tar_of
from distromatrix.model import Case, CaseNeeds, Cell, Need
from distromatrix.plan.needs import GUESTS, NEEDS, SWITCH, refusal

PLUGIN = "distromatrix_needs"
_SAID = re.compile(r"\s*([a-z][a-z-]*)\s*((?:>=|<=|==|>|<)?\d[\d.]*)?")
FOLDER = "inside"  # beside the product
WRITTEN = "written"  # a folder in it for the machine's user
_WRITTEN = f"{FOLDER}/{WRITTEN}"
RECORD = "needs.jsonl"
CASES = "cases.txt"  # which cases a suite is to run, one id a line
MAX_BYTES = 4 * 1024**2
MAX_CASES = 10_000
_MAX_NODE = 2000
_BROKEN = f'Error importing plugin "{PLUGIN}"'
BROKEN_HINT = (
    f"the suite's pytest did not find {PLUGIN}.py, which knows the mark `needs` and skips tests "
    "that open machines: the suite sets "
    "PYTHONPATH itself, or runs `python -I`; let it keep $PYTHONPATH: PYTHONPATH=src:$PYTHONPATH"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What pytest wrote down: the tests that were skipped for a need, those that ran where only
    some were to, and what is wrong with the record."""

    needing: tuple[CaseNeeds, ...] = ()
    ran: frozenset[str] = frozenset()
    fault: str = ""


def put_in(
    machine: Machine,
    cell: Cell,
    only: tuple[str, ...] | None = None,
    fixtures: Iterable[str] = (),
) -> None:
    """Put the file and what it must know into a machine; `only`: the tests, by their ids, that
    are to run there; `fixtures`: those of ours that its tests ask for. Raises
    InfrastructureError."""
    top = _top(machine.out)
    facts = {
        "only": None if only is None else list(only),
        "known": {name: need.versioned for name, need in NEEDS.items()},
        "refused": refused(cell),
        "record": f"{top}/{FOLDER}/{WRITTEN}/{RECORD}",
        "product": machine.product,
        "fixtures": sorted(fixtures),
    }
    plugin = files("distromatrix.execute").joinpath(f"inside/{PLUGIN}.py").read_bytes()
    written = (
        # Whoever the suite becomes may write; and a record that is not there was removed.
        (_WRITTEN, None, 0o755),
        (f"{_WRITTEN}/{RECORD}", b"", 0o666),
    )
    packed = tar_of(
        (
            (FOLDER, None, 0o755),
            (f"{FOLDER}/{PLUGIN}.py", plugin, 0o644),
            (f"{FOLDER}/{PLUGIN}.json", json.dumps(facts).encode(), 0o644),
            *written,
        ),
        {path: ids_of(machine.address.user) for path, _, _ in written},
    )
    machine.put(packed, top)


def put_list(machine: Machine, cases: Iterable[str]) -> dict[str, str]:
    """Put the list of cases that a suite is to run into a machine; the variable that names it.
    Raises InfrastructureError."""
    listed = "".join(f"{case}\n" for case in cases).encode()
    packed = tar_of(((FOLDER, None, 0o755), (f"{FOLDER}/{CASES}", listed, 0o644)))
    machine.put(packed, _top(machine.out))
    return {"DISTROMATRIX_CASES": f"{_top(machine.out)}/{FOLDER}/{CASES}"}


def _top(out: str) -> str:
    return out.rpartition("/")[0]


def refused(cell: Cell) -> dict[str, str]:
    """The needs that a cell's machine does not meet, each with why."""
    if cell.engine in GUESTS:
        return {
            name: f"needs {name}, which {cell.engine} cannot give: {need.lacking}"
            for name, need in NEEDS.items()
            if cell.engine not in need.guests
        }
    reasons = {name: refusal(Need(name=name), cell.privileges) for name in NEEDS}
    return {name: why for name, why in reasons.items() if why}


def environment(env: Mapping[str, str], out: str) -> dict[str, str]:
    """A cell's variables, with those that have its pytest load the file; what the user says for
    them comes first. tox hands on nothing that it is not told to, neither version 4
    (https://tox.wiki/en/latest/config.html, overriding) nor 3 (TOX_TESTENV_PASSENV)."""
    folder = f"{_top(out)}/{FOLDER}"
    handed = "PYTEST_ADDOPTS,PYTHONPATH"
    joined = (
        ("PYTEST_ADDOPTS", " ", f"-p {PLUGIN}"),
        ("PYTHONPATH", ":", folder),
        ("TOX_OVERRIDE", ";", f"testenv.pass_env+={handed}"),
        ("TOX_TESTENV_PASSENV", " ", handed.replace(",", " ")),
    )
    added = {
        name: f"{own}{between}{ours}" if (own := env.get(name)) else ours
        for name, between, ours in joined
    }
    return {**env, **added}


def bring_record(machine: Machine, folder: Path, masker: Masker) -> Record:
    """What pytest wrote down in a machine, masked. Nothing of it is trusted. Raises
    InfrastructureError."""
    try:
        with suppress(FileNotFoundError):
            written = machine.get(f"{_top(machine.out)}/{FOLDER}/{WRITTEN}")
            most = 2 * MAX_BYTES
            extract(written, folder, strip=WRITTEN, only=(RECORD,), limit_bytes=most, masker=masker)
    except CollectError as error:
        return Record(fault=f"{RECORD}: {error}")
    return read_record(folder / RECORD)


def read_record(path: Path) -> Record:
    """What such a file says, and what is wrong with it."""
    if path.is_symlink() or not path.is_file():
        return Record(fault=f"{RECORD}, which cases that need more are written to, is gone")
    if path.stat().st_size > MAX_BYTES:
        return Record(fault=f"{RECORD} is too big: it was not read")
    found: dict[str, CaseNeeds] = {}
    ran: set[str] = set()
    wrong = 0
    for line in path.read_bytes().splitlines():
        case = _case(line)
        if case is None or len(found) + len(ran) >= MAX_CASES:
            wrong += 1
        elif case.needs:
            found[case.test] = case
        else:
            ran.add(case.test)
    fault = f"{RECORD}: {wrong} lines were not understood" if wrong else ""
    return Record(needing=tuple(found.values()), ran=frozenset(ran - set(found)), fault=fault)


def said_in(cases: Iterable[Case]) -> tuple[CaseNeeds, ...]:
    """The cases of a JUnit file whose skip's message names needs that there are, each once."""
    found: dict[str, CaseNeeds] = {}
    for case in cases:
        needs = []
        for part in case.message.removeprefix("needs:").split(","):
            match = _SAID.match(part)
            if match is None or match[1] not in NEEDS:
                break
            needs.append(f"{match[1]} {match[2] or ''}".strip())
        if needs and len(found) < MAX_CASES:
            found.setdefault(case.name, CaseNeeds(test=case.name, needs=tuple(needs)))
    return tuple(found.values())


def wanted(cell: Cell) -> bool:
    """Whether the mark is to mean what it means to us in a cell."""
    return cell.env.get(SWITCH) != "off"


def _case(line: bytes) -> CaseNeeds | None:
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        entry: Any = json.loads(line)
        test, needs = entry["test"], entry["needs"]
        named = isinstance(needs, list) and all(
            isinstance(n, str) and n.partition(" ")[0] in NEEDS for n in needs
        )
        plain = isinstance(test, str) and test == printable(test) and "\n" not in test
        if plain and named and 0 < len(test) <= _MAX_NODE:
            return CaseNeeds(test=test, needs=tuple(map(one_line, needs)))
    return None


def broken(tail: tuple[str, ...]) -> bool:
    """Whether the last lines of a log say that pytest did not find the file."""
    return any(_BROKEN in line for line in tail)
