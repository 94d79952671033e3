"""Machines of one's own tests that are guests: marks, hosts, restarts. The fake engine plays the
guests of qemu and Vagrant; their images are the containers'."""

from __future__ import annotations

import pytest
from pytest_world import World

from given import FEW_PLUGINS

pytest_plugins = ["pytester"]

GUEST = "guest: {bootstrap: {kernel: linux, system: [init]}}\n"
# In the process that makes the machines: an image for guests is made of packages that are not here.
CONFTEST = """\
from distromatrix.images import Images
Images.guest = lambda self, distro, cell, prepared: prepared
"""
MATRIX = """\
product: .
distros: [one-1.0, two]
suites:
  good: {run: 'true', setup: echo made >here}
  kernel: {run: 'true', needs: [kernel-modules], setup: echo made >here}
"""
WHERE = "import re\ndef where(m): return re.search('/(qemu|vagrant)/', m.run('pwd').stdout)\n"


@pytest.fixture
def made(world: World) -> World:
    world.for_machines()
    world.matrix(MATRIX)
    for name in ("one-1.0", "three"):
        file = world.root / f"distros/{name}.yaml"
        file.write_text(file.read_text() + GUEST)
    (world.root / "conftest.py").write_text(CONFTEST)
    return world


def write(world: World, text: str, name: str = "test_a") -> None:
    world.test(f"import pytest\n{WHERE}{text}", name)


@pytest.fixture
def hosts(made: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """With testinfra's plugin."""
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW_PLUGINS)
    return made


def left(world: World) -> list[str]:
    return [p.name for kind in ("machines", "stages") for p in world.fake.glob(f"**/{kind}/*")]


def test_a_mark_brings_the_cheapest_machine_that_gives_it(made: World) -> None:
    write(
        made,
        """
ONE = pytest.mark.distros("one-1.0")
@ONE
@pytest.mark.needs("kernel-modules")
def test_module(machine): assert where(machine)[1] == "qemu"
@ONE
@pytest.mark.needs("reboot")
@pytest.mark.needs("init")
def test_init(fresh_machine): assert where(fresh_machine)[1] == "vagrant"
@ONE
def test_plain(machine): assert not where(machine)
@pytest.mark.distros("one-1.0", suite="kernel")
def test_suite(machine):
    assert where(machine)[1] == "qemu" and machine.get(machine.product + "/here") == b"made\\n"
@pytest.mark.distros("one-1.0", suite="good")
@pytest.mark.needs("reboot")
def test_more_than_the_suite(machine):
    assert where(machine)[1] == "qemu" and machine.get(machine.product + "/here") == b"made\\n"
""",
    )
    done = made.pytester.runpytest("-v", "-p", "no:randomly")
    done.assert_outcomes(passed=5)
    done.stdout.fnmatch_lines_random(
        ["*::test_module[[]one-1.0[]] PASSED*", "*::test_suite[[]one-1.0/kernel[]] PASSED*"]
    )
    assert left(made) == []


def test_the_setup_that_a_container_ran_is_carried_into_each_machine(made: World) -> None:
    carried = "setup: {in: container, run: 'echo $DISTROMATRIX_ENGINE >>here; rm -f README'}"
    made.matrix(MATRIX.replace("setup: echo made >here", carried))
    (made.root / "README").touch()
    write(
        made,
        """
@pytest.mark.distros("one-1.0", suite="kernel")
class TestIt:
    def seen(self, machine):
        assert where(machine)[1] == "qemu"
        done = machine.run("cat here; test ! -e README && echo $DISTROMATRIX_ENGINE")
        assert done.stdout == "fake\\nqemu\\n"
    def test_shared(self, machine): self.seen(machine)
    def test_fresh(self, fresh_machine): self.seen(fresh_machine)
@pytest.mark.distros("one-1.0", suite="good")
def test_container(machine): assert machine.run("cat here").stdout == "fake\\n"
""",
    )
    made.pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=3)
    assert left(made) == []


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ("echo oh no; exit 4", "the setup of one-1.0/kernel failed: exit status 4"),
        ("head -c 9000000 /dev/zero >big", "its setup changed more than its disk: 6M"),
    ],
)
def test_a_setup_that_a_container_ran_to_no_good_is_the_products_failure(
    made: World, setup: str, said: str
) -> None:
    carried = f"disk: 6M, setup: {{in: container, run: '{setup}'}}"
    made.matrix(MATRIX.replace("setup: echo made >here", carried))
    mark = '@pytest.mark.distros("one-1.0", suite="kernel")'
    write(made, f"{mark}\ndef test_it(machine): 1/0")
    done = made.pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"*{said}*"])
    assert left(made) == []


