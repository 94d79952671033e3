"""Text from elsewhere is shown by every command, and obeyed by nothing."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
import yaml
from cli_world import DISTRO, Cli, Said, runs

import distromatrix
from distromatrix.cli.output import _BoundStream, _Descriptor
from distromatrix.collect.text import fit, unobeyed
from quick_python import quick_python

SOURCE = Path(distromatrix.__file__).parent

# --- one place that prints ---------------------------------------------------------------------

PRINTS = re.compile(
    r"(print|input|click\.(echo|secho|confirm|prompt|pause|progressbar|echo_via_pager)|.*\.show|"
    r"(sys\.)?(stdout|stderr|__stdout__|__stderr__)(\.buffer)?\.write(lines)?|"
    r"(rich\.console\.)?Console|rich\.print|get_console|os\.write)"
)
MAY = {
    "cli/output.py": "the place",
    "execute/interrupts.py": "own words, from a handler of signals that may take no lock",
    "engines/qemu/terminal.py": "the user's terminal is the machine's, in `shell`",
    "testing/bench/owner.py": "where pytest has no reporter; what it writes went through `fit`",
}
OF_FILES = {"os.write"}  # to descriptors of our own, not 1 and 2
WRITES = {"1", "2", "sys.stdout.fileno()", "sys.stderr.fileno()"}


@pytest.mark.parametrize(
    "file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE))
)
def test_no_other_module_prints(file: Path) -> None:
    if str(file.relative_to(SOURCE)) in MAY:
        return
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Name) and node.id == "print":
            pytest.fail(f"{file}:{node.lineno}: print")
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in OF_FILES and ast.unparse(node.args[0]) not in WRITES:
            continue
        assert not PRINTS.fullmatch(called), f"{file}:{node.lineno}: {called}: use cli.output.echo"


# --- what is printed ---------------------------------------------------------------------------

# Title, screen, overwriting, direction, C1's CSI and OSC, commands, HTML, Markdown, a surrogate.
EVIL = (
    "a\rb\x1b]0;x\x07\x1b[2J\x1b[31mred c \u202ed\u2066 \x9b2J\x9d0;y\x9c \u200b\u2028e\u00ad"
    " ##[error]f <script>g</script> [h](javascript:i) @everyone | `j` ![k](http://l/)\n"
    "::set-output name=x::y\n\u2003::add-mask::a\n\x85::error::z"
)
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u00ad]"
)


Path_ = tuple[str | int, ...]


def seen(said: Said) -> str:
    """All that a command printed, in which nothing is left to be obeyed by a terminal, and of
    which no line was begun by others."""
    text = said.out + said.err  # no terminal: no style of ours either
    assert "Traceback" not in text
    assert OBEYED.findall(text) == []
    assert [line for line in text.splitlines() if line.startswith(("::", "e ", "\u2003"))] == []
    return text


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Where there are texts."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            yield from places(one, (*at, key))
    elif isinstance(value, str):
        yield at


def kinds(value: Any) -> dict[str, Path_]:
    """Of each kind of place one: list items are alike."""
    found = {"/".join("*" if isinstance(s, int) else s for s in at): at for at in places(value)}
    return dict(sorted(found.items()))


def with_evil(value: Any, place: Path_, *, key: bool = False) -> str:
    """It as JSON (which is YAML) with such a text in that place, or as the key that leads there."""
    made = json.loads(json.dumps(value))
    *way, last = place
    at = made
    for step in way:
        at = at[step]
    if key and isinstance(last, str):
        at[last + EVIL] = at.pop(last)
    else:
        at[last] = f"{at[last]}{EVIL}"
    return json.dumps(made)


MATRIX: dict[str, Any] = {
    "product": {"path": "."},
    "distros": ["one", "two"],
    "suites": {
        "good": {"run": "echo fine", "tags": ["quick"], "needs": ["sysctl"], "shell": "sh"},
        "bad": {
            "run": "false", "setup": "true", "env": {"A": "b"}, "packages": ["git"],
            "report": "junit", "gating": False, "reason": "why",
            "timeout": "10s", 
        },
    },
    "variants": {"v": {"suites": ["bad"], "env": {"C": "d"}}},
    "sets": {"pr": {"distros": ["one"]}},
    "rules": [
        {"distro": "one", "suite": "good", "skip": "a reason"},
        {"distro": "two", "suite": "bad", "variant": "v", "expect": "fail", "reason": "so"},
    ],
}  # fmt: skip
DISTRO_FILE = yaml.safe_load(DISTRO.replace("NAME", "one").replace("2020-01-01", "'2020-01-01'"))


@pytest.mark.parametrize("key", [False, True], ids=["value", "key"])
def test_texts_of_a_matrix(cli: Cli, project: Path, key: bool) -> None:
    (project / "matrix/default.yaml").write_text(json.dumps(MATRIX))
    assert cli("plan").code == 0
    for place in kinds(MATRIX).values():
        (project / "matrix/default.yaml").write_text(with_evil(MATRIX, place, key=key))
        seen(cli("plan"))


@pytest.mark.parametrize("key", [False, True], ids=["value", "key"])
def test_texts_of_a_distros_file(cli: Cli, project: Path, key: bool) -> None:
    (project / "distros/one.yaml").write_text(json.dumps(DISTRO_FILE))
    assert cli("plan").code == 0
    for place in kinds(DISTRO_FILE).values():
        (project / "distros/one.yaml").write_text(with_evil(DISTRO_FILE, place, key=key))
        for command in ("plan", "distros", "distros --json"):
            seen(cli(*command.split()))


RULES = """\
product: .
distros: [one, two]
suites:
  good: {run: echo fine, gating: false, reason: EVIL}
  bad: {run: 'printf "$E"; exit 1', env: {E: EVIL}}
