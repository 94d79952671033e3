"""`caches:` of suites, from the file to the cell, and what is wrong with one."""

from itertools import permutations
from pathlib import Path

import pytest
from loading import TODAY, Project

from distromatrix.engines.contract import MOUNT
from distromatrix.model import HostFacts, Selection
from distromatrix.plan.caches import CACHES, OURS
from distromatrix.plan.make import make_plan

FACTS = HostFacts(arch="x86_64", cpus=2, memory=1 << 33, today=TODAY)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def matrix(caches: str, defaults: str = "{}") -> str:
    return (
        f"distros: [debian-12]\ndefaults: {defaults}\n"
        f"suites:\n  unit:\n    run: x\n    caches: {caches}\n"
    )


def caches(project: Project, text: str) -> dict[str, str]:
    (cell,) = make_plan(project.load(text), FACTS, Selection()).cells
    return dict(cell.caches)


def test_known_caches_are_named_and_others_say_where_they_are(project: Project) -> None:
    assert caches(project, matrix("[pip, ccache]")) == {
        "pip": "~/.cache/pip",
        "ccache": "~/.ccache",
    }
    own = matrix("{tool: ~/.cache/tool/, pip: /var/cache/pip}", "{caches: [npm]}")
    assert caches(project, own) == {"tool": "~/.cache/tool", "pip": "/var/cache/pip"}


def test_a_suite_has_the_caches_of_the_defaults_unless_it_says_its_own(project: Project) -> None:
    text = "distros: [debian-12]\ndefaults: {caches: [npm]}\nsuites: {unit: {run: x}}\n"
    assert caches(project, text) == {"npm": "~/.npm"}


@pytest.mark.parametrize(
    ("written", "column", "expected"),
    [
        ("[pipp]", 14, "no known cache `pipp` (did you mean `pip`?)"),
        ("[mytool]", 14, "say where it is"),
        ("pip", 13, "expected names of caches, or a mapping"),
        ("{a: build}", 17, "`build` is relative"),
        ("{a: ./build}", 17, "`./build` is relative"),
        ("{a: /}", 17, "`/` is all there is"),
        ("{a: ~}", 17, "`~` is all there is"),
        ("{a: /a/../b}", 17, "got `/a/../b`"),
        ("{a: '/a b'}", 17, "got `/a b`"),
        ("{a: /distromatrix/product/x}", 17, "where the product is"),
        ("{a: /distromatrix}", 17, "where the product is"),
        ("{a: /usr}", 17, "is the system's"),
        ("{a: /proc/x}", 17, "is the system's"),
        ("{a: ~/.x, b: ~/.x/y}", 26, "`~/.x/y` lies in the cache `a`"),
        ("{A: ~/.x}", 14, "expected a name"),
    ],
)
def test_a_folder_that_can_be_no_cache_is_told_where_it_is_written(
    project: Project, written: str, column: int, expected: str
) -> None:
    fault = project.fault(matrix(written))
    assert (fault.line, fault.column) == (6, column), fault
    assert expected in str(fault)


def test_the_known_caches_are_such_as_a_suite_may_have_all_at_once(project: Project) -> None:
    assert caches(project, matrix(str(list(CACHES)))) == CACHES
    assert not any(f"{a}/".startswith(f"{b}/") for a, b in permutations(CACHES.values(), 2))
    assert OURS == MOUNT
