"""Which run folders there are, and which of them are the shards of one plan."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from distromatrix.collect.text import one_line
from distromatrix.errors import InputError
from distromatrix.merge.untrusted import UnusableError, events, is_running, open_regular
from distromatrix.model import Shard
from distromatrix.plan.file import WHOLE, PlanFile, read_plan_file
from distromatrix.record.events import RunStarted

_MAX_DEPTH = 8  # folders below one that is given
_MAX_FOLDERS = 50_000
_SIGNS = (WHOLE, "journal.jsonl", "lock")  # of a run folder
_NAMED = 5  # shards of a kind that a warning names
_HEAD = 1024  # bytes of a plan file, in which it says its shard
_SHARD = re.compile(rb'"shard": "([0-9/]{3,9})",')
_MARKED = 12  # digits of a digest that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFolder:
    """The run folder of a shard. `run` is its id, `began` when it was first begun (seconds since
    the epoch; '' and 0.0 where it never was)."""

    path: Path
    shard: Shard
    file: PlanFile
    run: str
    began: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundShards:
    """The shards of one plan, one folder for each that left one; `of` is how many there should
    be, 0 where no folder says it. `warnings` are lines for the user."""

    file: PlanFile
    of: int
    shards: tuple[ShardFolder, ...]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Faults:
    wrong: list[str] = field(default_factory=list)  # must be put right by the user
    left_out: list[str] = field(default_factory=list)


def find_shards(given: Iterable[Path], file: PlanFile | None) -> FoundShards:
    """The shards below the folders `given`, all of the plan `file` where there is one. What is
    half-written is left out, and so lost; of a shard that ran again the later run counts.

    Raises InputError for what is not a shard of the same plan, what still runs, and where there is
    nothing at all to merge.
    """
    faults = _Faults()
    given = tuple(given)
    named = {path.resolve() for path in given}
    reader = _PlanFiles()
    read = (
        _read(path, reader, faults, named=path in named)
        for path in _folders(given, faults, needed=file is None)
    )
    shards = [one for one in read if one is not None]
    if file is None and not shards:
        nothing = "no run folder of a shard here: `run --plan FILE --shard K/N` makes one"
        raise InputError(*faults.wrong, *faults.left_out, *([] if faults.wrong else [nothing]))
    shards = _of_one_plan(shards, file, faults)
    shards = _of_one_cut(shards, faults)
    if faults.wrong:
        raise InputError(*faults.wrong)
    chosen = _latest(shards, faults)
    _compare_products(chosen, faults)
    return FoundShards(
        file=file or chosen[0].file,
        of=chosen[0].shard.of if chosen else 0,
        shards=tuple(chosen),
        warnings=tuple(faults.left_out),
    )


def _shown(path: Path) -> str:
    here = Path.cwd()
    return one_line(str(path.relative_to(here) if path.is_relative_to(here) else path), 300)


def _folders(given: Iterable[Path], faults: _Faults, *, needed: bool) -> Iterator[Path]:
    """Run folders at or below those given, each once; no link below them is followed."""
    seen: set[Path] = set()
    for start in given:
        if not start.is_dir():
            what = "is not a folder" if os.path.lexists(start) else "no such folder"
            note = faults.wrong if needed or os.path.lexists(start) else faults.left_out
            note.append(f"{_shown(start)}: {what}")
            continue
        for path in _below(start.resolve(), faults):
            if path not in seen:
                seen.add(path)
                yield path


def _below(start: Path, faults: _Faults) -> Iterator[Path]:
    waiting = [(start, 0)]
    looked_at = 0
    while waiting:
        folder, depth = waiting.pop()
        looked_at += 1
        if looked_at > _MAX_FOLDERS:
            faults.wrong.append(f"{_shown(start)}: more than {_MAX_FOLDERS:,} folders")
            return
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            faults.left_out.append(f"{_shown(folder)}: cannot be read: {error.strerror}: left out")
            continue
        if {entry.name for entry in entries} & set(_SIGNS):
            yield folder
        elif depth < _MAX_DEPTH:
            waiting += [
                (Path(entry.path), depth + 1)
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
            ]


class _PlanFiles:
    """Reads the plan files of run folders. Those of one plan are alike but for the shard in
    their head: what is whole and checked once is so for all of them."""

    def __init__(self) -> None:
        self._known: dict[bytes, PlanFile] = {}

    def read(self, path: Path) -> PlanFile:
        """Raises UnusableError, InputError and FileNotFoundError."""
        with open_regular(path) as file:
            head = file.read(_HEAD)
            rest = sha256()
            while chunk := file.read(1024 * 1024):
                rest.update(chunk)
        shard = _SHARD.search(head)
        if shard is None:
            return read_plan_file(path)
        key = head[: shard.start()] + head[shard.end() :] + rest.digest()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = read_plan_file(path)
        try:
            return replace(known, shard=Shard.parse(shard[1].decode()))
        except ValueError as error:
            raise UnusableError(f"{path.name} has a wrong `shard`: {error}") from None


def _read(path: Path, files: _PlanFiles, faults: _Faults, *, named: bool) -> ShardFolder | None:
    shown = _shown(path)
    if is_running(path):
        faults.wrong.append(f"{shown}: this run is still running: wait for its end")
        return None
    try:
        file = files.read(path / WHOLE)
    except FileNotFoundError:
        if (path / "journal.jsonl").exists():
            fault = f"{shown}: is not a shard: it was run without --plan FILE, and has no {WHOLE}"
            if named:
                faults.wrong.append(fault)
            else:
                faults.left_out.append(f"{fault}: left out")
        else:
            faults.left_out.append(f"{shown}: was killed before it began: left out")
        return None
    except UnusableError as error:
        faults.left_out.append(f"{shown}: {error}: left out")
        return None
    except InputError as error:
        faults.left_out.append(f"{one_line(str(error), 500)}: left out")
        return None
    if file.shard is None:
        faults.left_out.append(f"{shown}: is itself a merged run: left out")
        return None
    run, began = _beginning(path / "journal.jsonl")
    return ShardFolder(path=path, shard=file.shard, file=file, run=run, began=began)


def _beginning(journal: Path) -> tuple[str, float]:
    try:
        for event in events(journal):
            if isinstance(event, RunStarted):
                return event.run, event.time
            break  # it is always the first
    except UnusableError:
        pass
    return "", 0.0


def _of_one_plan(
    shards: list[ShardFolder], file: PlanFile | None, faults: _Faults
) -> list[ShardFolder]:
    digests = dict.fromkeys(one.file.digest for one in shards)
    wanted = file.digest if file else next(iter(digests), "")
    foreign = [one for one in shards if one.file.digest != wanted]
    if file is None and foreign:  # none of them is more right than the others
        foreign = shards
    for one in foreign:
        other = f", not of {_mark(wanted)}" if file else f" (there are {len(digests)} plans here)"
        faults.wrong.append(f"{_shown(one.path)}: is of plan {_mark(one.file.digest)}{other}")
    return [one for one in shards if one.file.digest == wanted]


def _of_one_cut(shards: list[ShardFolder], faults: _Faults) -> list[ShardFolder]:
    """Those that were cut in equally many."""
    if len({one.shard.of for one in shards}) > 1:
        faults.wrong += [
            f"{_shown(one.path)}: is shard {one.shard}, and others are of another number of shards"
            for one in shards
        ]
    return shards


def _compare_products(shards: list[ShardFolder], faults: _Faults) -> None:
    """That they tested different files of the product is said, and refused by nobody: what lies
    about in a checkout may differ, as long as it is known to."""
    tested: dict[str, list[str]] = defaultdict(list)
    for one in shards:
        if one.file.snapshot:
            tested[one.file.snapshot].append(str(one.shard))
    if len(tested) > 1:
        groups = [", ".join(_some(numbers)) for numbers in tested.values()]
        faults.left_out.append(
            f"not all shards tested the same files of the product: {' | '.join(_some(groups))} "
            "differ; were all of them run on one commit?"
        )


def _some(names: list[str]) -> list[str]:
    return names if len(names) <= _NAMED else [*names[:_NAMED], "…"]


def _mark(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_MARKED]


def _latest(shards: list[ShardFolder], faults: _Faults) -> list[ShardFolder]:
    by_number: dict[int, list[ShardFolder]] = defaultdict(list)
    for one in shards:
        by_number[one.shard.number].append(one)
    chosen = []
    for _, alike in sorted(by_number.items()):
        last = max(alike, key=lambda one: (one.began, one.run, str(one.path)))
        chosen.append(last)
        # One run may lie there twice: what uploads a folder follows its link `latest`.
        runs = {one.run or str(one.path) for one in alike}
        if len(runs) > 1:
            faults.left_out.append(
                f"shard {last.shard} ran {len(runs)} times: the last counts, {_shown(last.path)}"
            )
    return chosen
