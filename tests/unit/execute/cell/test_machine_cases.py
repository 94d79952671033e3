"""A product's tests that open machines, collected by its own pytest inside a cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from executing import OWN_PYTEST, World, cell

from distromatrix.execute.product.python_says import used_fixtures
from distromatrix.execute.product.snapshot import take
from distromatrix.model import Product, Verdict

pytestmark = pytest.mark.usefixtures("quick")

PYTEST = f"{OWN_PYTEST} --strict-markers -rs"
NO_TESTINFRA = f"{PYTEST} -p no:testinfra -p no:pytest11.testinfra"
MACHINES = """\
import pytest

@pytest.fixture(autouse=True)
def never():
    raise RuntimeError("a fixture ran")

def test_shared(machine):
    assert machine.run("true")

@pytest.mark.distros("debian-*", family="debian")
def test_own(distro, fresh_machine: "Machine"):
    pass

@pytest.fixture
def server(machine):
    return machine

def test_indirect(server):
    pass

@pytest.mark.needs("reboot")
class TestIt:
    def test_reboot(self, machine):
        pass
"""
PLAIN = "def test_plain():\n    pass\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    (tmp_path / "product/test_plain.py").write_text(PLAIN)
    (tmp_path / "product/pytest.ini").write_text("[pytest]\n")
    return made


def write(world: World, name: str, text: str) -> None:
    (world.folder / "product" / name).write_text(text)


def log(world: World) -> str:
    return (world.run / "cells/a/s/log.txt").read_text()


@pytest.mark.parametrize("workers", ["", " -n 2"])
def test_tests_with_machines_are_skipped_with_a_reason_and_need_nothing(
    world: World, workers: str
) -> None:
    write(world, "test_machines.py", MACHINES)
    result = world.execute(cell("a/s", PYTEST + workers)).cells[0]
    assert (result.verdict, result.needing, result.unmet) == (Verdict.PASSED, (), False)
    said = log(world)
    assert "1 passed, 4 skipped" in said
    assert "uses the fixture `machine` of distromatrix, which opens machines from outside" in said
    assert "fixture ran" not in said


@pytest.mark.parametrize("where", ["conftest.py", "test_machines.py"])
def test_a_products_own_fixture_of_that_name_is_its_own(world: World, where: str) -> None:
    own = "import pytest\n@pytest.fixture\ndef machine(): return 7\n"
    own += "@pytest.fixture(name='distro')\ndef _(): return 8\n"
    tests = "def test_it(machine): assert machine == 7\ndef test_too(distro): assert distro == 8\n"
    write(world, where, own)
    with (world.folder / "product/test_machines.py").open("a") as file:
        file.write(tests + "def test_ours(fresh_machine): pass\n")
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert "3 passed, 1 skipped" in log(world)


def test_a_fixture_of_a_plugin_goes_before(world: World) -> None:
    write(
        world,
        "theirs.py",
        "import pytest\nfixture = pytest.fixture\n@fixture\ndef distro(): return 7\n",
    )
    write(world, "conftest.py", "pytest_plugins = ['theirs']\n")
    write(world, "test_machines.py", "def test_it(distro): assert distro == 7\n# mark.distros\n")
    result = world.execute(cell("a/s", PYTEST)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert "2 passed" in log(world)


def test_a_parameter_of_that_name_is_no_fixture(world: World) -> None:
    text = (
        "import pytest\n@pytest.mark.parametrize('distro', [7])\n"
        "def test_it(distro): assert distro == 7\n"
    )
    write(world, "test_machines.py", text)
    assert world.execute(cell("a/s", PYTEST)).cells[0].verdict is Verdict.PASSED
    assert "2 passed" in log(world)


HOSTS = """\
import pytest
testinfra_hosts = ["distromatrix://debian-12"]

def test_one(host): assert host.run("true").rc == 0
def test_two(host): pass
def test_none(): pass
"""


@pytest.mark.parametrize("call", [PYTEST, NO_TESTINFRA], ids=["testinfra", "without"])
def test_tests_for_our_hosts_of_testinfra_are_skipped_too(world: World, call: str) -> None:
    write(world, "test_hosts.py", HOSTS)
    write(world, "test_local.py", "testinfra_hosts = ['local://']\ndef test_it(): pass\n")
    result = world.execute(cell("a/s", call)).cells[0]
    assert (result.verdict, result.needing) == (Verdict.PASSED, ())
    assert "3 passed, 2 skipped" in log(world)
    assert "uses hosts of distromatrix" in log(world)


def test_where_distromatrix_is_in_the_cell_too_they_are_skipped(world: World) -> None:
    write(world, "test_machines.py", MACHINES)
    nowhere = {"DOCKER_HOST": "unix:///no/engine"}
    result = world.execute(
        cell("a/s", PYTEST.replace(" -p no:distromatrix", ""), env=nowhere)
    ).cells[0]
    assert (result.verdict, result.needing) == (Verdict.PASSED, ()), log(world)
    assert "1 passed" in log(world) and "fixture ran" not in log(world)


def used(tmp_path: Path, text: str) -> frozenset[str] | None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/test_it.py").write_text(text)
    return used_fixtures(take(Product(path=tmp_path / "p"), tmp_path / "s").says)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def test_it(machine): pass", {"machine"}),
        ("async def test_it(a, *, fresh_machine: T): pass", {"fresh_machine"}),
        ("class T:\n    def test_it(\n        self,\n        distro,\n    ): pass", {"distro"}),
        ("@pytest.fixture(scope='module')\ndef server(machine): pass", {"machine"}),
        ("@pytest.mark.usefixtures('a', 'machine')\ndef test_it(): pass", {"machine"}),
        ("pytestmark = pytest.mark.distros('x')", set()),
        ('testinfra_hosts = ["distromatrix://*"]', set()),
        ("def test_it(): platform.machine()", None),
        ("def test_it(machines, distro_name, machine=None): pass", None),
        ("def helper(machine): pass", None),
        ("@pytest.fixture\ndef machine(): pass\ndef test_it(machine): pass", None),
        ('@pytest.fixture(name="distro")\ndef d(): pass\ndef test_it(distro): pass', None),
    ],
)
def test_what_a_product_uses_is_found_in_its_snapshot(
    tmp_path: Path, text: str, names: set[str] | None
) -> None:
    assert used(tmp_path, text) == names
