"""The page for other CIs, done as it is written: its commands are taken out of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from breaking_world import Project

from quick_python import quick_python

pytestmark = pytest.mark.engine

PAGE = Path(__file__).parents[3] / "examples/ci/README.md"
SUITES = {"one": "true", "two": "true", "three": 'test "$DISTROMATRIX_ENGINE" = docker; exit 3'}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def product(project: Project) -> Project:
    project.suites(SUITES)
    program = project.root.parent / "bin/distromatrix"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {quick_python()} -m distromatrix "$@"\n')
    program.chmod(0o755)
    project.environ["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    return project


def machine(product: Project, name: str) -> Path:
    """Another machine, with the product checked out and nothing else."""
    root = product.root.parent / name
    shutil.copytree(product.root, root, ignore=shutil.ignore_patterns(".distromatrix"))
    return root


def sh(product: Project, script: str, where: Path, **more: str) -> int:
    environ = {**product._environ, **more}
    command = ["sh", "-e", "-c", script]
    return subprocess.run(command, cwd=where, env=environ, check=False, timeout=120).returncode


def check(product: Project, answer: Path) -> None:
    found = json.loads((answer / "results.json").read_text())
    verdicts = {c["id"].rpartition("/")[2]: c["verdict"] for c in found["cells"]}
    assert verdicts == {"one": "passed", "two": "passed", "three": "failed"}
    assert (answer / "junit.xml").exists()


@pytest.mark.slow
def test_the_three_commands(product: Project) -> None:
    plan, run, merge = blocks("sh")
    here = machine(product, "plans")
    assert sh(product, plan, here) == 0
    codes = []
    for k in (1, 2):
        there = machine(product, f"runs-{k}")
        shutil.copy(here / "plan.json", there)
        codes.append(sh(product, run, there, K=str(k), N="2"))
        shutil.copytree(there / ".distromatrix/runs", here / f"runs/{k}", symlinks=True)
    assert sorted(codes) == [0, 1]
    assert sh(product, merge, here) == 1
    check(product, here / "answer")
    assert (here / "history.sqlite3").exists()


@pytest.mark.slow
def test_gitlabs_jobs(product: Project) -> None:
    (text,) = (b for b in blocks("yaml") if "CI_NODE_TOTAL" in b)
    jobs = yaml.safe_load(text)
    scripts = {stage: "\n".join(jobs[stage]["script"]) for stage in jobs["stages"]}
    here = machine(product, "gitlab")
    assert sh(product, scripts["plan"], here) == 0
    for index in (1, 2):  # what GitLab gives back of artifacts lands in one folder
        node = {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": "2"}
        sh(product, scripts["shard"], here, **node)
    assert sh(product, scripts["answer"], here) == 1
    check(product, here / "answer")


@pytest.mark.slow
def test_buildkites_steps(product: Project) -> None:
    (text,) = (b for b in blocks("yaml") if "BUILDKITE" in b)
    scripts = [s["command"] for s in yaml.safe_load(text)["steps"] if "command" in s]
    store = product.root.parent / "store"
    store.mkdir()
    agent = product.root.parent / "bin/buildkite-agent"
    up, down = f'upload) cp "$3" {store}/ ;;', f'download) cp {store}/$3 "$4" ;;'
    agent.write_text(f"#!/bin/sh -e\ncase $2 in {up} {down} esac\n")
    agent.chmod(0o755)
    assert sh(product, scripts[0], machine(product, "plans")) == 0
    for index in (0, 1):
        job = {"BUILDKITE_PARALLEL_JOB": str(index), "BUILDKITE_PARALLEL_JOB_COUNT": "2"}
        sh(product, scripts[1], machine(product, f"agent-{index}"), **job)
    here = machine(product, "answers")
    assert sh(product, scripts[2], here) == 1
    check(product, here / "answer")


@pytest.mark.slow
def test_jenkins_calls_nothing_else(product: Project) -> None:
    (text,) = blocks("groovy")
    calls = re.findall(r"sh '(distromatrix [^']*)'", text)
    assert [c.split()[1:3] for c in calls] == [
        ["plan", "--save"], ["run", "--plan"], ["report", "merge"]
    ]  # fmt: skip
    here = machine(product, "jenkins")
    for call in calls:
        sh(product, call, here, K="1", N="1")
        if call.split()[1] == "run":
            shutil.copytree(here / ".distromatrix/runs", here / "runs/1", symlinks=True)
    check(product, here / "answer")
