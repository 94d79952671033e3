"""Sessions of pytest as a user starts them, with real workers and real machines; and whether
anything of them is left afterwards."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breaking_world import Ended, Project, ended, until

from distromatrix.engines.contract import LABEL_FOLDER
from given import FEW_PLUGINS

FILE = "matrix/default.yaml"
CONFTEST = """
import os, pathlib, pytest

STATE = pathlib.Path(os.environ["STATE"])
ME = os.environ.get("PYTEST_XDIST_WORKER", "main")

def pytest_sessionstart(session):
    (STATE / f"{ME}.pid").write_text(str(os.getpid()))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    (STATE / f"{ME}.runs").write_text(item.nodeid)
    with (STATE / f"{ME}.ran").open("a") as out:
        out.write(item.nodeid + "\\n")
    try:
        return (yield)
    finally:
        (STATE / f"{ME}.runs").unlink()
"""


@dataclass
class Sessions(Project):
    """A product that is tested by pytest. Each worker says in `state` who it is and what it
    runs; temporary files have a folder of their own, so that one sees what stays in it."""

    short: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="dm-")))

    def __post_init__(self) -> None:
        super().__post_init__()
        (self.root / "tests").mkdir()
        self.state.mkdir()
        self.temporary.mkdir()
        self.environ["TMPDIR"] = str(self.temporary)
        (self.root / "conftest.py").write_text(CONFTEST)
        self.ini()

    @property
    def other(self) -> str:
        """The name of a second distro, with which its images go as well."""
        return f"{self.distro}-b"

    @property
    def state(self) -> Path:
        return self.short / "state"

    @property
    def temporary(self) -> Path:
        return self.short / "tmp"

    def ini(self, *lines: str) -> None:
        text = "\n".join(("[pytest]", f"distromatrix = {FILE}", *lines, ""))
        (self.root / "pytest.ini").write_text(text)

    def tests(self, text: str, name: str = "test_it.py") -> None:
        (self.root / "tests" / name).write_text(text)

    def of(self, *cells: str) -> list[str]:
        """Node ids of cells."""
        return [f"{FILE}::{cell}" for cell in cells]

    # --- sessions ------------------------------------------------------------------------------

    def begin(self, *args: str, python: str = sys.executable, **how: Any) -> subprocess.Popen[str]:
        """pytest, begun, in a process group of its own, as a shell starts it."""
        self.lend()
        shutil.rmtree(self.state)
        self.state.mkdir()
        inherited = {k: v for k, v in self._environ.items() if not k.startswith("PYTEST_")}
        given: dict[str, Any] = {
            "env": {**inherited, "STATE": str(self.state), "PYTEST_ADDOPTS": FEW_PLUGINS},
            "cwd": self.root,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "process_group": 0,
            **how,
        }
        return subprocess.Popen([python, "-m", "pytest", *args], **given)

    def pytest(self, *args: str, timeout: float = 240.0) -> Session:
        """pytest, to its end."""
        return self.end(self.begin(*args, python=self.python()), timeout)

    def end(self, process: subprocess.Popen[str], timeout: float = 180.0) -> Session:
        """Wait for one that was begun."""
        try:
            return Session(ended(process, timeout))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"it did not end:\n{out}\n{err}") from None

    # --- while one runs ------------------------------------------------------------------------

    def running(self) -> dict[str, str]:
        """What each process runs at this moment: node ids by worker (`main`, `gw0`, …)."""
        found = {}
        for file in self.state.glob("*.runs"):
            with suppress(FileNotFoundError):
                found[file.stem] = file.read_text()
        return found

    def who_runs(self, node: str) -> str:
        """The worker that runs it; waits until one does."""

        def runners() -> list[str]:
            return [worker for worker, runs in self.running().items() if runs == node]

        until(runners)
        return runners()[0]

    def pid(self, worker: str) -> int:
        return int((self.state / f"{worker}.pid").read_text())

    def ran(self) -> dict[str, list[str]]:
        """What each process has begun, in order."""
        return {f.stem: f.read_text().split("\n")[:-1] for f in self.state.glob("*.ran")}

    def machines(self) -> list[str]:
        """Ids of this product's containers, as the engine itself tells them."""
        done = subprocess.run(
            [
                "docker",
                "ps",
                "--filter",
                f"label={LABEL_FOLDER}",
                "--format",
                "{{.ID}} {{.Labels}}",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        ours = f"{LABEL_FOLDER}={self.root}/"
        return [line.split()[0] for line in done.stdout.splitlines() if ours in line]

    # --- afterwards ----------------------------------------------------------------------------

    def processes(self) -> list[str]:
        """Command lines of processes that this product's sessions have left."""
        found = []
        for proc in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"STATE={self.state}\0".encode() in (proc / "environ").read_bytes():
                    words = (proc / "cmdline").read_bytes().replace(b"\0", b" ")
                    if words:  # no zombie
                        found.append(words.decode(errors="replace"))
        return found

    def remains(self) -> list[str]:
        """Everything that should not be there after a session."""
        folder = self.root / ".distromatrix"
        return [
            *self.left(),
            *self.processes(),
            *(str(p) for p in self.temporary.iterdir() if not p.name.startswith("pytest-of-")),
            *(
                str(p)
                for kind in ("sessions", "shells", "builds")
                for p in (folder / kind).glob("*")
            ),
        ]

    def clean(self) -> None:
        for file in self.state.glob("*.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        super().clean()
        shutil.rmtree(self.short, ignore_errors=True)


@dataclass(frozen=True)
class Session:
    """A session that has ended."""

    ended: Ended

    @property
    def code(self) -> int:
        return self.ended.code

    @property
    def said(self) -> str:
        return self.ended.said

    @property
    def counts(self) -> Mapping[str, int]:
        """pytest's last line: `{"passed": 3, "failed": 1}`; errors as `error`."""
        lines = [line for line in self.ended.out.splitlines() if re.search(r" in [\d.:]+", line)]
        found = re.findall(r"(\d+) (passed|failed|error|skipped|xfailed|deselected)", lines[-1])
        return {kind: int(number) for number, kind in found}

    def junit(self, file: Path) -> dict[str, str]:
        """What a JUnit file says: `passed`, `failure`, `error` or `skipped` by name."""
        cases = ET.parse(file).getroot().iter("testcase")
        return {
            f"{c.get('classname')}::{c.get('name')}": next(
                (child.tag for child in c if child.tag in ("failure", "error", "skipped")), "passed"
            )
            for c in cases
        }
