"""The JSON Schemas: in step with the types, and true of every file that ships."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from distromatrix.load import find_matrix, load_matrix
from distromatrix.load.catalogue import builtin_folder
from distromatrix.load.schema import as_text, schema_file, schemas

ROOT = Path(__file__).resolve().parents[3]
MATRICES = [*ROOT.glob("matrix/*.yaml"), *ROOT.glob("examples/*/matrix/*.yaml")]
DISTROS = [*builtin_folder().glob("*.yaml"), *ROOT.glob("examples/*/distros/*.yaml")]
SHIPPED = [("matrix", path) for path in MATRICES] + [("distro", path) for path in DISTROS]


class EditorsLoader(yaml.SafeLoader):
    """YAML as editors read it (1.2): dates stay text."""


EditorsLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), EditorsLoader)


@pytest.mark.parametrize("name", ["matrix", "distro", "settings", "lock"])
def test_the_committed_schema_is_what_the_types_say(name: str) -> None:
    regenerate = "run `python -m distromatrix.load.schema`"
    assert schema_file(name).read_text() == as_text(schemas()[name]), regenerate


@pytest.mark.parametrize("name", ["matrix", "distro", "settings", "lock"])
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas()[name])


def test_there_is_something_to_check() -> None:
    assert MATRICES
    assert DISTROS


@pytest.mark.parametrize(("name", "path"), SHIPPED, ids=lambda value: str(value)[-40:])
def test_what_ships_validates_and_names_its_schema(name: str, path: Path) -> None:
    schema = json.loads(schema_file(name).read_text())
    jsonschema.validate(read(path), schema)
    first = path.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert first.endswith(f"/{name}.schema.json")


@pytest.mark.parametrize(
    "text",
    [
        "distros: [debian-12]\nsuites: {u: {run: x}}\nsuties: {}\n",
        "distros: [debian-12]\nsuites: {u: {}}\n",
        "distros: [debian-12]\nsuites: {u: {run: x, timeout: 5}}\n",
        "distros: []\nsuites: {u: {run: x}}\n",
        "distros: [debian-12]\nsuites: {u: {run: x, needs: [kernel-module]}}\n",
    ],
)
def test_the_schema_sees_slips(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schemas()["matrix"])


def test_the_schema_lets_pass_what_editors_read_as_numbers_and_booleans() -> None:
    text = """\
    distros: [debian-12]
    env: {A: 1.10, B: on}
    suites: {u: {run: x, network: false, cpus: 2, user: 1000, prepare: x, needs: [mount]}}
    rules: [{expect: fail, reason: x, until: 2027-01-01}]
    """
    jsonschema.validate(yaml.load(text, EditorsLoader), schemas()["matrix"])


def test_every_key_has_a_description_for_the_editor() -> None:
    for schema in schemas().values():
        for part in (schema, *schema.get("$defs", {}).values()):
            for key, value in part.get("properties", {}).items():
                assert value.get("description"), key


def test_our_own_matrix_loads() -> None:
    from datetime import date

    matrix = load_matrix(find_matrix(ROOT, None), today=date(2026, 11, 23))
    assert matrix.warnings == ()
