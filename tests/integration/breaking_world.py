"""A product of its own for each test, on real Alpine, and the command as a user calls it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from lent_alpine import lend_alpine

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_DISTRO, Engine
from distromatrix.errors import InfrastructureError
from given import alpine_or_pulled
from quick_python import quick_python

RUNNER = Path(__file__).parents[2] / "runner"


@dataclass
class Project:
    """A product with a matrix, and what `distromatrix` makes of it."""

    root: Path
    archives: Path
    distro: str = field(default_factory=lambda: f"box-{secrets.token_hex(4)}")
    environ: dict[str, str] = field(default_factory=dict)
    engine: str = "docker"
    before: tuple[str, ...] = ()  # what stands before each command, such as nsenter
    forked: bool = True  # whether what runs to its end is (quick_python.py)
    named: set[str] = field(default_factory=set)  # its distros
    alpines: set[str] = field(default_factory=set)  # of them, what no engine has been asked for

    def __post_init__(self) -> None:
        for name in ("matrix", "distros"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "hello").write_text("hello\n")
        self.add_distro(self.distro)

    def add_distro(self, name: str, archive: str = "", sha256: str = "", **keys: Any) -> None:
        if not archive:
            alpine = alpine_or_pulled()
            archive, sha256 = alpine.name, hashlib.sha256(alpine.read_bytes()).hexdigest()
        self.named.add(name)
        self.alpines.discard(name)
        if not archive and "image" not in keys:
            self.alpines.add(name)
        body = {
            "title": name,
            "family": "alpine",
            "package_manager": "apk",
            "libc": "musl",
            "image": [{"archive": {"file": archive, "sha256": sha256}}],
            **keys,
        }
        (self.root / "distros" / f"{name}.yaml").write_text(yaml.safe_dump(body))

    def suites(self, suites: Mapping[str, Any], **matrix: Any) -> None:
        """Write the matrix; a suite is its `run`, or all of its keys."""
        full = {n: s if isinstance(s, dict) else {"run": s} for n, s in suites.items()}
        body = {
            "product": ".",
            "distros": [self.distro],
            "defaults": {"network": False, "memory": "64M", "timeout": "1m"},
            "suites": full,
            **matrix,
        }
        (self.root / "matrix/default.yaml").write_text(yaml.safe_dump(body))

    @property
    def _environ(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DISTROMATRIX_")}
        return {
            **inherited,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(RUNNER), os.getenv("PYTHONPATH")))),
            "DISTROMATRIX_ARCHIVES": str(self.archives),
            "DISTROMATRIX_ENGINE": self.engine,
            "DISTROMATRIX_TRUST": "all",
            **self.environ,
        }

    def on_a_host_of_its_own(self) -> str:
        """Its commands take this host for another from then on, whose name this is: what they
        leave behind is swept by them alone, and by no run beside this test."""
        name = f"host-{secrets.token_hex(6)}"
        folder = self.root.parent / name
        folder.mkdir()
        told = "import distromatrix.files.user_folders as here"
        told += f"\nhere.host_name = lambda: {name!r}\n"
        (folder / "sitecustomize.py").write_text(told)
        self.forked = False  # no such file is read then
        self.environ["PYTHONPATH"] = os.pathsep.join((str(folder), self._environ["PYTHONPATH"]))
        return name

    def start(self, *args: str, python: str = sys.executable, **how: Any) -> subprocess.Popen[str]:
        """The command, begun in the project's folder; its output is read by `ended`."""
        self.lend()
        command = [*self.before, python, "-m", "distromatrix", *args]
        pipe = subprocess.PIPE
        given = {
            "stdout": pipe,
            "stderr": pipe,
            "text": True,
            "env": self._environ,
            "cwd": self.root,
            **how,
        }
        return subprocess.Popen(command, **given)

    def lend(self) -> None:
        """Give its distros the Alpine that Docker has."""
        if self.alpines and self.engine == "docker" and "DOCKER_HOST" not in self.environ:
            lend_alpine(self.alpines)
            self.alpines.clear()

    def python(self) -> str:
        """What runs to its end is started by."""
        return quick_python() if self.forked and not self.before else sys.executable

    def call(self, *args: str, input: str | None = None, timeout: float = 600.0) -> Ended:
        """The command, to its end."""
        process = self.start(*args, python=self.python(), stdin=subprocess.PIPE)
        out, err = process.communicate(input, timeout)
        return Ended(process.returncode, out, err)

    def every_result(self) -> list[dict[str, Any]]:
        """Cells of the latest run."""
        cells: list[dict[str, Any]] = json.loads((self.latest / "results.json").read_text())[
            "cells"
        ]
        return cells

    def results(self) -> dict[str, dict[str, Any]]:
        """Cells of the latest run by the name of their suite."""
        return {c["id"].partition("/")[2]: c for c in self.every_result()}

    @property
    def latest(self) -> Path:
        return (self.root / ".distromatrix/runs/latest").resolve()

    def log(self, suite: str) -> str:
        file = self.latest / "cells" / self.distro / suite / "log.txt"
        return file.read_text(errors="replace")

    def journal(self) -> str:
        try:
            return (self.latest / "journal.jsonl").read_text()
        except FileNotFoundError:
            return ""

    def left(self, *, layers: bool = False) -> list[str]:
        """Names of what carries this project's labels on the engine, but for (or: only) what is
        kept of the product on purpose."""
        engine = open_engine(self.engine)
        try:
            ours = str(self.root / ".distromatrix")
            left = [one for one in engine.leftovers() if one.folder.startswith(ours)]
            return [one.name for one in left if (one.kind == "layer") == layers]
        finally:
            engine.close()

    def clean(self) -> None:
        """Everything of this project goes from the engine."""
        engine = open_engine(self.engine)
        for _ in range(3):  # a volume in use goes after its machine
            for one in engine.leftovers():
                if one.folder.startswith(str(self.root)):
                    with suppress(InfrastructureError):
                        engine.remove(one)
        for name in self.named:
            if self.distro in name:
                remove_images(engine, LABEL_DISTRO, name)
        engine.close()
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def remove_images(engine: Engine, label: str, value: str) -> None:
    """Those of ours go that carry a label."""
    tags = {image.tag for image in engine.images.list({label: value})}
    for tag in sorted(tags, reverse=True):  # prepared ones first, which stand on their base
        engine.images.remove(tag)


