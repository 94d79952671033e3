"""What lies where all may write is this user's alone, or it is not used, not even spoken to."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest

from distromatrix.engines.docker import podman
from distromatrix.engines.docker.connection.ping import answers
from distromatrix.engines.qemu.ports import connect_in
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.errors import EngineUnavailableError
from distromatrix.files import own
from distromatrix.testing.bench import remote
from distromatrix.testing.bench import rendezvous as door


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, all that was made until now is another user's, who is not root."""

    def become() -> None:
        uid = os.geteuid() + 1
        monkeypatch.setattr(own.os, "geteuid", lambda: uid)
        monkeypatch.setattr(own, "_peer_uid", lambda _: uid + 1)

    return become


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the temporary folders are, as /tmp is."""
    folder = tmp_path / "t"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(own.tempfile, "gettempdir", lambda: str(folder))
    return folder


def plant(path: Path, how: str) -> Path:
    """What another user could have put there. The folder that it leads to."""
    victim = path.parent / "victim"
    victim.mkdir(mode=0o700)
    if how == "link":
        path.symlink_to(victim)
    elif how == "dangling":
        path.symlink_to(path.parent / "nothing")
    elif how == "file":
        path.touch()
    else:
        path.mkdir(mode=0o700)
        path.chmod(0o777)
    return victim


HOW = pytest.mark.parametrize("how", ["link", "dangling", "file", "open to all"])


@HOW
def test_what_another_may_have_made_is_refused(place: Path, how: str) -> None:
    folder = place / "known"
    victim = plant(folder, how)
    with pytest.raises(EngineUnavailableError, match=r"^cannot use .*/known for sockets: .+"):
        own.own_folder("sockets", folder)
    assert not own.is_own(folder)
    assert not list(victim.iterdir())
    assert not (place / "nothing").exists()


def test_a_folder_of_anothers_is_refused(place: Path, another: Callable[[], None]) -> None:
    (place / "known").mkdir(mode=0o700)
    another()
    with pytest.raises(EngineUnavailableError, match="it belongs to another user"):
        own.own_folder("sockets", place / "known")


def test_a_place_where_all_may_rename_is_refused(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(EngineUnavailableError, match=r"lacks its sticky bit \(chmod \+t\)"):
        own.own_folder("sockets", place / "known")


def test_it_is_made_for_this_user_alone_and_used_again(place: Path) -> None:
    before = os.umask(0)
    try:
        folder = own.own_folder("sockets")
    finally:
        os.umask(before)
    assert folder == place / f"distromatrix-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    (folder / "kept").touch()
    assert own.own_folder("sockets") == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "kept").exists()


@HOW
def test_libvirtd_is_neither_asked_nor_started_in_a_folder_of_anothers(
    place: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "called"
    for program in ("virsh", "libvirtd", "unshare"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho {program} >> {called}\nexit 1\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    daemon = Libvirtd(tmp_path / ("long" * 20), tmp_path / "pool")
    assert daemon.folder.parent == place
    victim = plant(daemon.folder, how)
    assert not daemon.running()
    for ask in (daemon.ensure, lambda: daemon("list")):
        with pytest.raises(EngineUnavailableError, match="cannot use"):
            ask()
    assert not called.exists()
    assert not list(victim.iterdir())


@HOW
def test_vagrants_sockets_are_not_put_into_a_folder_of_anothers(
    place: Path, tmp_path: Path, how: str
) -> None:
    home = Home(tmp_path / ("long" * 20))
    assert home.sockets.parent == place
    plant(home.sockets, how)
    with pytest.raises(EngineUnavailableError, match="cannot use"):
        Connection(tmp_path, home.sockets).open(60)


def test_a_home_of_guests_alone_leaves_nothing_among_temporary_files(
    place: Path, tmp_path: Path
) -> None:
    Home(tmp_path / ("long" * 20)).make()
    assert not list(place.glob("distromatrix-*"))


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A socket, and what was said to it."""
    said: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        server.settimeout(20)

        def serve() -> None:
            one, _ = server.accept()
            with one:
                said.append(one.recv(4096))
                with suppress(BrokenPipeError):
                    one.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield tmp_path / "s", said
        thread.join()


@pytest.mark.parametrize(
    "speak",
    [
        lambda path: answers(path, own=True) or _refuse(),
        lambda path: podman._wait(path, lambda: True) or _refuse(),
        lambda path: connect_in(path.parent, path.name, within=0),
        lambda path: door.knock(str(path)),
        lambda path: remote.RemoteBench(str(path))._connection(),
    ],
    ids=["ping", "podman", "qemu", "door", "bench"],
)
def test_who_listens_as_another_user_hears_nothing(
    heard: tuple[Path, list[bytes]], speak: Callable[[Path], Any], another: Callable[[], None]
) -> None:
    path, said = heard
    another()
    with pytest.raises(PermissionError):
        speak(path)
    for _ in range(100):
        if said:
            break
        threading.Event().wait(0.02)
    assert said == [b""]


def _refuse() -> None:
    raise PermissionError


def test_root_may_listen(heard: tuple[Path, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    path, said = heard
    monkeypatch.setattr(own, "_peer_uid", lambda _: 0)
    assert answers(path, own=True)
    assert said != [b""]


def test_who_knocks_as_another_user_is_told_nothing(another: Callable[[], None]) -> None:
    asked: list[Path] = []
    opened = door.Rendezvous(lambda folder: asked.append(folder) or "address")
    try:
        with socket.socket(socket.AF_UNIX) as one:
            another()
            one.connect(opened.address)
            assert one.recv(64) == b""
        assert asked == []
    finally:
        opened.close()


def test_what_another_user_sends_to_a_bench_is_not_unpickled(
    tmp_path: Path, another: Callable[[], None]
) -> None:
    class Armed:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    server = remote.Server(lambda name: lambda *_, **__: None, tmp_path)
    try:
        another()
        with pytest.raises((EOFError, OSError)), Client(server.address, "AF_UNIX") as connection:
            connection.send(("expect", (Armed(),), {}))
            connection.recv()
        assert not (tmp_path / "ran").exists()
    finally:
        server.close()


def test_doors_of_other_users_are_not_swept(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another: Callable[[], None]
) -> None:
    monkeypatch.setattr(door, "_places", lambda: (str(place),))
    short = Path(os.path.relpath(place))
    for folder in (place / "distromatrix-one", tmp_path / "victims"):
        folder.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as dead:  # nobody listens there any more
            dead.bind(str(short / os.path.relpath(folder, place) / "door"))
    (place / "distromatrix-two").symlink_to(tmp_path / "victims")
    assert list(door.dead_doors()) == [place / "distromatrix-one"]
    another()
    assert list(door.dead_doors()) == []
    shutil.rmtree(place / "distromatrix-one")
