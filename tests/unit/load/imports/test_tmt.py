"""tmt's tests as suites: what is taken over, and what is left out with its line."""

import os
import subprocess
from pathlib import Path

import pytest

from distromatrix.errors import InputError
from distromatrix.files.below import Folder
from distromatrix.load.imports import fmf, tmt
from distromatrix.load.imports.imported import Imported


def tree(root: Path, **files: str) -> Path:
    """A tree of fmf's; `a__b` stands for the file a/b.fmf."""
    (root / ".fmf").mkdir(parents=True)
    (root / ".fmf/version").write_text("1\n")
    for name, text in files.items():
        file = root / f"{name.replace('__', '/')}.fmf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def imported(root: Path, path: str = ".") -> Imported:
    with Folder.at(root) as product:
        assert tmt.is_there(product, path)
        return tmt.read_suites(product, path)


def faults(root: Path) -> str:
    with pytest.raises(InputError) as error:
        imported(root)
    return str(error.value).replace(f"{root}/", "")


def left_out(root: Path) -> list[str]:
    return [line.replace(f"{root}/", "") for line in imported(root).left_out]


def test_a_test_is_a_suite(tmp_path: Path) -> None:
    main = (
        "summary: All of it\ntest: ./test.sh --all\nrequire: [make, /usr/bin/gcc]\n"
        "duration: 1h 30m\nenvironment:\n  A: 1.10\n  B: a b\ntag: [Slow, net]\ntier: 1\n"
        "contact: me\nlink: https://example.org\norder: 3\nextra-nitrate: x\n"
    )
    found = imported(tree(tmp_path, tests__unit__main=main))
    assert found.left_out == ()
    (suite,) = found.suites.values()
    assert (suite.file, suite.line) == (str(tmp_path / "tests/unit/main.fmf"), 2)
    assert dict(found.suites["tests-unit"].keys) == {
        "run": 'export TMT_TREE="$PWD" TMT_TEST_DATA="$DISTROMATRIX_ARTIFACTS"\n'
        "export TMT_TEST_NAME=/tests/unit TMT_REBOOT_COUNT=0\n"
        "cd ./tests/unit\n./test.sh --all\n",
        "shell": "bash",
        "user": "root",
        "timeout": "90m",
        "packages": ["make", "/usr/bin/gcc"],
        "env": {"A": "1.10", "B": "a b"},
        "tags": ["slow", "net", "tier-1"],
    }


def test_a_tree_may_lie_below_the_product(tmp_path: Path) -> None:
    tree(tmp_path / "qa dir", one="test: pwd\npath: /x y\n")
    (suite,) = imported(tmp_path, "qa dir").suites.values()
    assert "TMT_TREE=\"$PWD\"/'qa dir'" in suite.keys["run"]
    assert "cd './qa dir/x y'\n" in suite.keys["run"]


def test_what_is_inherited(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        main="test: ./a\nframework: shell\nrequire: [make]\nenvironment: {A: a, B: b}\n",
        sub__main="environment+: {B+: c, C: d}\nrequire+: [gcc]\n/one:\n  test+: ' x'\n/two/deep:\n"
        "  require-: [make]\n  test+<: 'env '\n  environment-: [A]\n",
        sub__three="/:\n  inherit: false\ntest: own\n",
        sub__four="/:\n  select: true\ntest: four\n/five:\n  test: five\n",
        sub__six="",
    )
    suites = imported(root).suites
    commands = {name: suite.keys["run"].splitlines()[-1] for name, suite in suites.items()}
    assert commands == {
        "sub-one": "./a x",
        "sub-two-deep": "env ./a",
        "sub-three": "own",
        "sub-four": "four",
        "sub-four-five": "five",
        "sub-six": "./a",
    }
    assert suites["sub-one"].keys["packages"] == ["make", "gcc"]
    assert suites["sub-one"].keys["env"] == {"A": "a", "B": "bc", "C": "d"}
    assert suites["sub-two-deep"].keys["packages"] == ["gcc"]
    assert suites["sub-two-deep"].keys["env"] == {"B": "bc", "C": "d"}
    assert suites["sub-three"].keys.keys() == {"run", "shell", "timeout", "user"}


