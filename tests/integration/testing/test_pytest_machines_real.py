"""Tests with machines of their own, in real containers, by workers of pytest-xdist."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.engines.docker.engine import DockerEngine
from given import FEW_PLUGINS, ROOT, alpine_or_pulled
from quick_python import quick_python

pytestmark = pytest.mark.engine

MATRIX = """\
product: .
distros: [alpine-3.20, debian-12]
suites:
  made: {setup: echo made >here, run: 'true', user: 1234:1234, network: false}
  hungry: {run: 'true', memory: 64M}
"""


class Session:
    """A folder in which pytest is started, and what it left on the engine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("matrix", "tests"):
            (root / name).mkdir(exist_ok=True)

    def write(self, text: str, name: str = "test_it") -> None:
        (self.root / f"tests/{name}.py").write_text("import pytest\n" + text)

    def run(self, *args: str) -> tuple[int, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        environment["DISTROMATRIX_ARCHIVES"] = str(alpine_or_pulled().parent)
        environment["PYTEST_ADDOPTS"] = FEW_PLUGINS
        done = subprocess.run(
            [quick_python(), "-m", "pytest", "-n2", "-q", *args],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Warning" not in said, said  # such as of a connection that nobody closed
        return done.returncode, said

    def left(self) -> list[str]:
        engine = DockerEngine()
        try:
            left = [one for one in engine.leftovers() if one.folder.startswith(str(self.root))]
            return [one.name for one in left if one.kind != "layer"]  # which is kept on purpose
        finally:
            engine.close()

    def clean(self) -> None:
        engine = DockerEngine()
        for one in engine.leftovers():
            if one.folder.startswith(str(self.root)):
                engine.remove(one)
        engine.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)
    yield made
    made.clean()


@pytest.mark.slow
def test_the_example_passes_on_every_distribution(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "examples/spoolkeep",
        tmp_path / "spoolkeep",
        ignore=shutil.ignore_patterns(".distromatrix", ".pytest_cache", "__pycache__"),
    )
    session = Session(tmp_path / "spoolkeep")
    code, said = session.run("-k", "alpine or debian-12")
    assert code == 0, said
    assert "\n22 passed" in said
    assert not session.left()


def test_commands_and_files_are_the_machines_users(session: Session) -> None:
    session.write(
        "@pytest.mark.distros('*', suite='made')\n"
        "def test_it(machine, fresh_machine, tmp_path):\n"
        "    for one in (machine, fresh_machine):\n"
        "        assert one.run('id -u; cat here').stdout == '1234\\nmade\\n'\n"
        "        (tmp_path / 'f').mkdir(exist_ok=True); (tmp_path / 'f/x').write_text('x')\n"
        "        one.put(tmp_path / 'f', one.product + '/new/f')\n"
        "        one.run('echo y >>new/f/x', check=True)\n"
        "        assert one.get(one.product + '/new/f/x') == b'xy\\n'\n"
        "        with pytest.raises(PermissionError): one.get('/etc/shadow')\n"
        "        assert one.host.file(one.product + '/here').uid == 1234\n"
        "    assert machine.name != fresh_machine.name\n"
    )
    code, said = session.run()
    assert code == 0, said
    assert not session.left()


def test_a_machine_that_dies_makes_errors_and_the_others_go_on(session: Session) -> None:
    session.write(
        "import subprocess\n"
        "testinfra_hosts = ['distromatrix://*']\n"
        "@pytest.mark.parametrize('n', range(10))\n"
        "def test_it(host, machine, n):\n"
        "    if n == 3 and 'alpine' in repr(host):\n"
        "        subprocess.run(['docker', 'kill', machine.name], check=True)\n"
        "    assert host.run('echo hi').stdout == 'hi\\n'\n"
    )
    code, said = session.run()
    assert code == 1
    lines = said.splitlines()
    errors = [line for line in lines if line.startswith("ERROR tests/")]
    assert errors
    assert all("[alpine-3.20-" in line and "distromatrix-" in line for line in errors), said
    assert not [line for line in lines if line.startswith("FAILED")], said
    assert "Traceback" not in said
    summary = lines[-1]
    assert f"{20 - len(errors)} passed, {len(errors)} error" in summary
    assert not session.left()


def test_a_test_that_runs_out_of_the_machines_memory_fails(session: Session) -> None:
    session.write(
        "@pytest.mark.distros('debian-12', suite='hungry')\n"
        "def test_it(fresh_machine):\n"
        "    done = fresh_machine.run('x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done')\n"
        "    assert done.status == 0\n"
    )
    code, said = session.run()
    assert code == 1, said
    assert "1 failed" in said
    assert not session.left()
