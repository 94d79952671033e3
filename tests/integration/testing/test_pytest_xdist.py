"""The matrix inside pytest, with real workers of pytest-xdist and real containers: whatever
way a session goes, its answers are the same, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from breaking_world import until
from pytest_sessions import FILE, Sessions

from distromatrix.testing.schedule.durations import KEY

pytestmark = pytest.mark.engine
slow = pytest.mark.slow


@pytest.fixture
def product(sessions: Sessions) -> Sessions:
    """One whose matrix has two Alpines, a suite that passes and one that fails."""
    sessions.add_distro(sessions.other)
    sessions.suites(
        {"good": "sleep 1; echo fine", "bad": "echo broken; exit 3"},
        distros=[sessions.distro, sessions.other],
    )
    sessions.tests(
        "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_own(n): ...\n"
    )
    return sessions


def cells(product: Sessions, *suites: str) -> set[str]:
    return {
        *product.of(*(f"{d}/{s}" for d in (product.distro, product.other) for s in suites)),
    }


# --- how it is spread -------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "-n auto",
        pytest.param("-p no:xdist", marks=slow),
        pytest.param("-n 0", marks=slow),
        pytest.param("-n 8", marks=slow),
        pytest.param("-n 2 --dist worksteal", marks=slow),
        pytest.param("-n 2 --dist loadgroup", marks=slow),
    ],
)
def test_the_answers_are_the_same_however_it_is_spread(product: Sessions, options: str) -> None:
    done = product.pytest(*options.split())
    assert done.counts == {"passed": 22, "failed": 2}, done.said
    assert done.code == 1
    assert "broken" in done.said
    ran = [node for nodes in product.ran().values() for node in nodes]
    assert len(ran) == len(set(ran)) == 24  # each once, under its own name
    assert cells(product, "good", "bad") < set(ran)


@slow
def test_each_worker_runs_all_where_that_is_asked_for(product: Sessions) -> None:
    done = product.pytest("-n", "2", "--dist", "each")
    assert done.counts == {"passed": 44, "failed": 4}, done.said


@slow
def test_the_next_session_begins_what_took_long(product: Sessions) -> None:
    product.suites({name: f"sleep {n}" for n, name in enumerate(("a", "b", "c", "d"))})
    first = product.pytest("-n", "2")
    assert first.code == 0, first.said
    kept = json.loads((product.root / ".pytest_cache/v" / KEY).read_text())["seconds"]
    [d] = product.of(f"{product.distro}/d")
    assert 3 <= kept[d][0] < 10  # its own seconds, and not those of making its image
    again = product.pytest("-n", "2")
    assert again.counts == first.counts
    begun = product.ran()
    [c] = product.of(f"{product.distro}/c")
    assert {begun["gw0"][0], begun["gw1"][0]} == {c, d}


# --- what users of pytest expect under `-------------------------------------------------


@pytest.mark.slow
def test_last_failed_runs_the_failed_cells_alone(product: Sessions) -> None:
    product.pytest("-n", "auto")
    done = product.pytest("-n", "auto", "--lf")
    assert done.counts == {"failed": 2}, done.said
    assert {node for nodes in product.ran().values() for node in nodes} == cells(product, "bad")


@slow
def test_expressions_and_marks_select_cells(product: Sessions) -> None:
    done = product.pytest("-n", "auto", "-k", f"{product.other} and good")
    assert done.counts["passed"] == 1, done.said
    done = product.pytest("-n", "auto", "-m", "musl", "-k", "good")
    assert done.counts["passed"] == 2, done.said
    assert product.pytest("-n", "auto", "-m", "glibc").code == 5


@slow
def test_junit_has_every_cell_with_its_own_seconds(product: Sessions) -> None:
    file = product.root / "out.xml"
    done = product.pytest("-n", "auto", f"--junitxml={file}")
    found = done.junit(file)
    assert sum(said == "failure" for said in found.values()) == 2, found
    assert sum(said == "passed" for said in found.values()) == 22, found
    assert len(found) == 24


def test_collecting_starts_nothing(product: Sessions) -> None:
    done = product.pytest("-n", "auto", "--collect-only", "-q")
    assert cells(product, "good", "bad") < set(done.ended.out.splitlines())
    assert not (product.root / ".distromatrix").exists()
    assert product.machines() == []


@slow
def test_only_what_lies_within_the_arguments_is_collected(product: Sessions) -> None:
    done = product.pytest("-n", "auto", "tests/test_it.py")
    assert done.counts == {"passed": 20}
    assert not (product.root / ".distromatrix").exists()


# --- stopping -------------------------------------------------


@slow  # on a machine under heavy load the failing cell once came last
@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_the_first_failure_stops_the_session(sessions: Sessions, option: str) -> None:
    sessions.suites({"bad": "sleep 1; exit 1", **{f"s{n}": "sleep 3" for n in range(12)}})
    done = sessions.pytest("-n", "2", "-rs", option)
    assert done.counts["failed"] == 1, done.said
    # What the other worker ran comes to its end; what it was handed besides does not begin.
    assert done.counts.get("passed", 0) <= 1, done.said
    assert "not begun: stopping after 1 failures" in done.said
    assert done.code == 2


@pytest.fixture
def long(product: Sessions) -> Sessions:
    """One with cells that take long, and tests that do not."""
    product.suites({"one": "sleep 600", "two": "sleep 601", "quick": "echo fine"})
    return product


def under_test(product: Sessions) -> bool:
    """Two cells run in their containers."""
    return product.journal().count('"phase":"run"') >= 2


@pytest.mark.parametrize(
    ("number", "code", "whole_group"),
    [
        (signal.SIGINT, 2, True),
        pytest.param(signal.SIGINT, 2, False, marks=slow),
        pytest.param(signal.SIGTERM, 143, True, marks=slow),
        pytest.param(signal.SIGTERM, 143, False, marks=slow),
    ],
    ids=["Ctrl-C", "SIGINT to the controller", "SIGTERM to the group", "SIGTERM"],
)
def test_a_signal_ends_all_within_seconds(
    long: Sessions, number: signal.Signals, code: int, whole_group: bool
) -> None:
    process = long.begin("-n", "2")
    until(lambda: under_test(long))
    (os.killpg if whole_group else os.kill)(process.pid, number)
    done = long.end(process)  # long before its cells would end
    assert done.code == code, done.said
    assert "Traceback" not in done.said


@slow
def test_a_second_interrupt_leaves_nothing_that_is_not_found_again(long: Sessions) -> None:
    process = long.begin("-n", "2")
    until(lambda: under_test(long))
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.2)
    with_second = True
    try:
        os.killpg(process.pid, signal.SIGINT)
    except ProcessLookupError:
        with_second = False
    long.end(process)
    if with_second:
        long.call("clean")
    until(lambda: not long.processes(), 15)


@slow
def test_without_workers_an_interrupt_ends_all(long: Sessions) -> None:
    process = long.begin("-p", "no:xdist")
    until(lambda: '"phase":"run"' in long.journal())
    os.kill(process.pid, signal.SIGINT)
    done = long.end(process)
    assert done.code == 2, done.said


# --- dying -------------------------------------------------


def test_a_worker_killed_while_it_runs_a_cell_fails_that_cell_alone(product: Sessions) -> None:
    product.suites({"long": "sleep 600", **{f"s{n}": "sleep 0.3" for n in range(4)}})
    [node] = product.of(f"{product.distro}/long")
    process = product.begin("-n", "2")
    worker = product.who_runs(node)
    until(lambda: '"phase":"run"' in product.journal())
    os.kill(product.pid(worker), signal.SIGKILL)
    done = product.end(process)
    assert done.counts == {"passed": 24, "failed": 1}, done.said
    assert f"crashed while running '{node}'" in done.said


@slow
def test_a_worker_killed_while_it_waits_for_a_place_gives_up_its_turn(product: Sessions) -> None:
    """A cell that declares all there is runs alone: the other worker waits."""
    both = {"run": "sleep 5", "cpus": 1024}
    product.suites({"one": both, "two": both})
    nodes = product.of(f"{product.distro}/one", f"{product.distro}/two")
    process = product.begin("-n", "2", FILE)
    workers = {node: product.who_runs(node) for node in nodes}
    until(lambda: '"phase":"run"' in product.journal())
    running = "one" if f'{product.distro}/one","phase":"run"' in product.journal() else "two"
    waiting = next(node for node in nodes if not node.endswith(running))
    os.kill(product.pid(workers[waiting]), signal.SIGKILL)
    done = product.end(process)
    assert done.counts == {"passed": 1, "failed": 1}, done.said
    assert f"crashed while running '{waiting}'" in done.said


@pytest.mark.alone
def test_when_the_controller_is_killed_workers_end_and_the_next_session_cleans_up(
    long: Sessions,
) -> None:
    process = long.begin("-n", "2")
    until(lambda: under_test(long))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not long.processes(), 30)
    assert long.left()
    for stray in long.temporary.glob("distromatrix-*"):  # no one can remove it after kill -9
        assert not [p for p in stray.iterdir() if not p.is_socket()]
    long.suites({"quick": "echo fine"})
    assert long.pytest("-n", "2").code == 0
    assert long.left() == []


@slow
def test_what_a_killed_controller_left_is_removed_by_clean(long: Sessions) -> None:
    process = long.begin("-n", "2")
    until(lambda: under_test(long))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not long.processes(), 30)
    assert long.call("clean").code == 0
    assert long.left() == []


# --- what is not there -------------------------------------------------


def test_no_engine_is_one_error_for_the_session(product: Sessions) -> None:
    product.environ["DOCKER_HOST"] = f"unix://{product.short}/none.sock"
    done = product.pytest("-n", "2")
    assert done.code == 69, done.said
    assert done.said.count("cannot reach the engine") == 1, done.said
    assert "Traceback" not in done.said


@slow
def test_an_image_that_cannot_be_had_is_an_error_of_its_cells_and_tried_once(
    product: Sessions,
) -> None:
    product.add_distro("nowhere", archive="none.tar.gz", sha256="0" * 64)
    product.suites(
        {"one": "true", "two": "true", "three": "true"}, distros=[product.distro, "nowhere"]
    )
    done = product.pytest("-n", "3", FILE)
    assert done.counts == {"passed": 3, "error": 3}, done.said


def test_faults_of_the_matrix_are_told_once(product: Sessions) -> None:
    (product.root / FILE).write_text(
        "product: .\ndistros: [nothing-like-it]\nsuites: {a: {rum: b}}\n"
    )
    done = product.pytest("-n", "3")
    assert done.code == 4
    assert done.said.count("rum") == 1
    assert "Traceback" not in done.said


# --- strict products, and readers that go away ---------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "-n 2 --dist loadfile --junitxml=j.xml",
        *(pytest.param(option, marks=slow) for option in ("-p no:xdist", "-n 2")),
    ],
)
def test_a_strict_product_sees_no_warning_of_ours(product: Sessions, options: str) -> None:
    """Such as of a socket that was not closed."""
    product.suites({"good": "true", "other": "true"}, distros=[product.distro])
    product.ini(
        "filterwarnings = error",
        "xfail_strict = true",
        "addopts = --strict-markers --strict-config",
    )
    done = product.pytest("-W", "error::ResourceWarning", *options.split())
    assert (done.code, done.counts) == (0, {"passed": 22}), done.said
    assert "Warning" not in done.said


def test_a_session_whose_reader_goes_away_leaves_nothing(product: Sessions) -> None:
    session = product.begin("-n", "2", "-v")
    assert session.stdout is not None
    assert session.stdout.readline()
    session.stdout.close()
    until(lambda: session.poll() is not None)
    until(lambda: not product.left())
