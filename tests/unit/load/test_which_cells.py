"""Which cells a matrix has, and which of them count: `distros`, `tags`, `sets`, `gating` and
`skip_status`, from the file to the plan."""

import json
from pathlib import Path
from typing import Any

import pytest
from loading import SMALL, TODAY, Project, place

from distromatrix.model import Cell, HostFacts, Plan, Selection
from distromatrix.plan.file import digest_of, plan_to_json
from distromatrix.plan.make import make_plan

FACTS = HostFacts(arch="x86_64", cpus=2, memory=1 << 33, today=TODAY)
HEAD = "distros: [debian-11, debian-12, alpine-3.20]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def plan(project: Project, text: str, **selection: Any) -> Plan:
    return make_plan(project.load(HEAD + text), FACTS, Selection(**selection))


def cells(project: Project, text: str, **selection: Any) -> dict[str, Cell]:
    return {cell.id: cell for cell in plan(project, text, **selection).cells}


# --- where a suite runs --------------------------------------------------------------------


def test_a_suite_has_cells_on_its_own_distros_alone_and_no_skipped_ones_elsewhere(
    project: Project,
) -> None:
    made = plan(project, "suites: {unit: {run: x}, deb: {run: y, distros: [debian-*]}}")
    assert [cell.id for cell in made.cells] == [
        "debian-11/unit",
        "debian-11/deb",
        "debian-12/unit",
        "debian-12/deb",
        "alpine-3.20/unit",
    ]
    assert made.excluded == ()


def test_a_variant_multiplies_on_its_own_distros_alone(project: Project) -> None:
    text = """\
suites: {unit: {run: x}, docs: {run: y}}
variants:
  py311: {suites: [unit], distros: [debian-12]}
  py312: {suites: [unit], distros: [debian-*]}
"""
    assert list(cells(project, text)) == [
        "debian-11/unit/py312",
        "debian-11/docs",
        "debian-12/unit/py311",
        "debian-12/unit/py312",
        "debian-12/docs",
        "alpine-3.20/unit",  # no test is lost for variants that are for other distros
        "alpine-3.20/docs",
    ]


def test_defaults_may_say_where_suites_run(project: Project) -> None:
    text = "defaults: {distros: [debian-12]}\nsuites: {a: {run: x}, b: {run: y, distros: ['*']}}"
    assert [i for i in cells(project, text) if i.endswith("/a")] == ["debian-12/a"]
    assert sum(i.endswith("/b") for i in cells(project, text)) == 3


def test_a_suites_own_distros_go_before_those_of_its_variants(project: Project) -> None:
    text = """\
suites: {unit: {run: x, distros: [debian-*]}}
variants: {musl: {distros: [alpine-*]}, next: {distros: ['*']}}
"""
    assert list(cells(project, text)) == ["debian-11/unit/next", "debian-12/unit/next"]


# --- tags and sets -------------------------------------------------------------------------

TAGGED = """\
suites:
  unit: {run: x, tags: [quick]}
  fuzz: {run: y, tags: [slow, nightly]}
variants:
  san: {suites: [unit], tags: [nightly, quick]}
rules:
  - {distro: alpine-*, suite: unit, tags: [musl-work]}
sets:
  pr: {tags: [quick, "!musl-work"]}
  deb: {distros: [debian-*], tags: [slow]}
"""


def test_a_cell_has_the_tags_of_its_suite_its_variant_and_its_rules(project: Project) -> None:
    found = {cell_id: cell.tags for cell_id, cell in cells(project, TAGGED).items()}
    assert found["debian-12/unit/san"] == ("quick", "nightly")
    assert found["alpine-3.20/unit/san"] == ("quick", "nightly", "musl-work")
    assert found["alpine-3.20/fuzz"] == ("slow", "nightly")


def test_cells_are_selected_by_tag_and_by_set(project: Project) -> None:
    assert list(cells(project, TAGGED, tags=("musl-work",))) == ["alpine-3.20/unit/san"]
    assert list(cells(project, TAGGED, sets=("pr",))) == [
        "debian-11/unit/san",
        "debian-12/unit/san",
    ]
    assert list(cells(project, TAGGED, sets=("deb",), selectors=("debian-12",))) == [
        "debian-12/fuzz"
    ]


def test_a_rule_that_has_lapsed_adds_no_tag(project: Project) -> None:
    text = """\
suites: {unit: {run: x}}
rules:
  - {distro: alpine-*, tags: [old], gating: false, reason: r, until: 2026-01-01}
"""
    cell = cells(project, text)["alpine-3.20/unit"]
    assert (cell.tags, cell.not_gating) == ((), "")


# --- what counts ---------------------------------------------------------------------------


