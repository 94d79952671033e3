"""The plan: distros × suites × variants under the rules, each cell with its engine and why.

Pure: no file is read and no engine asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from distromatrix.model import (
    Cell,
    Distro,
    Excluded,
    Expectation,
    HostFacts,
    Matrix,
    Plan,
    Prepare,
    Rule,
    Selection,
    Suite,
    SuiteSettings,
    Variant,
    Verdict,
    fields_of,
)
from distromatrix.plan.needs import GUESTS, Choice, choose_engine, of_image
from distromatrix.plan.package_files import Installing, installing, is_package_file
from distromatrix.plan.repositories import repositories_of
from distromatrix.plan.runners import runners_of
from distromatrix.plan.scripts import under
from distromatrix.plan.select import matches_any, select


def make_plan(matrix: Matrix, facts: HostFacts, selection: Selection) -> Plan:
    """Every selected cell of the matrix, in the order of distros, suites and variants.

    Raises NothingSelectedError when a selector or a tag matches no cell, InputError for a set
    that the matrix has not.
    """
    rules = [rule for rule in matrix.rules if rule.until is None or facts.today <= rule.until]
    parts = tuple(_parts(matrix, rules, facts))
    made = {
        cell_id(part.distro.name, part.suite.name, variant): (part, variant)
        for part in parts
        for variant in part.variants
    }
    tags = {one: _tags(part, variant) for one, (part, variant) in made.items()}
    left_out = select(tags, selection, matrix.sets)
    cells = tuple(
        _cell(one, part, variant, matrix.env, selection.timeout, tags[one])
        for one, (part, variant) in made.items()
        if one not in left_out
    )
    used = {cell.distro for cell in cells}
    running = {cell.distro for cell in cells if cell.engine is not None}
    built = tuple(dict.fromkeys(glob for cell in cells for glob in cell.built))
    idle = {eol_warning(d, facts.today) for d in matrix.distros if d.name not in running}
    return Plan(
        matrix=matrix.file,
        root=matrix.root,
        product=replace(matrix.product, built=built),
        cells=cells,
        excluded=tuple(Excluded(id=i, reason=reason) for i, reason in left_out.items()),
        distros=tuple(distro for distro in matrix.distros if distro.name in used),
        pass_env=matrix.pass_env,
        ca_bundle=matrix.ca_bundle,
        index=matrix.index,
        warnings=tuple(line for line in matrix.warnings if line not in idle),
        guests=facts.guests,
        arch=facts.arch,
        runners=runners_of(cells, matrix.runners, facts.arch),
    )


def cell_id(distro: str, suite: str, variant: Variant | None) -> str:
    """A cell's id, which is also its folder in a run."""
    return f"{distro}/{suite}/{variant.name}" if variant else f"{distro}/{suite}"


def eol_warning(distro: Distro, today: date) -> str:
    """The line that warns of a distro past its end of life, or ''."""
    if distro.eol is None or today <= distro.eol:
        return ""
    return f"{distro.name} is past its end of life ({distro.eol}): its packages get no more fixes"


def _variants_on(
    distro: str, suite: Suite, variants: Sequence[Variant]
) -> tuple[Variant | None, ...]:
    """What multiplies a suite on a distro: its variants there; one None where it has none there,
    so that no test is lost for a variant that is for other distros. Nothing where the suite itself
    is for others."""
    if not matches_any(distro, suite.distros):
        return ()
    of_suite = (v for v in variants if matches_any(suite.name, v.suites))
    return tuple(v for v in of_suite if matches_any(distro, v.distros)) or (None,)


@dataclass(frozen=True, slots=True)
class _Part:
    """What all cells of one distro and suite share."""

    distro: Distro
    suite: Suite
    variants: Sequence[Variant | None]
    rules: Sequence[Rule]  # those whose distro and suite match
    choice: Choice


def _parts(matrix: Matrix, rules: Sequence[Rule], facts: HostFacts) -> Iterator[_Part]:
    names = {suite.name for suite in matrix.suites}
    for distro in matrix.distros:
        matching: dict[str, list[Rule]] = {name: [] for name in names}
        for rule in rules:
            if fnmatchcase(distro.name, rule.distro):
                for name in {rule.suite} & names or names:  # most name one, and match no other
                    if fnmatchcase(name, rule.suite):
                        matching[name].append(rule)
        for suite in matrix.suites:
            if variants := _variants_on(distro.name, suite, matrix.variants):
                choice = choose_engine(suite.needs, suite.privileges, facts, distro.guest)
                yield _Part(distro, suite, variants, matching[suite.name], choice)


