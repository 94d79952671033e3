"""The pages that come from the program are as it is, and their examples have every key there is."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from packaging.version import Version
from repository_keys import KEY

from distromatrix.load import load_matrix
from distromatrix.load.catalogue import load_distros
from distromatrix.load.schema import schemas
from distromatrix.load.settings import load_settings
from documents import ROOT, alike, blocks

EXAMPLES = ROOT / "docs/sources"
PAGES = runpy.run_path(str(ROOT / "docs/generate.py"))["PAGES"]


HELP = ("command-line.md", "distromatrix.1")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_program_says(name: str) -> None:
    if name in HELP and Version(version("click")) < Version("8.5"):
        pytest.skip("click writes help otherwise before 8.5")
    kept = (ROOT / "docs" / name).read_text("utf-8")
    assert kept == PAGES[name](), "run `python docs/generate.py`"


def test_the_man_page_is_made_of_what_every_troff_knows() -> None:
    text = (ROOT / "docs/distromatrix.1").read_text("ascii")
    requests = set(re.findall(r"^[.'].*", text, re.MULTILINE))
    assert {line.split()[0] for line in requests} == {
        *('.\\"', ".TH", ".SH", ".B", ".I", ".nf", ".fi")
    }
    known = r"\\(?:[-e&\"]|\((?:aq|ga|ha|ti)|\[u[0-9A-F]{4}\]|f[IR])"
    assert "\\" not in re.sub(known, "", text)


def test_the_matrix_with_every_key_loads(tmp_path: Path) -> None:
    file = tmp_path / "matrix/default.yaml"
    file.parent.mkdir()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/example.asc").write_text(KEY)
    (tmp_path / "debian/tests").mkdir(parents=True)
    (tmp_path / "debian/control").write_text("Source: a\n\nPackage: a\nArchitecture: all\n")
    (tmp_path / "debian/tests/control").write_text("Tests: smoke\n")
    file.write_text((EXAMPLES / "matrix.yaml").read_text("utf-8"), "utf-8")
    assert load_matrix(file, today=date(2026, 1, 1)).warnings == ()


def test_the_distros_with_every_key_load(tmp_path: Path) -> None:
    folder = tmp_path / "distros"
    (folder / "vagrant").mkdir(parents=True)
    (folder / "vagrant/Vagrantfile").touch()
    (folder / "images/tools").mkdir(parents=True)
    (folder / "images/tools/Containerfile").touch()
    for number, text in enumerate((EXAMPLES / "distros.yaml").read_text("utf-8").split("\n---\n")):
        (folder / f"ours-{number}.yaml").write_text(text, "utf-8")
    assert {"ours-0", "ours-1", "ours-2"} <= {distro.name for distro in load_distros(tmp_path)}


def test_the_settings_with_every_key_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distromatrix.load.settings.config_file", lambda: EXAMPLES / "config.yaml")
    assert load_settings({}).engine == "podman"


@pytest.mark.parametrize(
    ("name", "file"),
    [("matrix", "matrix.yaml"), ("distro", "distros.yaml"), ("settings", "config.yaml")],
)
def test_the_examples_have_every_key(name: str, file: str) -> None:
    schema = schemas()[name]
    documents = yaml.load_all((EXAMPLES / file).read_text("utf-8"), yaml.BaseLoader)
    used = {pair for document in documents for pair in keys(document, schema, schema)}
    there = {
        (shape["description"], key)
        for shape in (schema, *schema.get("$defs", {}).values())
        for key in shape["properties"]
    }
    # What stands in `defaults` is what stands in suites.
    options = schema.get("$defs", {}).get("SuiteOptions", {}).get("description")
    assert {pair for pair in there - used if pair[0] != options} == set()


def keys(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key that a value has, with the description of the mapping it belongs to."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    for option in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from keys(value, option, whole)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from keys(item, schema["items"], whole)
    if not isinstance(value, dict):
        return
    named = schema.get("properties", {})
    if named and value.keys() <= named.keys():
        for key, inner in value.items():
            yield schema["description"], key
            yield from keys(inner, named[key], whole)
    for other in schema.get("patternProperties", {}).values():
        for inner in value.values():
            yield from keys(inner, other, whole)


def test_the_picture_is_small_and_shows_what_the_readme_does() -> None:
    picture = ROOT / "docs/demo.svg"  # made by docs/record.py
    text = picture.read_text("utf-8")
    assert len(text) < 150_000
    known = {"http://www.w3.org", "https://www.textualize.io"}
    assert set(re.findall(r"https?://[\w.]+", text)) <= known
    assert not re.search(r"url\((?!#)|/home/|/root/|/tmp/", text)
    *_, last = ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}svg")
    lines: dict[str, str] = {}
    for part in last.iter("{http://www.w3.org/2000/svg}text"):
        height = part.get("y", "")
        lines[height] = f"{lines.get(height, '')} {''.join(part.itertext())}"
    shown, *_ = (block for block in blocks(ROOT / "README.md") if block.note == "prints")
    wanted = [alike(line) for line in shown.text.splitlines() if line and "xfailed" in line]
    assert wanted
    assert [w for w in wanted if w not in map(alike, lines.values())] == []