def test_of_gating_the_first_rule_counts_then_the_variant_then_the_suite(
    project: Project,
) -> None:
    text = """\
defaults: {gating: false, reason: young}
suites:
  unit: {run: x, gating: true}
  fuzz: {run: y}
  perf: {run: z, gating: false, reason: noisy}
variants:
  next: {suites: [unit], gating: false, reason: not released}
  last: {suites: [unit]}
rules:
  - {distro: alpine-*, variant: next, gating: true}
  - {distro: alpine-*, gating: false, reason: musl}
"""
    why = {cell_id: cell.not_gating for cell_id, cell in cells(project, text).items()}
    assert why["debian-12/unit/next"] == "not released"
    assert why["debian-12/unit/last"] == ""
    assert why["debian-12/fuzz"] == "young"
    assert why["debian-12/perf"] == "noisy"
    assert why["alpine-3.20/unit/next"] == ""
    assert why["alpine-3.20/unit/last"] == "musl"
    assert why["alpine-3.20/perf"] == "musl"


def test_programs_are_told_of_tags_and_of_what_does_not_count(project: Project) -> None:
    text = "suites: {unit: {run: x, tags: [a], gating: false, reason: why}, docs: {run: y}}"
    first, second, *_ = plan_to_json(plan(project, text))["cells"]
    assert (first["tags"], first["gating"], first["gating_reason"]) == (["a"], False, "why")
    assert (second["tags"], second["gating"], second["gating_reason"]) == ([], True, None)
    json.dumps(first)


def test_what_counts_and_what_skips_is_part_of_what_a_plan_file_is_known_by(
    project: Project,
) -> None:
    texts = ("", ", gating: false, reason: why", ", skip_status: 77", ", tags: [a]")
    plans = [plan(project, f"suites: {{unit: {{run: x{text}}}}}") for text in texts]
    assert len({digest_of(one, {}) for one in plans}) == len(texts)
    assert plans[2].cells[0].skip_status == 77


# --- what is told of slips -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("  b: {run: x, distros: [^debain-12]}", "no distro `debain-12` of this matrix", "mean"),
        ("  b: {run: x, distros: [^arch*]}", "`arch*` matches no distro of this matrix", ""),
        ("  b: {run: x, distros: [^debian-13]}", "no distro `debian-13` of this matrix", ""),
        ("  b: {run: x, distros: ^[]}", "at least one entry", ""),
        ("  b: {run: x, tags: [^Nightly]}", "expected a tag of lower-case letters", ""),
        ("  b: {run: x, tags: [^kernel-modules]}", "already have that mark", ""),
        ("  b: {run: x, tags: [^xfail]}", "it means something else to pytest", ""),
        ("  b: {run: x, tags: [^'!a']}", "expected a tag of lower-case letters", ""),
        ("  b: {run: x, gating: ^false}", "`gating: false` wants a `reason`", ""),
        ("  b: {run: x, gating: ^no, reason: r}", "expected `true` or `false`", ""),
        ("  b: {run: x, gating: true, reason: ^r}", "`reason` goes with `gating: false`", ""),
        ("  b: {run: x, reason: ^r}", "`reason` goes with `gating: false`", ""),
        ("  b: {run: x, skip_status: ^0}", "from 1 to 125, got `0`", "success"),
        ("  b: {run: x, skip_status: ^126}", "from 1 to 125, got `126`", ""),
        ("  b: {run: x, skip_status: ^-1}", "from 1 to 125, got `-1`", ""),
        ("  b: {run: x, skip_status: ^[77]}", "from 1 to 125, got a list", ""),
        ("variants: {v: {gating: ^false}}", "`gating: false` wants a `reason`", ""),
        ("variants: {v: {distros: [^x]}}", "no distro `x` of this matrix", ""),
        ("rules: [{gating: ^false}]", "`gating: false` wants a `reason`", ""),
        ("rules: [{gating: true, reason: ^r}]", "`expect: fail` or `gating: false`", ""),
        ("rules: [{tags: [a], until: ^2027-01-01}]", "`until` goes with", ""),
        ("rules: [{skip: x, gating: ^false, reason: r}]", "`skip` and `gating`", ""),
        ("sets: {pr: {tags: [^quikc]}}", "nothing has the tag `quikc`", "`quick`"),
        ("sets: {pr: {tags: [^'!quikc']}}", "nothing has the tag `quikc`", "`quick`"),
        ("sets: {pr: {distros: [alpine-*, ^q*]}}", "`q*` matches no distro of this", ""),
        ("sets: {pr: ^{}}", "the set says nothing", "`tags` or `distros`"),
        ("sets: {pr: {^suites: [a]}}", "unknown key `suites`", ""),
    ],
)
def test_a_slip_is_told_at_its_place(project: Project, line: str, message: str, hint: str) -> None:
    """`^` in the line is the place."""
    text = line.replace("^", "")
    fault = project.fault(f"{HEAD}suites:\n  a: {{run: x, tags: [quick]}}\n{text}\n")
    assert place(fault) == (4, line.index("^") + 1)
    assert message in fault.message
    assert hint in fault.hint


def test_a_set_in_a_matrix_without_tags_says_so(project: Project) -> None:
    fault = project.fault(SMALL + "sets: {pr: {tags: [quick]}}\n")
    assert fault.hint == "no suite, variant or rule has any"


def test_globs_of_suites_are_not_blamed_for_a_wrong_distro_of_the_matrix(
    project: Project,
) -> None:
    fault = project.fault("distros: [debain-12]\nsuites: {a: {run: x, distros: [debian-12]}}\n")
    assert place(fault) == (1, 11)