def _tags(part: _Part, variant: Variant | None) -> tuple[str, ...]:
    """The tags of a cell: its suite's, its variant's and those that rules add, each once."""
    added = [rule.tags for rule in part.rules if rule.tags and _for_variant(rule, variant)]
    given = (part.suite.tags, variant.tags if variant else (), *added)
    return tuple(dict.fromkeys(tag for tags in given for tag in tags))


def _cell(
    cell: str,
    part: _Part,
    variant: Variant | None,
    env: Mapping[str, str],
    timeout: float | None,
    tags: tuple[str, ...],
) -> Cell:
    suite, rules = part.suite, [r for r in part.rules if _for_variant(r, variant)]
    skip, expected = _ruling(rules)
    runs = skip is None and part.choice.engine is not None
    layers = [env, suite.env, variant.env if variant else {}, *(r.env for r in rules)]
    wanted = [*suite.packages, *(variant.packages if variant else ())]
    repositories = [*suite.repositories]
    for rule in rules:
        wanted += rule.packages
        repositories += rule.repositories
    # A rule's setup comes first: it makes a distro ready for the setup that all distros share.
    setup = [r.setup for r in rules if r.setup] + ([suite.setup] if suite.setup else [])
    files = _package_files(cell, wanted, part) if runs else None
    if files:
        setup.insert(len(setup) - bool(suite.setup), files.setup)
    not_gating = [*(r.not_gating for r in rules), variant.not_gating if variant else None]
    retries = [r.retry_failed for r in rules]
    shared = fields_of(SuiteSettings, suite) | {
        "tags": tags,
        "not_gating": next((why for why in not_gating if why is not None), suite.not_gating),
        "packages": _native((n for n in wanted if not is_package_file(n)), part.distro.packages),
        "prepare": _prepare(suite),
        "env": {key: value for layer in layers for key, value in layer.items()},
        "timeout": suite.timeout if timeout is None else timeout,
        "retry_failed": next((n for n in retries if n is not None), suite.retry_failed),
    }
    reason = part.choice.reason if skip is None else skip
    if runs and setup and suite.setup_in_container:
        reason += f"; {_where_set_up(part)}"
    return Cell(
        **shared,
        id=cell,
        distro=part.distro.name,
        suite=suite.name,
        variant=variant.name if variant else None,
        engine=part.choice.engine if runs else None,
        reason=reason,
        verdict=None if runs else Verdict.SKIPPED,
        unmet=skip is None and part.choice.engine is None,
        expect_fail=expected,
        setup=tuple(setup),
        repositories=repositories_of(repositories, part.distro) if runs else (),
        built=files.globs if files else (),
        removal=files.removal if files else "",
    )


def _package_files(cell: str, wanted: Sequence[str], part: _Part) -> Installing | None:
    suite = part.suite
    return installing(
        cell,
        wanted,
        part.distro,
        user=suite.user,
        network=suite.network,
        upgrade=suite.upgrade,
        remove=suite.remove,
    )


def _where_set_up(part: _Part) -> str:
    """What comes of `setup: {in: container}`."""
    engine = part.choice.engine or ""
    if engine not in GUESTS:
        return "`setup: {in: container}` changes nothing, as it is one"
    if of_image(engine, part.distro.guest):
        return "setup in a container"
    return "setup in the guest, which is not made of a container's image"


def _prepare(suite: Suite) -> Prepare | None:
    """With its shell in it: what an image is made with is part of its key."""
    prepare = suite.prepare
    return replace(prepare, run=under(suite.shell, prepare.run)) if prepare else None


def _ruling(rules: Iterable[Rule]) -> tuple[str | None, tuple[Expectation, ...]]:
    """Why a cell is skipped, if it is, and how it is expected to fail. Cases that are named after
    a rule that expects any failing `run` make no difference."""
    found: list[Expectation] = []
    whole: Expectation | None = None
    for rule in rules:
        if rule.skip and whole is None:
            return rule.skip, ()
        if not rule.expect or (whole and (not rule.cases or "run" in whole.kinds)):
            continue
        one = Expectation(
            reason=rule.reason, cases=rule.cases, kinds=rule.phase, statuses=rule.expect_status
        )
        whole = whole if rule.cases else one
        found.append(one)
    return None, tuple(found)


def _for_variant(rule: Rule, variant: Variant | None) -> bool:
    if rule.variant is None:
        return True
    return variant is not None and fnmatchcase(variant.name, rule.variant)


def _native(names: Iterable[str], table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Native package names, each once, in order; what the table does not know is native."""
    return tuple(dict.fromkeys(n for name in names for n in table.get(name, (name,))))