LEFT_OUT = {
    "framework: beakerlib": "main.fmf:2: `framework: beakerlib` is not supported; left out: /a",
    "manual: true": "main.fmf:2: `manual: true` is not supported; left out: /a",
    "tty: true": "main.fmf:2: `tty: true` is not supported; left out: /a",
    "where: [client]": "main.fmf:2: `where` is not supported; left out: /a",
    "enabled: false": "main.fmf:2: it is not enabled; left out: /a",
    "result: info": "main.fmf:2: `result: info` is not supported; left out: /a",
    "result: custom": "main.fmf:2: `result: custom` is not supported; left out: /a",
    "path: tests": "main.fmf:2: `path` does not begin with `/`; left out: /a",
    "duration: soon": "main.fmf:2: `duration` is no time such as `5m` or `1h 30m`; left out: /a",
    "duration: 999d": "main.fmf:2: `duration` is no time such as `5m` or `1h 30m`; left out: /a",
    "require:\n- make\n- library(a/b)": "main.fmf:4: libraries are not fetched; left out: /a",
    "require:\n- type: library\n  url: https://x": "main.fmf:3: libraries are not fetched; left "
    "out: /a",
    "require: ['gcc >= 3']": "main.fmf:2: `gcc >= 3` is no package's name; left out: /a",
    "environment:\n  A-B: c": "main.fmf:3: the variable `A-B` cannot be handed over; left out: /a",
    "environment:\n  A: [c]": "main.fmf:3: the variable `A` cannot be handed over; left out: /a",
    "environment: x": "main.fmf:2: `environment` is no mapping; left out: /a",
    **{
        f"adjust:\n- when: {when}\n  {said}": f"main.fmf:4: `{key}` depends on a rule of `adjust` "
        "that is not obeyed; left out: /a"
        for when, said, key in (
            ("distro > fedora-40", "require+: [x]", "require"),
            ("distro == fedora or arch == s390x", "enabled: false", "enabled"),
            ("distro == fedora and arch == s390x", "enabled: false", "enabled"),
            ("distro == fedora", "enabled: true", "enabled"),
            ("distro == fedora", "require: [x]", "require"),
            ("distro == fedora", "require+: [library(a/b)]", "require"),
            ("distro == fedora", "duration: 1h\n  enabled: false", "duration"),
            ("distro == fedora", "enabled: false\n  continue: false", "enabled"),
            ("distro == fedora", "enabled: false\n- continue: false\n  tag: a", "enabled"),
        )
    },
    "/a:\n  test~: s/a/b/": "main.fmf:3: `test~` would have to be computed; left out: /a",
}


@pytest.mark.parametrize("said", LEFT_OUT)
def test_what_is_not_supported_leaves_a_test_out_with_its_line(tmp_path: Path, said: str) -> None:
    end = "" if "/a:" in said else "\n/a: {}"
    root = tree(tmp_path, main=f"test: ./a\n{said}{end}\n")
    assert left_out(root)[:1] == [LEFT_OUT[said]]
    assert not imported(root).suites


def test_what_is_told_of_many_tests_is_told_once(tmp_path: Path) -> None:
    virtual = "".join(f"/t{n:02}: {{}}\n" for n in range(12))
    root = tree(tmp_path, main=f"test: ./a\nframework: beakerlib\n{virtual}")
    names = ", ".join(f"/t{n:02}" for n in range(10))
    assert left_out(root) == [
        f"main.fmf:2: `framework: beakerlib` is not supported; left out: {names} and 2 more"
    ]


def test_what_is_left_out_of_a_test_that_is_taken_over(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        main="test: ./a\nrecommend: [strace]\ncheck: avc\nduratoin: 5m\ntag: [skip, a b]\n/a: {}\n",
    )
    assert left_out(root) == [
        "main.fmf:2: `recommend` is not installed, for /a",
        "main.fmf:3: `check` is not done, for /a",
        "main.fmf:4: `duratoin` is no key of a test, and not looked at, for /a",
        "main.fmf:5: `skip` cannot be a tag, for /a",
        "main.fmf:5: `a b` cannot be a tag, for /a",
    ]
    assert "tags" not in imported(root).suites["a"].keys


def test_rules_that_change_nothing_do_no_harm(tmp_path: Path) -> None:
    said = "adjust:\n- when: distro == fedora\n  because: so\n  tag+: [x]\n  summary: y\n"
    found = imported(tree(tmp_path, main=f"test: ./a\n{said}/a: {{}}\n"))
    assert list(found.suites) == ["a"] and not found.left_out


