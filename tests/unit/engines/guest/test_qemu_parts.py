"""What direct guests are kept ready in and talked to through: templates' locks, QEMU's processes,
its control line and its ports."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from distromatrix.engines.contract import Engine, MachineSpec
from distromatrix.engines.guest import way_out
from distromatrix.engines.guest.acceleration import Accel
from distromatrix.engines.guest.disk import fill_disk, run_tool
from distromatrix.engines.guest.qemu_program import PROGRAM
from distromatrix.engines.guest.stream import SocketStream
from distromatrix.engines.qemu import ports as qemu_ports
from distromatrix.engines.qemu import process as qemu_process
from distromatrix.engines.qemu import templates as qemu_templates
from distromatrix.engines.qemu.disk import Disk
from distromatrix.engines.qemu.engine import QemuEngine
from distromatrix.engines.qemu.guest import QemuGuest
from distromatrix.engines.qemu.machine import SavedGuest
from distromatrix.engines.qemu.ports import PortSlots
from distromatrix.engines.qemu.process import Virtual
from distromatrix.engines.qemu.qmp import Qmp
from distromatrix.engines.qemu.templates import QemuTemplates
from distromatrix.engines.shell.shell import Shell
from distromatrix.errors import (
    CannotStartError,
    EngineUnavailableError,
    InfrastructureError,
    MachineGoneError,
)
from distromatrix.execute.product.snapshot import Snapshot
from distromatrix.files import lock
from fake_engine.engine import FakeEngine

IMAGE = "sha256:1"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The disks that were made, which hold nothing but a word."""
    folders: list[Path] = []

    def make(_: Iterable[bytes], folder: Path) -> Disk:
        (folder / "root.img").write_text("whole")
        folders.append(folder)
        return Disk(folder)

    monkeypatch.setattr(qemu_templates, "make_disk", make)
    monkeypatch.setattr(qemu_templates, "fingerprint", lambda: "1")
    return folders


