"""What the pages show can be used as it stands: each block is checked by what it is for.

Blocks that a page's reader runs in order are run here or in tests/integration/test_docs_real.py:
a comment before them says so (`<!-- test: … -->`).
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository_keys import KEY

from distromatrix.load import load_matrix
from distromatrix.load.catalogue import load_distros
from distromatrix.load.schema import schemas
from distromatrix.load.settings import load_settings
from documents import ROOT, Block, blocks, pages, prose
from shell_calls import MISSING, calls, fault

ALL = [block for page in pages() for block in blocks(page)]
LANGUAGES = {"sh", "console", "text", "yaml", "python", "groovy"}


def of(*languages: str) -> Any:
    found = [block for block in ALL if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=str)


def options(config: pytest.Config) -> set[str]:
    """Those that pytest knows, in the words of its own parser."""
    groups = [config._parser._anonymous, *config._parser._groups]
    return {name for group in groups for option in group.options for name in option.names()}


def test_each_block_says_what_it_is() -> None:
    assert [str(block) for block in ALL if block.language not in LANGUAGES] == []


@of("sh", "console")
def test_what_a_shell_is_told_is_there(block: Block, pytestconfig: pytest.Config) -> None:
    script = block.text
    if block.language == "console":
        script = "".join(f"{line}\n" for line in re.findall(r"^\$ (.*)$", script, re.MULTILINE))
    done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = list(calls(script.replace("$K/$N", "1/2")))
    assert found
    assert [text for words in found if (text := fault(words, options(pytestconfig)))] == []


NOW = [page for page in pages() if page.name != "CHANGELOG.md"]  # which is of then


@pytest.mark.parametrize("page", NOW, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_a_sentence_are_there(page: Path, pytestconfig: pytest.Config) -> None:
    known = options(pytestconfig)
    texts = re.findall(r"`((?:distromatrix|pytest) [^`\n=][^`\n]*)`", prose(page))
    said = (fault(shlex.split(text), known) for text in texts if "…" not in text)
    assert [wrong for wrong in said if wrong and not wrong.startswith(MISSING)] == []


@of("python")
def test_what_is_python_compiles(block: Block) -> None:
    ast.parse(block.text)


@of("yaml")
def test_yaml_is_of_a_kind_and_loads(block: Block, tmp_path: Path) -> None:
    value = yaml.safe_load(block.text)
    keys = value.keys()
    if block.page.name == "matrix-reference.md":
        return  # parts of one that loads: tests/unit/docs/test_docs_generated.py
    if isinstance(value.get("jobs"), dict) or keys & {"stages", "steps"}:
        # tests/unit/workflows/test_workflows.py, tests/integration/test_other_ci.py
        assert block.page in (ROOT / "docs/ci.md", ROOT / "examples/ci/README.md")
    elif keys <= schemas()["settings"]["properties"].keys():
        file = tmp_path / "config.yaml"
        file.write_text(block.text, "utf-8")
        load_settings(file, {})
    elif keys <= schemas()["matrix"]["properties"].keys():
        load_as_matrix(block.text, tmp_path)
    else:
        assert keys <= schemas()["distro"]["properties"].keys()
        load_as_distro(block.text, tmp_path)


def load_as_matrix(text: str, root: Path) -> None:
    """The text is a whole matrix, or a part, to which is added what its globs name."""
    value = yaml.safe_load(text)
    lacking = ""
    if "distros" not in value:
        lacking += "distros: ['*']\n"
    if "suites" not in value:
        names = {glob for glob in values_of(value, "suite") if "*" not in glob} or {"unit"}
        lacking += f"suites: {{{', '.join(f'{name}: {{run: x}}' for name in sorted(names))}}}\n"
    for key in values_of(value, "key"):
        (root / key).parent.mkdir(exist_ok=True)
        (root / key).write_text(KEY, "utf-8")
    if "." in values_of(value, "import"):
        for name, said in ((".fmf/version", "1"), ("tests/unit.fmf", "test: x")):
            (root / name).parent.mkdir()
            (root / name).write_text(said, "utf-8")
    file = root / "matrix/default.yaml"
    file.parent.mkdir()
    file.write_text(text + lacking, "utf-8")
    load_matrix(file, today=date(2026, 1, 1))


def values_of(value: Any, key: str) -> Iterator[str]:
    """What stands under a key, wherever it does."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from values_of(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from values_of(inner, key)


def load_as_distro(text: str, root: Path) -> None:
    """The text is a distro's whole file, or a part."""
    value = yaml.safe_load(text)
    folder = root / "distros"
    folder.mkdir()
    (folder / "ours.yaml").write_text(text + "like: debian-12\n" * ("like" not in value), "utf-8")
    for name in values_of(value, "containerfile"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    vagrantfile = value.get("guest", {}).get("vagrantfile", "Vagrantfile")
    (folder / vagrantfile).parent.mkdir(exist_ok=True)
    (folder / vagrantfile).touch()
    assert "ours" in {distro.name for distro in load_distros(root)}


def test_the_messages_in_troubleshooting_are_ours() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    sources = "\n".join(p.read_text("utf-8") for p in (ROOT / "runner").rglob("*.py"))
    texts = re.sub(r'"""(.|\n)*?"""', "", sources)
    texts = re.sub(r'"\n\s*f?"', "", texts)  # of one that stands on two lines
    for cell in re.findall(r"^\| (.*?) \|", page, re.MULTILINE):
        for quoted in re.findall(r"`([^`$]* [^`]*)`", cell):
            if not quoted.startswith(("kill ", "crun ", "Release file")):  # of others
                assert [part for part in quoted.split("…") if part.strip() not in texts] == [], cell