def ended(process: subprocess.Popen[str], timeout: float = 180.0) -> Ended:
    """Wait for a command that was begun."""
    out, err = process.communicate(timeout=timeout)
    return Ended(process.returncode, out or "", err or "")


def until(what: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait until it is true; it must become so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def killed(process: subprocess.Popen[str]) -> None:
    """kill -9."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


@dataclass
class PrivateEngine:
    """A dockerd of its own, that may be killed, frozen, or run out of disk."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/d.sock"


def private_engine(
    folder: Path, data_root: Path, driver: str = "vfs", *, bridge: bool = False
) -> Iterator[PrivateEngine]:
    """Start one, with its state in `folder` (a short path: sockets) and its data in another.
    It has a network of its own, without any way out; `bridge`: its containers have one too."""
    command = [
        # In a network of its own: with --bridge none dockerd removes the docker0 that it finds.
        *("unshare", "--net"),
        *("dockerd", "-H", f"unix://{folder}/d.sock", "--data-root", str(data_root)),
        *("--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
        *(() if bridge else ("--bridge", "none")),
        *("--iptables=false", "--ip-masq=false", "--storage-driver", driver),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    engine = PrivateEngine(folder, process)
    try:
        until((folder / "d.sock").exists, 30)
        environ = {**os.environ, "DOCKER_HOST": engine.host}
        asked = ["docker", "info"]

        def answers() -> bool:
            return (
                subprocess.run(asked, env=environ, capture_output=True, check=False).returncode == 0
            )

        until(answers, 30)
        yield engine
    finally:
        _end(folder, process)


def _end(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """dockerd, its containerd, and its containers' shims with what runs below them."""
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (proc / "cmdline").read_bytes():
                pid = int(proc.name)
                children = (proc / "task" / proc.name / "children").read_text().split()
                for one in (*map(int, children), pid):
                    os.kill(one, signal.SIGKILL)
        except OSError:
            continue
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if str(folder) in line:
            subprocess.run(["umount", "-l", line.split()[1]], check=False, capture_output=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of that size, at `folder`; only root can make one."""
    if os.geteuid() != 0:
        pytest.skip("not root: no disk of one's own can be mounted")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "x", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
