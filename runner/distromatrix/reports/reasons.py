"""Why something may fail only there: what separates all machines where it fails from all where it
passes. A correlation, no proof; whoever shows it says so."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from distromatrix.collect.facts import read_facts
from distromatrix.model import RAN, RED, Cell, CellResult, Evidence, Facts, Plan, Reason, RunResult
from distromatrix.reports.grouping import Group, column_of, group_failures
from distromatrix.reports.versions import Version, difference

_SHOWN = 3  # of a group, where there is little room
_MOST = 40  # of a group at all
_OPENED = 40  # what it is worth more that the failing command uses something
_TEXT = 20_000  # characters of output that are looked through
# A word, but no part of a path, other than the name of a program in it.
_WORD = re.compile(r"(?:(?<![\w/.+-])|(?<=bin/))[A-Za-z_][\w.+-]*")
_SPEAKER = re.compile(r"(?:^|[\s/'\"`])([A-Za-z_][\w.+-]*): ")
# Programs that are English words: they count where they speak (`date: …`), and not in a sentence.
_ENGLISH = frozenset(
    """at cat comm cut date diff env expr file find fold go head install join last less ln local
    locale look make more mount node paste patch php read sed set sh sort source split stat sum
    tail tee test time timeout top touch tr trap truncate type which who yes""".split()  # noqa: SIM905
)
_OF_MACHINES = ("engine", "arch", "kernel")
_MULTICALL = ("busybox", "toybox", "coreutils")


@dataclass(slots=True)
class _Heard:
    """How much something speaks of a program: by the words in it, by who speaks in it."""

    words: dict[str, int] = field(default_factory=dict)
    texts: list[tuple[int, str]] = field(default_factory=list)

    def hear(self, text: str, speaker: int, word: int) -> None:
        """Some of its output, with what a word in it is worth."""
        text = text[-_TEXT:]
        self.texts.append((speaker - 10, text))
        for name in _WORD.findall(text):
            plain = 0 if name in _ENGLISH else word
            self.words[name] = max(self.words.get(name, 0), plain)
        for name in _SPEAKER.findall(text):
            self.words[name] = max(self.words.get(name, 0), speaker)

    def of(self, names: Iterable[str], phrases: Iterable[str] = ()) -> int:
        """What it says of a program of those names, which says such phrases."""
        said = (worth for worth, text in self.texts if any(p in text for p in phrases))
        return max((*(self.words.get(name, 0) for name in names), *said), default=0)


@dataclass(frozen=True, slots=True)
class _Clues:
    """What may tell which difference counts: what is said by the `output` of a failure and by its
    `suite`, and which programs and packages were `opened`."""

    output: _Heard
    suite: _Heard
    opened: Collection[str]
    stems: dict[str, list[str]]  # the words of the output, by what they are about

    def _about(self, names: Collection[str]) -> Iterator[str]:
        """The words of the output that are about what was opened of those names."""
        for name in names:
            if name in self.opened:
                yield from self.stems.get(_stem(name), ())

    def of(
        self,
        names: Collection[str],
        words: Iterable[str] = (),
        phrases: Iterable[str] = (),
        least: float = 0,
    ) -> tuple[float, tuple[Evidence, ...]]:
        """What it is worth that they point to what has those names, and speaks of itself in such
        words and phrases (`least`: if nothing is said of it), and which of them do."""
        said = (*names, *words)
        output = self.output.of((*said, *self._about(names)), phrases)
        suite = self.suite.of(said, phrases)
        opened = _OPENED * any(name in self.opened for name in names)
        found: dict[Evidence, int] = {"output": output, "opened": opened, "suite": suite}
        evidence = tuple(clue for clue, worth in found.items() if worth > 0)
        return max(output, suite, least) + opened, evidence


def reasons_of(
    group: Group,
    plan: Plan,
    results: Iterable[CellResult],
    facts: Mapping[str, Facts],
    opened: Collection[str] = (),
) -> tuple[Reason, ...]:
    """What separates the cells of a group from those that ran the same and passed there, the
    likeliest first: what the output names, then what the suite names, then what most often breaks;
    at last how many other packages differ so. `facts`: of cells, by id; `opened`: which programs
    and packages the failing command uses, where that is known: these come before others of which
    as much is said. () where nothing is known, or nothing passes."""
    cells = {cell.id: cell for cell in plan.cells}
    by_id = {result.id: result for result in results}
    here = [facts[c] for c in group.cells if c in facts and not facts[c].absent]
    passing = where_it_passes(group, plan, results)
    there = [facts[c] for c in passing if c in facts and not facts[c].absent]
    if not here or not there or len(here) < len([c for c in group.cells if c in cells]):
        return ()
    clues = _Clues(*_hear(group, cells, by_id), opened, defaultdict(list))
    for word in clues.output.words if opened else ():
        clues.stems[_stem(word.partition(".")[0])].append(word)
    named, others = _packages(here, there, clues)
    ranked = sorted((*_components(here, there, clues), *named), key=lambda one: -one[0])
    reasons = [reason for _, reason in ranked[:_MOST]]
    if not reasons:  # then one may say something
        told = [(name, difference(_of(name, here), _of(name, there))) for name in others[:_SHOWN]]
        reasons = [_reason(name, said[0]) for name, said in told if said]
    if rest := len(ranked) + len(others) - len(reasons):
        text = f"and {rest:,} other package{'s' * (rest > 1)}"
        reasons.append(Reason(text=text, count=rest))
    return tuple(reasons)


def where_it_passes(group: Group, plan: Plan, results: Iterable[CellResult]) -> tuple[str, ...]:
    """The cells that ran the same as those of a group, and passed there what fails in these."""
    by_id = {result.id: result for result in results}
    columns = {failure.column for failure in group.failures}
    whole = {failure.column for failure in group.failures if failure.case is None}
    return tuple(
        cell.id
        for cell in plan.cells
        if (column := column_of(cell)) in columns and cell.distro not in group.distros
        if _passes(by_id.get(cell.id), column in whole)
    )


def explained(plan: Plan, result: RunResult) -> Iterator[tuple[Group, tuple[Reason, ...]]]:
    """The groups of failures of a run whose folder is there, each with its reasons."""
    groups = group_failures(plan, result.cells)
    facts = read_facts(result.folder) if groups else {}
    for group in groups:
        yield group, reasons_of(group, plan, result.cells, facts)


def in_short(reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    """Three lines at most of reasons: the likeliest, and how many there are more."""
    lines = [reason.text for reason in reasons[:_SHOWN]]
    if more := sum(reason.count for reason in reasons[_SHOWN:]):
        lines[-1] += f"; and {more:,} more"
    return tuple(lines)


def _passes(result: CellResult | None, whole: bool) -> bool:
    """Whether what is looked at passed there: a suite as a `whole`, or a case of it."""
    if result is None or result.verdict not in RAN:
        return False
    red = result.verdict in RED
    return not red or (not whole and bool(result.failing or result.xfailed))


def _hear(
    group: Group, cells: Mapping[str, Cell], by_id: Mapping[str, CellResult]
) -> tuple[_Heard, _Heard]:
    """What the output of a group's failures says, and what their suites say."""
    heard, suite = _Heard(), _Heard()
    for failure in group.failures[:50]:
        for wording in failure.wordings:
            heard.hear(wording.text, 100, 60)
        if failure.case is not None:
            heard.hear(failure.case.text, 95, 55)
    for one in dict.fromkeys(group.cells):
        cell, result = cells.get(one), by_id.get(one)
        if result is not None:
            heard.hear("\n".join(result.tail), 50, 30)
        if cell is not None:
            suite.hear("\n".join((*cell.setup, cell.run)), 25, 25)
            suite.words.update(dict.fromkeys(cell.packages, 40))
    return heard, suite