def pass_for_qemu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of QEMU's name, before all others of PATH."""
    (folder / PROGRAM).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def qemu_in(folder: Path) -> subprocess.Popen[bytes]:
    """What passes for a QEMU that runs in a folder."""
    command = [PROGRAM, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(command, executable=sys.executable, cwd=folder)
    until(lambda: folder.resolve() in qemu_process.running())
    return process


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


EMULATED = Accel(kind="tcg", cpu="max", reason="", scale=1.0)


def guest_in(folder: Path) -> QemuGuest:
    spec = MachineSpec(name="distromatrix-one", image="")
    virtual = Virtual(accel=EMULATED, cpus=1, memory=1)
    return QemuGuest(spec, folder, Disk(folder), virtual)


def test_a_template_is_made_once_and_again_when_it_was_spoilt(
    tmp_path: Path, made: list[Path]
) -> None:
    templates = QemuTemplates(tmp_path)
    for _ in range(2):
        with templates.disk(IMAGE, tuple) as disk:
            assert disk.root.read_text() == "whole"
    assert len(made) == 1
    saved = SavedGuest(disk.folder)
    saved.spoil()
    with templates.disk(IMAGE, tuple):
        assert len(made) == 2


def test_a_template_in_use_is_not_removed(tmp_path: Path, made: list[Path]) -> None:
    templates = QemuTemplates(tmp_path)
    with templates.disk(IMAGE, tuple) as disk:
        templates.store.remove(disk.folder.name)
        assert disk.root.exists()
    templates.store.remove(disk.folder.name)
    assert not list(tmp_path.iterdir())
    templates.store.remove(disk.folder.name)  # as somebody else may


def test_what_somebody_is_removing_is_left_to_him(tmp_path: Path) -> None:
    over = subprocess.Popen(["true"])
    over.wait()
    mine, dead = (f"distromatrix-template-gone-{pid}-1" for pid in (os.getpid(), over.pid))
    (tmp_path / mine).mkdir()
    (tmp_path / dead).mkdir()
    assert [one.name for one in QemuTemplates(tmp_path).store.list()] == [dead]


@pytest.mark.usefixtures("made")
def test_who_waited_for_a_template_that_was_removed_and_made_again_uses_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = QemuTemplates(tmp_path)
    with templates.disk(IMAGE, tuple) as disk:
        pass
    real, held = lock.fcntl.flock, []

    def flock(fd: int, how: int) -> None:
        """Between a lock's opening and its taking, another process removes the folder and
        makes a new one."""
        if not held:
            held.append(fd)
            (disk.folder / "lock").unlink()
            (disk.folder / "lock").touch()
        real(fd, how)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with templates.disk(IMAGE, tuple):
        templates.store.remove(disk.folder.name)
        assert disk.root.exists()


def test_a_template_whose_maker_was_killed_goes_with_its_qemu(
    tmp_path: Path, made: list[Path]
) -> None:
    engine = QemuEngine(cast("Engine", FakeEngine(tmp_path / "fake")), cache=tmp_path)
    with QemuTemplates(tmp_path / "guests").disk(IMAGE, tuple) as disk:
        pass
    (done,) = engine.leftovers()
    assert done.kept
    (disk.folder / "done.json").unlink()
    process = qemu_in(disk.folder)
    (cut,) = engine.leftovers()
    assert not cut.kept
    engine.remove(cut)
    assert process.wait(60) == -signal.SIGKILL
    assert engine.leftovers() == ()
    assert len(made) == 1


def test_whoever_makes_it_next_ends_the_qemu_of_one_who_was_killed(
    tmp_path: Path, made: list[Path]
) -> None:
    templates = QemuTemplates(tmp_path)
    with templates.disk(IMAGE, tuple) as disk:
        pass
    (disk.folder / "done.json").unlink()
    process = qemu_in(disk.folder)
    with templates.disk(IMAGE, tuple):
        assert process.wait(60) == -signal.SIGKILL
    assert len(made) == 2


def test_a_bound_qemu_does_not_outlive_who_was_killed(tmp_path: Path) -> None:
    program = tmp_path / PROGRAM
    program.write_text("#!/bin/sh\necho $$ >id.part; mv id.part id; exec sleep 600\n")
    program.chmod(0o755)
    code = f"""import sys, time
from pathlib import Path
from distromatrix.engines.qemu.process import start
start([], Path({str(tmp_path)!r}), bound=True)
time.sleep(600)"""
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    maker = subprocess.Popen([sys.executable, "-c", code], env=env)
    until((tmp_path / "id").exists)
    process = Path("/proc", (tmp_path / "id").read_text().strip())
    maker.kill()
    maker.wait()

    def ended() -> bool:
        try:
            return ") Z" in (process / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True

    until(ended)


def test_who_lacks_the_way_out_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_for_qemu(tmp_path, monkeypatch)
    monkeypatch.setattr(way_out, "_NEEDED", ("slirp-of-nobody",))
    with pytest.raises(EngineUnavailableError, match=r"slirp-of-nobody: `distromatrix doctor"):
        qemu_process.start([], tmp_path, out=True)


def test_a_host_without_namespaces_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is started in the host's network instead."""
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho unshare: no >&2; exit 1\n")
    unshare.chmod(0o755)
    for name in ("slirp4netns", "setpriv"):
        (tmp_path / name).symlink_to("/bin/false")
    pass_for_qemu(tmp_path, monkeypatch)
    with pytest.raises(EngineUnavailableError, match=r"namespace .* unshare: no; let ordinary"):
        qemu_process.start([], tmp_path, out=True)


def test_what_is_ended_for_good_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = guest_in(tmp_path)
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        guest.end()  # by another thread, just now: it sees the process before
        started.append(qemu_in(tmp_path))
        return started[0]

    monkeypatch.setattr(qemu_process, "start", start)
    with pytest.raises(MachineGoneError, match="was closed"):
        guest.boot()
    assert started[0].wait(60) == -signal.SIGKILL


def test_who_ends_a_guest_does_not_wait_for_one_who_waits_for_it(tmp_path: Path) -> None:
    class Silent:
        """A control shell that never answers."""

        def __init__(self) -> None:
            self.stream = self
            self.asked, self.ended = threading.Event(), threading.Event()

        def run(self, *_: object, **__: object) -> int:
            self.asked.set()
            self.ended.wait()
            raise OSError

        def shutdown(self) -> None:
            self.ended.set()

    guest, silent = guest_in(tmp_path), Silent()
    guest._control = cast("Shell", silent)

    def wait() -> None:
        with pytest.raises(MachineGoneError):
            guest.tell(":")

    waiting = threading.Thread(target=wait)
    waiting.start()
    silent.asked.wait()
    with pytest.raises(InfrastructureError, match="does not answer: sync"):
        guest.tell("sync", within=0.1)
    guest.end()
    waiting.join()


def test_the_last_word_of_a_control_line_comes_before_its_close_returns(tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "qmp"))
    server.listen()
    heard: list[str] = []

    def answer() -> None:
        one, _ = server.accept()
        with one, one.makefile("rb") as lines:
            one.sendall(b'{"QMP": {}}\n')
            for _line in lines:
                one.sendall(b'{"return": {}}\n')

    def on_event(name: str, _: Any) -> None:
        time.sleep(0.2)
        heard.append(name)

    threading.Thread(target=answer, daemon=True).start()
    qmp = Qmp(tmp_path, "qmp", on_event)
    assert qmp("stop") == {}
    qmp.close()
    assert heard == [""]
    server.close()


def test_who_wants_a_shells_ports_waits_for_them() -> None:
    slots = PortSlots()
    taken = [slots.take() for _ in range(qemu_ports.SHELLS)]
    assert slots.take(0.01) is None
    threading.Timer(0.1, slots.give_back, [taken[3]]).start()
    assert slots.take(60) == 3
    assert qemu_ports.USER_SHELLS + qemu_ports.ROOT_SHELLS <= qemu_ports.SHELLS


def test_a_guest_that_does_not_read_is_no_commands_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distromatrix.engines.guest.stream.API_TIMEOUT", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="nobody reads") as caught:
        SocketStream(ours).send(bytes(1 << 24))
    assert not isinstance(caught.value, TimeoutError)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "guests").write_text("a file where a folder is wanted")
    containers = FakeEngine(tmp_path / "fake")
    engine = QemuEngine(cast("Engine", containers), cache=tmp_path)
    containers.images.load_rootfs(BytesIO(b""), IMAGE, {})
    (tmp_path / "product.tar").touch()
    snapshot = Snapshot(tmp_path, tmp_path / "product.tar", {})
    with pytest.raises(InfrastructureError, match="cannot be staged"):
        engine.stage(snapshot, image=IMAGE, labels={})
    with pytest.raises(InfrastructureError, match="cannot be made"):
        engine.open(MachineSpec(name="distromatrix-one", image=IMAGE))