rules:
  - {distro: one, suite: good, skip: EVIL}
  - {distro: two, suite: bad, expect: fail, reason: EVIL}
"""


def run_there(cli: Cli, project: Path) -> Path:
    """A run of which all that is free text is such a one."""
    (project / "matrix/default.yaml").write_text(RULES.replace("EVIL", json.dumps(EVIL)))
    seen(cli("run"))
    (run,) = runs(project)
    return run


def test_reasons_of_a_matrix(cli: Cli, project: Path) -> None:
    run_there(cli, project)
    for command in (
        "plan", "plan --json", "plan --shards 2", "plan --format github", "report",
        "report --json", "report --rules", "clean --all", "images list", "trust",
        "init --print --distros one",
    ):  # fmt: skip
        text = seen(cli(*command.split()))
        if command in ("plan", "report --json"):
            assert "]0;x" in text  # it is shown


def test_texts_of_a_plan_file(cli: Cli, project: Path) -> None:
    run_there(cli, project)
    assert cli("plan", "--save", "plan.json").code == 0
    plan = json.loads((project / "plan.json").read_text())
    for place in kinds(plan).values():
        (project / "plan.json").write_text(with_evil(plan, place))
        seen(cli("plan", "--plan", "plan.json"))


def test_texts_of_a_run_that_someone_else_has_made(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal and in a summary of GitHub's: each text of its journal."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    run = run_there(cli, project)
    events = [json.loads(line) for line in (run / "journal.jsonl").read_text().strip().split("\n")]
    case = {"name": "n", "status": "failed", "message": "m", "text": "t", "file": "f", "line": 1}
    for event in events:  # what this run had none of
        if isinstance(result := event.get("result"), dict):
            result["kept"] = {"name": "n", "enter": "e", "remove": "r", "out": "/o"}
            result["failing"] = [case]
            result["xpassed"] = [{**case, "status": "xpassed", "expected": "x"}]
            result["flaky"] = [{"case": "c", "passed": 1, "failed": 1, "first": 1, "message": "m"}]
            result |= {"warnings": ["w"], "hints": ["h"], "debug": ["d"], "tail": ["t"]}
            if result["verdict"] == "failed":
                fails = {key: result[key] for key in ("failing", "tail", "hints", "kept")}
                again = {"id": "two/bad", "verdict": "error", "reason": "r", "phase": "setup"}
                others = {**event, "result": {**fails, **again}}
    events.append(others)
    plan = json.loads((run / "plan.json").read_text())
    assert len(kinds(events)) > 20
    tried = [(with_evil(events, place), json.dumps(plan)) for place in kinds(events).values()]
    tried += [(json.dumps(events), with_evil(plan, place)) for place in kinds(plan).values()]
    for journal, planned in tried:
        made = (f"{json.dumps(one)}\n" for one in json.loads(journal))
        (run / "journal.jsonl").write_text("".join(made))
        (run / "plan.json").write_text(planned)
        (tmp_path / "summary.md").write_text("")
        seen(cli("report"))
        said = cli("report", "--github")
        lines = (line for line in said.out.splitlines() if not COMMAND.match(line))
        seen(Said(said.code, "\n".join(lines), said.err))
        harmless((tmp_path / "summary.md").read_text())


CI = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
COMMAND = re.compile(
    r"::(error|warning|notice) (file=|title=)|::stop-commands::[0-9a-f]{32}$|::[0-9a-f]{32}::$"
)


def harmless(summary: str) -> None:
    assert OBEYED.findall(summary) == []
    assert "<script" not in summary
    assert "href" not in summary
    for text in re.findall("@everyone|`j`|javascript:", summary):
        outside = re.sub(r"<(code|pre)>.*?</\1>", "", summary)
        assert text not in outside


# In XML, which has no control characters.
SAID = re.sub("[\x00-\x08\x0b-\x1f]", " ", EVIL)
TOLD = """\
product: .
distros: [one]
suites:
  bad: {run: 'cat out.xml >"$DISTROMATRIX_JUNIT"; cat said; exit 1', debug: cat said}
  tap: {run: cat out.tap, report: tap}
  lost: {run: 'cat said; exit 1', setup: cat said; false}
