"""A pipe at the end of a suite's script hides how its first command ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import Project

from distromatrix.load.pipes import hiding_pipe


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("make check | tee log", "tee log"),
        ("make check 2>&1 | tee log", "tee log"),
        ("make check |& tee log", "tee log"),
        ("make check |\n  tee log\n", "tee log"),
        ("make check | # kept\n tee log", "tee log"),
        ("make \\\n  check | tee log # a | b", "tee log"),
        ("make check 2>&1 | sed 's/|/x/' | tail -3", "tail -3"),
        ("! make check | tee log", "tee log"),
        ("go test -v | go-junit-report >x", "go-junit-report >x"),
        ("a; b && make check | tee log;", "tee log"),
        ("a || make check | tee log", "tee log"),
        ("{ a; b | c; } | tee log", "tee log"),
        ("(cd x && make) | tee log", "tee log"),
        ("if a; then b; fi | tee log", "tee log"),
        ("if a; then if b; then c; fi; for x in y; do d; done; fi | tee log", "tee log"),
        ("{ if a; then b; fi } | tee log", "tee log"),
        ("echo if done esac; make check | tee log", "tee log"),
        ("for x in 1 2; do t $x; done | tee log", "tee log"),
        ("while read x; do t; done <list | cat", "cat"),
        ("case $x in a|b) t;; (c) u;; esac | cat", "cat"),
        ("x=$(a | b) t | tee log", "tee log"),
        ("cat <<'END' >x\na | b\nEND\nmake check | tee log\n", "tee log"),
        ("cat <<-END | make check | tee log\n\ta '\n\tEND\n", "tee log"),
        ('sh -c "echo failed; exit 1" | tee log', "tee log"),
        ("f() { a | b; }\nf | tee log", "tee log"),
        ("echo x | make check | /usr/bin/tee log", "/usr/bin/tee log"),
    ],
)
def test_a_script_that_ends_in_a_pipe_says_how(script: str, end: str) -> None:
    assert hiding_pipe(script) == end


@pytest.mark.parametrize(
    "script",
    [
        "true",
        "a || b",
        "a ||\n b",
        "a | b; c",
        "a | tee log\nexit ${PIPESTATUS[0]}",
        "set -o pipefail; a | tee log",
        "a | tee log || exit 1",
        "a | tee log && b",
        "a | tee log &",
        "echo 'a | b'",
        'echo "a | b"',
        'echo "it\'s" a\\|b',
        "echo a # | tee log",
        "case $x in a|b) t;; esac",
        "case x in\n  a|b) t | cat ;;\n  *) u ;;\nesac",
        "if a | b; then c; fi",
        "if a; then if b; then c; fi; d | tee log; fi",
        "while a; do case $x in y) z | tee log;; esac; done",
        "x=$(a | b)",
        'x="$(a | (b; c) | "d")"',
        "x=`a | b`",
        "t ${x:-a|b}",
        "cat <<END\na | b\nEND",
        "cat <<END\na | tee log\nEND\n",
        "a >| file",
        "a &> file",
        "prog | grep -q hello",
        "prog | diff - expected",
        "prog | /bin/grep x",
        "echo input | ./prog",
        "printf 'a\\n' | prog -x",
        "cat data | ./prog | cmp - expected",
        "awk -F'|' '{print}' x",
        "f() { a | b; }",
        # what is not understood is not spoken of
        "a | tee 'log",
        "a ) | tee log",
        "{ a | tee log",
        "cat <<END | tee log\nno end",
        "a | tee $(log",
        "a | tee " + "$(" * 50_000,
    ],
)
def test_what_hides_nothing_is_not_spoken_of(script: str) -> None:
    assert hiding_pipe(script) == ""


def warnings(folder: Path, suite: str) -> tuple[str, ...]:
    (folder / "p").mkdir()
    project = Project(folder / "p")
    return project.load(f"distros: [debian-12]\nsuites:\n  unit: {suite}\n").warnings


def test_a_suite_that_ends_in_a_pipe_is_warned_of_at_its_place(tmp_path: Path) -> None:
    (line,) = warnings(tmp_path, "{timeout: 5m, run: 'make check | tee log'}")
    assert "p/matrix/default.yaml:3:28: the suite `unit` ends in `… | tee log`" in line
    assert "`shell: bash`" in line


@pytest.mark.parametrize(
    "suite",
    [
        "{run: 'make check | tee log', shell: bash}",
        "{run: 'pytest --junitxml=$DISTROMATRIX_JUNIT | tee log'}",
        "{run: 'make check | tee log', env: {OUT: $DISTROMATRIX_JUNIT_DIR}}",
        "{run: 'make check | tee log', report: tap}",
        "{run: 'make check'}",
    ],
)
def test_one_whose_status_is_known_is_not(tmp_path: Path, suite: str) -> None:
    assert warnings(tmp_path, suite) == ()
