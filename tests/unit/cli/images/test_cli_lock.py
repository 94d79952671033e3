"""`images lock` as a user meets it, and runs that honour what it wrote."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cli_world import DISTRO, Cli, runs

REF = "docker.io/library/{}:1"


def digest(name: str) -> str:
    """What the fake registry has under a reference."""
    return "sha256:" + hashlib.sha256(REF.format(name).encode()).hexdigest()


@pytest.fixture
def lock(cli: Cli, project: Path) -> Path:
    """The lock, as `images lock` writes it."""
    assert cli("images", "lock").code == 0
    return project / "distros.lock"


def other_image(name: str, text: str) -> str:
    return text.replace(digest(name), "sha256:" + "0" * 64)


def faults(project: Path, **pulls: str) -> None:
    folder = Path(project.parent / "fake")
    (folder / "faults.json").write_text(json.dumps({"pulls": pulls}))


def test_a_first_lock_says_what_it_locked(cli: Cli, project: Path) -> None:
    said = cli("images", "lock")
    assert said.code == 0
    assert said.out.splitlines() == [
        f"{name}: pull {REF.format(name)} {digest(name)}" for name in ("one", "two")
    ]
    assert "distros.lock: 2 entries changed, 2 in all" in said.err
    assert digest("two") in (project / "distros.lock").read_text()


def test_a_second_lock_changes_nothing_and_says_so(cli: Cli, lock: Path) -> None:
    before = lock.stat().st_ino
    said = cli("images", "lock")
    assert (said.code, said.out) == (0, "")
    assert "0 entries changed, 2 in all" in said.err
    assert lock.stat().st_ino == before


def test_what_changed_is_printed_and_nothing_else_written(cli: Cli, lock: Path) -> None:
    now = lock.read_text()
    lock.write_text(other_image("two", now))
    said = cli("images", "lock")
    assert said.out == (
        f"two: pull {REF.format('two')} sha256:{'0' * 64} → pull {REF.format('two')} "
        f"{digest('two')}\n"
    )
    assert lock.read_text() == now


def test_a_selector_leaves_the_others_as_they_are(cli: Cli, lock: Path) -> None:
    lock.write_text(other_image("one", other_image("two", lock.read_text())))
    assert cli("images", "lock", "two").out.startswith("two: ")
    assert digest("one") not in lock.read_text()
    assert digest("two") in lock.read_text()


def test_a_check_writes_nothing_and_is_1_where_the_lock_would_change(cli: Cli, lock: Path) -> None:
    assert cli("images", "lock", "--check").code == 0
    changed = other_image("two", lock.read_text())
    lock.write_text(changed)
    said = cli("images", "lock", "--check")
    assert said.code == 1
    assert said.out.startswith("two: ")
    assert lock.read_text() == changed


def test_a_check_without_a_lock_is_1(cli: Cli, project: Path) -> None:
    assert cli("images", "lock", "--check").code == 1
    assert not (project / "distros.lock").exists()


def test_entries_of_no_distro_are_removed(cli: Cli, project: Path, lock: Path) -> None:
    gone = lock.read_text().replace("  one:", "  three:")
    lock.write_text(gone)
    said = cli("plan")
    assert said.code == 2
    assert said.err == (
        "distros.lock:5:3: no distro `three` (`distromatrix images lock` removes it)\n"
    )
    said = cli("images", "lock")
    assert "three: removed (unknown distro)" in said.out
    assert cli("plan").code == 0


def test_a_run_uses_the_locked_image_and_its_results_say_so(cli: Cli, lock: Path) -> None:
    cells = json.loads(cli("run", "--json", "one/good").out)["cells"]
    assert cells[0]["image"]["locked"] is True
    lock.unlink()
    unlocked = json.loads(cli("run", "--json", "one/good").out)["cells"]
    assert "locked" not in unlocked[0]["image"]
    assert unlocked[0]["image"]["id"] != cells[0]["image"]["id"]


def test_a_distro_without_an_entry_runs_with_a_warning(cli: Cli, lock: Path) -> None:
    lock.write_text(lock.read_text().partition("  two:")[0])
    said = cli("run", "*/good")
    assert said.code == 0
    assert "distros.lock has no entry for two: run as declared" in said.out + said.err


@pytest.mark.parametrize("command", ["plan", "run", "images build", "images export x.tar"])
def test_a_lock_that_does_not_match_is_2_and_nothing_starts(
    cli: Cli, project: Path, lock: Path, command: str
) -> None:
    other = DISTRO.replace("library/NAME", "library/other")
    (project / "distros/two.yaml").write_text(other)
    said = cli(*command.split())
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "distros.lock:9:11: the file of `two` does not declare `docker.io/library/two:1` any "
        "more (`distromatrix images lock two` locks it anew)\n"
    )
    assert not runs(project)
    assert cli("images", "lock", "two").code == 0
    assert cli("plan").code == 0


def test_faults_of_the_lock_and_of_the_matrix_are_told_in_one_go(
    cli: Cli, project: Path, lock: Path
) -> None:
    lock.write_text(lock.read_text().replace("format", "fromat"))
    matrix = project / "matrix/default.yaml"
    matrix.write_text(matrix.read_text().replace("product", "prodcut"))
    said = cli("run")
    assert said.code == 2
    assert "matrix/default.yaml:1:1: unknown key `prodcut`" in said.err
    assert "distros.lock:3:1: unknown key `fromat` (did you mean `format`?)" in said.err


def test_what_cannot_be_resolved_is_told_at_once_and_nothing_is_written(
    cli: Cli, project: Path, lock: Path
) -> None:
    faults(project, **{"*/one:1": "rate-limit", "*/two:1": "denied"})
    lock.write_text(before := other_image("one", lock.read_text()))
    said = cli("images", "lock")
    assert (said.code, said.out) == (69, "")
    assert "one: cannot pull docker.io/library/one:1: rate-limit" in said.err
    assert "two: cannot pull docker.io/library/two:1: denied" in said.err
    assert "nothing was written" in said.err
    assert lock.read_text() == before


def test_a_registry_out_of_reach_does_not_change_what_is_locked(
    cli: Cli, project: Path, lock: Path
) -> None:
    archive = project / "distros/r.tar"
    archive.write_bytes(b"x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    declared = f", {{archive: {{file: r.tar, sha256: {sha256}}}}}]"
    two = project / "distros/two.yaml"
    two.write_text(two.read_text().replace("]", declared))
    faults(project, **{"*": "unreachable"})
    before = lock.read_text()
    said = cli("images", "lock", "two")
    assert said.code == 69
    assert "two: cannot see whether its lock still holds: " in said.err
    assert lock.read_text() == before
    lock.unlink()  # the first time it is what a run would take
    said = cli("images", "lock", "two")
    assert said.out == f"two: archive r.tar sha256:{sha256}\n"
    assert "warning: two: locked to its next source, as " in said.err


def test_a_bootstrap_is_written_down_as_not_locked(cli: Cli, project: Path) -> None:
    text = DISTRO.replace(
        "pull: docker.io/library/NAME:1", "bootstrap: {tool: mmdebstrap, suite: bookworm}"
    )
    (project / "distros/one.yaml").write_text(text)
    said = cli("images", "lock", "one")
    assert said.out == "one: bootstrap mmdebstrap bookworm, which cannot be locked\n"
    assert "# Cannot be locked: " in (project / "distros.lock").read_text()
    assert cli("images", "lock", "--check", "one").code == 0


def test_locking_offline_is_a_mistake(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTROMATRIX_OFFLINE", "1")
    said = cli("images", "lock")
    assert said.code == 2
    assert "images lock contacts registries" in said.err


def test_a_locked_image_that_is_not_here_is_missing_offline(cli: Cli, lock: Path) -> None:
    text = lock.read_text()
    lock.unlink()
    cli("images", "build", "one")  # the tag's image, which is not the locked one
    lock.write_text(text)
    said = cli("run", "--offline", "one/good")
    assert said.code == 69
    assert f"docker.io/library/one@{digest('one')}, locked by distros.lock" in said.err