def test_rules_that_name_distros_are_rules_of_the_matrix(tmp_path: Path) -> None:
    said = (
        "adjust:\n- when: distro == fedora-43,rhel or distro == ubuntu-24\n  enabled: false\n"
        "  because: |\n    so\n    it is\n- when: distro == debian\n  require+: [x, y]\n  tag+: z\n"
        "- when: distro == rocky-9\n  enabled: false\n  require+: [x]\n"
    )
    found = imported(tree(tmp_path, main=f"test: ./a\n{said}/a: {{}}\n"))
    assert found.left_out == ()
    assert found.suites["a"].rules == (
        (("fedora-43", "rhel", "ubuntu-24"), {"skip": "so it is"}),
        (("debian",), {"packages": ["x", "y"]}),
        (("rocky-9",), {"skip": f"not enabled there, says {tmp_path}/main.fmf:12"}),
    )


def test_plans_and_stories_are_no_tests(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        plans__main="execute: {how: tmt}\n/one: {}\n/two: {discover+: {how: fmf}}\n",
        plans__import="plan:\n  import: {url: https://example.org, name: /x}\nexecute: {how: x}\n",
        stories__a="story: As a user\n",
        a="test: ./a\n",
    )
    assert list(imported(root).suites) == ["a"]
    assert left_out(root) == [
        "plans/import.fmf:3: plans are not read; left out: /plans/import",
        "plans/main.fmf:1: plans are not read; left out: /plans/one, /plans/two",
    ]


def test_tools_of_tmt_are_not_there(tmp_path: Path) -> None:
    root = tree(
        tmp_path, a="test: |\n  set -x\n  tmt-report-result /x PASS\n", b="test: ./x-tmt-y\n"
    )
    assert left_out(root) == ["a.fmf:1: `tmt-report-result` is not there without tmt; left out: /a"]


def test_names_become_names_of_suites(tmp_path: Path) -> None:
    names = ["Über uns", "a..b", "a-b", "import", "x" * 80, "-", 'q"<']
    main = "test: ./a\n" + "".join(f"'/{name}': {{}}\n" for name in names)
    found = imported(tree(tmp_path, main=main)).suites
    assert len(found) == len(names)
    assert {"ber-uns", "a-b", "q"} <= found.keys() and "import" not in found
    assert all(len(name) < 63 for name in found)


@pytest.mark.parametrize(
    ("said", "timeout"),
    [
        *[("", "5m"), ("3m", "3m"), ("90", "90s"), ("1h 3h 2m 3", "14523s"), ("'*3 2s *4'", "24s")],
        *[("2m30s", "150s"), ("1.5h", ""), ("'*2'", ""), ("5 minutes", ""), ("1d", "1440m")],
        ("'3s *1.5'", "5s"),
    ],
)
def test_durations_are_those_of_tmt(tmp_path: Path, said: str, timeout: str) -> None:
    found = imported(tree(tmp_path, a=f"test: ./a\nduration: {said}\n")).suites
    assert [suite.keys["timeout"] for suite in found.values()] == ([timeout] if timeout else [])


@pytest.mark.parametrize(
    ("command", "result", "status"),
    [
        *[("true", "respect", 0), ("false", "respect", 1), ("exit 3", "respect", 3)],
        *[("true", "xfail", 1), ("false", "xfail", 0), ("exit 3", "xfail", 3)],
        *[("false | true", "respect", 1), ("false | true", "xfail", 0)],
        *[("false\n  true", "xfail", 0), ("cat <<X\n  {a}\n  X", "xfail", 1)],
        ("pwd; test $PWD = $TMT_TREE/sub", "respect", 0),
        ('test "$TMT_TEST_NAME" = "/sub/a b\'c"', "respect", 0),
    ],
)
def test_scripts_end_as_they_do_under_tmt(
    tmp_path: Path, command: str, result: str, status: int
) -> None:
    root = tree(tmp_path, sub__main=f'"/a b\'c":\n test: |\n  {command}\n result: {result}\n')
    (suite,) = imported(root).suites.values()
    run = ["bash", "-eo", "pipefail", "-c", suite.keys["run"]]
    assert subprocess.run(run, cwd=root, check=False, capture_output=True).returncode == status


