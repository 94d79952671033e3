"""What our libvirtd runs as QEMU."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from test_vagrant_parts import DEFINITION

from distromatrix.engines.vagrant.libvirt import emulator
from distromatrix.engines.vagrant.libvirt.emulator import _forward
from distromatrix.engines.vagrant.vagrantfile import arguments_of


def runs(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """It, where QEMU is a program that prints its arguments."""
    qemu = folder / "qemu"
    qemu.write_text('#!/bin/sh\necho ran "$@"\n')
    qemu.chmod(0o755)
    emulator.write(folder / "emulator", qemu)
    # As libvirt starts it: nothing of ours in its environment, and no slirp4netns here.
    if os.geteuid() != 0:  # our libvirtd is root, and can let go of powers
        (folder / "setpriv").write_text('#!/bin/sh\nshift 4\nexec "$@"\n')
        (folder / "setpriv").chmod(0o755)
    for name in ("setpriv", "unshare", "sh"):
        if (found := shutil.which(name)) and not (folder / name).exists():
            (folder / name).symlink_to(found)
    return subprocess.run(
        [folder / "emulator", *words],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_network_and_for_libvirts_probes_it_is_qemu(tmp_path: Path) -> None:
    closed = arguments_of(replace(DEFINITION, network=False))
    for words in (("-version",), ("-S", "-machine", "none"), closed):
        assert runs(tmp_path, *words).stdout == f"ran {' '.join(words)}\n"


def test_a_guest_with_a_network_never_runs_in_the_hosts(tmp_path: Path) -> None:
    ended = runs(tmp_path, "-S", *arguments_of(DEFINITION))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "needs slirp4netns: `distromatrix doctor --guests --fix`" in ended.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"return": {"id": 1}}', "1"),
        ('{"error": {"desc": "in use"}}', "Could not set up host forwarding: "),
    ],
)
def test_a_port_that_is_taken_is_told_as_qemu_does(tmp_path: Path, answer: str, said: str) -> None:
    """So that another is tried."""
    asked = []
    here = os.open(tmp_path, os.O_RDONLY)
    control = Path(f"/proc/self/fd/{here}/control")  # its path may be too long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(control))
        server.listen()

        def serve() -> None:
            one, _ = server.accept()
            with one:
                asked.append(json.loads(one.recv(1 << 12)))
                one.sendall(answer.encode())

        serving = Thread(target=serve)
        serving.start()
        assert _forward(control, 2222).startswith(said)
        serving.join()
    os.close(here)
    assert asked[0]["arguments"]["host_addr"] == "127.0.0.1"
    assert asked[0]["arguments"]["host_port"] == asked[0]["arguments"]["guest_port"] == 2222
