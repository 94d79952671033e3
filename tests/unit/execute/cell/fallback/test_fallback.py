"""Cases that a container could not serve, run again in a guest, and what both say together."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import World, cell
from fallback_world import ALONE, PYTEST, log, one, write

from distromatrix.errors import ImageError
from distromatrix.model import CaseCounts, CaseNeeds, Expectation, Verdict
from distromatrix.record.events import CellFallback

pytestmark = pytest.mark.usefixtures("quick")


def test_each_case_runs_in_the_cheapest_guest_that_serves_it_and_alone(world: World) -> None:
    result = one(world, "a/s", PYTEST)
    assert result.verdict is Verdict.PASSED
    assert (result.needing, result.unmet, result.reason) == ((), False, "")
    assert result.engine == "fake"
    assert {f.engine: f.tests for f in result.fallback} == {
        "qemu": (
            "test_it.py::test_module",
            "test_it.py::test_mount[1]",
            "test_it.py::test_mount[a b]",
            "test_it.py::test_own_words",
        ),
        "vagrant": ("test_it.py::test_unit",),
    }
    assert result.cases == CaseCounts(passed=6)
    assert "module on qemu" in log(world, "a/s", "qemu")
    assert "plain on" not in log(world, "a/s", "qemu")
    assert "4 passed, 2 deselected" in log(world, "a/s", "qemu")
    assert "1 passed, 5 skipped" in log(world, "a/s")
    assert world.left() == []


def test_it_is_told_why_and_where_cases_run_again(world: World) -> None:
    result = one(world, "a/s", PYTEST)
    qemu, vagrant = result.fallback
    assert "needs kernel-modules, which a container does not have" in qemu.why
    assert "needs mount, which a container may give only with `privileges: [mount]`" in qemu.why
    assert vagrant.why == "needs init, which a container may give only with `privileges: [init]`"
    told = [e for e in world.events if isinstance(e, CellFallback)]
    assert [(e.cell, e.engine, e.cases) for e in told] == [
        ("a/s", "qemu", 4),
        ("a/s", "vagrant", 1),
    ]
    assert told[0].reason == qemu.why


def test_what_fails_in_the_guest_fails_the_cell_and_says_where(world: World) -> None:
    write(
        world,
        "@pytest.mark.needs('reboot')\ndef test_it(): assert 'here' == 'there'\n"
        "def test_plain(): pass\n",
    )
    found = world.execute(cell("a/s", PYTEST))
    result = found.cells[0]
    assert (result.verdict, found.exit_code) == (Verdict.FAILED, 1)
    assert result.reason == "in qemu: 1 of 1 case failed"
    assert result.cases == CaseCounts(passed=1, failed=1)
    assert [(c.name, c.engine) for c in result.failing] == [("test_it::test_it", "qemu")]
    assert any("here" in line for line in result.tail)


def test_what_fails_in_the_container_is_no_reason_to_leave_the_others_out(world: World) -> None:
    write(world, "@pytest.mark.needs('reboot')\ndef test_it(): pass\ndef test_plain(): assert 0\n")
    result = one(world, "a/s", PYTEST)
    assert (result.verdict, result.reason) == (Verdict.FAILED, "1 of 2 cases failed")
    assert result.cases == CaseCounts(passed=1, failed=1)
    assert result.fallback[0].verdict is Verdict.PASSED


def test_without_a_junit_file_the_verdicts_join_all_the_same(world: World) -> None:
    write(world, "@pytest.mark.needs('reboot')\ndef test_it(): assert 0\ndef test_plain(): pass\n")
    result = one(world, "a/s", ALONE)
    assert (result.verdict, result.cases) == (Verdict.FAILED, None)
    assert result.reason == "in qemu: exit status 1"
    assert result.needing == ()


def test_a_suite_of_several_pytests_runs_all_of_it_again(world: World) -> None:
    (world.folder / "product/test_other.py").write_text("def test_other(): pass\n")
    write(world, "@pytest.mark.needs('reboot')\ndef test_it(): pass\n")
    result = one(world, "a/s", f"{ALONE} test_other.py\n{ALONE} test_it.py")
    assert result.verdict is Verdict.PASSED
    assert result.fallback[0].tests == ("test_it.py::test_it",)


def test_workers_of_xdist_run_the_same_cases(world: World) -> None:
    result = one(world, "a/s", f"{PYTEST} -n 2")
    assert (result.verdict, result.cases) == (Verdict.PASSED, CaseCounts(passed=6))
    assert len(result.fallback[0].tests) == 4


MODULE = (
    "if os.environ['DISTROMATRIX_ENGINE'] in {here}:\n"
    "    pytest.skip('needs: {need}', allow_module_level=True)\n"
    "def test_one(): pass\nclass TestTwo:\n    def test_two(self): pass\n"
)


@pytest.mark.parametrize("where", ["", "tests"])
@pytest.mark.parametrize("workers", ["", pytest.param(" -n 2", marks=pytest.mark.slow)])
def test_all_of_a_module_that_skips_itself_runs_in_the_guest_and_counts_there(
    world: World, where: str, workers: str
) -> None:
    write(world, "def test_plain(): pass\n")
    deep = world.folder / "product" / where
    deep.mkdir(exist_ok=True)
    (deep / "pytest.ini").write_text("[pytest]\n")
    for name, need in (("kernel", "kernel-modules"), ("init", "init")):
        text = MODULE.format(here="('fake', 'qemu')" if need == "init" else "'fake'", need=need)
        (deep / f"test_{name}.py").write_text(f"import os, pytest\n{text}")
    (deep / "test_else.py").write_text(
        "import pytest\npytest.skip('for another reason', allow_module_level=True)\n"
    )
    (deep / "test_plain.py").write_text("def test_plain(): pass\n")
    result = one(world, "a/s", f"cd ./{where}; {PYTEST}{workers} --ignore=test_it.py")
    assert result.verdict is Verdict.PASSED
    assert (result.needing, result.unmet) == ((), False)
    folder = f"{where}/" if where else ""
    assert {f.engine: f.tests for f in result.fallback} == {
        "qemu": (f"{folder}test_kernel.py",),
        "vagrant": (f"{folder}test_init.py",),
    }
    assert [f.cases for f in result.fallback] == [CaseCounts(passed=2)] * 2
    assert result.cases == CaseCounts(passed=5, skipped=1)


def test_a_module_that_skips_itself_in_the_guest_too_did_not_run(world: World) -> None:
    write(world, MODULE.format(here="('fake', 'qemu')", need="reboot"))
    found = world.execute(cell("a/s", PYTEST))
    result = found.cells[0]
    assert (result.verdict, result.unmet, found.exit_code) == (Verdict.PASSED, True, 1)
    assert result.needing == (CaseNeeds(test="test_it.py", needs=("reboot",)),)
    assert "(qemu: skipped there, too, for reboot)" in result.reason
    assert result.cases == CaseCounts(skipped=1)


def test_what_fails_of_such_a_module_fails_the_cell(world: World) -> None:
    write(world, MODULE.format(here="'fake'", need="reboot") + "def test_bad(): assert 0\n")
    result = one(world, "a/s", PYTEST)
    assert (result.verdict, result.reason) == (Verdict.FAILED, "in qemu: 1 of 3 cases failed")


def test_a_case_that_the_guest_cannot_serve_either_did_not_run(world: World) -> None:
    write(world, "def test_it(): pytest.skip('needs: kernel-modules')\ndef test_plain(): pass\n")
    found = world.execute(cell("a/s", PYTEST))
    result = found.cells[0]
    assert (result.verdict, result.unmet, found.exit_code) == (Verdict.PASSED, True, 1)
    assert result.needing == (CaseNeeds(test="test_it.py::test_it", needs=("kernel-modules",)),)
    assert result.reason == (
        "1 case needs kernel-modules: not run here (qemu: skipped there, too, for kernel-modules)"
    )
    assert world.execute(cell("a/s", PYTEST), allow_unmet=True).exit_code == 0


def test_a_case_that_is_not_in_the_guest_did_not_run(world: World) -> None:
    write(
        world,
        "if os.environ['DISTROMATRIX_ENGINE'] == 'fake':\n"
        "    @pytest.mark.needs('reboot')\n    def test_it(): pass\n"
        "def test_plain(): pass\n",
    )
    result = one(world, "a/s", PYTEST)
    assert (result.verdict, result.unmet) == (Verdict.PASSED, True)
    assert [case.test for case in result.needing] == ["test_it.py::test_it"]
    assert result.reason == "1 case needs reboot: not run here (qemu: not found there)"


def test_a_kernel_of_the_guest_that_is_too_old_leaves_its_cases_out(world: World) -> None:
    write(
        world,
        "@pytest.mark.needs('own-kernel >=999')\ndef test_new(): pass\n"
        "@pytest.mark.needs('own-kernel >=2.6')\ndef test_old(): pass\n",
    )
    result = one(world, "a/s", PYTEST)
    assert [case.test for case in result.needing] == ["test_it.py::test_new"]
    assert "(qemu: skipped there, too, for own-kernel >=999)" in result.reason
    assert result.fallback[0].tests == ("test_it.py::test_old",)
    assert "needs: own-kernel >=999, and the kernel here is" in log(world, "a/s", "qemu")


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"qemu": "QEMU is not installed", "vagrant": "no Vagrant"}, "no qemu: QEMU is not"),
        ({}, "no guest: this host has no engine of guests"),
    ],
)
def test_without_guests_they_did_not_run_and_it_is_said_why(
    world: World, here: dict[str, str], said: str
) -> None:
    world.here = here
    result = one(world, "a/s", f"{PYTEST} -k 'module or plain'")
    assert (result.verdict, result.unmet, result.fallback) == (Verdict.PASSED, True, ())
    assert said in result.reason


def test_a_guest_that_breaks_is_the_infrastructures_fault(world: World) -> None:
    world.guest_faults("qemu", cannot_start={"a/s": 0})
    found = world.execute(cell("a/s", f"{PYTEST} -k 'module or plain'"))
    result = found.cells[0]
    assert (result.verdict, found.exit_code) == (Verdict.ERROR, 69)
    assert result.reason.startswith("in qemu: ")
    assert "no /bin/sh" in result.reason
    assert [case.test for case in result.needing] == ["test_it.py::test_module"]
    assert world.left() == []


def test_a_products_failure_stands_whatever_breaks_in_the_guest(world: World) -> None:
    def fail(*_: object) -> None:
        raise ImageError("no package linux", phase="packages")

    world.images.guest = fail  # type: ignore[method-assign,assignment]
    write(world, "@pytest.mark.needs('reboot')\ndef test_it(): pass\ndef test_b(): assert 0\n")
    result = one(world, "a/s", PYTEST)
    assert (result.verdict, result.reason) == (Verdict.FAILED, "1 of 2 cases failed")
    assert (result.fallback[0].verdict, result.fallback[0].reason) == (
        Verdict.ERROR,
        "no package linux",
    )


def test_a_guest_is_tried_again_without_its_container(world: World, tmp_path: Path) -> None:
    world.guest_faults("qemu", gone={"a/s": 1})
    count = tmp_path / "count"
    script = f'echo "$DISTROMATRIX_ENGINE" >>{count}; {PYTEST} -k "module or plain"; sleep 0.2'
    result = world.execute(cell("a/s", script), retries=1).cells[0]
    assert (result.verdict, result.attempts) == (Verdict.PASSED, 2)
    assert count.read_text().split() == ["fake", "qemu", "qemu"]


def test_what_is_expected_to_fail_may_fail_in_the_guest_alone(world: World) -> None:
    write(world, "@pytest.mark.needs('reboot')\ndef test_it(): assert 0\ndef test_b(): pass\n")
    result = one(world, "a/s", PYTEST, expect_fail=(Expectation(reason="a bug"),))
    assert result.verdict is Verdict.XFAILED
    assert "a bug" in result.reason


def test_files_of_the_guest_lie_beside_those_of_the_container(world: World) -> None:
    leave = 'echo "$DISTROMATRIX_ENGINE" >"$DISTROMATRIX_ARTIFACTS/who"'
    one(world, "a/s", f"{leave}; {PYTEST} -k 'module or plain'")
    folder = world.run / "cells/a/s"
    assert (folder / "artifacts/who").read_text() == "fake\n"
    assert (folder / "guest/qemu/artifacts/who").read_text() == "qemu\n"
    assert "test_module" in (folder / "guest/qemu/junit.xml").read_text()


def test_the_suites_time_is_its_own_again(world: World) -> None:
    write(
        world,
        "import time\n@pytest.mark.needs('reboot')\ndef test_it(): time.sleep(60)\n"
        "def test_b(): pass\n",
    )
    result = one(world, "a/s", PYTEST, timeout=4.0)
    assert result.verdict is Verdict.FAILED
    assert result.reason.startswith("in qemu: timed out after 4 s, running: ")


# --- suites that are none of pytest's --------------------------------------------------------


# --- several runs, and what is told -----------------------------------------------------------
