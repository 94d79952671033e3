"""Machines for tests that run in real workers of pytest-xdist, and whatever can happen to
machines, workers and sessions: what is not concerned goes on, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter

import pytest
from breaking_world import until
from pytest_sessions import Sessions

from distromatrix.engines.contract import LABEL_FOLDER
from quick_python import quick_python

pytestmark = pytest.mark.engine
slow = pytest.mark.slow

HEAD = """
import os, pathlib, time, pytest

STATE = pathlib.Path(os.environ["STATE"])

def note(file, text):
    with (STATE / file).open("a") as out:
        out.write(text + "\\n")

"""


@pytest.fixture
def product(sessions: Sessions) -> Sessions:
    """One whose matrix has two Alpines."""
    sessions.add_distro(sessions.other)
    sessions.suites(
        {"unit": "true", "broken": {"setup": "echo why; exit 7", "run": "true"}},
        distros=[sessions.distro, sessions.other],
    )
    sessions.ini("addopts = -k 'not matrix'")  # its cells are not what is looked at
    return sessions


def noted(product: Sessions, file: str) -> list[str]:
    path = product.state / file
    return path.read_text().splitlines() if path.exists() else []


class Made:
    """What the engine makes for a product from then on, by its own account: as it tells it, for
    it remembers only the last 256 events, those of all its users."""

    def __init__(self, product: Sessions) -> None:
        self._product = product
        self._file = product.short / "events"
        command = ["docker", "events", "--filter", "type=container", "--filter", "event=create"]
        command += ["--format", "{{json .Actor.Attributes}}"]
        with self._file.open("w") as out:
            self._process = subprocess.Popen(command, stdout=out)

    def machines(self) -> Counter[str]:
        """Containers by distro, and by cell where they are prepared by a suite."""
        time.sleep(1)  # the last ones may be on their way
        self._process.terminate()
        self._process.wait()
        every = [json.loads(line) for line in self._file.read_text().splitlines()]
        ours = [a for a in every if a.get(LABEL_FOLDER, "").startswith(f"{self._product.root}/")]
        ours = [a for a in ours if not a["name"].startswith("distromatrix-stage-")]
        return Counter(a["name"].removeprefix("distromatrix-").rpartition("-")[0] for a in ours)


# --- shared ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    ["-n 3", *(pytest.param(o, marks=slow) for o in ("-n 2 --dist worksteal", "-p no:xdist"))],
)
def test_all_workers_share_one_machine_of_each_distro(product: Sessions, options: str) -> None:
    product.tests(
        HEAD
        + """
@pytest.mark.parametrize("n", range(12))
def test_it(machine, distro, n):
    note("names", f"{distro.name} {machine.name}")
    assert machine.run("sleep 0.1; cat /etc/alpine-release").stdout.startswith("3.20")
"""
    )
    made = Made(product)
    process = product.begin(*options.split(), python=quick_python())
    until(lambda: len(noted(product, "names")) > 12)
    assert 1 <= len(product.machines()) <= 2
    done = product.end(process)
    assert done.counts["passed"] == 24, done.said
    assert len(set(noted(product, "names"))) == 2
    assert sum(made.machines().values()) == 2, made.machines()
    if "-n 3" in options:
        assert len(product.ran()) == 3


@pytest.mark.slow
def test_a_machine_that_cannot_be_made_is_tried_once(product: Sessions) -> None:
    product.tests(
        HEAD
        + f"""
@pytest.mark.parametrize("n", range(9))
@pytest.mark.distros("{product.distro}", suite="broken")
def test_broken(machine, n): machine.run("true")

@pytest.mark.parametrize("n", range(9))
@pytest.mark.distros("{product.distro}", suite="unit")
def test_unit(machine, n): assert machine.run("ls tests").ok
"""
    )
    made = Made(product)
    done = product.pytest("-n", "3")
    assert done.counts["passed"] == 9, done.said
    assert done.counts.get("failed", 0) + done.counts.get("error", 0) == 9, done.said
    assert "exit status 7" in done.said
    assert "why" in done.said
    assert sorted(made.machines().values()) == [1, 1], made.machines()


@slow
def test_no_more_tests_have_machines_than_there_are_processors(product: Sessions) -> None:
    product.tests(
        HEAD
        + """
