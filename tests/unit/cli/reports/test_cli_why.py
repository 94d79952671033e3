"""`distromatrix why` on the fake engine, whose cells are shell scripts run here, under a strace of
the tests' own: it writes down what it is told to. The real one is in tests/integration."""

import json
from pathlib import Path

import pytest
from cli_world import DISTRO, Cli, runs

from distromatrix.collect.facts import add_facts
from distromatrix.model import Facts
from distromatrix.plan.traced import OPENED
from distromatrix.project.opened import used_by

MATRIX = """\
product: .
distros: [one, two, three]
suites:
  unit: {run: sh ./t}
  cased:
    cases: true
    run: |
      cat "${DISTROMATRIX_CASES:-/dev/null}" >asked-for
      cat asked-for
      case $DISTROMATRIX_DISTRO in two) said='<failure message="it broke"/>' ;; esac
      a="<testcase classname='t' name='a'>$said</testcase>"
      b="<testcase classname='t' name='b'>$said</testcase>"
      echo "<testsuite>$a$b</testsuite>" >"$DISTROMATRIX_JUNIT"
      case $DISTROMATRIX_DISTRO in two) exit 1 ;; esac
  everywhere: {run: exit 4}
rules:
  - {distro: two, suite: unit, expect: fail, reason: known}
"""
STRACE = """\
#!/bin/sh
while [ "$1" != -o ]; do shift; done
sieve=${2#|}
shift 2
sh -c "$sieve" <HERE/trace
exec "$@"
"""
# As strace writes it: a program, a library, what is not there, and what is not to be believed.
TRACE = """\
7 execve("/nowhere/gawk", ["gawk"], 0x7ff /* 3 vars */) = -1 ENOENT (No such file or directory)
7 execve("HERE/sed", ["sed", "\\33[31m"], 0x7ff /* 3 vars */ <unfinished ...>
8 openat(AT_FDCWD</w>, "/lib/x.so", O_RDONLY|O_CLOEXEC) = 3<HERE/libold.so>
8 openat(AT_FDCWD</w>, "/lib/y.so", O_WRONLY|O_CREAT) = 3<HERE/libwritten.so>
7 <... execve resumed>) = 0
"""
OWNER = """\
#!/bin/sh
shift
for file; do case $file in
*lib*) echo "libold, \\033[31mevil:amd64: $file" ;;
*sed) echo "diversion by me from: $file"; echo "sed: $file" ;;
esac; done
"""


def facts(**versions: str) -> Facts:
    packages = {"sed": "4.9-1", "tar": "1.35-1", "libold": "2-1", "libwritten": "2-1"} | versions
    commands = {"sed": "/bin/sed", "tar": "/bin/tar"}
    return Facts(libc="glibc", manager="dpkg", packages=packages, commands=commands)


OLD = facts(sed="4.7-1", tar="1.30-1", libold="1-1", libwritten="1-1")