rules:
  - {distro: one, suite: tap, gating: false, reason: EVIL}
"""


@pytest.mark.parametrize(
    "ci", [pytest.param(True, marks=pytest.mark.slow), False], ids=["ci", "here"]
)
def test_what_a_product_says(cli: Cli, project: Path, tmp_path: Path, ci: bool) -> None:
    """In processes of their own, which write to the streams that users have."""
    (project / "matrix/default.yaml").write_text(TOLD.replace("EVIL", json.dumps(EVIL)))
    (project / "said").write_text(EVIL)
    (project / f"file {EVIL.replace('/', '')[:60]}").write_text("")
    (project / "Makefile").write_text(f"check: {EVIL}\n")
    name, text = quoteattr(SAID), escape(SAID)
    case = f"<testcase classname={name} name={name} file={name}>"
    failure = f"<failure message={name} type={name}>{text}</failure>"
    (project / "out.xml").write_text(
        f"<testsuite name={name}>{case}{failure}<system-out>{text}</system-out></testcase>"
        f"{case.replace('::', '')}<error message={name}/></testcase></testsuite>"
    )
    (project / "out.tap").write_text(f"TAP version 13\nnot ok 1 - {EVIL}\nBail out! {EVIL}\n1..3\n")
    environ = {key: value for key, value in os.environ.items() if key not in CI}
    environ |= {"GITHUB_ACTIONS": "true"} if ci else {}
    summary = tmp_path / "summary.md"
    environ |= {"GITHUB_STEP_SUMMARY": str(summary)} if ci else {}
    for command in (
        "plan", "run", "run --json", "report", "report --json", "report --rules",
        "report --github", "init --print --distros one", "distros", "trust", "clean --all",
    ):  # fmt: skip
        ended = subprocess.run(
            [quick_python(), "-m", "distromatrix", *command.split()],
            capture_output=True, env=environ, timeout=60, check=False,
        )  # fmt: skip
        out = (ended.stdout + ended.stderr).decode()
        lines = [line for line in re.split("[\r\n]", out) if not COMMAND.match(line)]
        seen(Said(ended.returncode, "\n".join(lines), ""))
        if ci:
            assert [x for x in lines if x.lstrip().startswith("::") or "##[" in x] == []
    if ci:
        harmless(summary.read_text())


@pytest.mark.parametrize("space", [" ", "\t", "\u2003", "\xa0", "\x85", "\u3000", "\u2028"])
def test_whatever_space_is_before_a_command_of_a_runner(space: str) -> None:
    text = f"a\n{space}::error::x".encode()
    raw = io.BytesIO()
    read, write = os.pipe()
    output = _BoundStream(_Descriptor(write, None), for_ci=True)
    output.write(text)
    output.flush()
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw.write(pipe.read())
    assert b"::error" not in raw.getvalue()
    assert raw.getvalue().decode() == unobeyed(text.decode())


def test_a_line_stays_one() -> None:
    assert fit("a\nb\n") == "a\\nb"
    assert fit("a\nb\n", lines=True) == "a\nb\n"
    assert fit("50%\rdone") == "50%\\x0ddone"  # nothing is taken away
