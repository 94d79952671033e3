"""What is run before a commit, by `make` and by CI is the same, and each says what it does."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
import yaml

from documents import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
HOOKS = [
    hook
    for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repo["hooks"]
]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_a_hook_runs_what_the_lanes_run_from_their_own_environment(hook: dict[str, str]) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    lint = [line.split()[:2] for line in tox["testenv:lint"]["commands"].splitlines()]
    program, *arguments = shlex.split(hook["entry"])
    assert hook["language"] == "system"
    assert program.startswith(".venv/bin/")
    program = program.removeprefix(".venv/bin/")
    if program == "pytest":
        assert "tests/unit" in tox["testenv:unit"]["commands"]
        files = [argument for argument in arguments if argument.endswith(".py")]
        assert files
        assert all((ROOT / file).is_relative_to(ROOT / "tests/unit") for file in files)
        assert all((ROOT / file).is_file() for file in files)
    else:
        known = [words for words in lint if words[:1] == [program]]
        assert known
        assert [words[1:] for words in known if words[1:] == arguments[: len(words) - 1]]


def test_the_hook_for_schemas_looks_when_what_they_are_made_of_changes() -> None:
    [pattern] = [hook["files"] for hook in HOOKS if hook["id"] == "schemas"]
    for file in ("load/shapes/matrix.py", "load/schema.py", "schemas/matrix.schema.json"):
        assert (ROOT / "runner/distromatrix" / file).is_file()
        assert re.search(pattern, f"runner/distromatrix/{file}")


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "help"])
def test_a_target_says_what_it_does(target: str) -> None:
    [line] = re.findall(rf"^# make {target}  *\S.*", MAKEFILE, re.MULTILINE)
    assert line
    recipe = re.search(rf"^{target}:.*\n\t(.*)", MAKEFILE, re.MULTILINE)
    assert recipe
    assert recipe[1] == "$(SAY)"
    [phony] = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert target in phony.split()
