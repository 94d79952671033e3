"""The fixtures with which tests of pytest use machines: `distro`, `machine`, `fresh_machine`.

What they need is imported when a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from distromatrix.testing.names import HOST, SHARED, WANT

if TYPE_CHECKING:
    from distromatrix.model import Distro
    from distromatrix.testing.contract import Bench, MachineRequest
    from distromatrix.testing.machines.machine import TestMachine


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    """Say on which distros a test runs."""
    if WANT in metafunc.fixturenames or HOST in metafunc.fixturenames:
        from distromatrix.testing.machines.parametrize import choosing

        return (yield from choosing(metafunc))
    return (yield)


@pytest.fixture(scope="module", name=WANT)
def want(request: pytest.FixtureRequest) -> MachineRequest:
    """Which machine the test is for."""
    asked: MachineRequest = request.param
    return asked


@pytest.fixture(scope="module")
def distro(_distromatrix_want: MachineRequest, pytestconfig: pytest.Config) -> Distro:
    """The distribution that the test runs on: its `name` (debian-12), `family`, `libc`,
    `package_manager`, `eol`, …

    A test that asks for `distro`, `machine` or `fresh_machine` runs once on each distribution
    of the session's matrix, or of the catalogue where there is no matrix; on some of them with
    `@pytest.mark.distros("debian-*", "alpine-3.20", family="rhel", libc="musl",
    package_manager="apt", suite="unit")`: on all that a name, a glob or a criterion stands for.
    """
    from distromatrix.testing.machines.hooks import machine_tests

    return machine_tests(pytestconfig).scope().distro(_distromatrix_want.distro)


@pytest.fixture(scope="module", name=SHARED)
def shared(_distromatrix_bench: Bench) -> None:
    """Asked for by what uses the machine that all tests share."""


@pytest.fixture(scope="module")
def machine(
    _distromatrix_want: MachineRequest, _distromatrix_shared: None, pytestconfig: pytest.Config
) -> TestMachine:
    """A machine of the test's distribution, shared by all tests that want the same: leave it
    as you found it (`fresh_machine` is for what changes it).

    `machine.run(script, env=, cwd=, timeout=, check=False)` gives `.status`, `.stdout`,
    `.stderr` (and `…_bytes`), `.seconds`, `.timed_out`; `machine.put(text or bytes or Path,
    path)`, `machine.get(path)`; `machine.host` is testinfra's host of it; `machine.product`
    where the product is, in a machine that `@pytest.mark.distros(suite="unit")` has prepared.

    With `@pytest.mark.needs("kernel-modules", "reboot")` it is of the cheapest kind that gives
    that, a guest where a container does not; `machine.reboot()` restarts it.
    """
    from distromatrix.testing.machines.hooks import machine_tests
    from distromatrix.testing.machines.machine import TestMachine

    joined = machine_tests(pytestconfig).joined
    want = _distromatrix_want

    def restart() -> None:
        joined.reboot(joined.shared(want))

    return TestMachine(want, lambda: joined.shared(want), restart)


@pytest.fixture
def fresh_machine(
    _distromatrix_want: MachineRequest, _distromatrix_bench: Bench, pytestconfig: pytest.Config
) -> Iterator[TestMachine]:
    """A machine as `machine` is, from the same image, for this test alone."""
    from distromatrix.testing.machines.hooks import machine_tests
    from distromatrix.testing.machines.machine import TestMachine

    joined = machine_tests(pytestconfig).joined
    mine = [joined.fresh(_distromatrix_want)]

    def restart() -> None:
        mine[0] = joined.reboot(mine[0])

    yield TestMachine(_distromatrix_want, lambda: mine[0], restart)
    mine[0].close()