@cache
def _table() -> Mapping[str, Mapping[str, list[str]]]:
    import yaml

    text = files("distromatrix.reports").joinpath("upstreams.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def _components(
    here: list[Facts], there: list[Facts], clues: _Clues
) -> Iterator[tuple[float, Reason]]:
    """What differs of the programs of the table, and of the machines themselves."""
    for number, (name, entry) in enumerate(_table().items()):
        bad = [_version(name, entry, one) for one in here]
        good = [_version(name, entry, one) for one in there]
        if (said := difference(bad, good)) is None:
            continue
        text, ordered = said
        makes = {one.make for one in (*bad, *good)} - {""}
        names = (name, *entry.get("commands", ()), *entry.get("packages", ()))
        words = (*makes, *entry.get("words", ()))
        worth, evidence = clues.of(names, words, entry.get("says", ()), 20 - number / 2)
        reason = _reason(name, f"{name}: {text}" if makes != {name} else text, evidence)
        yield worth - 10 * (not ordered), reason
    for what in _OF_MACHINES:
        values = [{getattr(one, what) for one in side} for side in (here, there)]
        if values[0].isdisjoint(values[1]) and all(map(all, values)):
            first, second = (", ".join(sorted(side)) for side in values)
            text = f"{what}: {first} here, {second} where it passes"
            worth, evidence = clues.of((what,), least=15)
            yield worth, Reason(text=text, about=what, evidence=evidence)


