"""A worker's place, passed on from one test to the next."""

from __future__ import annotations

import pytest

from distromatrix.engines.contract import Address
from distromatrix.errors import InfrastructureError
from distromatrix.testing.bench import lease
from distromatrix.testing.bench.lease import Lease
from distromatrix.testing.contract import CellReport, MachineRequest

ONE, TWO = MachineRequest(distro="one"), MachineRequest(distro="two")


class Recorded:
    """Writes down what is asked of it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.broken = False

    def expect(self, cells: tuple[str, ...], *, machines: bool) -> None:
        self.said.append("expect")

    def run_cell(self, cell: str, test: str) -> CellReport:
        raise NotImplementedError

    def machine(self, want: MachineRequest, test: str) -> Address:
        self.said.append(f"machine {want} {test}")
        if self.broken:
            raise InfrastructureError("broken")
        return Address(name=str(want), id="1")

    def fresh(self, want: MachineRequest, test: str) -> Address:
        self.said.append(f"fresh {want} {test}")
        return Address(name=f"fresh-{want}", id="2")

    def done(self, test: str) -> None:
        self.said.append(f"done {test}")


@pytest.fixture
def bench() -> Recorded:
    return Recorded()


@pytest.fixture
def leased(bench: Recorded, monkeypatch: pytest.MonkeyPatch) -> Lease:
    def call(method: str, *given: object, **named: object) -> object:
        return getattr(bench, method)(*given, **named)

    monkeypatch.setattr(lease, "LONGEST", 60.0)
    made = Lease("nowhere")
    monkeypatch.setattr(made, "_call", call)
    return made


def test_the_next_test_takes_over_the_place(bench: Recorded, leased: Lease) -> None:
    for test in ("a", "b", "c"):
        assert leased.machine(ONE, test).name == "one"
        leased.next_too(test != "c")
        leased.done(test)
    assert bench.said == ["machine one a", "done a"]


def test_another_machine_is_asked_for_in_the_holders_name(bench: Recorded, leased: Lease) -> None:
    leased.machine(ONE, "a")
    leased.next_too(True)
    leased.done("a")
    leased.machine(TWO, "b")
    leased.machine(ONE, "b")
    leased.next_too(False)
    leased.done("b")
    assert bench.said == ["machine one a", "machine two a", "done a"]


def test_a_fresh_machine_ends_with_its_test(bench: Recorded, leased: Lease) -> None:
    leased.machine(ONE, "a")
    leased.next_too(True)
    leased.done("a")
    leased.fresh(ONE, "b")
    leased.done("b")
    leased.machine(ONE, "c")
    assert bench.said == ["machine one a", "fresh one a", "done a", "machine one c"]


def test_after_some_time_others_come_first(
    bench: Recorded, leased: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LONGEST", 0.0)
    leased.next_too(True)
    for test in ("a", "b"):
        leased.machine(ONE, test)
        leased.done(test)
    assert bench.said == ["machine one a", "done a", "machine one b", "done b"]


def test_a_failure_ends_the_place(bench: Recorded, leased: Lease) -> None:
    bench.broken = True
    leased.next_too(True)
    with pytest.raises(InfrastructureError):
        leased.machine(ONE, "a")
    leased.done("a")
    bench.broken = False
    leased.machine(ONE, "b")
    assert bench.said == ["machine one a", "done a", "machine one b"]


def test_who_asked_for_nothing_gives_nothing_back(bench: Recorded, leased: Lease) -> None:
    leased.done("a")
    leased.close()
    assert bench.said == []
