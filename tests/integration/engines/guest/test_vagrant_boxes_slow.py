"""Guests from elsewhere: a box that Vagrant knows by a name, and a user's own Vagrantfile, each the
guest of a cell that is run as users run it."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path

from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.vagrant.engine import VagrantEngine

pytestmark = [pytest.mark.engine, pytest.mark.guest, pytest.mark.slow]

MATRIX = """\
product: .
distros: [mine]
defaults: {memory: 512M}
suites:
  system:
    needs: [init]
    packages: [tree]
    prepare: {files: [wanted], run: cp wanted /prepared}
    run: |
      set -x
      cat /proc/1/comm /prepared product
      tree --version
      systemctl is-active ssh.service
      %s
"""


WITHOUT_SSH = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.wants=systemd-networkd.service "
    "systemd.mask=ssh.service"
)


def distromatrix(*words: str, within: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "distromatrix", *words]
    return subprocess.run(command, cwd=within, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def guests_of_its_own() -> Iterator[None]:
    """A cache of this module's, so that its templates and boxes can go in the end."""
    folder = Path(tempfile.mkdtemp(prefix="distromatrix-test-"))
    cache = folder / "distromatrix"
    cache.mkdir()
    proof = user_cache_path("distromatrix") / "acceleration.json"
    if proof.exists():
        shutil.copy(proof, cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield
    engine = VagrantEngine(DockerEngine(), cache)
    for _ in range(2):  # a box goes after what stands on it
        for left in engine.leftovers():
            engine.remove(left)
    assert engine.leftovers() == ()
    assert list(engine.home.pool.iterdir()) == []
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def box(guests_of_its_own: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name under which Vagrant knows a box that was built here."""
    folder = tmp_path_factory.mktemp("box")
    built = distromatrix("guests", "build", "debian-12", "-o", "it.box", within=folder)
    assert built.returncode == 0, built.stderr
    name = f"distromatrix-test/{secrets.token_hex(4)}"
    subprocess.run(["vagrant", "box", "add", "--name", name, "it.box"], cwd=folder, check=True)
    (folder / "it.box").unlink()
    yield name
    subprocess.run(["vagrant", "box", "remove", "-f", name], check=True)


def product(folder: Path, guest: str, more: str = "") -> Path:
    for sub in ("matrix", "distros"):
        (folder / sub).mkdir()
    (folder / "matrix/default.yaml").write_text(MATRIX % more)
    (folder / "distros/mine.yaml").write_text(f"title: Mine\nlike: debian-12\nguest: {guest}\n")
    (folder / "wanted").write_text("wanted\n")
    (folder / "product").write_text("the product\n")
    return folder


def cell_of(folder: Path) -> tuple[dict[str, Any], str]:
    """What the one cell's result and log say, after a run."""
    ran = distromatrix("run", "--retries", "0", within=folder)
    (run,) = (folder / ".distromatrix/runs").glob("2*")
    (cell,) = json.loads((run / "results.json").read_text())["cells"]
    log = (run / "cells/mine/system/log.txt").read_text()
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}{log}"
    assert (run / "cells/mine/system/guest/vagrant/Vagrantfile").exists()
    return cell, log


def test_a_cell_runs_in_a_guest_of_a_box_with_its_packages_and_prepare(
    box: str, tmp_path: Path
) -> None:
    cell, log = cell_of(product(tmp_path, f"{{box: {box}}}"))
    assert (cell["verdict"], cell["engine"]) == ("passed", "vagrant")
    for said in ("systemd", "wanted", "the product", "tree v", "active"):
        assert said in log


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            'web.vm.provision "shell", inline: "rm /usr/bin/sudo"',
            "it has no sudo, and vagrant, who logs in to it, is not root",
        ),
        (
            'web.vm.provision "shell", inline: "rm /bin/sh"',
            "vagrant cannot log in to it by ssh (is its login shell there, and /bin/sh?)",
        ),
        (
            """web.vm.boot_timeout = 100
    web.vm.provider(:libvirt) { |it| it.cmd_line = "WITHOUT_SSH" }""".replace(
                "WITHOUT_SSH", WITHOUT_SSH
            ),
            "nothing answers by ssh in the guest",
        ),
    ],
)
def test_a_guest_that_lacks_what_we_need_is_told_in_a_line(
    box: str, tmp_path: Path, settings: str, why: str
) -> None:
    product(tmp_path, "{vagrantfile: Vagrantfile}")
    (tmp_path / "distros/Vagrantfile").write_text(
        f"""Vagrant.configure("2") do |config|
  config.vm.define "web" do |web|
    web.vm.box = "{box}"
    {settings}
  end
end
"""
    )
    ran = distromatrix("run", "--retries", "0", within=tmp_path)
    assert ran.returncode == 69, ran.stdout + ran.stderr
    (run,) = (tmp_path / ".distromatrix/runs").glob("2*")
    (cell,) = json.loads((run / "results.json").read_text())["cells"]
    assert cell["verdict"] == "error"
    assert why in cell["reason"]
    assert "\n" not in cell["reason"]


def test_a_cell_runs_in_a_guest_of_the_users_own_vagrantfile(box: str, tmp_path: Path) -> None:
    own = tmp_path / "guest"
    own.mkdir()
    (own / "provision.sh").write_text("echo by Vagrant >/etc/provisioned\n")
    (own / "Vagrantfile").write_text(
        f"""Vagrant.configure("2") do |config|
  config.vm.define "web" do |web|
    web.vm.box = "{box}"
    web.vm.provision "shell", path: "provision.sh"
  end
end
"""
    )
    _, log = cell_of(
        product(tmp_path, "{vagrantfile: ../guest/Vagrantfile}", "cat /etc/provisioned")
    )
    assert "by Vagrant" in log
    assert {file.name for file in own.iterdir()} == {"Vagrantfile", "provision.sh"}
