"""The workflows as they are written: valid, safe, pinned, and with no name that leads nowhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from actions.expressions import Contexts, UnknownExpressionError, evaluate, parts_of
from actions.files import KNOWN
from actions.runner import load
from documents import Block, blocks
from shell_calls import fault

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
SELF = "$/"


def steps_of(path: Path) -> list[dict[str, Any]]:
    said = load(path)
    if "runs" in said:
        return list(said["runs"]["steps"])
    return [step for job in said["jobs"].values() for step in job.get("steps", [])]


def jobs_of(path: Path) -> dict[str, dict[str, Any]]:
    return dict(load(path).get("jobs", {}))


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda p: p.parent.name + p.name)
def test_nothing_from_outside_becomes_part_of_a_script(path: Path) -> None:
    scripts = [step["run"] for step in steps_of(path) if "run" in step]
    assert not [s for s in scripts if "${{" in s]
    for script in scripts:
        bash = ["bash", "-n"]
        done = subprocess.run(bash, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda p: p.parent.name + p.name)
def test_what_is_used_is_a_known_commit_with_its_version_beside_it(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if found := re.match(r"\s*-? ?uses: (\S+)(?: # (\S+))?$", line):
            assert found[1].startswith(SELF) or KNOWN[found[1]] == found[2], line
        else:
            assert not re.match(r"\s*-? ?uses:", line), line


# What the jobs of a release may do that run nothing of the checkout.
RELEASES = {"publish": {("id-token", "write")}, "notes": {("contents", "write")}}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_every_job_may_do_little_and_not_for_long(path: Path) -> None:
    said = load(path)
    assert said["permissions"] == {"contents": "read"}
    assert said["concurrency"]["cancel-in-progress"] is (path.name != "release.yml")
    for name, job in said["jobs"].items():
        may = RELEASES.get(name, set()) if path.name == "release.yml" else set()
        assert set(job.get("permissions", {}).items()) <= (may or {("contents", "read")})
        assert job.get("secrets") != "inherit"
        assert ("uses" in job) != ("timeout-minutes" in job)
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_what_is_given_to_our_own_is_declared_there(path: Path) -> None:
    calls = [c for j in jobs_of(path).values() for c in (j, *j.get("steps", [])) if "uses" in c]
    for call in calls:
        if not call["uses"].startswith(SELF):
            continue
        target = ROOT / call["uses"].removeprefix(SELF)
        said = load(target / "action.yml" if target.is_dir() else target)
        declared = said.get("inputs") or said["on"]["workflow_call"]["inputs"]
        assert set(call.get("with", {})) <= set(declared)


CI_PAGE = [block for block in blocks(ROOT / "docs/ci.md", "yaml") if "jobs:" in block.text]


@pytest.mark.parametrize("block", CI_PAGE, ids=str)
def test_what_the_docs_call_is_declared_there(block: Block) -> None:
    for job in yaml.safe_load(block.text)["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        for call in (job, *job.get("steps", [])):
            where, _, version = call.get("uses", "").partition("@")
            if where.startswith("OWNER/distromatrix/"):
                assert version == "TAG"
                assert_declared(call, ROOT / where.split("/", 2)[2])
            else:
                assert not version or f"{where}@{version}" in KNOWN


def assert_declared(call: dict[str, Any], target: Path) -> None:
    action = target.is_dir()
    said = load(target / "action.yml" if action else target)
    declared = said if action else said["on"]["workflow_call"]
    assert set(call.get("with", {})) <= set(declared["inputs"])
    assert set(call.get("secrets", {})) <= set(declared.get("secrets", {}))
    if action:
        assert fault(["distromatrix", *shlex.split(call["with"]["args"])], ()) == ""


def test_a_product_needs_four_lines() -> None:
    assert len(CI_PAGE[0].text.splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'it''s' == 'IT''S'", True),
        ("a.b > 0 && a.b <= 2", True),
        ("!cancelled() && (a.c == 'x' || always())", True),
        ("a.c == 'y' && a.b || a.c", "x"),
        ("fromJSON(a.d)", {"include": [1]}),
        ("failure()", False),
    ],
)
def test_expressions_are_what_github_makes_of_them(text: str, value: object) -> None:
    contexts = Contexts({"a": {"b": 2, "c": "x", "d": '{"include": [1]}'}})
    assert evaluate(text, contexts) == value


@pytest.mark.parametrize(
    "text",
    ["a.x", "b", "a.b == 'x'", "hashFiles('a')", "a.b +1", "(a.b", "a.b a.b", "a[0]", "'x", ""],
)
def test_an_expression_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(UnknownExpressionError):
        evaluate(text, Contexts({"a": {"b": 2}}))


def test_the_parts_of_a_text_are_its_expressions() -> None:
    assert [p.strip() for p in parts_of("a ${{ b }}${{c}} $ {{ }}")] == ["b", "c"]


COMMAND = re.compile(
    r"(?:^|\|\|?|&&|[$<]?\(|[{;])\s*(?:if |while |! |IFS= )*"
    r"(?P<word>[\w./\"$-]*[a-z][\w./\"-]*)(?=\s|$)",
    re.MULTILINE,
)
# Which of them say nothing that others have put there, or say it as `cli.output.echo` does.
UNOBEYED = {
    *("true", "echo", "printf", "read", "exit", "set", "unset", "case", "esac", "if", "elif"),
    *("then", "else", "fi", "while", "do", "done"),
    *("mkdir", "rm", "ln", "sudo", "tee", "od", "tr", "cd", "pwd", "cat"),
    *("distromatrix", '"$home/bin/distromatrix"', '"$RUNNER_TEMP/distromatrix/venv/bin/python"'),
    *('"$PYTHON"', '"$home/venv/bin/python"'),  # pip: of what the caller names
}


@pytest.mark.parametrize(
    "path", [ROOT / ".github/workflows/distromatrix.yml", *ACTIONS], ids=lambda p: p.parent.name
)
def test_what_may_say_the_names_of_a_products_files_is_no_command(path: Path) -> None:
    """It runs between `::stop-commands::` and its end."""
    mark = "mark=$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')"
    begin, end = 'echo "::stop-commands::$mark"', 'echo "::$mark::"'
    for step in steps_of(path):
        script = step.get("run", "").replace("\\\n", " ")
        assert script.count("stop-commands") == script.count(begin) == script.count(end)
        assert (begin in script) == (mark in script)
        rest = re.sub(rf"{re.escape(begin)}.*?{re.escape(end)}", "", script, flags=re.DOTALL)
        rest = re.sub(r"(?<=echo )\"[^\"]*\"(\s+\"[^\"]*\")*|'[^']*'|(?m:(^|\s)#.*)", " ", rest)
        assert {found["word"] for found in COMMAND.finditer(rest)} <= UNOBEYED, rest