@pytest.fixture
def traced(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of whose distros `two` has older packages, with a strace to be found."""
    (project / "matrix/default.yaml").write_text(MATRIX)
    (project / "distros/three.yaml").write_text(DISTRO.replace("NAME", "three"))
    (project / "t").write_text('test "$DISTROMATRIX_DISTRO" != two || test -e "$HOME/../mended"\n')
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {"strace": STRACE, "dpkg-query": OWNER, "sed": "", "trace": TRACE}.items():
        (tools / name).write_text(text.replace("HERE", str(tools)))
    for name in ("libold.so", "libwritten.so"):
        (tools / name).touch()
    for name in ("strace", "dpkg-query"):
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/local/bin:/usr/bin:/bin")
    return project


def run(cli: Cli, project: Path, suite: str = "unit") -> Path:
    """The folder of a run in which that suite, and one more, fails."""
    cli("run", f"*/{suite}", "*/everywhere")
    folder = max(runs(project))
    suites = ("unit", "cased", "everywhere")
    known = {"one": facts(other="1-1"), "two": OLD, "three": facts()}
    add_facts(folder, {f"{name}/{s}": one for name, one in known.items() for s in suites})
    return folder


def test_what_was_opened_comes_first_and_the_rest_is_counted(cli: Cli, traced: Path) -> None:
    folder = run(cli, traced)
    said = cli("why", "two/unit")  # which a rule expects to fail
    assert said.code == 0, said
    lines = said.out.splitlines()
    assert lines[0].startswith("fails only on two")
    assert lines[1:4] == [
        "  differs sed 4.7 here, ≥ 4.9 where it passes (opened)",
        "  differs libold 1 here, ≥ 2 where it passes (opened)",
        "  and 2 more differences",
    ]
    assert lines[4] == "traced  two/unit, three/unit; fails again: exit status 1"
    assert "where it passes" in said.err and "three/unit" in said.err  # the most alike
    told = json.loads(cli("why", "two/unit", "--run", folder.name, "--json").out)
    assert told["passes_again"] is False
    assert set(told["opened"]) == {"sed", "libold"}
    assert told["groups"][0]["differs"][0]["evidence"] == ["opened"]
    assert len([*(traced / ".distromatrix/whys").iterdir()]) == 1  # that before went
    assert len(runs(traced)) == 1


def test_a_case_is_asked_for_alone(cli: Cli, traced: Path) -> None:
    run(cli, traced, "cased")
    said = cli("why", "two/cased::b")
    assert said.code == 0, said
    assert [line.strip() for line in said.out.splitlines()[1:2]] == ["t::b"]
    logs = Path(said.out.splitlines()[-1].split()[1])
    assert (logs / "cells/two/cased/log.txt").read_text() == "t::b\n"
    wrong = cli("why", "two/cased::nowhere")
    assert wrong.code == 2
    assert "no case nowhere failed in run" in wrong.err and "these did: t::a, t::b" in wrong.err


def test_what_passes_the_second_time_is_flaky(cli: Cli, traced: Path) -> None:
    run(cli, traced)
    (traced / "t").write_text("exit 0\n")
    said = cli("why", "two/unit")
    assert said.code == 0, said
    assert said.out.splitlines()[0] == "two/unit passes when it is run again: it is flaky"
    assert "differs" not in said.out


def test_without_strace_the_rest_is_told(cli: Cli, traced: Path, tmp_path: Path) -> None:
    run(cli, traced)
    (tmp_path / "tools/strace").write_text("#!/bin/sh\nexit 1\n")
    said = cli("why", "two/unit")
    assert said.code == 69, said
    assert "two/unit was not traced: strace left no word" in said.err
    assert "differs sed 4.7 here, ≥ 4.9 where it passes\n" in said.out


def test_where_there_is_no_reason_nothing_runs(cli: Cli, traced: Path) -> None:
    run(cli, traced)
    for cell, code, words in (
        ("two/everywhere", 0, "it passes nowhere, so there is nothing to compare with"),
        ("one/unit", 2, "one/unit did not fail in run "),
        ("two", 2, "why needs exactly one cell"),
        ("four/unit", 3, "four/unit"),
    ):
        said = cli("why", cell)
        assert said.code == code, said
        assert words in said.out + said.err
    assert not (traced / ".distromatrix/whys").exists()


def test_without_facts_it_cannot_be_told(cli: Cli, traced: Path) -> None:
    folder = run(cli, traced)
    add_facts(folder, {"two/unit": Facts(absent="no sh")})
    said = cli("why", "two/unit")
    assert said.code == 69, said
    assert f"differs run {folder.name} has no facts of two/unit" in said.out


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ("of libfoo2:amd64, foo-dev:amd64: /usr/lib/libfoo.so", {"libfoo2", "foo-dev"}),  # dpkg
        ("of foo-utils", {"foo-utils"}),  # rpm, pacman
        ("of file /etc/passwd is not owned by any package", set()),
        ("of /usr/bin/foo is owned by foo-utils-1.2.5-r0", {"foo-utils"}),  # apk
        ("of foo-utils-1.0_1: /usr/bin/foo (regular file)", {"foo-utils"}),  # xbps
        ("of strange", set()),
        ("ran /usr/bin/foo", {"foo"}),
        ("\x00\n\nof\nran", set()),
    ],
)
def test_every_package_manager_is_understood(tmp_path: Path, said: str, used: set[str]) -> None:
    known = Facts(packages=dict.fromkeys(("libfoo2", "foo-dev", "foo-utils", "file"), "1"))
    artifacts = tmp_path / "cells/one/unit/artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / OPENED).write_text(f"{said}\n")
    assert used_by(tmp_path, "one/unit", known) == used
    (artifacts / OPENED).unlink()
    (artifacts / OPENED).symlink_to("/etc/passwd")
    assert used_by(tmp_path, "one/unit", known) == set()
