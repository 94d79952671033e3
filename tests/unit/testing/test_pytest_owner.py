"""One process owns what runs cells: with and without workers, to its end, whatever that is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from pytest_world import MATRIX, World, of

pytest_plugins = ["pytester"]

WORKERS = ("-n", "2")
XDIST = pytest.mark.parametrize("xdist", [(), WORKERS], ids=["alone", "xdist"])
PYTHON = sys.executable
ASLEEP = """\
product: .
distros: [one-1.0, two]
suites:
  slow: {run: 'touch {HERE}/$DISTROMATRIX_DISTRO; sleep 600'}
"""


@XDIST
def test_all_workers_are_one_run(world: World, xdist: tuple[str, ...]) -> None:
    world.ini()
    done = world.pytester.runpytest(*xdist)
    done.assert_outcomes(passed=4, failed=1)
    (run,) = world.runs()
    results = json.loads((run / "results.json").read_text())
    assert {cell["id"]: cell["verdict"] for cell in results["cells"]} == {
        "one-1.0/good": "passed",
        "one-1.0/bad": "passed",
        "two/good": "passed",
        "two/bad": "failed",
    }
    assert not world.left()
    done.stdout.fnmatch_lines(["*distromatrix*", f"*.distromatrix/runs/{run.name}*"])


def test_the_results_hold_what_was_selected_also_what_is_skipped(world: World) -> None:
    world.ini()
    world.matrix(MATRIX + "rules: [{suite: bad, distro: two, skip: not there}]\n")
    world.pytester.runpytest("-k", "two", "matrix").assert_outcomes(passed=1, skipped=1)
    (run,) = world.runs()
    results = json.loads((run / "results.json").read_text())
    verdicts = {cell["id"]: cell["verdict"] for cell in results["cells"]}
    assert verdicts == {"two/good": "passed", "two/bad": "skipped"}


def test_what_was_not_begun_is_in_the_results_as_such(world: World) -> None:
    world.ini()
    world.pytester.runpytest("-x", *of("two/bad", "two/good")).assert_outcomes(failed=1)
    (run,) = world.runs()
    results = json.loads((run / "results.json").read_text())
    verdicts = {cell["id"]: cell["verdict"] for cell in results["cells"]}
    assert verdicts == {"two/good": "skipped", "two/bad": "failed"}


@XDIST
def test_an_engine_that_is_not_there_is_one_error(world: World, xdist: tuple[str, ...]) -> None:
    world.ini()
    world.fault(unavailable=True)
    done = world.pytester.runpytest(*xdist)
    assert done.ret == 69
    said = done.stdout.str() + done.stderr.str()
    assert said.count("unavailable") == 1
    assert "distromatrix doctor" in said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said
    assert not world.runs()


@XDIST
def test_what_needs_no_engine_asks_for_none(world: World, xdist: tuple[str, ...]) -> None:
    world.ini()
    world.fault(unavailable=True)
    world.pytester.runpytest(*xdist, "tests").assert_outcomes(passed=1)
    world.matrix(
        "product: .\ndistros: [two]\nsuites: {a: {run: x}}\nrules: [{suite: a, skip: never}]\n"
    )
    world.pytester.runpytest(*xdist).assert_outcomes(passed=1, skipped=1)


def test_no_terminal_still_says_why(world: World) -> None:
    world.ini()
    world.fault(unavailable=True)
    done = world.pytester.runpytest("-p", "no:terminal")
    assert done.ret == 69
    done.stderr.fnmatch_lines(["*unavailable*distromatrix doctor*"])


@pytest.mark.parametrize(
    ("number", "status", "xdist"),
    [
        pytest.param(signal.SIGINT, 2, (), id="int-alone"),
        pytest.param(signal.SIGTERM, 143, (), id="term-alone"),
        pytest.param(signal.SIGHUP, 129, (), id="hup-alone"),
        pytest.param(signal.SIGINT, 2, WORKERS, id="int-xdist"),
        # Which only the controller gets: to it, its workers are no part of this.
        pytest.param(signal.SIGTERM, 143, WORKERS, id="term-xdist", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, WORKERS, id="hup-xdist", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_cells_and_leaves_nothing(
    world: World, number: signal.Signals, status: int, xdist: tuple[str, ...]
) -> None:
    world.ini()
    here = world.root.parent / f"{world.root.name}-begun"
    here.mkdir()
    world.matrix(ASLEEP.replace("{HERE}", str(here)))
    # Who was started in the background has Ctrl-C ignored, and so have his children.
    command = ["env", "--default-signal=INT", PYTHON, "-m", "pytest", *xdist, "matrix"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not any(here.iterdir()) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        # As a terminal does it: Ctrl-C goes to all processes in front, a kill to the one named.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert not world.left(), said
    (run,) = world.runs()
    assert (run / "results.json").exists()


def test_a_socket_that_somebody_removed_keeps_nothing_from_ending(world: World) -> None:
    world.ini()
    (world.root / "conftest.py").write_text(
        "import shutil, pathlib, pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_configure_node(node):\n"
        "    global door\n"
        "    door = node.config.pluginmanager.get_plugin('distromatrix-owner')._door\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_sessionfinish():\n"
        "    if 'door' in globals(): shutil.rmtree(door.folder)\n"
    )
    done = world.pytester.runpytest_subprocess("-n", "1", timeout=120)
    done.assert_outcomes(passed=4, failed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert not done.stderr.str()
    assert not world.left()
    (run,) = world.runs()
    assert (run / "results.json").exists()


def test_a_worker_that_is_killed_takes_nothing_with_it(world: World) -> None:
    world.ini()
    here = world.root.parent / f"{world.root.name}-begun"
    here.mkdir()
    world.matrix(ASLEEP.replace("{HERE}", str(here)).replace("[one-1.0, two]", "[two]"))
    (world.root / "tests/test_own.py").write_text(
        "import os, pathlib, signal, time\n"
        "def test_own(): pass\n"
        "def test_kill():\n"
        f"    while not list(pathlib.Path({str(here)!r}).iterdir()): time.sleep(0.05)\n"
        "    os.kill(int(pathlib.Path('pid').read_text()), signal.SIGKILL)\n"
    )
    (world.root / "conftest.py").write_text(
        "import os, pathlib\n"
        "def pytest_runtest_setup(item):\n"
        "    if 'slow' in item.name: pathlib.Path('pid').write_text(str(os.getpid()))\n"
    )
    done = world.pytester.runpytest_subprocess("-n", "2", "--max-worker-restart=1", timeout=120)
    done.stdout.fnmatch_lines(["*worker 'gw*' crashed while running '*::two/slow'*"])
    done.assert_outcomes(passed=2, failed=1)
    assert not world.left()


def test_kept_machines_are_told(world: World) -> None:
    world.ini()
    done = world.pytester.runpytest(*of("two/bad"), "--distromatrix-keep=failed")
    done.stdout.fnmatch_lines(["enter   *", "remove  *"])