def _version(name: str, entry: Mapping[str, list[str]], facts: Facts) -> Version:
    """A program of the table, as a machine has it."""
    if name == "libc":
        return Version(facts.libc, facts.libc_version)
    path = next((p for c in entry["commands"] if (p := facts.commands.get(c))), "")
    made = PurePath(path).name
    packages, manager = facts.packages, facts.manager
    if made in _MULTICALL and made != name:
        return Version(made, packages.get(made, ""), manager)
    if name in ("sh", "awk") and made:
        version = packages.get(made) or packages.get(f"original-{made}", "")
        return Version(made, version, manager)
    if path and (said := next(filter(None, map(facts.versions.get, entry["commands"])), "")):
        return Version(name, said)
    of = next((p for p in entry.get("packages", ()) if p in packages), "")
    if of and (path or not manager):
        return Version(name, packages[of], manager)
    return Version(name if path else "")


def _packages(
    here: list[Facts], there: list[Facts], clues: _Clues
) -> tuple[list[tuple[float, Reason]], list[str]]:
    """What differs of all other packages that are called the same: of those that are spoken of, and
    the names of all others. What one family does not call so is no news."""
    known = {name for entry in _table().values() for name in entry.get("packages", ())}
    machines = (*here, *there)
    alike = len({one.manager for one in machines}) == 1
    spoken = {*clues.output.words, *clues.suite.words, *clues.opened}
    named: list[tuple[float, Reason]] = []
    others = []
    for name in sorted({name for one in machines for name in one.packages} - known):
        worth, evidence = clues.of((name,)) if name in spoken else (0, ())
        bad, good = ({one.packages.get(name) for one in side} for side in (here, there))
        if not bad.isdisjoint(good) or (not worth and not alike and None in bad | good):
            continue
        if not worth:
            others.append(name)
        elif said := difference(_of(name, here), _of(name, there)):
            named.append((worth - 10 * (not said[1]), _reason(name, said[0], evidence)))
    return named, others


def _stem(name: str) -> str:
    """What a package or a word is about: `sqlite`, of libsqlite3-0 as of sqlite3."""
    stem = name.removeprefix("lib").removesuffix("-libs").removesuffix("t64")
    stem = stem.rstrip("-.0123456789")
    return stem if len(stem) > 2 and stem not in _ENGLISH else name


def _reason(name: str, text: str, evidence: tuple[Evidence, ...] = ()) -> Reason:
    text = text if text.startswith(name) else f"{name}: {text}"
    return Reason(text=text, about=name, evidence=evidence)


def _of(name: str, machines: list[Facts]) -> list[Version]:
    return [
        Version(name, version, one.manager) if (version := one.packages.get(name)) else Version("")
        for one in machines
    ]