@pytest.mark.parametrize("workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_a_machine_restarts_and_goes_on(made: World, workers: tuple[str, ...]) -> None:
    write(
        made,
        """
pytestmark = [pytest.mark.distros("one-1.0"), pytest.mark.needs("reboot")]
def restarted(m):
    m.run("sleep 987654 & echo $! >pid; echo kept >file")
    m.reboot()
    done = m.run('cat file; grep -q sleep /proc/$(cat pid)/cmdline')
    assert (done.stdout, done.ok) == ("kept\\n", False)
    m.reboot()
    assert m.host.run("cat file").stdout == "kept\\n"
def test_fresh(fresh_machine): restarted(fresh_machine)
def test_shared(machine): restarted(machine)
def test_after(machine): assert machine.run("true").ok
def test_again(machine): restarted(machine)
""",
    )
    made.pytester.runpytest(*workers, "-p", "no:randomly").assert_outcomes(passed=4)
    assert left(made) == []


def test_a_container_has_no_restart_and_says_what_has(made: World) -> None:
    write(made, '@pytest.mark.distros("two")\ndef test_it(machine): machine.reboot()')
    done = made.pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ['*is a container, which cannot restart; @pytest.mark.needs("reboot") requests a guest']
    )


@pytest.mark.parametrize(
    ("need", "said"),
    [
        ("kernel-modules", "two: needs kernel-modules, *; no guest: its distro has no `guest:`"),
        ("kernel >=99", "two: needs kernel >=99, and the kernel of containers here is *"),
    ],
)
def test_what_nothing_here_gives_fails_unless_that_is_accepted(
    made: World, need: str, said: str
) -> None:
    text = f'@pytest.mark.distros("two")\n@pytest.mark.needs("{need}")\ndef test_it(machine): 1/0'
    write(made, text)
    done = made.pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"*{said}*"])
    accepted = made.pytester.runpytest("-rs", "--distromatrix-allow-unmet")
    accepted.assert_outcomes(skipped=1)
    accepted.stdout.fnmatch_lines(["SKIPPED*needs *"])


def test_a_guests_kernel_is_looked_at(made: World) -> None:
    for version in (">=99", ">=1"):
        write(
            made,
            f'@pytest.mark.distros("one-1.0")\n@pytest.mark.needs("own-kernel {version}")\n'
            "def test_it(machine): assert where(machine)",
            f"test_{len(version)}",
        )
    done = made.pytester.runpytest()
    done.assert_outcomes(failed=1, passed=1)
    done.stdout.fnmatch_lines(["*one-1.0-qemu: needs own-kernel >=99, and its kernel is *"])


@pytest.mark.parametrize(
    ("need", "said"),
    [
        ('"kernel-module"', "*no need 'kernel-module' (did you mean *kernel-modules*"),
        ("3", "*no need 3 (*"),
        ('"reboot >=6"', "*'reboot >=6': expected a version such as *"),
        ('"own-kernel new"', "*'own-kernel new': expected a version such as *"),
    ],
)
def test_a_wrong_need_is_told_where_it_stands(made: World, need: str, said: str) -> None:
    write(made, f"@pytest.mark.needs({need})\ndef test_it(machine): pass")
    done = made.pytester.runpytest()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([f"*test_a.py::test_it: @pytest.mark.needs: {said}"])


def test_hosts_may_name_their_engine(hosts: World) -> None:
    write(
        hosts,
        """
testinfra_hosts = ["distromatrix://one-*?engine=qemu", "distromatrix://one-1.0?engine=vagrant",
                   "distromatrix://one-1.0"]
def test_it(host, machine, request):
    name = request.node.callspec.id.removeprefix("one-1.0").removeprefix("-")
    found = where(machine)
    assert (found[1] if found else "") == name
    assert host.run("pwd").stdout == machine.run("pwd", cwd="/").stdout
""",
    )
    done = hosts.pytester.runpytest("-v")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines_random(
        ["*::test_it[[]one-1.0-qemu[]] *", "*::test_it[[]one-1.0-vagrant[]] *"]
    )


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            "one-1.0?engine=kvm",
            "*?engine=kvm: engine is qemu or vagrant, or omitted for containers",
        ),
        ("two?engine=qemu", "*two: no guest of qemu: its distro has no `guest:`"),
    ],
)
def test_an_engine_that_is_not_to_be_had_is_one_line(hosts: World, spec: str, said: str) -> None:
    write(hosts, "def test_it(host): pass")
    done = hosts.pytester.runpytest(f"--hosts=distromatrix://{spec}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --hosts: {said}"])


def test_a_host_that_was_named_without_what_its_test_needs_is_told(hosts: World) -> None:
    write(
        hosts,
        """
testinfra_hosts = ["distromatrix://one-1.0"]
@pytest.mark.needs("kernel-modules")
def test_it(host): pass
""",
    )
    done = hosts.pytester.runpytest()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*one-1.0 does not meet needs kernel-modules: say ?engine=qemu"])


def test_a_mark_brings_its_host_too(hosts: World) -> None:
    write(
        hosts,
        """
@pytest.mark.distros("one-1.0")
@pytest.mark.needs("kernel-modules")
def test_it(host): assert "/qemu/" in host.run("pwd").stdout
@pytest.mark.distros("one-1.0")
def test_plain(host): assert "/qemu/" not in host.run("pwd").stdout
""",
    )
    done = hosts.pytester.runpytest("-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*::test_it[[]one-1.0[]] PASSED*"])
