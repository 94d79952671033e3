"""Standard output that is closed, full, cut off or ASCII, and what a CI's runner would obey."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cli_world import Said, runs
from homes import lend_facts

from distromatrix.collect.text import unobeyed
from quick_python import quick_python

Shell = Callable[..., Said]
MATRIX = """\
product: .
distros: [one, two]
suites:
  good: {run: "echo 'Ü ✓ 日本'"}
  bad: {run: 'echo "Ü ✗"; echo "##[error]x ##vso[task.x]y"; echo " ::error::z"; exit 1'}
"""
GREEN = "product: .\ndistros: [one]\nsuites: {good: {run: 'true'}}\n"
LOST = "standard output cannot be written: "


@pytest.fixture
def shell(project: Path, tmp_path: Path) -> Shell:
    """Runs a line of bash in which `$DM` is the command, on a fake engine."""
    (project / "matrix/default.yaml").write_text(MATRIX)
    lend_facts(tmp_path / "CACHE")
    env = {
        "PATH": os.environ["PATH"],
        "DM": f"{quick_python()} -m distromatrix",
        "DISTROMATRIX_FAKE": str(tmp_path / "fake"),
        "PYTHONPATH": os.environ["PYTHONPATH"],
        **{f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG")},
    }

    def call(line: str, more: Mapping[str, str] | None = None) -> Said:
        command = ["bash", "-o", "pipefail", "-c", line]
        ended = subprocess.run(
            command, capture_output=True, env=env | (more or {}), timeout=120, check=False
        )
        out, err = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        assert "Traceback" not in out + err
        return Said(ended.returncode, out, err)

    return call


def whole(project: Path, tmp_path: Path) -> None:
    """Every result of the newest run is there, and no machine."""
    (run,) = runs(project)
    result = json.loads((run / "results.json").read_text())
    assert [(c["id"], c["verdict"]) for c in result["cells"]] == [
        (f"{distro}/{suite}", verdict)
        for distro in ("one", "two")
        for suite, verdict in (("good", "passed"), ("bad", "failed"))
    ]
    assert (run / "junit.xml").read_text().rstrip().endswith("</testsuites>")
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    assert sum("verdict" in json.dumps(event) for event in journal) >= 4
    assert not list((tmp_path / "fake/machines").glob("*.json"))


ENDS = [">/dev/full", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>&1"]


@pytest.mark.parametrize("end", ENDS)
def test_a_run_whose_output_cannot_be_written_is_whole_and_ends_with_its_verdict(
    shell: Shell, project: Path, tmp_path: Path, end: str
) -> None:
    said = shell(f"$DM run {end}")
    assert said.code == 1
    assert (LOST in said.err) == ("2>" not in end)
    whole(project, tmp_path)


def test_a_run_whose_reader_goes_away_is_whole_and_ends_with_its_verdict(
    shell: Shell, project: Path, tmp_path: Path
) -> None:
    said = shell("$DM run | head -n 1")
    assert (said.code, said.out.count("\n"), said.err) == (1, 1, "")
    whole(project, tmp_path)


def test_a_green_run_stays_green_though_nobody_reads_it(shell: Shell, project: Path) -> None:
    (project / "matrix/default.yaml").write_text(GREEN)
    assert shell("$DM run >/dev/full").code == 0
    assert shell("$DM run | true").code == 0
    lost = shell("$DM run --json >/dev/full")  # what was asked for is not there
    assert (lost.code, lost.err.splitlines()[-1]) == (74, f"{LOST}No space left on device")


OTHERS = ["plan --json", "distros", "schema matrix", "--help"]


@pytest.mark.parametrize("command", OTHERS)
def test_what_cannot_be_printed_is_one_line_and_no_success(shell: Shell, command: str) -> None:
    full, closed = shell(f"$DM {command} >/dev/full"), shell(f"$DM {command} >&-")
    assert (full.code, full.err.splitlines()[-1]) == (74, f"{LOST}No space left on device")
    assert (closed.code, closed.err.splitlines()[-1]) == (74, f"{LOST}it is closed")


def test_a_reader_that_has_enough_is_told_by_the_exit_code_alone(shell: Shell) -> None:
    said = shell("$DM distros | head -n 1; exit ${PIPESTATUS[0]}")
    assert said.code in (0, 141)  # the pipe may have taken a small answer whole
    assert (said.out.count("\n"), said.err) == (1, "")


def test_output_that_is_cut_off_ends_in_141(shell: Shell) -> None:
    fifo = "mkfifo p; (exec 3<p) & exec 4>p; wait; $DM distros >&4"  # nobody reads any more
    assert shell(fifo).code == 141


def test_a_report_ends_with_its_run_s_verdict_though_it_is_cut(shell: Shell, project: Path) -> None:
    assert shell("$DM run >/dev/null").code == 1
    for line in ("$DM report >/dev/full", "$DM report | true", "$DM report --json >&-"):
        assert shell(line).code == 1
    assert len(runs(project)) == 1


def test_no_file_of_ours_gets_the_number_of_a_closed_stream(shell: Shell, project: Path) -> None:
    """Else what is printed, or a child's output, would end up in the journal."""
    (project / "matrix/default.yaml").write_text(GREEN)
    assert shell("$DM run <&- >&- 2>&-").code == 0
    (run,) = runs(project)
    for line in (run / "journal.jsonl").read_text().splitlines():
        assert isinstance(json.loads(line), dict)
    assert (run / "lock").read_text() == f"distromatrix {run.name}\n"


