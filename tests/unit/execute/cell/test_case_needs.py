"""Cases of a product that say what they need, run by its own pytest inside a cell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from executing import OWN_PYTEST, World, cell

from distromatrix.execute.cell import case_needs
from distromatrix.model import CaseNeeds, Expectation, Verdict

pytestmark = pytest.mark.usefixtures("quick")

TESTS = """\
import os
import pytest

@pytest.fixture
def never():
    raise RuntimeError("a fixture ran")

@pytest.mark.needs("kernel-modules")
def test_modules(never):
    pass

@pytest.mark.parametrize("x", [1, "a b"])
@pytest.mark.needs("own-kernel  >=6.1", "reboot")
def test_kernel(x, never):
    pass

@pytest.mark.needs("mount")
class TestMount:
    def test_it(self):
        pass

def test_plain():
    pass
"""
PYTEST = f"{OWN_PYTEST} --strict-markers -rs"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    (tmp_path / "product/test_it.py").write_text(TESTS)
    (tmp_path / "product/pytest.ini").write_text("[pytest]\n")
    return made


def log(world: World, id: str) -> str:
    return (world.run / "cells" / id / "log.txt").read_text()


def test_what_a_case_needs_more_is_skipped_before_its_fixtures_and_recorded(world: World) -> None:
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert result.needing == (
        CaseNeeds(test="test_it.py::test_modules", needs=("kernel-modules",)),
        CaseNeeds(test="test_it.py::test_kernel[1]", needs=("own-kernel >=6.1", "reboot")),
        CaseNeeds(test="test_it.py::test_kernel[a b]", needs=("own-kernel >=6.1", "reboot")),
        CaseNeeds(test="test_it.py::TestMount::test_it", needs=("mount",)),
    )
    said = log(world, "a/s")
    assert "1 passed, 4 skipped" in said
    assert "needs: kernel-modules, which a container does not have" in said
    assert "fixture ran" not in said
    assert result.unmet
    assert result.reason == (
        "4 cases need kernel-modules, mount, own-kernel, reboot: not run here "
        "(no guest: this host has no engine of guests)"
    )


def test_a_run_with_cases_that_did_not_run_is_no_success_unless_that_is_allowed(
    world: World,
) -> None:
    assert world.execute(cell("a/s", PYTEST)).exit_code == 1
    assert world.execute(cell("a/s", PYTEST), allow_unmet=True).exit_code == 0


def test_what_a_privilege_gives_is_run(world: World) -> None:
    result = world.execute(cell("a/s", f"{PYTEST} -k Mount", privileges=("mount",))).cells[0]
    assert (result.needing, result.unmet) == ((), False)
    assert "1 passed" in log(world, "a/s")


@pytest.mark.parametrize(("version", "runs"), [(">=2.6,<999", True), (">=999", False), ("", True)])
def test_a_version_is_held_against_the_kernel_that_is_there(
    world: World, version: str, runs: bool
) -> None:
    text = f'import pytest\n@pytest.mark.needs("kernel {version}")\ndef test_it(): pass\n'
    (world.folder / "product/test_it.py").write_text(text)
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert (result.needing == ()) is runs
    if not runs:
        assert f"needs: kernel >=999, and the kernel here is {os.uname().release}" in log(
            world, "a/s"
        )


def test_ids_are_from_the_products_root_wherever_pytest_has_its_own(world: World) -> None:
    deep = world.folder / "product/sub"
    deep.mkdir()
    (deep / "pytest.ini").write_text("[pytest]\n")
    (deep / "test_deep.py").write_text(TESTS)
    result = world.execute(cell("a/s", f"cd sub; {PYTEST} -k modules")).cells[0]
    assert [one.test for one in result.needing] == ["sub/test_deep.py::test_modules"]


def test_workers_of_xdist_write_whole_lines(world: World) -> None:
    many = "\n".join(f'@pytest.mark.needs("reboot")\ndef test_{n}(): pass' for n in range(60))
    (world.folder / "product/test_it.py").write_text(f"import pytest\n{many}\n")
    result = world.execute(cell("a/s", f"{PYTEST} -n 2")).cells[0]
    assert len(result.needing) == 60
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (
            '"kernel-moduls"',
            "there is no 'kernel-moduls'; known: gpu, init, kernel, kernel-modules",
        ),
        ('"reboot >=1"', "'reboot' takes no version"),
        ('"kernel new"', "'new' is not a version such as '>=6.1'"),
        ("", 'write @pytest.mark.needs("NAME", ...)'),
    ],
)
def test_a_need_that_there_is_not_fails_its_case(world: World, mark: str, said: str) -> None:
    text = f"import pytest\n@pytest.mark.needs({mark})\ndef test_it(): pass\n"
    (world.folder / "product/test_it.py").write_text(text)
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert result.verdict is Verdict.FAILED
    assert said in log(world, "a/s")


def test_who_does_not_use_the_mark_sees_nothing(world: World) -> None:
    (world.folder / "product/test_it.py").write_text("def test_it(): pass\n")
    world.execute(cell("a/s", "env; ls .. "))
    said = log(world, "a/s")
    for word in ("PYTEST", "PYTHONPATH", "TOX_", "inside"):
        assert word not in said


def test_what_the_user_says_in_the_same_variables_comes_first(world: World) -> None:
    env = {"PYTEST_ADDOPTS": "-q", "PYTHONPATH": "/mine", "TOX_OVERRIDE": "a.b=c"}
    world.execute(cell("a/s", "env", env=env))
    said = log(world, "a/s")
    assert "PYTEST_ADDOPTS=-q -p distromatrix_needs\n" in said
    assert "PYTHONPATH=/mine:" in said
    assert "TOX_OVERRIDE=a.b=c;testenv.pass_env+=PYTEST_ADDOPTS,PYTHONPATH\n" in said


def test_a_suite_that_hides_the_file_is_told_what_to_do(world: World) -> None:
    result = world.execute(cell("a/s", f"PYTHONPATH=src {PYTEST}")).cells[0]
    assert result.verdict is Verdict.FAILED
    assert any("PYTHONPATH=src:$PYTHONPATH" in line for line in result.warnings)


@pytest.mark.parametrize(
    ("content", "tests", "fault"),
    [
        (b"", [], ""),
        (b'{"test": "a\\u001b[31m", "needs": ["reboot"]}\n', [], "1 lines"),
        (b'{"test": "a", "needs": ["rm -rf"]}\nnonsense\n[1]\n', [], "3 lines"),
        (b'{"test": "a", "needs": {}}\n{"test": 3, "needs": ["gpu"]}\n', [], "2 lines"),
        (b'{"test": "' + b"x" * 3000 + b'", "needs": ["gpu"]}\n', [], "1 lines"),
        (b"\xff\x00\n" * 3, [], "3 lines"),
        (b"[" * 100_000, [], "1 lines"),
        (b"x" * (case_needs.MAX_BYTES + 1), [], "too big"),
    ],
)
def test_nothing_of_the_record_is_trusted(
    tmp_path: Path, content: bytes, tests: list[str], fault: str
) -> None:
    (tmp_path / "needs.jsonl").write_bytes(content)
    found = case_needs.read_record(tmp_path / "needs.jsonl")
    assert [one.test for one in found.needing] == tests
    assert fault in found.fault if fault else not found.fault


WRITTEN = '"${PYTHONPATH##*:}/written/needs.jsonl"'


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (f"rm -f {WRITTEN}", "is gone"),
        (f"echo rubbish >{WRITTEN}", "1 lines were not understood"),
        (f"head -c 5000000 /dev/zero >{WRITTEN}", "too big"),
        (f"rm -f {WRITTEN}; ln -s /etc/passwd {WRITTEN}", "is gone"),
    ],
)
def test_a_record_that_was_lost_is_no_success(world: World, after: str, said: str) -> None:
    result = world.execute(cell("a/s", f"{PYTEST} && {after}"))
    assert (result.cells[0].verdict, result.exit_code) == (Verdict.PASSED, 1)
    assert said in result.cells[0].warnings[0]
    assert world.execute(cell("a/s", f"{PYTEST} && {after}"), allow_unmet=True).exit_code == 0


def test_a_case_that_cannot_be_written_down_fails(world: World) -> None:
    world.execute(cell("a/s", f"rm {WRITTEN}; mkdir {WRITTEN}; {PYTEST} -k modules"))
    assert "needs: cannot be written down" in log(world, "a/s")


def test_repeated_cells_tell_of_all_that_did_not_run(world: World) -> None:
    result = world.execute(cell("a/s", PYTEST), repeat=2)
    assert len(result.cells[0].needing) == 4
    assert result.exit_code == 1


def test_another_mark_whose_name_begins_alike_changes_nothing(world: World) -> None:
    text = "import pytest\n@pytest.mark.needs_network\ndef test_it(): pass\n"
    (world.folder / "product/test_it.py").write_text(text)
    (world.folder / "product/pytest.ini").write_text("[pytest]\nmarkers = needs_network\n")
    assert world.execute(cell("a/s", f"PYTHONPATH=src {PYTEST}")).exit_code == 0


def test_a_product_with_a_mark_of_that_name_of_its_own_can_say_so(world: World) -> None:
    text = "import pytest\n@pytest.mark.needs('ffmpeg')\ndef test_it(): pass\n"
    (world.folder / "product/test_it.py").write_text(text)
    (world.folder / "product/pytest.ini").write_text("[pytest]\nmarkers = needs(program): ours\n")
    assert world.execute(cell("a/s", PYTEST)).exit_code == 1
    own = cell("a/s", PYTEST, env={"DISTROMATRIX_CASE_NEEDS": "off"})
    assert world.execute(own).exit_code == 0


def test_a_file_that_was_not_found_is_no_failure_that_was_expected(world: World) -> None:
    result = world.execute(
        cell("a/s", f"PYTHONPATH=src {PYTEST}", expect_fail=(Expectation(reason="known"),))
    ).cells[0]
    assert result.verdict is Verdict.FAILED


SKIPS = """\
import unittest
import pytest

