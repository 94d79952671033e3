"""`run --export` and `shell --from`, as a user calls them. The fake engine plays all of them."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_world import Cli, Said

from distromatrix.cli.shell import from_file
from distromatrix.engines import open_engine
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.files.user_folders import cache_folder
from distromatrix.model import Kept
from distromatrix.record.folder import SHELLS, RunFolder

MATRIX = """\
product: .
distros: [one]
suites:
  bad: {run: 'echo trace >left-here; false', env: {COLOUR: light green}}
  kernel: {run: 'echo trace >left-here; false', needs: [kernel-modules]}
"""
LOOK = "cat left-here; echo $COLOUR $DISTROMATRIX_CELL $DISTROMATRIX_ENGINE; exit 7"


@pytest.fixture(autouse=True)
def _matrix(project: Path) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)


@pytest.fixture
def elsewhere(piped: Callable[..., Said], project: Path, tmp_path: Path) -> Callable[[str], Path]:
    """What a suite's machine was exported to, in another folder."""

    def export(suite: str) -> Path:
        said = piped("", "run", f"*/{suite}", "--export", "failed")
        assert said.code == 1
        (cell,) = json.loads((project / ".distromatrix/runs/latest/results.json").read_text())[
            "cells"
        ]
        found = cell["exported"]
        command = shlex.split(found["command"])
        assert command == ["distromatrix", "shell", "--from", found["file"]]
        assert f"{found['file']}  ({found['bytes'] / 1e6:,.1f} MB)" in said.out
        path = tmp_path / "elsewhere.tar"
        shutil.copy(project / ".distromatrix/runs/latest" / found["file"], path)
        return path

    return export


def changed(path: Path, **about: Any) -> Path:
    """The file with another header, of the same length."""
    content, size = path.read_bytes(), 64 * 1024
    said = {**json.loads(content[512 : 512 + size]), **about}
    path.write_bytes(content[:512] + json.dumps(said).encode().ljust(size) + content[512 + size :])
    return path


@pytest.mark.parametrize(
    ("suite", "shown"),
    [
        ("bad", "trace\nlight green one/bad fake\n"),
        ("kernel", "one/kernel qemu\n"),  # the fake one is not made of its image
    ],
)
def test_a_machine_is_opened_from_its_file(
    piped: Callable[..., Said], elsewhere: Callable[[str], Path], suite: str, shown: str
) -> None:
    path = elsewhere(suite)
    said = piped(LOOK, "shell", "--from", str(path))
    assert (said.code, said.out) == (7, shown), said.err
    told = said.err.splitlines()
    assert told[0].startswith(f"{path}: one/{suite}, in ")
    assert told[1].startswith("image: one from pull, sha256:")
    assert piped("", "guests", "list").out == ""
    assert "distromatrix/prepared" not in piped("", "images", "list").out


def test_an_image_that_is_not_here_is_got_by_its_digest_alone(
    piped: Callable[..., Said],
    elsewhere: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = elsewhere("bad")
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path / "another host"))
    missing = piped(LOOK, "shell", "--offline", "--from", str(path))
    assert missing.code == 69 and missing.out == ""
    assert "its image is not here: one from pull, sha256:" in missing.err
    assert "images export FILE one" in missing.err
    got = piped(LOOK, "shell", "--from", str(path))
    assert (got.code, got.out.splitlines()[0]) == (7, "trace"), got.err
    changed(path, digests=[], image=f"sha256:{'0' * 64}")
    assert piped(LOOK, "shell", "--from", str(path)).code == 69


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"distro": "two-and-a-half"}, "no distro `two-and-a-half`"),
        ({"arch": "s390x"}, f"its machine is for s390x; this host is {platform.machine()}"),
        ({"format": 2}, "has format 2"),
        ({"image": "one"}, "its header is not sound: `image`"),
    ],
)
def test_what_cannot_be_opened_here_is_told(
    piped: Callable[..., Said],
    elsewhere: Callable[[str], Path],
    about: Mapping[str, Any],
    said: str,
) -> None:
    path = changed(elsewhere("bad"), **about)
    found = piped(LOOK, "shell", "--from", str(path))
    assert found.code == 2
    assert said in found.err


def test_what_the_disk_has_no_room_for_is_not_begun(
    piped: Callable[..., Said], elsewhere: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(elsewhere("bad"), unpacked=5_000_001)
    usage = shutil.disk_usage(path)._replace(free=10_000_000)
    monkeypatch.setattr(from_file, "disk_usage", lambda _: usage)
    found = piped(LOOK, "shell", "--from", str(path))
    assert (found.code, found.out) == (2, "")
    assert "has 5.0 MB, more than 5.0 MB: half of what is free in " in found.err


def test_a_container_has_not_what_a_guest_boots(
    piped: Callable[..., Said], elsewhere: Callable[[str], Path]
) -> None:
    said = piped(LOOK, "shell", "--engine", "qemu", "--from", str(elsewhere("bad")))
    assert said.code == 2
    assert said.err.splitlines()[-1] == (
        "shell: cannot use qemu: it was a container, and has not what a guest of qemu boots; "
        "--engine docker opens a container"
    )


def test_what_a_killed_shell_left_goes_with_the_next(
    piped: Callable[..., Said], elsewhere: Callable[[str], Path]
) -> None:
    path = elsewhere("kernel")
    with RunFolder.create(cache_folder(), kind=SHELLS) as dead:
        images = open_engine("fake").images
        images.tag(images.list()[0].id, f"distromatrix/prepared:from-{dead.id}")
        assert piped("", "shell", "--from", str(path)).code == 0
        assert f"from-{dead.id}" in piped("", "images", "list").out  # it still lives
    assert piped("", "shell", "--from", str(path)).code == 0
    assert f"from-{dead.id}" not in piped("", "images", "list").out
    assert not dead.path.exists()


def test_a_guest_opens_as_a_container_too(
    piped: Callable[..., Said], elsewhere: Callable[[str], Path]
) -> None:
    said = piped(LOOK, "shell", "--engine", "docker", "--from", str(elsewhere("kernel")))
    assert (said.code, said.out.splitlines()[0]) == (7, "trace")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shell",), "name a CELL"),
        (("shell", "one/bad", "--from", "x"), "--from FILE takes no CELL"),
        (("shell", "--fresh", "--from", "x"), "--from FILE takes no CELL"),
        (("shell", "--from", "absent"), "absent: cannot be read: No such file"),
        (("run", "--export-size", "2G"), "--export-size requires --export failed"),
        (("run", "--with-secrets"), "--with-secrets requires --export failed"),
        (("run", "--export", "failed", "--export-size", "much"), "much"),
        (("run", "--export", "passed"), "passed"),
    ],
)
def test_wrong_words_are_told(cli: Cli, words: tuple[str, ...], said: str) -> None:
    found = cli(*words)
    assert found.code == 2
    assert said in found.err


def test_a_machines_variables_are_none_of_the_engines_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which PATH and DOCKER_HOST would lead astray; the user's own stay off its command line."""
    ran: list[Any] = []

    def run(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        ran.append((command, how.get("env")))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("TOKEN", "hunter22")
    kept = Kept(name="n", enter="docker exec -i n /bin/sh", remove="")
    env = {"TOKEN": "hunter22", "PATH": "/evil", "DOCKER_HOST": "tcp://evil"}
    assert DockerEngine.enter(None, kept, env) == 0  # type: ignore[arg-type]
    flags = ["-e", "TOKEN", "-e", "PATH=/evil", "-e", "DOCKER_HOST=tcp://evil"]
    assert ran == [(["docker", "exec", *flags, "-i", "n", "/bin/sh"], None)]
