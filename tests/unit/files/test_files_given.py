"""What is written into a project lies in it, whatever links whoever wrote it has put there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_world import Cli, runs

from distromatrix.errors import InputError
from distromatrix.files.given import require_stays, write_new


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("mine")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


@pytest.mark.parametrize(
    ("link", "target", "args"),
    [
        ("matrix", "", ("init",)),
        ("distros", "", ("add-distro", "three", "--family", "debian")),
        ("out", "", ("plan", "--save", "out/plan.json")),
        ("plan.json", "file", ("plan", "--save", "plan.json")),
        ("plan.json", "new", ("plan", "--save", "plan.json")),
        ("images.tar", "new", ("images", "export", "images.tar")),
        ("out", "", ("images", "export", "out/images.tar")),
        ("out", "", ("report", "merge", "shards", "--into", "out/merged")),
        ("h.db", "file", ("report", "merge", "shards", "--history", "h.db")),
        ("h.db-journal", "file", ("report", "merge", "shards", "--history", "h.db")),
    ],
)
def test_no_link_in_the_project_leads_a_write_out_of_it(
    cli: Cli, project: Path, outside: Path, link: str, target: str, args: tuple[str, ...]
) -> None:
    cli("plan", "--save", "p.json")
    cli("run", "--plan", "p.json", "--shard", "1/1")
    runs(project)[0].parent.rename(project / "shards")
    if (project / link).exists():
        (project / link).rename(project / f"{link}-before")
    (project / link).symlink_to(outside / target)
    said = cli(*args)
    assert said.code == 2, said
    assert "link" in said.err.splitlines()[-1]
    assert "Traceback" not in said.err
    assert content(outside) == {"file": "mine"}


def test_no_link_in_a_parts_place_is_followed(cli: Cli, project: Path, outside: Path) -> None:
    for part in ("plan.json.part", "distros.lock.part", f"h.db.{os.getpid()}.part"):
        (project / part).symlink_to(outside / "file")
    assert cli("plan", "--save", "plan.json").code == 0
    cli("run", "--plan", "plan.json", "--shard", "1/1")
    runs(project)[0].parent.rename(project / "shards")
    cli("report", "merge", "shards", "--history", "h.db")
    assert (project / "h.db").read_bytes().startswith(b"SQLite")
    cli("images", "lock")
    assert content(outside) == {"file": "mine"}


def test_what_stays_inside_or_is_named_elsewhere_is_the_users(
    cli: Cli, project: Path, outside: Path
) -> None:
    (project / "real").mkdir()
    (project / "link").symlink_to("real")
    (outside / "link").symlink_to("file")
    assert cli("plan", "--save", "link/plan.json").code == 0
    assert (project / "real/plan.json").is_file()
    assert cli("plan", "--save", str(outside / "link")).code == 0
    assert (outside / "link").is_symlink()
    assert json.loads((outside / "file").read_text())["cells"]


def test_a_project_that_lies_behind_a_link_is_one(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    require_stays(tmp_path / "link/deep/x", tmp_path / "link")
    require_stays(tmp_path / "link/deep/x", tmp_path / "real")
    (tmp_path / "real/deep/out").symlink_to("../..")
    with pytest.raises(InputError, match="leads out of the project"):
        require_stays(tmp_path / "link/deep/out/x", tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_what_is_written_is_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "4711")
    monkeypatch.setenv("SUDO_GID", "4711")
    write_new(tmp_path, "matrix/default.yaml", "x")
    for path in ("matrix", "matrix/default.yaml"):
        assert (tmp_path / path).stat().st_uid == 4711
    with pytest.raises(FileExistsError):
        write_new(tmp_path, "matrix/default.yaml", "y")
    assert (tmp_path / "matrix/default.yaml").read_text() == "x"
