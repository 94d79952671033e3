"""`.distromatrix` is ours, or it is refused: whatever a checkout brings, nothing is removed or
written where it leads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import git
from cli_world import Cli
from pytest_world import World

from distromatrix.errors import InputError
from distromatrix.record.folder import (
    SESSIONS,
    RunFolder,
    dead_folders,
    find_run,
    make_state,
    open_state,
    remove_dead,
)

pytest_plugins = ["pytester"]
ID = "20200101-000000-abcd"
LINKS = {
    ".distromatrix": "victim",
    ".distromatrix/sessions": "victim/sessions",
    ".distromatrix/runs": "victim/runs",
    ".distromatrix/shells": "victim/new",
    ".distromatrix/builds": "victim/new",
    ".distromatrix/.gitignore": "victim/new",
    ".distromatrix/runs/latest": "victim/runs/" + ID,
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside of the project that looks like ours in every way."""
    victim = tmp_path / "victim"
    for kind in ("sessions", "runs"):
        folder = victim / kind / ID
        folder.mkdir(parents=True)
        (folder / "lock").write_text(f"distromatrix {ID}\n")
        (folder / "precious").write_text("x")
        os.utime(folder, (1, 1))
    return victim


def everything(folder: Path) -> list[tuple[str, float]]:
    return sorted((str(p), p.lstat().st_mtime) for p in (folder, *folder.rglob("*")))


def plant(project: Path, victim: Path, link: str) -> None:
    place = project / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(victim.parent / LINKS[link])


COMMANDS = [
    ("clean",),
    ("clean", "--all"),
    ("run", "one/good"),
    ("run", "--resume", "latest"),
    ("run", "--failed"),
    ("report",),
    ("shell", "one/good"),
    ("images", "build"),
]


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("link", LINKS)
def test_a_link_of_the_checkouts_is_refused(
    cli: Cli, project: Path, victim: Path, link: str, args: tuple[str, ...]
) -> None:
    plant(project, victim, link)
    before, here = everything(victim), everything(project)
    said = cli(*args)
    assert said.code == 2, said
    assert len(said.err.strip().splitlines()) == 1
    assert f"{link.partition('/')[2]} is" in said.err
    assert "remove it; nothing was written or removed" in said.err
    assert everything(victim) == before
    assert everything(project) == here