@pytest.mark.parametrize(("kind", "emulated"), [("tcg", True), ("kvm", False)])
def test_only_an_emulated_guest_gives_up_what_costs_it_its_speed(
    kind: Literal["kvm", "tcg"], emulated: bool
) -> None:
    virtual = Virtual(accel=replace(EMULATED, kind=kind), cpus=1, memory=1 << 29)
    command = qemu_process.arguments("one", virtual, Disk(Path("disk")))
    words = command[command.index("-append") + 1].split()
    assert ("norandmaps" in words, "mitigations=off" in words) == (emulated, emulated)


def test_an_image_that_breaks_off_ends_what_waits_for_more_of_it() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"the first"
        raise CannotStartError("no guest can be made of it")

    raised: list[BaseException] = []

    def fill() -> None:
        try:
            fill_disk(pieces(), "cat; cat >/dev/null")
        except CannotStartError as error:
            raised.append(error)

    thread = threading.Thread(target=fill, daemon=True)  # which once hung for ever
    thread.start()
    thread.join(60)
    assert [str(error) for error in raised] == ["no guest can be made of it"]


def test_a_full_disk_is_told_however_much_tar_has_to_say_of_it() -> None:
    # One line for each file: more than a pipe holds, while we still write.
    script = """i=0; while [ $i -lt 5000 ]; do i=$((i+1))
echo "tar: usr/share/doc/a-package/$i: Cannot write: No space left on device" >&2; done
cat >/dev/null; echo 'tar: Exiting with failure status due to previous errors' >&2; exit 2"""
    pieces = (bytes(1 << 16) for _ in range(64))
    with pytest.raises(InfrastructureError, match="the disk of this host is full") as caught:
        fill_disk(pieces, script)
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("script", "why", "transient"),
    [
        ("echo 'sh: it is not found' >&2; exit 4", "x: sh: it is not found", True),
        ("echo No space left on device >&2; exit 4", "x: sh: the disk of this host is full", False),
        ("kill -KILL $$", "x: sh: status -9", True),
        ("exit 3", "x: sh: status 3", True),
    ],
)
def test_what_a_tool_for_disks_fails_by_is_told(script: str, why: str, transient: bool) -> None:
    with pytest.raises(InfrastructureError, match=re.escape(why)) as caught:
        run_tool("sh", "-c", script, doing="x", worst=2)
    assert (type(caught.value), caught.value.transient) == (InfrastructureError, transient)


def test_a_tools_status_may_be_no_fault_and_what_it_prints_is_bounded() -> None:
    assert run_tool("sh", "-c", "echo it; exit 2", worst=2) == b"it\n"
    with pytest.raises(InfrastructureError, match="sh lists too much"):
        run_tool("sh", "-c", "echo it", most=3)
