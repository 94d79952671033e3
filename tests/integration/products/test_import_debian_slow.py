"""autopkgtest's verdicts and ours, of the same Debian packages in the same image.

The packages were chosen by what their debian/tests/control asks for, before any of them was run.
In `null`, autopkgtest tests in the machine that it was started in: after a package that does not
build, or cannot be installed, it says nothing of the tests that are left."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from products import Project

from given import no_vagrant, unobtainable
from made_products import DEBIAN, make_product

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PACKAGES = (
    "hello=2.10-3",  # an unnamed Test-Command, `@`
    "psmisc=23.6-1",  # three tests in one stanza, `@`, no allow-stderr
    "acl=2.3.1-3",  # superficial, flaky, rw-build-tree, needs-root, versions, no `@`
)
# `@builddeps@`, test-name, superficial, isolation-container with a service that is started.
WITH_INIT = "rsync=3.2.7-1+deb12u6"
# A test for each thing that a stanza may ask for: what it says, and its script.
ASKED = {
    "plain": ("", 'test "$(say-ok)" = ok && test "$(id -u)" != 0'),
    "failing": ("", "exit 3"),
    "noisy": ("", "echo no >&2"),
    "loud": ("Restrictions: allow-stderr", "echo yes >&2"),
    "absent": ("Restrictions: skippable", "exit 77"),
    "unasked": ("", "exit 77"),
    "elsewhere": ("Architecture: s390x", "true"),
    "here": ("Architecture: any", "true"),
    "root": ("Restrictions: needs-root", 'test "$(id -u)" = 0'),
    "sudoer": ("Restrictions: needs-sudo", 'test "$(sudo -n id -u)" = 0'),
    "breaking": ("Restrictions: breaks-testbed, needs-root", "rm /usr/bin/say-ok"),
    "unbroken": ("", "say-ok"),
    "hint": ("Restrictions: hint-testsuite-triggers", "true"),
    "shallow": ("Restrictions: superficial", "true"),
    "unreliable": ("Restrictions: flaky", "false"),
    "newer": ("Restrictions: made-up", "true"),
    "lacking": ("Depends: no-such-thing\nRestrictions: skip-not-installable", "true"),
    "contained": ("Restrictions: isolation-container", 'test "$(cat /proc/1/comm)" = systemd'),
}
TOOLS = """
product: product
distros: [debian-12]
suites:
  tools:
    packages: [autopkgtest, build-essential, debhelper, fakeroot, python3-debian, sudo,
               systemd-sysv]
    prepare: |
      useradd -m -s /bin/bash tester
      rm -f /usr/sbin/policy-rc.d
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
# sudo tells the kernel's audit log, and on stderr that it cannot.
IN_INIT = """
product: product
distros: [debian-12]
defaults: {privileges: [init, setuid, audit-write], packages: [systemd-sysv]}
suites: {import: debian/tests}
"""
# A test for each that `isolation-machine` may come to, and one that has no such restriction.
IN_MACHINES = {
    "works": (
        "Depends: kmod\nRestrictions: isolation-machine, needs-root",
        "modprobe dummy; test -d /sys/module/dummy; systemctl -q is-active dbus.socket",
    ),
    "broken": (
        "Depends:\nRestrictions: isolation-machine, needs-root, allow-stderr",
        "modprobe no-such-module",
    ),
    "absent": ("Depends:\nRestrictions: isolation-machine, skippable", "exit 77"),
    "plain": ("Depends:", "true"),
}
# autopkgtest tests in the guest that it is started in; nothing is built there.
WITH_GUESTS = """
product: product
distros: [debian-12, only-containers]
suites:
  import: {ours: debian/tests}
  theirs:
    distros: [debian-12]
    needs: [init, own-kernel]
    packages: [autopkgtest, build-essential, kmod]
    prepare: useradd -m -s /bin/bash tester
    user: root
    run: |
      cp -a . /tree
      chmod -R a+rX /tree
      autopkgtest --user=tester --no-built-binaries \\
        --summary-file="$DISTROMATRIX_ARTIFACTS/summary" /tree -- null || :
"""
ONLY_CONTAINERS = "like: debian-12\nguest: {bootstrap: {kernel: linux-image-cloud-amd64}}\n"
BY_AUTOPKGTEST = """
apt-get -qq update
cp -a /sources /tree
chmod -R a+rX /tree
autopkgtest --user=tester --summary-file=/tmp/summary /tree/*.dsc -- null >&2 || :
cat /tmp/summary
"""
# In containers that the engine opens for it, one more where a test has broken the one before.
IN_CONTAINERS = """
autopkgtest -U --summary-file=/tmp/summary /sources -- docker --remote --init "$@" >&2 || :
cat /tmp/summary
"""
LABEL = "distromatrix.test=autopkgtest"
AS_OURS = (
    *("--label", LABEL, "--env", "container=docker", "--stop-signal", "SIGRTMIN+3"),
    *("--cap-add", "SYS_ADMIN", "--cgroupns", "private"),
    *("--tmpfs", "/run:exec,mode=755", "--tmpfs", "/run/lock"),
)


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


