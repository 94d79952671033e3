"""Users without a home, and a current folder that is gone."""

from __future__ import annotations

import os
import pwd
import socket
import tempfile
from pathlib import Path

import pytest
from cli_world import Cli

from distromatrix.errors import InfrastructureError
from distromatrix.files import user_folders as folders
from distromatrix.load.settings import load_settings

XDG = [f"XDG_{name}_HOME" for name in ("CONFIG", "CACHE", "DATA", "STATE")]


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A uid that is in no passwd file, and no variable that says more; the temporary folder."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", *XDG):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


def test_without_a_home_every_command_works_as_without_settings(
    cli: Cli, homeless: Path, project: Path
) -> None:
    assert cli("plan").code == 0
    assert not list(homeless.iterdir())  # a plan writes nothing
    for command in ("run one/good", "report", "clean", "images list", "doctor", "distros"):
        assert "Traceback" not in (said := cli(*command.split())).err
        assert said.code == 0 or command == "doctor"
    (cache,) = homeless.glob("distromatrix-*")
    assert cache.stat().st_mode & 0o777 == 0o700
    assert not (project / "~").exists()


@pytest.mark.parametrize("home", ["/dev/null", "/proc/nowhere", "relative"])
def test_a_home_that_cannot_be_written_to_is_none(
    homeless: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    assert folders.cache_folder().parent == homeless
    assert folders.config_file() is None
    assert load_settings(environ={}).engine == "docker"
    assert not (tmp_path / "relative").exists()


def test_another_users_home_holds_no_settings(
    homeless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setenv("HOME", str(homeless))
    monkeypatch.setattr(Path, "exists", forbidden)
    assert folders.config_file() is None


def test_a_cache_that_was_named_and_cannot_be_used_is_told_with_what_to_set(
    homeless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(InfrastructureError, match=r"/proc/nowhere/.*: set XDG_CACHE_HOME"):
        folders.cache_folder()
    assert not list(homeless.iterdir())


@pytest.mark.parametrize("how", ["link", "open to all", "file"])
def test_a_folder_that_another_may_have_made_is_refused(homeless: Path, how: str) -> None:
    path = homeless / f"distromatrix-cache-{os.geteuid()}"
    if how == "link":
        (homeless / "theirs").mkdir(mode=0o700)
        path.symlink_to("theirs")
    elif how == "file":
        path.write_text("")
    else:
        path.mkdir(mode=0o700)
        path.chmod(0o777)
    for ask in (folders.cache_path, folders.cache_folder):
        with pytest.raises(InfrastructureError, match=r": .*: set XDG_CACHE_HOME"):
            ask()


@pytest.fixture
def gone(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder does not exist any more; the project, which is elsewhere."""
    (folder := tmp_path / "gone").mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    return project


@pytest.mark.parametrize(
    "command",
    ["plan", "run", "report", "clean", "init", "images lock", "report merge x", "shell a"],
)
def test_a_current_folder_that_was_removed_is_one_line(cli: Cli, gone: Path, command: str) -> None:
    said = cli(*command.split())
    assert (said.code, said.out, said.err) == (2, "", f"{folders.GONE}\n")
    assert gone.is_dir()


def test_what_needs_no_folder_or_names_one_works_where_the_current_one_is_gone(
    cli: Cli, gone: Path
) -> None:
    for command in ("distros", "images list", "schema matrix", f"plan -C {gone}"):
        assert cli(*command.split()).code == 0
    bad = cli("run", "-C", str(gone))
    assert bad.code == 1
    assert f"distromatrix run -C {gone} two/bad" in bad.out
    assert cli("report", "-m", str(gone / "matrix/default.yaml")).code == 1


def test_the_machine_id_tells_hosts_apart_and_in_a_container_the_name_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path("/proc/self/ns/pid").stat().st_ino
    monkeypatch.setattr(folders, "_FIRST_NAMESPACE", here)
    given = Path("/etc/machine-id")
    own = given.read_text(encoding="ascii").strip() if given.exists() else ""
    assert folders.host_name() == (own or socket.gethostname())
    monkeypatch.setattr(folders, "_FIRST_NAMESPACE", here + 1)
    assert folders.host_name() == socket.gethostname()