@pytest.mark.parametrize("args", [*COMMANDS, ("clean", "--dry-run")], ids=" ".join)
@pytest.mark.parametrize("name", [".distromatrix", ".DistroMatrix"])
def test_what_git_tracks_is_refused(
    cli: Cli, project: Path, tmp_path: Path, name: str, args: tuple[str, ...]
) -> None:
    if name != ".distromatrix":  # as where names have no case
        make_state(project).close()
    folder = project / name / "runs" / ID
    folder.mkdir(parents=True)
    (folder / "lock").write_text(f"distromatrix {ID}\n")
    git(tmp_path, "init", "-q")
    git(project, "add", "-f", name)
    here = everything(project)
    said = cli(*args)
    assert said.code == 2, said
    assert "is tracked by git" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert everything(project) == here


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_what_belongs_to_another_user_is_refused(
    cli: Cli, project: Path, args: tuple[str, ...]
) -> None:
    make_state(project).close()
    os.chown(project / ".distromatrix", 4711, 4711)
    here = everything(project)
    said = cli(*args)
    assert said.code == 2, said
    assert "belongs to another user (uid 4711): remove it, or run as that user" in said.err
    assert everything(project) == here


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_root_makes_its_own_in_a_checkout_of_another_users(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container of a CI job, whose checkout the job's user made."""
    os.chown(project, 4711, 4711)
    make_state(project).close()
    assert (project / ".distromatrix").stat().st_uid == 0
    state = open_state(project)
    assert state is not None
    state.close()
    monkeypatch.setenv("SUDO_UID", "4712")
    monkeypatch.setenv("SUDO_GID", "4712")
    os.chown(project / ".distromatrix", 4712, 4712)
    make_state(project).close()
    os.chown(project / ".distromatrix", 4711, 4711)
    with pytest.raises(InputError, match="another user"):
        open_state(project)
    # Whose checkout git is told to trust, is trusted.
    git(project, "init", "-q")
    for file in ("", ".git"):
        os.chown(project / file, 4711, 4711)
    with pytest.raises(InputError, match=r"safe\.directory"):
        open_state(project)
    config = project.parent / "gitconfig"
    config.write_text(f"[safe]\n\tdirectory = {project}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    make_state(project).close()


@pytest.mark.parametrize("link", LINKS)
def test_pytest_refuses_it_too(world: World, victim: Path, link: str) -> None:
    world.for_machines()
    world.test("def test_it(machine): machine.run('true')", "test_a")
    world.ini()
    plant(world.root, victim, link)
    before = everything(victim)
    done = world.pytester.runpytest("-k", "one", "-p", "no:cacheprovider")
    assert done.ret != 0
    assert "nothing was written or removed there" in done.stdout.str() + done.stderr.str()
    assert everything(victim) == before
    done = world.pytester.runpytest("matrix/default.yaml", "-k", "one", "-p", "no:cacheprovider")
    assert done.ret == 4
    assert "nothing was written or removed there" in done.stdout.str() + done.stderr.str()
    assert everything(victim) == before


def test_clean_removes_only_what_we_made(cli: Cli, project: Path) -> None:
    for kind in ("runs", "sessions"):
        with RunFolder.create(project, kind=kind) as made:
            pass
        there = project / ".distromatrix" / kind
        (there / "mine").mkdir()
        (there / "mine/lock").write_text("distromatrix mine\n")
        (there / ID).mkdir()
        (there / ID / "lock").touch()
        shutil.copytree(made.path, there / "20200101-000000-0000")
    said = cli("clean", "--all")
    assert said.code == 0
    for kind in ("runs", "sessions"):
        left = {p.name for p in (project / ".distromatrix" / kind).iterdir() if not p.is_symlink()}
        assert left == {"mine", ID, "20200101-000000-0000"}


def test_a_run_that_lives_or_was_just_made_stays(project: Path) -> None:
    with RunFolder.create(project, kind=SESSIONS) as folder:
        assert remove_dead(project, SESSIONS) == ()
    assert dead_folders(project, SESSIONS) == (folder.path,)
    assert remove_dead(project, SESSIONS) == (folder.path,)
    assert not folder.path.exists()


def test_a_link_among_run_folders_is_no_run(project: Path, victim: Path) -> None:
    with RunFolder.create(project) as folder:
        pass
    (folder.path.parent / ID).symlink_to(victim / "runs" / ID)
    assert dead_folders(project, "runs") == (folder.path,)
    with pytest.raises(InputError, match="no such run"):
        find_run(project, ID)


def test_a_link_in_a_run_folder_leads_nowhere(project: Path, victim: Path) -> None:
    attempts: list[tuple[str, Callable[[RunFolder], object]]] = [
        ("lock", lambda run: RunFolder.lock(run.path, wait=0.0)),
        ("cells", lambda run: run.cell("a/b")),
        ("cells/a", lambda run: run.cell("a/b")),
    ]
    before = everything(victim)
    for name, attempt in attempts:
        with RunFolder.create(project) as run:
            pass
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).unlink(missing_ok=True)
        (run.path / name).symlink_to(victim / "new" if name == "lock" else victim)
        with pytest.raises((OSError, InputError)):
            attempt(run)
    assert everything(victim) == before


@pytest.mark.parametrize("link", ["journal.jsonl", "cells/one/good", "lock", "cells/one/x/log"])
def test_a_run_that_has_a_link_is_not_gone_on_with(
    cli: Cli, project: Path, victim: Path, link: str
) -> None:
    cli("run", "one/good")
    run = next(p for p in (project / ".distromatrix/runs").iterdir() if not p.is_symlink())
    (run / "snapshot.json").touch()
    place = run / link
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(victim / "runs" / ID / ("" if link == "cells/one/good" else "precious"))
    before = everything(victim)
    said = cli("run", "--resume", "latest")
    assert said.code == 2
    assert "is a link, and no run makes one" in said.err
    assert everything(victim) == before


def test_reports_are_written_over_links_and_not_through_them(
    cli: Cli, project: Path, victim: Path
) -> None:
    cli("run", "one/good")
    run = next(p for p in (project / ".distromatrix/runs").iterdir() if not p.is_symlink())
    for name in ("results.json", "junit.xml", "summary.md"):
        for file in (name, f"{name}.part"):
            (run / file).unlink(missing_ok=True)
            (run / file).symlink_to(victim / "runs" / ID / "new")
    before = everything(victim)
    assert cli("report", "--github").code == 0
    assert everything(victim) == before
    assert (run / "junit.xml").read_text().startswith("<?xml")