def _in(image: str, script: str, *words: str, volumes: tuple[str, ...]) -> str:
    mounted = (word for volume in volumes for word in ("--volume", volume))
    command = ["docker", "run", "--rm", *mounted, image, "sh", "-ec", script, "sh"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wares(root: Path, tests: Mapping[str, tuple[str, str]]) -> None:
    """A package with these tests."""
    stanzas = (f"Tests: {name}\n{said}\n" for name, (said, _) in tests.items())
    scripts = {f"debian/tests/{n}": f"#!/bin/sh\nset -e\n{s}\n" for n, (_, s) in tests.items()}
    control = "\n".join(text.replace("\n\n", "\n") for text in stanzas)
    make_product(root, {**DEBIAN, **scripts, "debian/tests/control": control})


def _said(summary: str) -> dict[str, str]:
    """autopkgtest's verdicts, in our words; what its machine cannot give is none."""
    found = re.findall(r"^(\S+) +(PASS|FAIL|FLAKY|SKIP(?! Test requires))\b", summary, re.MULTILINE)
    words = {"PASS": "passed", "FAIL": "failed", "FLAKY": "failed", "SKIP": "skipped"}
    return {name: words[word] for name, word in found}


def _run(ours: Project, *words: str) -> tuple[dict[str, str], str]:
    """Our verdicts by test, and what was said of those that are left out."""
    done = ours._call(*(words or ("run",)), "--json")
    cells = json.loads(done.stdout)["cells"]
    return {cell["id"].partition("/")[2]: cell["verdict"] for cell in cells}, done.stderr


def _fetched(package: str, image: str, sources: Path, product: Path) -> None:
    """Put a source package into a folder, and its tree into another."""
    sources.mkdir()
    _in(image, FETCH, package, volumes=(f"{sources}:/out",))
    (tree,) = (path for path in sources.iterdir() if path.is_dir())
    shutil.move(tree, product)


def _in_containers(image: str, product: Path) -> dict[str, str]:
    """autopkgtest's verdicts on a tree, in containers with an init that it opens."""
    volumes = (
        f"{product}:/sources:ro",
        f"{shutil.which('docker')}:/usr/bin/docker:ro",
        "/var/run/docker.sock:/var/run/docker.sock",
    )
    try:
        return _said(_in(image, IN_CONTAINERS, image, *AS_OURS, volumes=volumes))
    finally:
        listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}"]
        if left := subprocess.run(listed, capture_output=True, text=True, check=True).stdout:
            subprocess.run(["docker", "rm", "--force", *left.split()], check=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_autopkgtest_and_we_say_the_same(tmp_path: Path, image: str, package: str) -> None:
    ours = _project(tmp_path / "ours", MATRIX)
    sources = tmp_path / "sources"
    _fetched(package, image, sources, ours.product)
    theirs = _said(_in(image, BY_AUTOPKGTEST, volumes=(f"{sources}:/sources:ro",)))
    found, _ = _run(ours)
    print(f"{theirs}\n{found}")
    assert theirs
    assert found.items() >= theirs.items()


def test_services_are_started_as_under_autopkgtest(tmp_path: Path, image: str) -> None:
    ours = _project(tmp_path / "ours", IN_INIT)
    _fetched(WITH_INIT, image, tmp_path / "sources", ours.product)
    theirs = _in_containers(image, ours.product)
    found, _ = _run(ours)
    assert found == theirs
    assert found["remote-tests"] == "passed"


def test_whatever_a_test_may_ask_for_comes_to_the_same(tmp_path: Path, image: str) -> None:
    ours = _project(tmp_path, IN_INIT)
    _wares(ours.product, ASKED)
    theirs = _in_containers(image, ours.product)
    found, said = _run(ours)
    left_out = {name: "skipped" for name in ASKED if f"the test {name} is left out: " in said}
    assert left_out.keys() == {"hint", "newer"}
    assert found | left_out == theirs
    assert theirs.keys() == ASKED.keys()


@pytest.mark.guest
def test_tests_that_want_a_machine_have_one(tmp_path: Path, image: str) -> None:
    if reason := no_vagrant():
        unobtainable(reason)
    ours = _project(tmp_path, WITH_GUESTS)
    _wares(ours.product, IN_MACHINES)
    (ours.root / "distros").mkdir()
    (ours.root / "distros/only-containers.yaml").write_text(ONLY_CONTAINERS)
    found, _ = _run(ours, "run", "debian-12")
    cells = ours.root / ".distromatrix/runs/latest/cells/debian-12"
    theirs = _said((cells / "theirs/artifacts/summary").read_text())
    print(f"{theirs}\n{found}")
    assert theirs == {
        "works": "passed",
        "broken": "failed",
        "absent": "skipped",
        "plain": "passed",
    }
    assert found == {f"ours-{name}": said for name, said in theirs.items()} | {"theirs": "passed"}
    planned, _ = _run(ours, "plan", "only-containers")
    skipped = {name: "skipped" for name in ("works", "broken", "absent")}
    assert planned == {f"ours-{name}": said for name, said in skipped.items()} | {
        "ours-plain": None
    }
    assert _in_containers(image, ours.product) == skipped | {"plain": "passed"}


# A build that wants the tests, which are no files of its image.
WANTS_TESTS = "\noverride_dh_auto_build:\n\ttest -e debian/tests/says\n\ttest ! -e broken\n"


def test_what_does_not_build_in_the_image_is_built_in_the_cell(tmp_path: Path) -> None:
    ours = _project(tmp_path, MATRIX)
    rules = {"debian/rules": DEBIAN["debian/rules"] + WANTS_TESTS}
    make_product(ours.product, {**DEBIAN, **rules})
    assert _run(ours)[0] == {"says": "passed"}
    (ours.product / "broken").touch()
    assert _run(ours)[0] == {"says": "failed"}
    (ours.product / "broken").unlink()
    assert _run(ours)[0] == {"says": "passed"}