@pytest.mark.parametrize("n", range(6))
def test_it(machine, n):
    note("log", "+")
    machine.run("sleep 0.5")
    note("log", "-")
"""
    )
    workers = (os.cpu_count() or 1) + 2
    done = product.pytest("-n", str(workers))
    assert done.counts["passed"] == 12, done.said
    now = most = 0
    for sign in noted(product, "log"):
        now += 1 if sign == "+" else -1
        most = max(most, now)
    assert 1 <= most <= (os.cpu_count() or 1)


# --- fresh -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fresh_machines_disturb_no_other_test_and_go_with_theirs(product: Sessions) -> None:
    product.tests(
        HEAD
        + """
@pytest.mark.parametrize("n", range(5))
def test_changes(fresh_machine, machine, n):
    assert fresh_machine.name != machine.name
    note("fresh", fresh_machine.name)
    fresh_machine.run("rm -rf /etc/* /usr/bin/*; : > /changed", check=True)
    assert not fresh_machine.run("cat /etc/os-release").ok

@pytest.mark.parametrize("n", range(10))
def test_reads(machine, n):
    assert machine.run("test ! -e /changed; cat /etc/os-release").ok
"""
    )
    made = Made(product)
    process = product.begin("-n", "2")
    most = 0
    give_up = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < give_up:
        most = max(most, len(product.machines()))
    done = product.end(process)
    assert done.counts["passed"] == 30, done.said
    assert len(set(noted(product, "fresh"))) == 10
    assert sum(made.machines().values()) == 12
    # Two shared ones, and of each worker one in use and one that is just being removed.
    assert most <= 6


# --- dying -------------------------------------------------------------------------------------

USES = (
    HEAD
    + """
@pytest.mark.distros("FIRST")
def test_long(machine, fresh_machine):
    note("began", fresh_machine.name)
    machine.run("sleep 600")

@pytest.mark.parametrize("n", range(8))
def test_short(machine, n):
    until = time.monotonic() + 60
    while n == 7 and not (STATE / "go").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert machine.run("cat /etc/alpine-release").ok
"""
)


@pytest.fixture
def using(product: Sessions) -> Sessions:
    """One test that takes long, and others, one of which waits for the file `go`."""
    product.tests(USES.replace("FIRST", product.distro))
    return product


def test_a_worker_killed_while_it_uses_machines_fails_its_test_alone(using: Sessions) -> None:
    process = using.begin("-n", "2")
    until(lambda: noted(using, "began"))
    [fresh] = noted(using, "began")
    assert fresh in all_names(using)
    node = f"tests/test_it.py::test_long[{using.distro}]"
    os.kill(using.pid(using.who_runs(node)), signal.SIGKILL)
    until(lambda: fresh not in all_names(using))  # what it had is given back at once
    (using.state / "go").touch()
    done = using.end(process)
    assert done.counts == {"passed": 16, "failed": 1}, done.said
    assert f"crashed while running '{node}'" in done.said


def all_names(product: Sessions) -> list[str]:
    return product.left()


@slow
def test_a_worker_killed_while_it_waits_for_a_place_leaves_it_to_others(product: Sessions) -> None:
    """As many tests as there are processors have machines; one more waits."""
    processors = os.cpu_count() or 1
    product.tests(
        HEAD
        + f"""
@pytest.mark.parametrize("n", range({processors + 1}))
@pytest.mark.distros("{product.distro}")
def test_it(machine, n):
    note("began", f"{{n}}")
    until = time.monotonic() + 60
    while not (STATE / "go").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert machine.run("true").ok
"""
    )
    process = product.begin("-n", str(processors + 1))
    until(lambda: len(noted(product, "began")) == processors)
    until(lambda: len(product.running()) == processors + 1)
    began = set(noted(product, "began"))
    waiting = next(
        worker
        for worker, node in product.running().items()
        if not any(f"-{n}]" in node or f"[{n}-" in node for n in began)
    )
    os.kill(product.pid(waiting), signal.SIGKILL)
    time.sleep(1)
    (product.state / "go").touch()
    done = product.end(process)
    assert done.counts["passed"] == processors, done.said
    assert done.counts["failed"] == 1, done.said


@pytest.mark.slow
def test_tests_of_a_machine_that_was_killed_are_errors_and_the_others_go_on(
    product: Sessions,
) -> None:
    product.tests(
        HEAD
        + """
