"""What the tests of commands share: a project, and the command on the fake engine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import DISTRO, MATRIX, Cli, Said
from homes import set_homes
from pytest_world import World

from distromatrix.cli import main
from distromatrix.testing.bench import rendezvous
from given import FEW_PLUGINS
from quick_python import quick_python


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for folder in ("matrix", "distros"):
        (root / folder).mkdir(parents=True)
    (root / "matrix/default.yaml").write_text(MATRIX)
    for name in ("one", "two"):
        (root / f"distros/{name}.yaml").write_text(DISTRO.replace("NAME", name))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def cli(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    set_homes(monkeypatch, tmp_path)
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path / "fake"))
    monkeypatch.setenv("COLUMNS", "100")
    # Not those of sessions that other tests kill at the same time: `clean` would tell of them.
    monkeypatch.setattr(rendezvous, "_places", lambda: (str(tmp_path),))
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}

    def call(*args: str) -> Said:
        monkeypatch.setattr("sys.argv", ["distromatrix", *args])
        with pytest.raises(SystemExit) as ended:
            main([*args])
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have sessions of pytest and their workers forked: those of pytester, and in machines of the
    fake engine what calls `quick-python`."""
    program = quick_python()
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setenv("PATH", f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def world(
    quick: None,
    pytester: pytest.Pytester,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """A product in which pytest is started, on a fake engine of its own."""
    made = World(pytester)
    set_homes(monkeypatch, tmp_path_factory.mktemp("xdg"))
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(made.fake))
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("PYTEST_ADDOPTS", f"{FEW_PLUGINS} -p no:pytest11.testinfra")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "CI"):
        monkeypatch.delenv(name, raising=False)
    return made