# --- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "fault"),
    [
        ("test: [", "main.fmf:2:1: not valid YAML"),
        ("- a", "main.fmf:1:1: expected a mapping"),
        ("/a: text", "main.fmf:1:1: expected a mapping"),
        ("test: a\ntest: b", "main.fmf:2:1: duplicate key"),
        ("test: !!python/object:x a", "main.fmf:1:7: tag"),
        ("a: &a {x: y}\nb:\n  <<: *a", "main.fmf:3:3: merge keys"),
        ("/:\n  include: x\ntest: a", "main.fmf:1:1: a directive is `inherit` or `select`"),
        ("/: x", "main.fmf:1:1: a directive is `inherit` or `select`"),
        ("require: [a]\n/a:\n  require+: b", "main.fmf:3:1: cannot be added"),
        ("test: a\n" + "/x" * 40 + ": {}", "names of more than 30 levels"),
        ("a: &a [" + "b," * 9000 + "]\nb: [*a, *a, *a]", "more than 20000 values"),
    ],
)
def test_faults_are_told_with_their_lines(tmp_path: Path, main: str, fault: str) -> None:
    assert fault in faults(tree(tmp_path, main=main))


def test_the_faults_of_all_files_are_told(tmp_path: Path) -> None:
    told = faults(tree(tmp_path, a="- x", b__main="- x"))
    assert told.splitlines() == [
        "a.fmf:1:1: expected a mapping",
        "b/main.fmf:1:1: expected a mapping",
    ]


@pytest.mark.parametrize("version", ["2", "", "{}", "x" * 2_000_000])
def test_another_version_of_the_format_is_a_fault(tmp_path: Path, version: str) -> None:
    root = tree(tmp_path)
    (root / ".fmf/version").write_text(version)
    assert faults(root).startswith(".fmf/version")


def test_links_are_followed_in_the_tree_alone(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree", shared__main="test: ./a\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.fmf").write_text("test: secret\n")
    (root / "again").symlink_to("shared")
    (root / "loop").symlink_to(".")
    (root / "out").symlink_to("../outside")
    found = imported(root)
    assert {"shared", "again"} <= found.suites.keys()
    assert "secret" not in str(found)
    assert left_out(root) == ["out:1: a link to nothing in the tree"]
    (root / "x.fmf").symlink_to("../outside/secret.fmf")
    assert faults(root) == "x.fmf: cannot be read: No such file or directory"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    root = tree(tmp_path)
    os.mkfifo(root / "a.fmf")
    assert faults(root) == "a.fmf: cannot be read: it is not a regular file"


def test_a_tree_in_the_tree_is_another_and_hidden_files_are_none(tmp_path: Path) -> None:
    root = tree(tmp_path, a="test: ./a\n")
    tree(root / "inner", b="test: ./b\n")
    (root / ".hidden.fmf").write_text("test: x\n")
    (root / ".fmf/config").write_text("explore: {include: [.hidden.fmf]}\n")
    assert list(imported(root).suites) == ["a"]
    assert left_out(root) == [".fmf/config:1: is not read, nor hidden files that it may name"]


@pytest.mark.parametrize(
    "main",
    [
        "test: " + "a" * 1000 + "\n" + "".join(f"/t{n}: {{test+: b}}\n" for n in range(6000)),
        "".join(f"k{n}: v\n" for n in range(3000)) + "".join(f"/t{n}: {{}}\n" for n in range(3000)),
    ],
)
def test_inheritance_is_bounded(tmp_path: Path, main: str) -> None:
    assert faults(tree(tmp_path, main=main)).endswith("inheritance makes too much of it")


def test_files_and_folders_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, a="", b="", c__d="")
    monkeypatch.setattr(fmf, "MAX_FILES", 2)
    assert faults(root).endswith("more than 2 files")
    monkeypatch.setattr(fmf, "MAX_FOLDERS", 1)
    assert faults(root).endswith("more than 1 folders")


def test_control_characters_are_shown(tmp_path: Path) -> None:
    root = tree(tmp_path, main='"/a\\e[31m\\u202e": {test: x, manual: true}\n')
    assert left_out(root) == [
        "main.fmf:1: `manual: true` is not supported; left out: /a\\x1b[31m\\u202e"
    ]
