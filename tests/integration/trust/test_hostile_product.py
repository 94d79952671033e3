"""A product that tries all it can, on each engine: nothing gets out, and nothing is believed."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import hostile
import pytest
from breaking_world import Ended, Project
from hostile import ATTACKS, CANARY, SECRET, planted, spellings

from distromatrix.collect.artifacts import LIMIT_BYTES
from distromatrix.engines import open_engine
from distromatrix.project.project import host_facts
from given import alpine_or_pulled, unobtainable

pytestmark = pytest.mark.engine
ENGINES = [
    "docker",
    pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.slow]),
    pytest.param("qemu", marks=[pytest.mark.guest, pytest.mark.slow]),
    pytest.param("vagrant", marks=[pytest.mark.guest, pytest.mark.slow]),
]
GUESTS = ("qemu", "vagrant")


class Listener:
    """Something on the host's loopback that is nobody's business; `reached` counts."""

    def __init__(self) -> None:
        self.reached = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            self.reached += 1
            with one, suppress(OSError):
                one.sendall(b"the host\n")

    def close(self) -> None:
        self._socket.close()


class Told:
    """What came of the run of the product on one engine."""

    def __init__(self, suites: Collection[str], project: Project, listener: Listener) -> None:
        self.suites, self.project, self.listener = {*suites}, project, listener
        self.ended: Ended = project.call("run", "-j", "6", "--retries", "0", timeout=3000)
        assert project.journal(), self.ended.said
        self.results = project.results()
        self.folder = project.latest

    def cell(self, suite: str) -> Path:
        return next(self.folder.glob(f"cells/*/{suite}"))


def _bounds(name: str) -> bool:
    """Whether that engine bounds processes, which one of a user's own does by cgroup v2 alone."""
    if name in GUESTS:
        return True
    engine = open_engine(name)
    try:
        facts = engine.facts()
    finally:
        engine.close()
    return not facts.rootless or facts.cgroup_version == "2"


@pytest.fixture(scope="module", params=ENGINES)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    engine = request.param
    root = tmp_path_factory.mktemp("hostile") / "p"
    made = Project(root, alpine_or_pulled().parent)
    suites = hostile.matrix(engine, bounds=_bounds(engine))
    listener = Listener()
    keys = {"distros": [made.distro]}
    if engine in GUESTS:
        if why := host_facts().guests[engine]:
            unobtainable(why)
        keys = {"distros": ["debian-12"]}
    else:
        made.engine = engine
    planted(root)
    memory = "512M" if engine in GUESTS else "64M"
    made.suites(
        suites,
        **keys,
        env={"PORT": str(listener.port)},
        pass_env=["TOKEN"],
        defaults={"memory": memory, "timeout": "1m", "network": False},
    )
    made.environ = {"TOKEN": SECRET, "GITHUB_ACTIONS": "true"}
    Path(CANARY).unlink(missing_ok=True)
    try:
        yield Told(suites, made, listener)
    finally:
        listener.close()
        made.clean()
        Path(CANARY).unlink(missing_ok=True)


def test_the_run_comes_to_its_end_and_is_red(told: Told) -> None:
    assert told.ended.code in (1, 69), told.ended.said
    assert "Traceback" not in told.ended.said
    assert set(told.results) == told.suites


def test_each_attack_comes_to_what_it_is(told: Told) -> None:
    others = {}
    for name, cell in told.results.items():
        attack = ATTACKS[name]
        if cell["verdict"] not in attack.verdict or attack.says not in cell["reason"]:
            log = (told.cell(name) / "log.txt").read_bytes()
            others[name] = (cell["verdict"], cell["reason"], log[-500:])
    assert others == {}


def test_nothing_of_the_host_was_touched(told: Told) -> None:
    assert not Path(CANARY).exists()
    assert told.listener.reached == 0


def test_what_came_back_is_files_below_the_cells(told: Told) -> None:
    for path in told.folder.rglob("*"):
        state = path.lstat()
        assert stat.S_ISDIR(state.st_mode) or stat.S_ISREG(state.st_mode), path
        assert state.st_mode & 0o7022 == 0, path
        assert state.st_size <= LIMIT_BYTES, path
    assert (told.cell("good") / "artifacts/kept").read_text() == "kept\n"
    assert told.results["good"]["verdict"] == "passed"


def test_git_runs_nothing_of_artifacts(told: Told) -> None:
    """Whoever looks around there calls it as it is."""
    inside = told.cell("git-folder") / "artifacts"
    for place in (inside, inside / "bare"):
        if place.exists():
            subprocess.run(["git", "-C", place, "status"], capture_output=True, check=False)
    assert not Path(CANARY).exists()


def leaks(told: Told, names: Collection[str], *, artifacts: bool) -> set[str]:
    """Where the secret is stored or shown, in such spellings."""
    found = set()
    files = {
        str(path.relative_to(told.folder)): path.read_bytes()
        for path in told.folder.rglob("*")
        if path.is_file() and (artifacts or "artifacts" not in path.parts)
    }
    for place, data in {**files, "output": told.ended.said.encode()}.items():
        found |= {f"{name} in {place}" for name in names if spellings()[name] in data}
    return found


def test_no_secret_is_stored_or_shown(told: Told) -> None:
    assert leaks(told, ("plain", "JSON", "XML"), artifacts=False) == set()


def test_no_secret_is_stored_or_shown_however_it_is_spelt(told: Told) -> None:
    found = leaks(told, spellings(), artifacts=True)
    # Without a mark that says so, UTF-16 is no text to anybody: it is told of, and kept.
    kept = {
        one for one in found if one.startswith("UTF-16 in ") and one.endswith("/artifacts/wide")
    }
    assert found == kept
    assert "wide holds a secret that was handed in" in told.ended.said


def test_nothing_that_is_shown_is_obeyed(told: Told) -> None:
    shown = [told.ended.said]
    for words in ("report", "report --summary", "plan"):
        shown.append(told.project.call(*words.split()).said)
    for text in shown:
        assert "\033]0;" not in text
        assert "\033[2J" not in text
        assert "\x07" not in text
        assert not re.search(r"(?m)^\s*::(set-env|error::x)", text)
        assert "##[" not in text


def test_nothing_is_left_on_the_engine(told: Told) -> None:
    assert told.project.left() == []
    ended = told.project.call("clean")
    assert ended.code == 0, ended.said
