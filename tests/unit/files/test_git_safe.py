"""Git runs nothing that a checkout names, and nothing but one function calls it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
from checkouts import git
from cli_world import Cli
from pytest_world import World

import distromatrix
from distromatrix.errors import InputError
from distromatrix.execute.product.snapshot import take
from distromatrix.files import git as safe
from distromatrix.model import Product

pytest_plugins = ["pytester"]
SOURCE = Path(distromatrix.__file__).parent
TOP = Path(__file__).parents[3]
CALLER = SOURCE / "files/git.py"
# `git` as what a shell would run, which `git: [git]` of a list of packages is not.
IN_A_SHELL = re.compile(
    r"(^|[;&|(`]|\$\(|\bthen|\bdo|\belse|\bexec|\bsudo|\brun:|\benv)\s*git\s+[-a-z]"
)


# --- one caller --------------------------------------------------------------------------------


def begins_a_command(node: ast.AST) -> bool:
    """Whether a list, or a call's first argument, is `git` or begins with it."""
    if isinstance(node, ast.Call):
        first = node.args[0] if node.args else None
        name = ast.unparse(node.func)
        if re.search(r"(which|_tool|Literal)$", name):  # whether it is there, says doctor
            return False
    elif isinstance(node, ast.List | ast.Tuple):
        first = node.elts[0] if len(node.elts) > 1 else None
    else:
        return False
    return isinstance(first, ast.Constant) and (
        first.value == "git" or str(first.value).startswith("git ")
    )


@pytest.mark.parametrize(
    "file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE))
)
def test_no_other_module_calls_git(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    calls = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and begins_a_command(node)
    ]
    shells = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs
        and any(IN_A_SHELL.search(line) for line in node.value.splitlines())
    ]
    imports = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.name.split(".")[0] in ("git", "pygit2", "dulwich")
        and not (isinstance(node, ast.ImportFrom) and node.module == "distromatrix.files")
    ]
    assert not imports
    assert not shells or file == CALLER  # which tells the user what to run
    assert len(calls) == (file == CALLER), calls


def test_no_script_of_ours_calls_git_on_a_checkout() -> None:
    scripts = [
        *SOURCE.rglob("*.sh"),
        *(TOP / ".github").rglob("*.y*ml"),
        *(TOP / ".github").rglob("*.sh"),
        TOP / "Makefile",
    ]
    assert len(scripts) > 10
    lines = [
        f"{script}: {line.strip()}"
        for script in scripts
        for line in script.read_text("utf-8").splitlines()
        if IN_A_SHELL.search(line)
    ]
    assert not lines


@pytest.mark.parametrize(
    "code",
    [
        "run(['git', 'x'])",
        "run(('git', *more))",
        "run('git status', shell=True)",
        "a = ['git', 'x']",
    ],
)
def test_a_call_of_git_is_known_for_one(code: str) -> None:
    assert any(begins_a_command(node) for node in ast.walk(ast.parse(code)))


# --- four plain files that make a folder a repository --------------------------------------------


def plant(folder: Path, ran: Path, **settings: str) -> None:
    """Make the folder a bare repository as a pull request can, whose settings make git run
    something."""
    for empty in ("objects/.keep", "refs/.keep"):
        (folder / empty).parent.mkdir(exist_ok=True)
        (folder / empty).touch()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    said = {"bare": "false", "worktree": ".", "fsmonitor": f"touch {ran}; false", **settings}
    lines = "".join(f"\t{key} = {value!r}\n".replace("'", '"') for key, value in said.items())
    (folder / "config").write_text(f"[core]\n\trepositoryformatversion = 0\n{lines}")


