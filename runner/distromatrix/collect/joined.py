"""The cases of a cell of which some ran elsewhere: its own report, and those of its guests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distromatrix.collect.junit import NEEDS, CollectError, only, parse_cases
from distromatrix.model import Case, Fallback, Verdict

MAX_NAMES = 20_000  # of cases that ran elsewhere
REPORT = "junit.xml"
SKIPPED_MODULE = "collection skipped"  # pytest's message for it


def guest_folder(engine: str) -> str:
    """Where a guest's log, report and artifacts lie below its cell's."""
    return f"guest/{engine}"


def parse_joined(
    folder: Path, fallback: Sequence[Fallback], on_case: Callable[[Case], None]
) -> None:
    """As `parse_cases`, of a cell's folder: a case that was skipped there and ran in a guest
    comes from that guest's report, and says on which engine. A guest's report that cannot be
    used has no say. Raises what `parse_cases` raises for the cell's own."""
    elsewhere = [(one, _names(folder, one)) for one in fallback]
    replaced = set[str]().union(*(names for _, names in elsewhere))
    modules = {name for one, names in elsewhere if names for name in _modules(one)}

    def own(case: Case) -> None:
        there = case.name in replaced or _is_module(case, modules)
        if case.status != "skipped" or not there:
            on_case(case)

    parse_cases(folder / REPORT, own if replaced else on_case)
    for one, names in elsewhere:

        def there(case: Case, engine: str = one.engine) -> None:
            on_case(replace(case, engine=engine))

        if names:
            parse_cases(folder / guest_folder(one.engine) / REPORT, only(names, there))


def _modules(one: Fallback) -> Iterator[str]:
    """The names that pytest gives, in its reports, to modules that ran in a guest."""
    if one.how == "pytest":
        for test in one.tests:
            if "::" not in test:
                yield test.removesuffix(".py").replace("/", ".")


def _is_module(case: Case, modules: set[str]) -> bool:
    """Whether it stands for one of these modules, which had skipped itself for its needs. Its
    name is from the root of pytest, which may lie below that of the product."""
    if case.message != SKIPPED_MODULE or NEEDS not in case.text:
        return False
    name = case.name.rpartition("::")[2]
    return any(module == name or module.endswith(f".{name}") for module in modules)


def _names(folder: Path, one: Fallback) -> set[str]:
    """The cases that a guest's report is asked for."""
    if one.verdict in (Verdict.ERROR, Verdict.SKIPPED):
        return set()
    wanted = None if one.how == "pytest" else set(one.tests)
    found: set[str] = set()

    def add(case: Case) -> None:
        if len(found) < MAX_NAMES:
            found.add(case.name)

    try:
        parse_cases(folder / guest_folder(one.engine) / REPORT, only(wanted, add))
    except (CollectError, OSError):
        return set()
    return found
