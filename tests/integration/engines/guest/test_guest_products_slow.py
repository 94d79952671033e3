"""A real product whose tests ask for a machine of their own (Debian declares them
`isolation-machine`): ipset's fail in a container, and pass in a guest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from images_world import World, catalogued

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Command
from distromatrix.load.settings import load_settings

pytestmark = [pytest.mark.engine, pytest.mark.guest, pytest.mark.slow]

MATRIX = """\
product: .
distros: [debian-12]
defaults: {timeout: 20m, memory: 512M}
suites:
  container:
    packages: [ipset, iptables, kmod, netbase, net-tools, iproute2, bash]
    run: cd tests; IPSET_BIN=/usr/sbin/ipset bash ./runtest.sh init ipmap setlist
  guest:
    packages: [ipset, iptables, kmod, netbase, net-tools, iproute2, bash]
    needs: [kernel-modules]
    run: cd tests; IPSET_BIN=/usr/sbin/ipset bash ./runtest.sh init ipmap setlist
"""
FETCH = """sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update -qq
mkdir /source && cd /source
apt-get source -qq --download-only ipset
mv ipset_*.orig.tar.* it"""


@pytest.fixture
def product(tmp_path: Path) -> Path:
    world = World(open_engine("docker"), load_settings())
    image = world.images.base(catalogued("debian-12")).image
    with world.machine(image.id) as machine:
        said: list[bytes] = []
        assert machine.run(Command(FETCH, output=said.append)).status == 0, b"".join(said).decode()
        (tmp_path / "it.tar").write_bytes(b"".join(machine.get("/source/it")))
    subprocess.run(["tar", "-xf", "it.tar"], cwd=tmp_path, check=True)
    subprocess.run(["tar", "-xf", "it"], cwd=tmp_path, check=True)
    (found,) = tmp_path.glob("ipset-*")
    (found / "matrix").mkdir()
    (found / "matrix/default.yaml").write_text(MATRIX)
    return found


def test_ipsets_own_tests_pass_in_a_guest_and_not_in_a_container(product: Path) -> None:
    command = [sys.executable, "-m", "distromatrix", "run", "-C", str(product), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cells = {cell["id"]: cell for cell in json.loads(done.stdout)["cells"]}
    shown = {name: (cell["verdict"], cell["engine"]) for name, cell in cells.items()}
    assert shown == {
        "debian-12/container": ("failed", "docker"),
        "debian-12/guest": ("passed", "qemu"),
    }, done.stderr