def test_a_pipe_that_another_made_non_blocking_gets_everything(shell: Shell) -> None:
    block = "import os,sys; os.set_blocking(1, False); os.execvp(sys.argv[1], sys.argv[1:])"
    slowly = "(sleep 1; cat)"
    every = shell(f"{sys.executable} -c '{block}' $DM schema matrix | {slowly}")
    assert every.code == 0
    assert len(every.out) > 4096
    assert json.loads(every.out)


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LANG": "xx_YY.nonsense"},
]


@pytest.mark.parametrize(
    "env", [ASCII[0], *(pytest.param(env, marks=pytest.mark.slow) for env in ASCII[1:])], ids=str
)
def test_every_command_works_with_any_character_set(
    shell: Shell, project: Path, env: dict[str, str]
) -> None:
    assert shell("$DM run", env).code == 1
    for command, code in {"report": 1, "report --github": 1, "plan": 0, "distros": 0}.items():
        assert shell(f"$DM {command}", env).code == code
    (project / "matrix/Ü.yaml").write_text("produkt: Ü\n")
    assert shell("$DM plan -m matrix/Ü.yaml", env).code == 2


def test_the_board_of_a_terminal_that_goes_away_ends_nothing(
    shell: Shell, project: Path, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    env = dict(os.environ, DISTROMATRIX_FAKE=str(tmp_path / "fake"), TERM="xterm")
    (project / "matrix/default.yaml").write_text(MATRIX.replace("echo", "sleep 0.5; echo", 1))
    command = [quick_python(), "-m", "distromatrix", "run"]
    run = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    assert os.read(ours, 1)
    os.close(ours)
    assert run.wait(60) == 1
    whole(project, tmp_path)


CI = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": ""}


JSON = [pytest.param(f"{name} --json", marks=pytest.mark.slow) for name in ("run", "report")]


@pytest.mark.parametrize("command", ["run", "report", "plan", *JSON])
def test_nothing_of_a_product_is_obeyed_by_a_runner(
    shell: Shell, project: Path, command: str
) -> None:
    text = (project / "matrix/default.yaml").read_text()
    rule = "rules: [{distro: two, suite: good, skip: '##[error]no'}]\n"
    (project / "matrix/default.yaml").write_text(text + rule)
    shell("$DM run")
    said = shell(f"$DM {command}", CI)
    lines = (said.out + said.err).splitlines()
    assert not [line for line in lines if "##[" in line or line.strip().startswith("::")]
    assert "#\\u0023[error]" in said.out  # it is shown
    if "--json" in command:
        assert "##[error]no" in [c["reason"] for c in json.loads(said.out)["cells"]]


def test_annotations_are_still_obeyed(shell: Shell) -> None:
    shell("$DM run")
    lines = shell("$DM report --github", CI).out.splitlines()
    first, *_, last = [line for line in lines if line.startswith("::")]
    assert first.startswith("::stop-commands::")
    assert last.startswith("::error ")
    shown = lines[: lines.index(f"::{first.removeprefix('::stop-commands::')}::")]
    assert not any("##[" in line for line in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", "\\u003a:error::x"),
        ("a\n \t::x::\r::y::", "a\n \t\\u003a:x::\r\\u003a:y::"),
        ("a ::b:: c::d", "a ::b:: c::d"),
        ("x ##[group]y ###[z", "x #\\u0023[group]y ##\\u0023[z"),
        ("##VSO[a]b ##teamcity[c", "#\\u0023VSO[a]b #\\u0023teamcity[c"),
        ("## [a] ##a[", "## [a] ##a["),
    ],
)
def test_what_runners_obey_is_shown(text: str, shown: str) -> None:
    assert unobeyed(text) == shown
