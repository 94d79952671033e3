"""autopkgtest's verdicts and ours, of the same Debian packages in the same image.

The packages were chosen by what their debian/tests/control asks for, before any of them was run:
these, keyutils, which does not build in a container, and rsync, of which no comparison has come to
its end. autopkgtest tests in the container that it was started in: after a package that does not
build, or cannot be installed, it says nothing of the tests that are left."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from products import Project

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PACKAGES = (
    "hello=2.10-3",  # an unnamed Test-Command, `@`
    "psmisc=23.6-1",  # three tests in one stanza, `@`, no allow-stderr
    "acl=2.3.1-3",  # superficial, flaky, rw-build-tree, needs-root, versions, no `@`
)
TOOLS = """
product: product
distros: [debian-12]
suites:
  tools:
    packages: [autopkgtest, build-essential, fakeroot, python3-debian]
    prepare: useradd -m -s /bin/bash tester
    run: "true"
"""
MATRIX = """
product: product
distros: [debian-12]
suites: {import: debian/tests}
"""
FETCH = """
cd /etc/apt
[ ! -e sources.list ] || sed -n 's/^deb /deb-src /p' sources.list >sources.list.d/source.list
find sources.list.d -name '*.sources' -exec sed -i 's/^Types: deb$/Types: deb deb-src/' {} +
apt-get -qq update
cd /out
apt-get -q source "$1"
"""
BY_AUTOPKGTEST = """
apt-get -qq update
cp -a /sources /tree
chmod -R a+rX /tree
autopkgtest --user=tester --summary-file=/tmp/summary /tree/*.dsc -- null >&2 || :
cat /tmp/summary
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an image with autopkgtest."""
    tools = _project(tmp_path_factory.mktemp("tools"), TOOLS)
    tools.product.mkdir()
    return tools.images()["debian-12/tools"]


def _project(root: Path, matrix: str) -> Project:
    (root / "matrix").mkdir(parents=True)
    (root / "matrix/default.yaml").write_text(matrix)
    return Project(root=root)


def _in(image: str, script: str, *words: str, volume: str) -> str:
    command = ["docker", "run", "--rm", "--volume", volume, image, "sh", "-ec", script, "sh"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_autopkgtest_and_we_say_the_same(tmp_path: Path, image: str, package: str) -> None:
    (sources := tmp_path / "sources").mkdir()
    _in(image, FETCH, package, volume=f"{sources}:/out")
    ours = _project(tmp_path / "ours", MATRIX)
    (tree,) = (path for path in sources.iterdir() if path.is_dir())
    shutil.move(tree, ours.product)
    summary = _in(image, BY_AUTOPKGTEST, volume=f"{sources}:/sources:ro")
    # What the container that it runs in cannot give is no verdict.
    said = r"^(\S+) +(PASS|FAIL|FLAKY|SKIP(?! Test requires))\b"
    theirs = dict(re.findall(said, summary, re.MULTILINE))
    cells = json.loads(ours._call("run", "--json").stdout)["cells"]
    found = {cell["id"].partition("/")[2]: cell["verdict"] for cell in cells}
    print(f"{summary}\n{found}")
    words = {"PASS": "passed", "FAIL": "failed", "FLAKY": "passed", "SKIP": "skipped"}
    assert theirs
    assert found.items() >= {name: words[word] for name, word in theirs.items()}.items()
