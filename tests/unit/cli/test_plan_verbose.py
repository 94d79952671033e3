"""`plan --verbose`: a cell whole, as the matrix resolved it."""

import json
from pathlib import Path

import pytest
import yaml
from cli_world import DISTRO, Cli
from repository_keys import FINGERPRINT, KEY

MATRIX = """\
product: .
distros: [one, two]
env: {COLOUR: never, INDEX: "https://me:hunter22@example.org/simple"}
pass_env: [TOKEN_OF_OURS]
defaults: {memory: 512M, timeout: 10m}
suites:
  good:
    packages: [python, native]
    prepare: {run: pip install x, files: []}
    setup: |
      first
      second
    run: curl -H X=swordfish-9 example.org
variants:
  v: {suites: [good], distros: [one], env: {COLOUR: always}, packages: [more]}
rules:
  - {distro: one, suite: good, env: {A: b}, setup: before, packages: [ruled]}
"""


@pytest.fixture(autouse=True)
def matrix(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)
    distro = DISTRO.replace("NAME", "one") + "packages: {python: [python3, python3-pip]}\n"
    (project / "distros/one.yaml").write_text(distro)
    monkeypatch.setenv("TOKEN_OF_OURS", "swordfish-9")


def test_json_has_all_of_the_cell_and_no_secret(cli: Cli) -> None:
    said = cli("plan", "one", "--verbose", "--json")
    assert said.code == 0, said.err
    (cell,) = json.loads(said.out)["cells"]
    assert (cell["id"], cell["engine"], cell["verdict"]) == ("one/good/v", "docker", None)
    assert cell["packages"] == ["python3", "python3-pip", "native", "more", "ruled"]
    assert cell["env"] == {"COLOUR": "always", "A": "b", "INDEX": "https://***@example.org/simple"}
    assert cell["setup"] == ["before", "first\nsecond\n"]
    assert cell["run"] == "curl -H X=*** example.org"
    assert (cell["memory"], cell["timeout"]) == (512 * 1024**2, 600.0)
    assert cell["pass_env"] == ["TOKEN_OF_OURS"]
    assert cell["image"][0]["pull"] == "docker.io/library/one:1"
    assert "swordfish" not in said.out + said.err


def test_people_read_it_as_yaml_below_the_cells_line(cli: Cli) -> None:
    said = cli("plan", "one", "--verbose")
    assert said.code == 0, said.err
    first, *lines = said.out.splitlines()
    assert first.startswith("one/good/v")
    block = [line for line in lines if line.startswith("    ")]
    shown = yaml.safe_load("\n".join(block))
    assert shown["packages"] == ["python3", "python3-pip", "native", "more", "ruled"]
    assert shown["setup"] == ["before", "first\nsecond\n"]
    assert (shown["memory"], shown["timeout"]) == ("512M", "10 min 00 s")
    assert "      second" in block
    assert "restore" not in shown
    assert "two/good" not in said.out
    assert "swordfish" not in said.out + said.err
    assert "hunter22" not in said.out


def test_repositories_are_said_with_whose_key_signs_them(cli: Cli, project: Path) -> None:
    (project / "key.asc").write_text(KEY)
    file = project / "distros/one.yaml"
    file.write_text(file.read_text().replace("package_manager: none", "package_manager: apt"))
    own = '{url: "https://a.example", key: key.asc}, {url: "http://b.example", signed: false}'
    text = MATRIX.replace("[one, two]", "[one]").replace(
        "run: curl", f"repositories: [{own}]\n    run: curl"
    )
    (project / "matrix/default.yaml").write_text(text)
    said = cli("plan", "one", "--verbose")
    assert said.code == 0, said.err
    shown = yaml.safe_load("\n".join(x for x in said.out.splitlines() if x.startswith("    ")))
    assert shown["repositories"] == [
        {"url": "https://a.example", "key": [FINGERPRINT], "key_file": "key.asc"},
        {"url": "http://b.example", "signed": False},
    ]


def test_it_is_of_cells_and_not_of_jobs(cli: Cli) -> None:
    said = cli("plan", "--verbose", "--shards", "2")
    assert (said.code, said.out) == (2, "")
    assert "--verbose cannot be combined with --shards" in said.err
