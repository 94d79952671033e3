"""Podman without root: an ordinary user, made for these tests, with no login session."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from breaking_world import until

from given import ROOT, alpine_or_pulled, unobtainable

pytestmark = [
    pytest.mark.engine,
    pytest.mark.podman,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root makes users; an ordinary one's Podman is rootless"
    ),
]
# As udev makes them everywhere; where no udev is, they may be root's alone.
DEVICES = (Path("/dev/net/tun"), Path("/dev/fuse"))
COPIED = ("runner", "tests", "examples", "distros", "pyproject.toml")


@dataclass
class Somebody:
    """A user, and how to run our Python as that user."""

    name: str
    uid: int
    home: Path
    python: str
    packages: Path

    def call(self, *args: str, cwd: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """`python -m …` as that user, who knows nothing of our environment."""
        given = {
            "HOME": str(self.home),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": f"{self.home}/project/runner:{self.packages}",
            "DISTROMATRIX_ARCHIVES": str(self.home / "archives"),
            "DISTROMATRIX_REQUIRE_ENGINE": "1",
            **environ,
        }
        words = [f"{key}={value}" for key, value in given.items()]
        command = ["runuser", "-u", self.name, "--", "env", "-i", *words, self.python, "-m"]
        return subprocess.run(
            [*command, *args],
            cwd=self.home / "project" / cwd,
            capture_output=True,
            text=True,
            check=False,
        )

    def may_read(self, path: Path) -> bool:
        reads = ["runuser", "-u", self.name, "--", "test", "-r", str(path)]
        return subprocess.run(reads, check=False).returncode == 0

    def processes(self) -> list[int]:
        listed = ["ps", "-o", "pid=", "-u", str(self.uid)]
        found = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
        return [int(pid) for pid in found.split()]

    def gone(self) -> bool:
        """End what runs as that user, and say whether nothing does any more."""
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left


@pytest.fixture(scope="module")
def devices() -> Iterator[None]:
    before = {device: device.stat().st_mode & 0o777 for device in DEVICES if device.exists()}
    for device in before:
        device.chmod(0o666)
    yield
    for device, mode in before.items():
        device.chmod(mode)


@pytest.fixture(scope="module")
def somebody(devices: None) -> Iterator[Somebody]:
    name = f"dm{secrets.token_hex(4)}"
    home = Path("/home") / name
    subprocess.run(["useradd", "-m", "-d", str(home), "-s", "/bin/sh", name], check=True)
    uid = int(subprocess.check_output(["id", "-u", name], text=True))
    try:
        made = Somebody(name, uid, home, "", Path(sysconfig.get_path("purelib")))
        made.python = _interpreter(made)
        _hand_over(made)
        yield made
    finally:
        until(made.gone, 20)
        subprocess.run(["userdel", "-r", name], check=True, capture_output=True)
        for left in ("podman-run", "storage-run", "distromatrix"):
            shutil.rmtree(f"/tmp/{left}-{uid}", ignore_errors=True)


def _interpreter(user: Somebody) -> str:
    """A Python of this version that the user may start; ours may lie in root's home."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    show = "import sys; print('%d.%d' % sys.version_info[:2])"

    def fits(python: str) -> bool:
        tried = ["runuser", "-u", user.name, "--", python, "-c", show]
        done = subprocess.run(tried, capture_output=True, text=True, cwd="/", check=False)
        return done.stdout.strip() == ours

    found = next(filter(fits, (sys.executable, f"/usr/bin/python{ours}", "/usr/bin/python3")), "")
    return found or unobtainable(f"no Python {ours} that an ordinary user may start")


def _hand_over(user: Somebody) -> None:
    project = user.home / "project"
    project.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".distromatrix")
            shutil.copytree(source, project / name, ignore=ignored)
        else:
            shutil.copy(source, project)
    (user.home / "archives").mkdir()
    shutil.copy(alpine_or_pulled(), user.home / "archives")
    if not user.may_read(user.packages / "pytest/__init__.py"):
        shutil.copytree(user.packages, user.home / "packages")
        user.packages = user.home / "packages"
    subprocess.run(["chown", "-R", f"{user.name}:", str(user.home)], check=True)


def test_doctor_finds_a_users_own_podman_fit(somebody: Somebody) -> None:
    said = somebody.call("distromatrix", "doctor", "--engine", "podman").stdout
    lines = {" ".join(line.split()) for line in said.splitlines()}
    assert any(line.startswith("ok container engine Podman ") for line in lines), said
    where = f"/tmp/distromatrix-{somebody.uid}/podman.sock (rootless, this user's own)"
    assert f"ok rights on the socket {where}" in lines, said
    assert f"ok user ids {somebody.name} has a range for containers" in lines
    assert "ok storage driver overlay" in lines
    if "! cgroup version 1" in lines:
        assert "a rootless engine bounds neither memory nor processes nor cpus with it" in lines


def test_the_contract_holds_without_root(somebody: Somebody) -> None:
    done = somebody.call(
        *("pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "-m", "podman"),
        "tests/contract",
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_example_says_without_root_what_it_says_with(somebody: Somebody) -> None:
    done = somebody.call(
        *("distromatrix", "run", "--engine", "podman", "alpine-3.20"), cwd="examples/logtally"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed  x 3 xfailed" in done.stdout


@pytest.mark.slow
def test_all_of_the_example_says_without_root_what_it_says_with(somebody: Somebody) -> None:
    done = somebody.call("distromatrix", "run", "--engine", "podman", cwd="examples/logtally")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 passed  x 6 xfailed" in done.stdout


@pytest.mark.slow
def test_a_hostile_product_gets_nothing_without_root(somebody: Somebody) -> None:
    done = somebody.call(
        *("pytest", "-q", "-p", "no:cacheprovider", "-k", "podman"),
        "tests/integration/trust/test_hostile_product.py",
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
