"""A checkout asks before it reaches the host."""

from __future__ import annotations

import json
import os
import pty
import shutil
import stat
import subprocess
from pathlib import Path

import click
import pytest
from cli_world import DISTRO, Cli
from pytest_world import World

from distromatrix.cli import COMMANDS
from distromatrix.cli.guests import command as guests
from distromatrix.cli.images import command as images
from distromatrix.load.catalogue import builtin_folder
from distromatrix.load.settings import Settings
from distromatrix.model import Selection
from distromatrix.project.project import load_project
from distromatrix.trust import reach_of
from distromatrix.trust.kept import folder, keep, yes_of
from quick_python import quick_python

pytest_plugins = "pytester"

BOOTSTRAP = "image: [{bootstrap: {tool: TOOL, suite: x, packages: [base], options: [OPTIONS]}}]\n"
# What is added to the matrix and to a distro's file, and how it is called.
REACHES = {
    "pass_env": ("pass_env: [TOKEN]\n", ""),
    "index": ("index: host\n", ""),
    "ca_bundle": ("ca_bundle: ../outside/file\n", ""),
    "product": ("product: ../outside\n", ""),
    "privileges": ("defaults: {privileges: [mount]}\n", ""),
    "pids": ("defaults: {pids: 5000}\n", ""),
    "disk": ("defaults: {disk: 1T}\n", ""),
    "memory": ("defaults: {memory: 9000T}\n", ""),
    "vagrantfile": ("", "guest: {vagrantfile: Vagrantfile}\n"),
    "box": ("", "guest: {box: someone/box}\n"),
    "keys": ("", BOOTSTRAP.replace("TOOL", "dnf").replace("OPTIONS", "--keys=OUTSIDE/file")),
    "signatures": ("", BOOTSTRAP.replace("TOOL", "dnf").replace("OPTIONS", "--no-signatures")),
    "containerfile": ("", "image: [{containerfile: made/Containerfile}]\n"),
    "pull": ("", "image: [{pull: secret.example/ours:1}]\n"),
}
# Those that act on a plan; all others do nothing with a checkout's values but show them.
ACTING = {
    "run": (),
    "bisect": ("one/good", "--good", "HEAD"),
    "why": ("one/good",),
    "shell": ("one/good",),
    "images build": (),
    "images lock": (),
    "images export": ("images.tar",),
    "guests build": ("one",),
}
QUIET = {
    *("cluster", "completion"),
    *("init", "plan", "distros", "add-distro", "report", "clean", "doctor", "trust", "schema"),
    "history",
    "facts",
    *("images list", "images prune", "images import", "images key"),
    *("guests list", "guests enter", "guests remove"),
}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody has said yes to anything."""
    monkeypatch.delenv("DISTROMATRIX_TRUST")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def reaching(project: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("-----BEGIN CERTIFICATE-----\n")
    config = project.parent / "docker"
    config.mkdir()
    (config / "config.json").write_text('{"auths": {"secret.example": {}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    matrix, distro = (text.replace("OUTSIDE", str(outside)) for text in REACHES[kind])
    file = project / "matrix/default.yaml"
    said = file.read_text()
    if matrix.startswith("product:"):
        said = said.replace("product: .\n", "")
    file.write_text(said + matrix)
    own = project / "distros/one.yaml"
    lines = own.read_text().splitlines(keepends=True)
    kept = [li for li in lines if not (li.startswith("image:") and "image:" in distro)]
    own.write_text("".join(kept) + distro)
    (project / "distros/Vagrantfile").write_text("puts 1\n")
    (project / "distros/made").mkdir()
    (project / "distros/made/Containerfile").write_text("FROM scratch\n")
    (project / ".git").mkdir()


@pytest.mark.parametrize("kind", REACHES)
def test_what_reaches_the_host_is_shown_and_refused(
    cli: Cli, project: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaching(project, kind, monkeypatch)
    said = cli("run", "one/good")
    assert said.code == 2
    first, last = said.err.splitlines()
    assert first.startswith(("matrix/default.yaml: ", "distros/one.yaml: "))
    assert f": {kind}: " in first
    assert "`distromatrix trust`" in last and "DISTROMATRIX_TRUST=" in last
    assert not (project / ".distromatrix").exists()
    assert cli("plan").code == 0
    assert cli("trust", "--yes").code == 0
    assert "need" not in cli("trust").err
    assert cli("trust").code == 0


def test_every_kind_is_tried_here() -> None:
    from distromatrix.trust.reach import KINDS

    assert list(KINDS) == list(REACHES)


@pytest.mark.parametrize("command", ACTING)
def test_every_command_that_acts_asks_first(cli: Cli, project: Path, command: str) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("index: host\n")
    (project / "distros/one.yaml").write_text(
        DISTRO.replace("NAME", "one")
        + "guest: {box: someone/box, bootstrap: {kernel: k, system: [s]}}\n"
    )
    said = cli(*command.split(), *ACTING[command])
    assert said.code == 2
    assert "may not do that to this host before you say yes" in said.err


def test_each_command_is_known_to_ask_or_not_to_act() -> None:
    groups: dict[str, click.Group] = {"images": images, "guests": guests}
    known = {f"{name} {sub}" for name, group in groups.items() for sub in group.commands}
    assert known | (set(COMMANDS) - set(groups)) == set(ACTING) | QUIET


def test_what_reaches_nothing_needs_no_yes(cli: Cli) -> None:
    assert cli("run", "one").code == 0
    said = cli("trust")
    assert (said.code, said.out) == (0, "")
    assert "requests no access to this host" in said.err


def test_a_yes_ends_with_what_it_was_for(cli: Cli, project: Path, tmp_path: Path) -> None:
    distro = project / "distros/one.yaml"
    distro.write_text(distro.read_text() + "guest: {vagrantfile: Vagrantfile}\n")
    vagrantfile = project / "distros/Vagrantfile"
    vagrantfile.write_text("puts 1\n")
    assert cli("trust", "--yes").code == 0
    assert cli("run", "one/good").code == 0
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns(".distromatrix"))
    assert cli("run", "one/good", "-C", str(other)).code == 2  # another checkout asks for itself
    vagrantfile.write_text("puts 2\n")
    assert cli("run", "one/good").code == 2
    vagrantfile.write_text("puts 1\n")
    assert cli("run", "one/good").code == 0
    assert cli("trust", "--list").out == f"{project}: 1\n"
    assert cli("trust", "--forget").code == 0
    assert cli("run", "one/good").code == 2
    assert cli("trust", "--list").out == ""


@pytest.mark.parametrize(
    "link", ["matrix/default.yaml", "distros/three.yaml", "distros", "distros.lock"]
)
def test_a_link_shows_nothing_of_what_it_leads_to(cli: Cli, project: Path, link: str) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    for name in ("token", "s3cret.yaml"):
        (outside / name).write_text("s3cret\n")
    at = project / link
    if at.is_dir():
        shutil.rmtree(at)
    at.unlink(missing_ok=True)
    at.symlink_to(outside if link == "distros" else outside / "token")
    said = cli("run", "one/good", "--trust")
    assert said.code == 2
    assert f"{link}: is a link that leads out of the project" in said.err
    assert "s3cret" not in said.err


def test_a_link_is_followed_before_it_is_asked_about(cli: Cli, project: Path) -> None:
    (project.parent / "secret").mkdir()
    (project / "here").symlink_to("../secret")
    matrix = project / "matrix/default.yaml"
    matrix.write_text(matrix.read_text().replace("product: .", "product: here"))
    said = cli("run", "one/good")
    assert said.code == 2
    assert f"product: {project.parent / 'secret'}: " in said.err


def test_digests_are_the_same_in_another_folder(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("index: host\npass_env: [TOKEN]\n")
    digests = cli("trust", "--digest").out.strip()
    assert len(digests.split(",")) == 2
    other = tmp_path / "other"
    shutil.copytree(project, other)
    one = digests.split(",")[0]
    assert cli("run", "one/good", "-C", str(other), f"--trust={digests}").code == 0
    assert cli("run", "one/good", f"--trust={one}").code == 2
    monkeypatch.setenv("DISTROMATRIX_TRUST", digests)
    assert cli("run", "one/good", "-C", str(other)).code == 0
    with (other / "matrix/default.yaml").open("a") as file:
        file.write("ca_bundle: ../file\n")
    (tmp_path / "file").write_text("x")
    said = cli("run", "one/good", "-C", str(other))
    assert said.code == 2
    assert "ca_bundle" in said.err and "pass_env" not in said.err  # the new alone is asked for
    assert not yes_of(other)


def test_bare_trust_takes_all_and_eats_no_selector(cli: Cli, project: Path) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("index: host\n")
    said = cli("run", "--trust", "one/good")
    assert said.code == 2
    assert "--trust: expected digests of `distromatrix trust --digest`" in said.err
    assert cli("run", "one/good", "--trust").code == 0
    assert cli("run", "one/good").code == 2  # and nothing of it is kept


def test_a_wrong_variable_is_told(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("index: host\n")
    monkeypatch.setenv("DISTROMATRIX_TRUST", "yes")
    said = cli("run", "one/good")
    assert said.code == 2
    assert said.err.startswith("$DISTROMATRIX_TRUST: expected digests")


def test_a_yes_lies_where_the_user_alone_writes(cli: Cli, project: Path) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("index: host\n")
    assert cli("trust", "--yes").code == 0
    at = folder()
    (file,) = at.iterdir()
    assert stat.S_IMODE(at.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert cli("run", "one/good").code == 0
    at.chmod(0o777)
    assert cli("run", "one/good").code == 2


def test_on_a_terminal_it_asks_and_keeps_the_answer(cli: Cli, project: Path) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("index: host\n")

    def on_terminal(answer: bytes) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        command = [quick_python(), "-m", "distromatrix", "run", "one/good"]
        with subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=-3) as process:
            os.close(theirs)
            os.write(ours, answer)
            text = b""
            try:
                while block := os.read(ours, 4096):
                    text += block
            except OSError:  # the other end is closed
                pass
        os.close(ours)
        return process.returncode, text.decode()

    code, text = on_terminal(b"n\n")
    assert code == 2
    assert "index: host: hands your package indexes" in text
    code, text = on_terminal(b"y\n")
    assert code == 0
    assert cli("run", "one/good").code == 0


def test_a_plan_file_is_a_checkouts(cli: Cli, project: Path) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write("pass_env: [TOKEN]\n")
    assert cli("plan", "--save", "plan.json").code == 0
    said = cli("run", "--plan", "plan.json", "--shard", "1/2")
    assert said.code == 2
    assert "pass_env: TOKEN" in said.err


def test_a_stored_plan_is_believed_in_nothing(cli: Cli, project: Path, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted"
    shutil.copytree(project, trusted)
    with (trusted / "matrix/default.yaml").open("a") as file:
        file.write("pass_env: [TOKEN]\n")
    assert cli("trust", "--yes", "-C", str(trusted)).code == 0
    assert cli("run", "one/good").code == 0
    (run,) = (p for p in (project / ".distromatrix/runs").iterdir() if not p.is_symlink())
    plan = json.loads((run / "plan.json").read_text())
    plan |= {"pass_env": ["TOKEN"], "root": str(trusted)}
    plan["distros"][0] |= {
        "file": str(builtin_folder() / "debian-12.yaml"),
        "guest": {"box": "someone/box\nsystem 'x'"},
    }
    (run / "plan.json").write_text(json.dumps(plan))
    (run / "snapshot.json").touch()
    said = cli("run", "--resume", run.name)
    assert said.code == 2
    assert "pass_env: TOKEN" in said.err and "box: someone/box" in said.err


def test_the_catalogues_own_boxes_need_no_yes(cli: Cli, project: Path) -> None:
    distro = project / "distros/one.yaml"
    text = distro.read_text()
    distro.write_text(text + "guest: {box: debian/bookworm64}\n")
    assert cli("run", "one/good").code == 0
    distro.write_text(text + "guest: {box: debian/bookworm64, provider: virtualbox}\n")
    assert cli("run", "one/good").code == 2


def test_this_checkout_needs_no_yes_and_a_copy_of_its_files_does(tmp_path: Path) -> None:
    top = builtin_folder().parent
    if not (top / "runner/distromatrix").is_dir():  # the wheel is tested
        assert (builtin_folder().parent / "trust").is_dir()
        return
    own = load_project(top, None, Settings()).plan(Selection())
    assert own.index == "host"
    assert reach_of(own) == ()
    for name in ("matrix", "distros"):
        shutil.copytree(top / name, tmp_path / name)
    (tmp_path / "runner").symlink_to(top / "runner")
    copy = load_project(tmp_path, None, Settings()).plan(Selection())
    assert [(one.kind, one.value) for one in reach_of(copy)] == [("index", "host")]


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_a_session_of_pytest_ends_in_a_usage_error(
    world: World, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    with (world.root / "matrix/default.yaml").open("a") as file:
        file.write("pass_env: [TOKEN]\n")
    world.ini()
    args = ("-p", "no:randomly", *options, "matrix", "-k", "good")
    done = world.pytester.runpytest_subprocess(*args)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    text = done.stdout.str() + done.stderr.str()
    assert "pass_env: TOKEN: hands that variable of yours to the product" in text
    assert "distromatrix trust" in text
    assert world.runs() == []
    digest = text.partition("DISTROMATRIX_TRUST=")[2].split()[0]
    monkeypatch.setenv("DISTROMATRIX_TRUST", digest)
    assert world.pytester.runpytest_subprocess(*args).ret == 0


def test_tests_with_machines_ask_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.for_machines()
    distro = world.root / "distros/apart.yaml"  # which is not of the matrix
    distro.write_text(distro.read_text() + "guest: {box: someone/box}\n")
    world.test("def test_it(machine): assert machine.run('true').rc == 0\n", "test_it")
    (world.root / "tests/conftest.py").write_text("")
    world.test(
        "import pytest\n@pytest.mark.distros('apart')\n"
        "def test_it(machine): assert machine.run('true').status == 0\n",
        "test_it",
    )
    done = world.pytester.runpytest_subprocess("tests")
    assert done.ret == 1
    assert "box: someone/box" in done.stdout.str()
    monkeypatch.setenv("DISTROMATRIX_TRUST", "all")
    assert world.pytester.runpytest_subprocess("tests").ret == 0


def test_a_yes_is_kept_for_one_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    keep(tmp_path / "a", ["x"])
    assert yes_of(tmp_path / "link") == {"x"}
    assert yes_of(tmp_path) == set()