@pytest.fixture
def trap(project: Path, tmp_path: Path) -> Path:
    """What the product's folder, one of a repository's, would have git make."""
    git(tmp_path, "init", "-q")
    ran = tmp_path / "ran"
    plant(project, ran)
    unsafe = ["git", "-c", "safe.bareRepository=all", "ls-files"]
    subprocess.run(unsafe, cwd=project, check=True, capture_output=True)
    assert ran.exists()  # so it is one
    ran.unlink()
    return ran


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("plan",), 0),
        (("plan", "--save", "p.json"), 0),
        (("run",), 2),
        (("run", "one/good"), 2),
        (("report",), 2),
        (("init", "--print", "--distros", "one"), 0),
        (("doctor",), None),
        (("distros",), 0),
        (("images", "list"), 0),
        (("images", "lock", "--dry-run"), None),
        (("shell", "one/good"), 2),
        (("clean",), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bare_repository_in_the_product_runs_nothing(
    trap: Path, cli: Cli, args: tuple[str, ...], code: int | None
) -> None:
    said = cli(*args)
    assert not trap.exists()
    assert code is None or said.code == code, said


def test_it_is_refused_in_a_line(trap: Path, cli: Cli, project: Path) -> None:
    (project / ".env").write_text("SECRET=1\n")
    said = cli("run")
    assert said.code == 2
    assert "HEAD, config, objects, refs" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not list(project.glob(".distromatrix/runs/*/snapshot.tar"))


def test_pytest_runs_nothing_either(world: World, tmp_path: Path) -> None:
    plant(world.root, tmp_path / "ran")
    world.for_machines()
    world.test("def test_it(machine): machine.run('true')", "test_a")
    world.ini()
    done = world.pytester.runpytest("-k", "one", "--distromatrix", "matrix/default.yaml")
    assert not (tmp_path / "ran").exists()
    assert done.ret != 0
    assert "bare git repository" in done.stdout.str() + done.stderr.str()


def test_nothing_runs_where_git_is_too_old_to_refuse_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(
        safe, "_OPTIONS", tuple(o.replace("explicit", "all") for o in safe._OPTIONS)
    )
    for settings in ({}, {"bare": "true"}, {"worktree": str(tmp_path / "elsewhere")}):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        plant(project, tmp_path / "ran", **settings)
        with pytest.raises(InputError, match="bare git repository"):
            take(Product(path=project), tmp_path / "s.tar")
        assert not (tmp_path / "ran").exists()


def test_no_setting_of_a_repository_runs_anything(tmp_path: Path) -> None:
    """A `.git` from an archive may say whatever it likes; so may a submodule's."""
    ran, origin, product = tmp_path / "ran", tmp_path / "origin", tmp_path / "product"
    for folder in (origin, product):
        folder.mkdir()
        git(folder, "init", "-q")
        (folder / "file").write_text("x")
        (folder / ".gitattributes").write_text("* filter=f diff=f merge=f\n")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "x")
    git(product, "submodule", "add", "-q", str(origin), "sub")
    command = tmp_path / "command"
    command.write_text(f'#!/bin/sh\necho "$0 $*" >>{ran}\nexec cat\n')
    command.chmod(0o755)
    settings = {
        **dict.fromkeys(
            (
                *("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass"),
                *("core.gitProxy", "core.alternateRefsCommand", "diff.external", "pager.ls-files"),
                *("filter.f.clean", "filter.f.smudge", "filter.f.process", "diff.f.textconv"),
                *("diff.f.command", "merge.f.driver", "credential.helper", "gpg.program"),
                *("remote.origin.uploadpack", "remote.origin.vcs", "uploadpack.packObjectsHook"),
                *("alias.ls-files", "alias.rev-parse", "alias.config", "trace2.eventTarget"),
            ),
            str(command),
        ),
        "core.hooksPath": str(tmp_path),
        "core.untrackedCache": "true",
        "protocol.ext.allow": "always",
        "protocol.file.allow": "always",
        "remote.origin.url": f"ext::{command} %S",
        "remote.origin.promisor": "true",
        "remote.origin.partialCloneFilter": "blob:none",
        "extensions.partialClone": "origin",
    }
    for folder in (product, product / "sub"):
        for key, value in settings.items():
            git(folder, "config", key, value)
        for file in folder.joinpath("." if folder == product else "../.git/modules/sub").glob(
            ".git/objects/??/*"
        ):
            file.unlink()  # all of them are to be fetched
    ran.unlink(missing_ok=True)
    (product / "file").write_text("other")
    take(Product(path=product, git=True), tmp_path / "s.tar")
    assert not safe.is_tracked(product, ".distromatrix")
    assert not ran.exists(), ran.read_text()


def test_nothing_is_fetched(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "protocol.ext.allow", "always")
    with pytest.raises(InputError, match="transport 'ext' not allowed"):
        safe.ask(tmp_path, "fetch", f"ext::touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


# --- bounds ------------------------------------------------------------------------------------


def test_an_answer_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(safe, "_MOST", 1000)
    for number in range(100):
        (tmp_path / f"{number:020}").touch()
    with pytest.raises(InputError, match="too many files for a product: name a smaller folder"):
        take(Product(path=tmp_path), tmp_path / "s.tar")


def test_git_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    os.mkfifo(tmp_path / "pipe")
    git(tmp_path, "config", "core.excludesFile", str(tmp_path / "pipe"))
    monkeypatch.setattr(safe, "_WITHIN", 0.5)
    with pytest.raises(InputError, match="git ls-files did not end"):
        take(Product(path=tmp_path), tmp_path / "s.tar")


def test_what_git_says_of_a_fault_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' e >&2; echo last >&2; exit 3\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(InputError, match=r"last$") as caught:
        safe.ask(tmp_path, "status", missing=b"")
    assert len(str(caught.value)) < 70_000


@pytest.mark.parametrize(
    ("name", "listed"), [("../secret", "aa_secret"), (".git/config", "x" * 11)]
)
def test_an_index_that_names_what_is_not_the_products_is_refused(
    tmp_path: Path, name: str, listed: str
) -> None:
    product = tmp_path / "product"
    product.mkdir()
    git(product, "init", "-q")
    (product / listed).write_text("x")
    git(product, "add", ".")
    (tmp_path / "secret").write_text("s")
    index = product / ".git/index"
    git(product, "config", "index.skipHash", "true")
    raw = index.read_bytes().replace(listed.encode(), name.encode())
    index.write_bytes(raw[:-20] + bytes(20))  # no checksum
    assert safe.ask(product, "ls-files") == f"{name}\n".encode()
    with pytest.raises(InputError, match=r"git lists .* which is not a file of the product"):
        take(Product(path=product), tmp_path / "s.tar")
