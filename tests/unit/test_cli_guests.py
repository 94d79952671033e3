"""Cells and cases in guests, as a user meets them on the command line and in pytest. The fake
engine plays the guests; their images are the containers'."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from cli_world import DISTRO, Cli, runs
from pytest_world import World

from distromatrix.engines.accel import Accel
from distromatrix.engines.fake import FakeEngine
from distromatrix.images import Images, Prepared
from distromatrix.model import Cell, Distro

pytest_plugins = ["pytester"]

GUEST = "guest: {bootstrap: {kernel: linux, system: [init]}}\n"
PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:distromatrix test_it.py"
MATRIX = f"""\
product: .
distros: [one, two]
suites:
  plain: {{run: echo fine}}
  kernel: {{run: 'echo on $DISTROMATRIX_ENGINE', needs: [kernel-modules]}}
  init: {{run: 'test $DISTROMATRIX_ENGINE = vagrant', needs: [init, reboot]}}
  cases: {{run: '{PYTEST} --junitxml=$DISTROMATRIX_JUNIT'}}
"""
TESTS = """\
import os, pytest

@pytest.mark.needs("kernel-modules")
def test_module():
    assert os.environ["DISTROMATRIX_ENGINE"] == "qemu"

def test_plain():
    pass
"""


@pytest.fixture(autouse=True)
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def guest(_: Images, distro: Distro, cell: Cell, prepared: Prepared) -> Prepared:
        assert distro.guest is not None
        assert cell.engine in ("qemu", "vagrant")
        return prepared

    monkeypatch.setattr(Images, "guest", guest)
    yield


@pytest.fixture
def guests(project: Path) -> Path:
    (project / "matrix/default.yaml").write_text(MATRIX)
    (project / "distros/one.yaml").write_text(DISTRO.replace("NAME", "one") + GUEST)
    (project / "test_it.py").write_text(TESTS)
    (project / "pytest.ini").write_text("[pytest]\n")
    return project


def test_the_plan_says_which_engine_and_why(cli: Cli, guests: Path) -> None:
    said = cli("plan")
    lines = [line.split(None, 2) for line in said.out.splitlines()]
    shown = {line[0]: (line[1], line[2]) for line in lines}
    without = "needs kernel-modules, which a container cannot give"
    assert shown["one/plain"] == ("docker", "needs nothing that a container cannot give")
    assert shown["one/kernel"] == ("qemu", without)
    assert shown["one/init"][0] == "vagrant"
    assert "not qemu: its guests boot without an init system" in shown["one/init"][1]
    assert shown["two/kernel"] == ("skipped", f"{without}; no guest: its distro has no `guest:`")
    assert "guests of qemu: for cases that need more than a container has" in said.out
    listed = {c["id"]: c for c in json.loads(cli("plan", "--json").out)["cells"]}
    assert (listed["one/kernel"]["engine"], listed["one/kernel"]["reason"]) == ("qemu", without)
    assert listed["two/init"]["engine"] is None


def test_one_run_has_containers_guests_and_cases_in_guests(cli: Cli, guests: Path) -> None:
    said = cli("run", "one")
    assert said.code == 0, said.out
    assert "4 cells" in said.out
    (row,) = [line for line in said.out.splitlines() if line.startswith("one ")]
    assert row.split() == [
        *("one", "✓", "passed", "✓", "passed", "(qemu)", "✓", "passed", "(vagrant)"),
        *("✓", "passed", "(+qemu)"),
    ]
    assert "guest one/cases: 1 case again in qemu: needs kernel-modules, which a" in said.out
    told = said.out[said.out.index("in guests") :]
    assert "qemu: needs kernel-modules, which a container cannot give" in told
    assert "one/kernel, 1 case of one/cases" in told
    (folder,) = runs(guests)
    cells = {c["id"]: c for c in json.loads((folder / "results.json").read_text())["cells"]}
    assert {id: c["engine"] for id, c in cells.items()} == {
        "one/plain": "fake",
        "one/kernel": "qemu",
        "one/init": "vagrant",
        "one/cases": "fake",
    }
    assert cells["one/cases"]["cases"] == {"passed": 2, "failed": 0, "skipped": 0}
    assert cells["one/cases"]["fallback"][0]["cases"] == ["test_it.py::test_module"]
    assert (folder / "cells/one/kernel/log.txt").read_text() == "on qemu\n"
    again = cli("report")
    assert "(+qemu)" in again.out
    assert "1 case of one/cases" in again.out


def test_a_distro_without_a_guest_makes_the_run_no_success(cli: Cli, guests: Path) -> None:
    said = cli("run", "two/cases", "two/kernel")
    assert said.code == 1
    reason = "1 case needs kernel-modules: not run here (no guest: its distro has no `guest:`)"
    assert f"two/cases: {reason}" in said.out
    assert cli("run", "two/cases", "two/kernel", "--allow-unmet").code == 0


def test_clean_looks_at_guests_too(cli: Cli, guests: Path, tmp_path: Path) -> None:
    cli("run", "one/kernel", "--keep", "always")
    playing = FakeEngine(tmp_path / "fake").playing("qemu")
    (kept,) = playing.leftovers()
    assert cli("clean").out == ""  # kept on purpose
    assert f"would remove container {kept.name}" in cli("clean", "--all", "--dry-run").out
    assert f"removed container {kept.name}" in cli("clean", "--all").out
    assert playing.leftovers() == ()


def test_a_run_that_was_killed_is_gone_on_with_in_guests_too(cli: Cli, guests: Path) -> None:
    once = "if mkdir {0}; then kill -9 $(cat {1}); sleep 9; fi; echo on $DISTROMATRIX_ENGINE"
    marker, pid = guests.parent / "once", guests.parent / "pid"
    script = once.format(marker, pid)
    text = MATRIX.replace("echo on $DISTROMATRIX_ENGINE", script)
    (guests / "matrix/default.yaml").write_text(text)
    _killed(guests, pid, "one/kernel", "one/cases", "-j", "1")
    said = cli("run", "--resume", "latest")
    assert said.code == 0, said.out + said.err
    assert "passed (qemu)" in said.out
    assert "passed (+qemu)" in said.out
    fake = FakeEngine(guests.parent / "fake")
    assert [*fake.leftovers(), *fake.playing("qemu").leftovers()] == []


def _killed(project: Path, pid: Path, *args: str) -> None:
    """The command in a process of its own, which its own cell kills."""
    import os
    import subprocess

    code = (
        "import os, sys; from pathlib import Path; from distromatrix.images import Images; "
        "Images.guest = lambda s, d, c, p: p; from distromatrix.cli import main; "
        "Path(sys.argv.pop(1)).write_text(str(os.getpid())); main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pid), "run", *args],
        cwd=project,
        env=dict(os.environ),
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stdout + done.stderr


def test_in_pytest_cells_and_their_cases_run_in_guests(world: World) -> None:
    world.ini()
    world.matrix(
        MATRIX.replace("[one, two]", "[two]").replace(
            "plain:", "old: {run: 'true', needs: [own-kernel: '>=999']}\n  plain:"
        )
    )
    world.distro("two", "alpine", "musl")
    file = world.root / "distros/two.yaml"
    file.write_text(file.read_text() + GUEST)
    (world.root / "test_it.py").write_text(TESTS)
    done = world.pytester.runpytest("matrix", "-rA")
    done.assert_outcomes(passed=4, failed=1)
    done.stdout.fnmatch_lines(["*needs own-kernel >=999, and the kernel of its guest is *"])
    (folder,) = world.runs()
    cells = {c["id"]: c for c in json.loads((folder / "results.json").read_text())["cells"]}
    assert cells["two/kernel"]["engine"] == "qemu"
    assert cells["two/cases"]["fallback"][0]["engine"] == "qemu"
    done = world.pytester.runpytest("matrix", "-rA", "--distromatrix-allow-unmet")
    done.assert_outcomes(passed=4, skipped=1)
    assert world.left() == []


@pytest.mark.parametrize(
    ("known", "wanted", "line"),
    [
        (None, "auto", "guests run in KVM if the first of them proves that it works"),
        (("kvm", "it booted"), "auto", "guests run in KVM: it booted"),
        (("tcg", "QEMU aborts"), "auto", "guests run under software emulation: QEMU aborts"),
        (("kvm", "it booted"), "tcg", "guests run under software emulation, as accel: tcg asks"),
    ],
)
@pytest.mark.usefixtures("guests")
def test_the_plan_says_what_guests_run_in_as_far_as_it_is_known(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    known: tuple[Literal["kvm", "tcg"], str] | None,
    wanted: str,
    line: str,
) -> None:
    accel = Accel(kind=known[0], cpu="max", reason=known[1], scale=1.0) if known else None
    monkeypatch.setattr("distromatrix.engines.accel.known_acceleration", lambda _: accel)
    monkeypatch.setenv("DISTROMATRIX_ACCEL", wanted)
    assert line in cli("plan").out


def test_machines_for_tests_are_guests_where_their_suite_needs_one(world: World) -> None:
    world.for_machines()
    world.matrix(
        "product: .\ndistros: [three]\nsuites:\n"
        "  kernel: {run: 'true', needs: [kernel-modules], setup: echo made >here}\n"
        "  plain: {run: 'true'}\n"
    )
    file = world.root / "distros/three.yaml"
    file.write_text(file.read_text() + GUEST)
    world.test(
        "import pytest\n"
        "@pytest.mark.distros(suite='kernel')\n"
        "def test_guest(machine):\n"
        "    assert machine.run('echo $DISTROMATRIX_ENGINE; cat here').stdout == 'qemu\\nmade\\n'\n"
        "@pytest.mark.distros(suite='kernel')\n"
        "def test_fresh(fresh_machine):\n"
        "    assert fresh_machine.run('echo $DISTROMATRIX_ENGINE').stdout == 'qemu\\n'\n"
        "@pytest.mark.distros(suite='plain')\n"
        "def test_plain(machine):\n"
        "    assert machine.run('echo $DISTROMATRIX_ENGINE').stdout == 'fake\\n'\n",
        "test_a",
    )
    world.pytester.runpytest("tests").assert_outcomes(passed=3)
    assert world.left() == []
    assert [one.name for one in FakeEngine(world.fake).playing("qemu").leftovers()] == []
