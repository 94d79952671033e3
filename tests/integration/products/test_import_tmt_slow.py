"""tmt's verdicts and ours, of the same tests in the same image.

The trees were chosen by what their metadata ask for, before any of them was run: two products of
others' that are tested with tmt, and of tmt's own tests' data those that have every result, shell
options, environments and odd names. tmt runs those of their tests that become suites."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from products import Project, project, sdist

from distromatrix.files.below import Folder
from distromatrix.load.imports import tmt

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TREES = (
    ("fmf==1.7.0", "."),
    ("specfile==0.41.1", "."),
    ("tmt==1.78.0", "tests/execute/result/basic"),
    ("tmt==1.78.0", "tests/report/junit/basic/data"),
    ("tmt==1.78.0", "tests/core/environment/data"),
)

# Debian has no packages of these products: they are installed otherwise, and packages of those
# names are there.
TOOLS = r"""
product: product
distros: [debian-12]
ca_bundle: host
index: host
suites:
  tools:
    packages: [python3-pip, python3-venv, python3-pytest, python3-pytest-cov, python3-flexmock,
               python3-rpm, git, rsync]
    prepare: |
      pip install -q --break-system-packages fmf==1.7.0 specfile==0.41.1
      python3 -m venv /opt/tmt
      /opt/tmt/bin/pip install -q tmt==1.78.0
      mkdir -p /tmp/python/usr/bin
      ln -s python3 /tmp/python/usr/bin/python
      for name in fmf python3-specfile git-core python; do
        mkdir -p /tmp/$name/DEBIAN
        printf '%s\n' "Package: $name" 'Version: 1' 'Architecture: all' \
          'Maintainer: us <us@example.org>' 'Description: installed otherwise' \
          >/tmp/$name/DEBIAN/control
        dpkg-deb -b /tmp/$name /tmp/$name.deb
        dpkg -i /tmp/$name.deb
      done
    run: "true"
"""
MATRIX = """
product: product
distros: [debian-12-tools]
env: {{LC_ALL: C.UTF-8}}
suites: {{import: {path}}}
"""
WHEN = {
    "version": "distro == debian-12",
    "name": "distro == debian",
    "other": "distro == fedora",
    "older": "distro == debian-11",
    "newer": "distro == debian-12.1",
    "beginning": "distro == deb",
    "one-of": "distro == fedora,debian-12 , rhel",
    "none-of": "distro == fedora, rhel-12",
    "either": "distro == rhel-8 or distro == debian",
    "neither": "distro == rhel-8 or distro == debian-1",
}
DISTRO = "like: debian-12\nimage: [{containerfile: tools/Containerfile}]\n"

BY_TMT = """
cp -a /product /tree
cd /tree/"$1"
shift
/opt/tmt/bin/tmt --feeling-safe --context distro=debian-12 run --id /tmp/run \
  --environment LC_ALL=C.UTF-8 discover --how fmf "$@" provision --how local \
  prepare execute --how tmt plans --default >&2 || :
/opt/tmt/bin/python - $(find /tmp/run -name results.yaml) <<'PYTHON'
import json, sys
from pathlib import Path
from ruamel.yaml import YAML
results = YAML(typ="safe").load(Path(sys.argv[1]))
print(json.dumps({result["name"]: result["result"] for result in results}))
PYTHON
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an image with tmt, and with what the products need."""
    tools = Project(root=tmp_path_factory.mktemp("tools"))
    tools.product.mkdir()
    (tools.root / "matrix").mkdir()
    (tools.root / "matrix/default.yaml").write_text(TOOLS)
    return tools.images()["debian-12/tools"]


def imported(product: Path, path: str) -> dict[str, str]:
    """The tests' names, by their suites'."""
    with Folder.at(product) as folder:
        suites = tmt.read_suites(folder, path).suites
    said = {name: re.search("TMT_TEST_NAME=(.*) TMT_", s.keys["run"]) for name, s in suites.items()}
    return {name: shlex.split(found[1])[0] for name, found in said.items() if found}


def by_tmt(product: Path, path: str, image: str, names: list[str]) -> dict[str, str]:
    """What tmt itself says of the tests of these names."""
    chosen = [word for name in names for word in ("--test", f"^{re.escape(name)}$")]
    command = ["docker", "run", "--rm", "--volume", f"{product}:/product:ro", image]
    script = ["bash", "-ec", BY_TMT, "tmt", path, *chosen]
    done = subprocess.run([*command, *script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def compare(tree: Project, path: str, image: str) -> set[str]:
    """Hold our verdicts to tmt's, to which a test that is not enabled is none. Returns ours."""
    (tree.root / "distros/tools").mkdir(parents=True)
    (tree.root / "distros/debian-12-tools.yaml").write_text(DISTRO)
    (tree.root / "distros/tools/Containerfile").write_text(f"FROM {image}\n")
    names = imported(tree.product, path)
    cells = json.loads(tree._call("run", "--json").stdout)["cells"]
    ours = {cell["id"].partition("/")[2]: cell["verdict"] for cell in cells}
    theirs = by_tmt(tree.product, path, image, list(names.values()))
    words = {"pass": "passed", "fail": "failed", "error": "failed", "": "skipped"}
    assert ours == {suite: words[theirs.get(name, "")] for suite, name in names.items()}
    return set(ours.values())


@pytest.mark.parametrize(("requirement", "path"), TREES)
def test_tmt_and_we_say_the_same(tmp_path: Path, image: str, requirement: str, path: str) -> None:
    tree = project(tmp_path, sdist(requirement), MATRIX.format(path=path))
    compare(tree, path, image)


def test_rules_for_distros_are_obeyed_as_tmt_does(tmp_path: Path, image: str) -> None:
    tests = (f'/{n}:\n  adjust: [{{when: "{w}", enabled: false}}]\n' for n, w in WHEN.items())
    tree = Project(root=tmp_path)
    for file, text in {
        "matrix/default.yaml": MATRIX.format(path="."),
        "product/.fmf/version": "1\n",
        "product/main.fmf": "test: 'true'\n" + "".join(tests),
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert compare(tree, ".", image) == {"passed", "skipped"}
