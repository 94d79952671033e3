"""A failure is explained where its last lines or its script tell what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.collect.hints import of_lines
from distromatrix.execute.cell.hints import of_absent, of_variables
from distromatrix.model import Verdict

JQ = "jq is not installed: packages: [jq]"


def said(line: str, shell: str = "sh") -> list[str]:
    return list(of_lines([line], shell))


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh: 1: jq: not found",  # dash
        "./check.sh: 12: jq: not found",
        "/bin/sh: jq: not found",  # busybox
        "bash: line 1: jq: command not found",
        "/bin/sh: line 3: jq: command not found",
        "zsh:1: command not found: jq",
        "mksh: jq: inaccessible or not found",
        "env: 'jq': No such file or directory",
        "/usr/bin/env: ‘jq’: No such file or directory",
        "env: can't execute 'jq': No such file or directory",
        "make: jq: No such file or directory",
        "make[1]: jq: Command not found",
    ],
)
def test_a_command_that_is_not_there_is_a_package_that_is_missing(line: str) -> None:
    assert said(line) == [JQ]


@pytest.mark.parametrize(
    "line",
    [
        'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.',
        "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option",
        "su: must be suid to work properly",
    ],
)
def test_a_program_that_may_not_become_root_is_a_privilege_that_is_missing(line: str) -> None:
    assert said(line) == ["setuid programs do nothing in this container: privileges: [setuid]"]


@pytest.mark.parametrize(
    ("privilege", "line"),
    [
        ("net-raw", "sh: 1: ping: Operation not permitted"),
        ("net-raw", "bash: line 1: /usr/bin/ping: Operation not permitted"),
        ("net-raw", "env: 'ping': Operation not permitted"),
        ("net-raw", "ping: permission denied (are you root?)"),
        ("net-raw", "ping: socket: Operation not permitted"),
        (
            "net-raw",
            "tcpdump: lo: You don't have permission to capture on that device",
        ),
        ("net-raw", "You do not have enough privileges to use this traceroute method."),
        ("mknod", "mknod: /tmp/x: Operation not permitted"),
        ("mknod", "tar: null: Cannot mknod: Operation not permitted"),
        ("mknod", "E: Cannot install into target '/tmp/d' mounted with noexec or nodev"),
        ("audit-write", "sudo: unable to send audit message: Operation not permitted"),
        ("audit-write", "fatal: linux_audit_write_entry failed: Operation not permitted"),
    ],
)
def test_what_a_container_lacks_is_a_privilege_that_is_missing(privilege: str, line: str) -> None:
    (hint,) = said(line)
    assert hint.endswith(f" this container: privileges: [{privilege}]")


@pytest.mark.parametrize(
    "line", ["mkdir: /x: Permission denied", "skipping: Operation not permitted here", "ping: ok"]
)
def test_other_refusals_are_no_privilege_that_is_missing(line: str) -> None:
    assert said(line) == []


@pytest.mark.parametrize(
    ("command", "package"),
    [
        *(("python3", "python"), ("g++", "c++"), ("cc", "compiler"), ("git-lfs", "git-lfs")),
        ("numfmt", "coreutils"),
    ],
)
def test_it_is_named_as_distributions_have_it_in_common(command: str, package: str) -> None:
    (hint,) = said(f"/bin/sh: 1: {command}: not found")
    assert hint == f"{command} is not installed: packages: [{package}]"


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh: 1: [[: not found",
        "/bin/sh: 1: source: not found",
        '/bin/sh: 3: Syntax error: "(" unexpected',
        '/bin/sh: syntax error: unexpected "("',
        "/bin/sh: 1: Syntax error: redirection unexpected",
        "/bin/sh: 1: Bad substitution",
        "/bin/sh: syntax error: bad substitution",
        "/bin/sh: 1: set: Illegal option -o pipefail",
        "/bin/sh: 1: [: a: unexpected operator",
    ],
)
def test_what_is_bashs_asks_for_bash(line: str) -> None:
    (hint,) = said(line)
    assert hint.endswith("shell: bash")
    assert "is bash's: " in hint or hint.startswith("this looks like bash: ")


def test_a_script_that_is_for_bash_is_to_be_run_with_it() -> None:
    assert said("t/run.sh: 3: [[: not found") == ["[[ is bash's: run t/run.sh with bash"]
    assert said("/bin/sh: 1: [[: not found", "bash") == ["[[ is bash's: run /bin/sh with bash"]


def test_a_path_is_no_package() -> None:
    (hint,) = said("/bin/sh: 1: ./configure: not found")
    assert hint.startswith("./configure is not there, or the program")


@pytest.mark.parametrize(
    "line",
    [
        "checking for jq... not found",
        "error: package foo not found",
        "404: Not Found",
        "E   AssertionError: sh: 1: jq: not found in output",
        "make: *** [Makefile:2: all] Error 1",
        "  File: 3: x y: not found",
        "/bin/sh: 1: \\x1b[2J: not found",
        f"/bin/sh: 1: {'j' * 100}: not found",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert said(line) == []


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ('curl -H "$TOKEN"', ("TOKEN",)),
        ("echo ${TOKEN}", ("TOKEN",)),
        ("echo ${TOKEN:?must be set}", ("TOKEN",)),
        ("echo $TOKEN $OTHER $TOKEN", ("TOKEN", "OTHER")),
        ("echo ${TOKEN:-none} ${OTHER-x}", ()),
        ("TOKEN=1; echo $TOKEN", ()),
        ("for TOKEN in a; do echo $TOKEN; done", ()),
        ("read -r TOKEN <x; echo $TOKEN", ()),
        ("echo $TOKENS $GIVEN $DISTROMATRIX_X $ELSEWHERE TOKEN", ()),
    ],
)
def test_a_variable_of_the_callers_that_the_script_names_is_wanted(
    script: str, names: tuple[str, ...]
) -> None:
    callers = {"TOKEN", "OTHER", "GIVEN", "DISTROMATRIX_X"}
    assert of_variables([script], {"GIVEN": "1"}, callers) == names


@pytest.mark.parametrize(
    ("absent", "line"),
    [
        ("cmake(NoSuch)", 'CMake Error: "NoSuch", but CMake did not find one.'),
        ("pkgconfig(no-such-2.0)", "Package 'no-such-2.0', required by 'x', not found"),
        ("lib(nosuch)", "/usr/bin/ld: cannot find -lnosuch: No such file or directory"),
        ("lib(nosuch)", "configure: error: libnosuch is required"),
        ("header(no/such.h)", "a.c:1:10: fatal error: no/such.h: No such file or directory"),
        ("header(gtk+/a.h)", "gtk+/a.h: not found"),
    ],
)
def test_what_no_package_has_is_told_where_the_lines_speak_of_it(absent: str, line: str) -> None:
    (hint,) = of_absent([line], [absent])
    assert hint.startswith(f"no package has {absent}: name one")
    assert not list(of_absent([line], ["cmake(Such2)", "lib(uch)", "lib(s.ch)"]))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_cell_that_failed_has_hints_and_no_value_of_the_callers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "s3cr3t")
    script = '[ "$TOKEN_OF_MINE" ] || no-such-command'
    (result,) = world.execute(cell("a/s", script)).cells
    assert result.verdict is Verdict.FAILED
    assert result.hints == (
        "no-such-command is not installed: packages: [no-such-command]",
        "$TOKEN_OF_MINE is set where you are and empty in the cell: pass_env: [TOKEN_OF_MINE]",
    )
    assert "s3cr3t" not in str(result)


def test_a_variable_that_the_cell_has_is_no_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "s3cr3t")
    given = cell("a/s", "echo $TOKEN_OF_MINE; exit 1", env={"TOKEN_OF_MINE": "x"})
    assert world.execute(given).cells[0].hints == ()
    assert world.execute(cell("a/s", "echo $TOKEN_OF_MINE")).cells[0].hints == ()


def test_what_the_image_has_no_package_for_is_a_cells_hint(world: World) -> None:
    world.images.absent = ("cmake(NoSuch)", "cmake(Other)")
    (result,) = world.execute(cell("a/s", "echo needs NoSuch; exit 1")).cells
    (hint,) = result.hints
    assert hint.startswith("no package has cmake(NoSuch): ")
