"""Why something may fail only there: what separates all machines where it fails from all where it
passes. A correlation, no proof; whoever shows it says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from distromatrix.collect.facts import read_facts
from distromatrix.model import RAN, RED, CellResult, Evidence, Facts, Phase, Plan, Reason, RunResult
from distromatrix.reports.grouping import Group, column_of, group_failures
from distromatrix.reports.heard import Heard, hear, stem
from distromatrix.reports.versions import Version, difference
from distromatrix.wording import counted

_SHOWN = 3  # of a group, where there is little room
_MOST = 40  # of a group at all
_COMPARED = 2_000_000  # packages, in all groups of a run: so much that it takes some seconds
_OF_MACHINES = ("engine", "arch", "kernel")
_MULTICALL = ("busybox", "toybox", "coreutils")
_PHASES = tuple(Phase)
Explained = tuple[tuple[Group, tuple[Reason, ...]], ...]  # the groups of a run, with reasons
_Compared = tuple[str, list[Version], list[Version]]  # a name, and what both sides have of it


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
    heard = hear(group, plan, by_id, opened)
    named, others = _packages(here, there, heard)
    ranked = sorted((*_components(here, there, heard), *named), key=lambda one: -one[0])
    reasons = [reason for _, reason in ranked[:_MOST]]
    if not reasons:  # then one may say something
        told = [(name, difference(bad, good)) for name, bad, good in others[:_SHOWN]]
        reasons = [_reason(name, said[0]) for name, said in told if said]
    if rest := len(ranked) + len(others) - len(reasons):
        text = f"and {counted(rest, 'other package')}"
        reasons.append(Reason(text=text, count=rest))
    return tuple(reasons)


def where_it_passes(group: Group, plan: Plan, results: Iterable[CellResult]) -> tuple[str, ...]:
    """The cells that ran the same as those of a group, and passed there what fails in these."""
    by_id = {result.id: result for result in results}
    columns = {failure.column for failure in group.failures}
    whole = {f.column: by_id[f.cells[0]].phase for f in group.failures if f.case is None}
    return tuple(
        cell.id
        for cell in plan.cells
        if (column := column_of(cell)) in columns and cell.distro not in group.distros
        if _passes(by_id.get(cell.id), column, whole)
    )


def explained(plan: Plan, result: RunResult) -> Explained:
    """The groups of failures of a run whose folder is there, each with its reasons; those of the
    last groups are left out where there is too much to compare."""
    groups = group_failures(plan, result.cells)
    facts = read_facts(result.folder) if groups else {}
    packages = sum(len(one.packages) for one in {id(one): one for one in facts.values()}.values())
    most = _COMPARED // max(packages, 1) + 1
    return tuple(
        (group, reasons_of(group, plan, result.cells, facts) if number < most else ())
        for number, group in enumerate(groups)
    )


def in_short(reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    """Three lines at most of reasons: the likeliest, and how many there are more."""
    lines = [reason.text for reason in reasons[:_SHOWN]]
    if more := sum(reason.count for reason in reasons[_SHOWN:]):
        lines[-1] += f"; and {more:,} more"
    return tuple(lines)


def _passes(result: CellResult | None, column: str, whole: Mapping[str, Phase | None]) -> bool:
    """Whether what is looked at passed there: of the suites in `whole` the phase in which they
    fail, of others a case."""
    if result is None or result.verdict not in RAN:
        return False
    if result.verdict not in RED:
        return True
    if column not in whole:
        return bool(result.failing or result.xfailed)
    phase = whole[column]
    return bool(phase and result.phase and _PHASES.index(result.phase) > _PHASES.index(phase))


@cache
def _table() -> Mapping[str, Mapping[str, list[str]]]:
    import yaml

    text = files("distromatrix.reports").joinpath("upstreams.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def _components(
    here: list[Facts], there: list[Facts], heard: Heard
) -> Iterator[tuple[float, Reason]]:
    """What differs of the programs of the table, and of the machines themselves."""
    machines = (*here, *there)
    for number, (name, entry) in enumerate(_table().items()):
        bad = [_version(name, entry, one) for one in here]
        good = [_version(name, entry, one) for one in there]
        if (said := difference(bad, good)) is None:
            continue
        text, doubt = said
        makes = {one.make for one in (*bad, *good)} - {""}
        names = (name, *entry.get("commands", ()), *_siblings(entry, machines))
        words = (*makes, *entry.get("words", ()))
        worth, evidence = heard.of(names, words, entry.get("says", ()), 20 - number / 2)
        reason = _reason(name, f"{name}: {text}" if makes != {name} else text, evidence)
        yield worth - doubt, reason
    for what in _OF_MACHINES:
        values = [{getattr(one, what) for one in side} for side in (here, there)]
        if values[0].isdisjoint(values[1]) and all(map(all, values)):
            first, second = (", ".join(sorted(side)) for side in values)
            text = f"{what}: {first} here, {second} where it passes"
            worth, evidence = heard.of((what,), least=15)
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
    if of:  # a library may be there without its program
        return Version(name, packages[of], manager)
    return Version(name if path else "")


def _siblings(entry: Mapping[str, list[str]], machines: Iterable[Facts]) -> set[str]:
    """The packages of a program of the table, with all that are built from the same."""
    names = set(entry.get("packages", ()))
    for one in machines:
        sources = {one.sources.get(name, name) for name in names & one.packages.keys()}
        names |= {name for name, source in one.sources.items() if source in sources}
    return names


def _packages(
    here: list[Facts], there: list[Facts], heard: Heard
) -> tuple[list[tuple[float, Reason]], list[_Compared]]:
    """What differs of all other packages, those that are built from the same taken as one: of
    those that are spoken of, and of all others. What one family does not call so is no news."""
    machines = (*here, *there)
    known = {name for entry in _table().values() for name in entry.get("packages", ())}
    built = [_by_source(one) for one in machines]
    told = known | {one.sources.get(n, n) for one in machines for n in known & one.packages.keys()}
    alike = len({one.manager for one in machines}) == 1
    named: list[tuple[float, Reason]] = []
    others: list[_Compared] = []
    for source in sorted({source for one in built for source in one} - told):
        members = sorted({name for one in built for name in one.get(source, ())})
        worth, name = max((heard.of((n, stem(n)))[0], n) for n in (source, *members))
        label = source if source in name or not worth else f"{source} ({name})"
        versions = [_built(label, source, name, *one) for one in zip(machines, built, strict=True)]
        bad, good = versions[: len(here)], versions[len(here) :]
        if not worth and not alike and "" in {one.make for one in versions}:
            continue
        if worth and (said := difference(bad, good)):
            _, evidence = heard.of((source, *members, *map(stem, members)))
            named.append((worth - said[1], _reason(label, said[0], evidence)))
        elif not worth and set(bad).isdisjoint(good):
            others.append((label, bad, good))
    return named, others


def _by_source(facts: Facts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in facts.packages:
        found[facts.sources.get(name, name)].append(name)
    return found


def _built(
    label: str, source: str, name: str, facts: Facts, built: Mapping[str, list[str]]
) -> Version:
    """What a machine has of what is built from `source`, by the package `name` if it has that."""
    if not (members := built.get(source)):
        return Version("")
    chosen = min(members, key=lambda one: (one != name, one != source, len(one), one))
    return Version(label, facts.packages[chosen], facts.manager)


def _reason(name: str, text: str, evidence: tuple[Evidence, ...] = ()) -> Reason:
    text = text if text.startswith(name) else f"{name}: {text}"
    return Reason(text=text, about=name, evidence=evidence)
