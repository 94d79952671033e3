"""debian/tests/control, as DEP-8 and autopkgtest have it."""

from pathlib import Path
from typing import Any

import pytest

from distromatrix.errors import InputError
from distromatrix.files.below import Folder
from distromatrix.load.imports.debian import read_suites
from distromatrix.load.imports.imported import Imported

CONTROL = """\
Source: tool
Build-Depends: debhelper-compat (= 13), foo <!nocheck>,
# not: bar
 baz [!armhf]
Build-Depends-Indep: docs

Package: tool
Architecture: any
Recommends: ${misc:Recommends}, lots (>= ${binary:Version}), more (>= 1)

Package: tool-dos
Architecture: i386

Package: tool-udeb
Architecture: any
Package-Type: udeb
"""


def read(root: Path, tests: str, control: str = CONTROL) -> Imported:
    (root / "debian/tests").mkdir(parents=True)
    (root / "debian/control").write_text(control)
    (root / "debian/tests/control").write_text(tests)
    with Folder.at(root) as folder:
        return read_suites(folder, "debian/tests")


def keys(root: Path, tests: str) -> Any:
    """Of the one test."""
    (suite,) = read(root, tests).suites.values()
    return suite.keys


def test_the_package_is_built_again_when_a_file_changes_that_is_no_test(tmp_path: Path) -> None:
    assert keys(tmp_path, "Tests: a\n")["prepare"]["files"] == ["**", "!debian/tests/**"]


def test_each_test_is_a_suite_with_its_line(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """\
# the first
Tests: Smoke, c++
  last
Depends:

Test-Command: tool --version  # which
  >/dev/null

Test-Command: tool
Features: test-name=by_name, other

Test-Command: tool -a
""",
    )
    lines = {name: suite.line for name, suite in found.suites.items()}
    assert lines == {"smoke": 2, "c": 2, "last": 2, "command1": 6, "by_name": 9, "command2": 12}
    assert "bash -ec 'tool --version >/dev/null'" in found.suites["command1"].keys["run"]
    assert '"$PWD"/debian/tests/c++' in found.suites["c"].keys["run"]
    assert "satisfy" not in found.suites["last"].keys["setup"]
    assert found.left_out == ()


@pytest.mark.parametrize(
    ("depends", "installed"),
    [
        ("", "'tool, tool-dos [i386]'"),
        ("Depends: @, a (>= 1) [amd64] | b:native\n", "'tool, tool-dos [i386], a (>= 1) [amd64] |"),
        (
            "Depends: @builddeps@\n",
            "'debhelper-compat (= 13), foo <!nocheck>, baz [!armhf], docs, build-essential'",
        ),
        ("Depends: @recommends@,\n", "'lots, more (>= 1)'"),
        ("Depends: a\nRestrictions: needs-recommends\n", "'a, lots, more (>= 1)'"),
    ],
)
def test_dependencies_are_what_the_package_says(
    tmp_path: Path, depends: str, installed: str
) -> None:
    assert f"satisfy {installed}" in keys(tmp_path, f"Tests: a\n{depends}")["setup"]


def test_restrictions_are_keys_of_the_suite(tmp_path: Path) -> None:
    plain = "Tests: a\nRestrictions: "
    found = keys(tmp_path / "1", plain + "flaky needs-root, isolation-machine\n")
    assert (found["gating"], found["needs"]) == ("false", ["init", "own-kernel"])
    assert "runuser" not in found["run"]
    assert "policy-rc.d" in found["setup"]
    assert "skip_status" not in found
    found = keys(tmp_path / "2", plain + "needs-sudo skippable isolation-container\n")
    assert (found["skip_status"], found["needs"]) == ("77", ["init", "setuid"])
    assert "runuser -u tester" in found["run"]
    assert "status=1" in found["run"]  # where it wrote to stderr
    found = keys(tmp_path / "3", plain + "allow-stderr superficial breaks-testbed build-needed\n")
    assert "stderr" not in found["run"]
    assert not {"needs", "gating"} & found.keys()


@pytest.mark.parametrize(
    ("architecture", "cases"),
    [
        ("amd64 arm64", "amd64|arm64) ;;\n  *) echo"),
        ("any-arm kfreebsd-any linux-any", "arm*|*) ;;\n  *) echo"),
        ("hurd-any", "none) ;;\n  *) echo"),
        ("!i386 !any-amd64", "i386|amd64) echo"),
    ],
)
def test_other_architectures_are_skipped_there(
    tmp_path: Path, architecture: str, cases: str
) -> None:
    found = keys(tmp_path, f"Tests: a\nArchitecture: {architecture}\n")
    assert cases in found["setup"]
    assert found["skip_status"] == "77"
    assert "[ $status != 77 ] || status=1" in found["run"]


@pytest.mark.parametrize(
    ("stanza", "line", "why"),
    [
        ("Restrictions: needs-root,\n needs-reboot\n", 2, "it asks for /tmp/autopkgtest-reboot"),
        ("Restrictions: hint-testsuite-triggers\n", 2, "it is no test"),
        ("Depends: a\nRestrictions: fast\n", 3, "the restriction `fast` is not known"),
        ("X-Note: no\n", 2, "the field `X-Note` is not known"),
        ("Architecture: all\n", 2, "Architecture takes names"),
        ("Architecture: amd64 !i386\n", 2, "Architecture takes names"),
    ],
)
def test_what_autopkgtest_skips_is_left_out(
    tmp_path: Path, stanza: str, line: int, why: str
) -> None:
    found = read(tmp_path, f"Tests: one two\n{stanza}\nTests: a/b\n\nTests: three\n")
    file = tmp_path / "debian/tests/control"
    one, two, three = found.left_out
    assert one.startswith(f"{file}:{line}: the test one is left out: {why}")
    assert two.startswith(f"{file}:{line}: the test two is left out: {why}")
    assert three.endswith(": the test a/b is left out: a `/` in its name")
    assert list(found.suites) == ["three"]


def test_what_autodep8_would_make_is_named(tmp_path: Path) -> None:
    control = "Source: a\nTestsuite: autopkgtest, autopkgtest-pkg-perl\n\nPackage: a\n"
    (left_out,) = read(tmp_path, "Tests: a\n", control).left_out
    assert left_out.startswith(f"{tmp_path}/debian/control:2: what autodep8 makes of")


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        ("Depends: a\n", "1:1: expected one of Tests and Test-Command, got neither"),
        ("\nTests: a\nTest-Command: a\n", "2:1: expected one of Tests and Test-Command, got both"),
        ("Tests: ,\n", "1:1: Tests names no test"),
        ("Tests: a\nFeatures: test-name=b\n", "2:1: test-name goes with Test-Command only"),
        ("Test-Command: a\nFeatures: test-name\n", "2:1: expected one `test-name=NAME`"),
        ("Tests: a\nDepends: b, @c\n", "2:1: `@c` is no dependency"),
        ("Tests: a\nDepends: b, 'c\n", "2:1: `'c` is no dependency"),
        ("Tests: a\n\n  b\n", "3:1: a line goes on that has no field before it"),
        ("Tests: a\nb\n", "2:1: expected `Field: value`, got `b`"),
        ("Tests: a\ntests: b\n", "2:1: the field `tests` is there twice"),
        ("Tests: a\n\nTests: \x1b[2J\n", "3:1: control character U+001B is not allowed"),
    ],
)
def test_what_is_invalid_is_a_fault_at_its_line(tmp_path: Path, tests: str, fault: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, tests)
    assert str(error.value).startswith(f"{tmp_path}/debian/tests/control:{fault}")