class TestOfUnittest(unittest.TestCase):
    def setUp(self):
        self.skipTest("needs: reboot")
    def test_it(self): pass

class TestOfItsClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("needs: reboot")
    def test_it(self): pass

class TestMarked(unittest.TestCase):
    @unittest.skipIf(True, "needs: reboot")
    def test_it(self): pass
    def test_raising(self): raise unittest.SkipTest("needs: reboot")

@pytest.mark.skipif(True, reason="needs: reboot")
def test_conditional(): pass

@pytest.fixture
def fixture(): pytest.skip("needs: reboot")
def test_fixture(fixture): pass

def test_missing(): pytest.importorskip("no_such_module", reason="needs: reboot")
def test_other_skip(): pytest.skip("needs more time")
"""


def test_every_way_to_skip_a_case_is_understood(world: World) -> None:
    (world.folder / "product/test_it.py").write_text(SKIPS)
    (world.folder / "product/test_setup.py").write_text(
        "import pytest\ndef setup_module(): pytest.skip('needs: reboot')\ndef test_it(): pass\n"
    )
    (world.folder / "product/test_marked.py").write_text(
        "import pytest\npytestmark = pytest.mark.needs('reboot')\n"
        "def test_it(): pass\nclass TestIt:\n    def test_it(self): pass\n"
    )
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert {one.test for one in result.needing} == {
        "test_it.py::TestOfUnittest::test_it",
        "test_it.py::TestOfItsClass::test_it",
        "test_it.py::TestMarked::test_it",
        "test_it.py::TestMarked::test_raising",
        "test_it.py::test_conditional",
        "test_it.py::test_fixture",
        "test_it.py::test_missing",
        "test_setup.py::test_it",
        "test_marked.py::test_it",
        "test_marked.py::TestIt::test_it",
    }


@pytest.mark.parametrize(
    "skip",
    [
        "pytest.skip('needs: reboot, own-kernel >=6.1', allow_module_level=True)",
        "raise unittest.SkipTest('needs: reboot, own-kernel >=6.1')",
        "pytest.importorskip('no_such', reason='needs: reboot, own-kernel >=6.1')",
    ],
)
@pytest.mark.parametrize("workers", ["", pytest.param(" -n 2", marks=pytest.mark.slow)])
def test_a_module_that_skips_itself_is_recorded_and_alone_no_failure(
    world: World, skip: str, workers: str
) -> None:
    text = f"import pytest, unittest\n{skip}\ndef test_it(): pass\n"
    (world.folder / "product/test_it.py").write_text(text)
    result = world.execute(cell("a/s", PYTEST + workers)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert result.needing == (CaseNeeds(test="test_it.py", needs=("reboot", "own-kernel >=6.1")),)


def test_a_module_that_skips_itself_for_something_else_is_no_ones_need(world: World) -> None:
    text = "import pytest\npytest.skip('no {}: reboot', allow_module_level=True)\n# 'needs: reboot'"
    (world.folder / "product/test_it.py").write_text(text)
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert (result.verdict, result.needing) == (Verdict.FAILED, ())  # as pytest has it: no tests
