"""Another user of the host neither sees nor steers what is ours."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import Project
from neighbour import Watching, as_user, made_user

from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.vagrant.engine import VagrantEngine
from distromatrix.engines.vagrant.libvirt.libvirtd import short
from distromatrix.project.project import host_facts
from given import alpine_or_pulled, unobtainable

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another user"),
]
ENGINES = [
    "docker",
    pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.slow]),
    pytest.param("qemu", marks=pytest.mark.guest),
    pytest.param("vagrant", marks=[pytest.mark.guest, pytest.mark.slow]),
]
NEEDS = {"qemu": {"needs": ["own-kernel"]}, "vagrant": {"needs": ["own-kernel", "init"]}}
SECRET = "correct-horse-battery-staple"
KEY = "**/vagrant-*/keys/vagrant"  # where depends on who has packed Vagrant
SSHD = re.compile(r"port 127\.0\.0\.1:\d+ says b'(SSH-2\.0-OpenSSH_.*)?'")


@pytest.fixture(scope="module")
def neighbour() -> Iterator[int]:
    with made_user() as uid:
        yield uid


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody may look into, as people's homes are."""
    folder = Path(tempfile.mkdtemp(prefix="open-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ours(readable: Path) -> Iterator[Project]:
    made = Project(readable / "p", alpine_or_pulled().parent)
    made.environ = {"TOKEN": SECRET}
    yield made
    made.clean()


@pytest.mark.alone
@pytest.mark.parametrize("engine", ENGINES)
def test_a_neighbour_finds_nothing_while_a_run_goes_on(
    ours: Project, readable: Path, neighbour: int, engine: str
) -> None:
    run = 'test "$TOKEN"; echo it ran; sleep 2'
    matrix = {"suites": {"s": {"run": run, **NEEDS.get(engine, {})}}, "pass_env": ["TOKEN"]}
    folders = [ours.root]
    if engine in NEEDS:
        if why := host_facts().guests[engine]:
            unobtainable(why)
        ours.suites(**matrix, distros=["debian-12"], defaults={"memory": "512M"})
    else:
        ours.engine = engine
        ours.environ["XDG_CACHE_HOME"] = str(readable / "cache")
        folders.append(readable / "cache/distromatrix")
        ours.suites(**matrix)
    with Watching(neighbour, *folders, secret=SECRET) as watching:
        ended = ours.call("run")
    assert ended.code == 0, ended.said
    found = set(watching.found) - {f"may read {ours.root}"}
    if engine == "vagrant":  # its sshd lets nobody in: see below
        found = {one for one in found if not SSHD.fullmatch(one)}
    assert found == set()


@pytest.mark.guest
@pytest.mark.slow
def test_a_neighbour_who_knows_the_port_of_a_guests_sshd_does_not_get_in(
    neighbour: int, readable: Path, debian_system: str
) -> None:
    """Not by a password, nor by the key that everybody knows."""
    containers = DockerEngine()
    engine = VagrantEngine(containers)
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    machine = engine.open(MachineSpec(name=name, image=debian_system, memory=1024**3))
    config = (engine.home.machines / name / "ssh_config").read_text()
    port = re.search(r"Port (\d+)", config)
    assert port is not None
    key = readable / "key"
    known = (*Path("/usr").glob(KEY), *Path("/opt").glob(KEY))
    assert known, "Vagrant brings it"
    key.write_bytes(known[0].read_bytes())
    key.chmod(0o600)
    os.chown(key, neighbour, neighbour)
    command = ["ssh", "-F", "/dev/null", "-p", port[1], "-o", "StrictHostKeyChecking=no"]
    command += ["-o", "UserKnownHostsFile=/dev/null", "-o", "NumberOfPasswordPrompts=0"]

    def tries() -> None:
        for user in ("root", "vagrant"):
            done = subprocess.run(
                [*command, "-i", str(key), f"{user}@127.0.0.1", "true"],
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert "Permission denied (publickey)." in done.stderr, done.stderr

    try:
        as_user(neighbour, tries)
    finally:
        machine.close()
        engine.close()
        containers.close()


@pytest.fixture
def temporary(readable: Path) -> Path:
    """Where temporary files are, as /tmp is."""
    folder = readable / "t"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("how", ["link", pytest.param("folder", marks=pytest.mark.slow)])
def test_a_cache_that_a_neighbour_made_is_not_used(
    ours: Project, readable: Path, temporary: Path, neighbour: int, how: str
) -> None:
    theirs, victim = temporary / f"distromatrix-cache-{os.geteuid()}", readable / "victim"
    victim.mkdir(mode=0o700)
    as_user(neighbour, lambda: theirs.mkdir(0o777) if how == "folder" else _link(theirs, victim))
    ours.suites({"s": "true"})
    ours.environ.update(TMPDIR=str(temporary), HOME="/nonexistent", XDG_CACHE_HOME="")
    for command in ("run", "images list", "doctor", "clean", "guests list"):
        ended = ours.call(*command.split())
        assert "Traceback" not in ended.said
        if command == "run":
            assert ended.code == 69
            assert f"{theirs}: it " in ended.err
    assert not list(victim.iterdir())
    assert not list(theirs.iterdir())


def _link(path: Path, to: Path) -> None:
    path.symlink_to(to)


@pytest.mark.guest
@pytest.mark.slow
def test_libvirtd_does_not_serve_out_of_a_neighbours_folder(
    ours: Project, readable: Path, temporary: Path, neighbour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why := host_facts().guests["vagrant"]:
        unobtainable(why)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    cache = readable / ("long" * 12)
    theirs = short(cache / "distromatrix/guests/vagrant/libvirt")
    victim = readable / "victim"
    victim.mkdir(mode=0o700)
    as_user(neighbour, lambda: _link(theirs, victim))
    ours.suites(
        {"s": {"run": "true", **NEEDS["vagrant"]}},
        distros=["debian-12"],
        defaults={"memory": "512M"},
    )
    ours.environ.update(TMPDIR=str(temporary), XDG_CACHE_HOME=str(cache))
    ended = ours.call("run")
    assert ended.code in (1, 69), ended.said
    assert f"cannot use {theirs} for libvirtd: it is not a folder, or a link to one" in ended.said
    assert not list(victim.iterdir())