@pytest.mark.parametrize("n", range(6))
def test_it(machine, distro, n):
    note("began", f"{distro.name} {machine.name}")
    until = time.monotonic() + 60
    while n == 2 and not (STATE / "go").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert machine.run("true").ok
"""
    )
    process = product.begin("-n", "2")
    until(lambda: any(line.startswith(f"{product.distro} ") for line in noted(product, "began")))
    names = dict(line.split() for line in noted(product, "began"))
    subprocess.run(["docker", "kill", names[product.distro]], check=True, capture_output=True)
    (product.state / "go").touch()
    done = product.end(process)
    assert done.counts.get("failed", 0) == 0, done.said
    assert done.counts["error"] >= 1, done.said
    assert done.counts["passed"] + done.counts["error"] == 12, done.said
    assert done.counts["passed"] >= 6, done.said  # all of the other distro
    for line in done.said.splitlines():
        assert not (line.startswith("ERROR tests/") and f"[{product.other}" in line), done.said


# --- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ("-n 2", signal.SIGINT),
        pytest.param("-n 2", signal.SIGTERM, marks=slow),
        pytest.param("-p no:xdist", signal.SIGINT, marks=slow),
        pytest.param("-p no:xdist", signal.SIGTERM, marks=slow),
    ],
)
def test_a_signal_ends_machines_within_seconds(
    using: Sessions, number: signal.Signals, options: str
) -> None:
    process = using.begin(*options.split())
    until(lambda: noted(using, "began"))
    os.killpg(process.pid, number)
    done = using.end(process)  # long before its test would end
    assert done.code == {signal.SIGINT: 2, signal.SIGTERM: 143}[number], done.said


def test_a_killed_sessions_machines_are_removed_by_the_next(using: Sessions) -> None:
    using.on_a_host_of_its_own()
    process = using.begin("-n", "2")
    until(lambda: noted(using, "began"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not using.processes(), 30)
    assert len(using.machines()) >= 2
    using.tests("def test_it(machine): assert machine.run('true').ok")
    done = using.pytest("-n", "2")
    assert done.counts["passed"] == 2, done.said
    assert using.machines() == []


@slow
def test_a_killed_sessions_machines_are_removed_by_clean(using: Sessions) -> None:
    process = using.begin("-n", "2")
    until(lambda: noted(using, "began"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not using.processes(), 30)
    assert using.call("clean").code == 0


@slow
def test_no_engine_is_one_error_for_the_session(using: Sessions) -> None:
    using.environ["DOCKER_HOST"] = f"unix://{using.short}/none.sock"
    done = using.pytest("-n", "2")
    assert done.code == 69, done.said
    assert done.said.count("cannot reach the engine") == 1, done.said
    assert "Traceback" not in done.said


# --- what users of pytest expect ---------------------------------------------------------------


@slow
def test_selection_reruns_and_reports_work_as_always(product: Sessions) -> None:
    product.tests(
        HEAD
        + """
def test_one(machine): machine.run("true")
def test_two(machine, distro): assert distro.name.endswith("-b")
def test_plain(): pass
"""
    )
    ids = product.pytest("-n", "auto", "--collect-only", "-q").ended.out.splitlines()
    one, two = product.distro, product.other
    assert ids[:5] == [  # as pytest sorts tests whose fixtures have parameters
        *(f"tests/test_it.py::{t}[{d}]" for d in (one, two) for t in ("test_one", "test_two")),
        "tests/test_it.py::test_plain",
    ]
    assert product.machines() == []
    file = product.root / "out.xml"
    done = product.pytest("-n", "auto", f"--junitxml={file}")
    assert (done.counts["passed"], done.counts["failed"]) == (4, 1), done.said
    found = done.junit(file)
    assert found[f"tests.test_it::test_two[{one}]"] == "failure"
    assert len(found) == 5
    done = product.pytest("-n", "auto", "--lf")
    assert product.ran() and {n for ns in product.ran().values() for n in ns} == {
        f"tests/test_it.py::test_two[{one}]"
    }, done.said
    done = product.pytest("-n", "auto", "-k", f"{two} and test_two")
    assert done.counts["passed"] == 1, done.said
