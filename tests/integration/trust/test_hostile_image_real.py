"""An image whose files are links and names that lead to the host is made a guest of, or is not:
nothing of the host is touched, and nothing of it gets in."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

import pytest

from distromatrix.project.project import host_facts
from given import unobtainable
from quick_python import quick_python

pytestmark = [pytest.mark.engine, pytest.mark.guest, pytest.mark.slow]

# Each is done in the image by its `prepare`, without a privilege. HOST: a folder of this host's.
ATTACKS = (
    "ln -sf HOST/fstab /etc/fstab",
    "mkdir -p /etc/sudoers.d /etc/ssh",
    "ln -sf HOST/sudoers /etc/sudoers.d/vagrant",
    "ln -sf HOST/sshd /etc/ssh/sshd_config.new",
    "rm -rf /root/.ssh",
    "ln -s HOST /root/.ssh",
    # The newest kernel, and modules by names that lead out.
    "mkdir -p /boot /lib/modules/999.0/kernel",
    "ln -s HOST/secret /boot/vmlinuz-999.0",
    "ln -s HOST/secret /lib/modules/999.0/kernel/ext4.ko",
    "cd /lib/modules/999.0",
    "printf '../../../../../../..HOST/secret:\\nkernel/ext4.ko:\\n' >modules.dep",
    ": >modules.builtin",
)
NEEDS = {"qemu": "own-kernel", "vagrant": "own-kernel, init"}
MATRIX = """\
product: .
distros: [debian-12]
defaults: {{memory: 512M, network: false}}
suites:
  s:
    needs: [{needs}]
    prepare: |
{prepare}
    run: 'echo it ran; ! grep -rqs "{token}" /etc /root /run /lib/modules'
"""


@pytest.mark.parametrize("engine", ["qemu", "vagrant"])
def test_nothing_of_the_host_is_touched_where_a_guest_is_made_of_a_hostile_image(
    tmp_path: Path, engine: str
) -> None:
    if why := host_facts().guests[engine]:
        unobtainable(why)
    token = secrets.token_hex(16)
    host = Path("/var/tmp", f"dm-{secrets.token_hex(4)}")
    host.mkdir()
    names = ("passwd", "fstab", "machine-id", "hostname", "hosts", "resolv.conf", "sudoers")
    for name in (*names, "sshd", "secret", "authorized_keys", ".containerenv"):
        (host / name).write_text(f"{token} {name}\n")
    before = {file.name: file.read_bytes() for file in host.iterdir()}
    (tmp_path / "p/matrix").mkdir(parents=True)
    prepare = "\n".join(f"      {line.replace('HOST', str(host))}" for line in ATTACKS)
    matrix = MATRIX.format(needs=NEEDS[engine], prepare=prepare, token=token)
    (tmp_path / "p/matrix/default.yaml").write_text(matrix)
    try:
        command = [quick_python(), "-m", "distromatrix", "run", "--json"]
        done = subprocess.run(
            command, cwd=tmp_path / "p", capture_output=True, text=True, check=False
        )
        assert {file.name: file.read_bytes() for file in host.iterdir()} == before
        (cell,) = json.loads(done.stdout)["cells"]
        assert cell["phase"] not in ("prepare", "packages"), done.stderr
        assert cell["verdict"] in ("passed", "error"), done.stderr
        assert token not in done.stdout
    finally:
        for file in host.iterdir():
            file.unlink()
        host.rmdir()
