"""What a suite leaves comes back whole, by the shell where that does, else as an archive."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from distromatrix.collect.errors import CollectError
from distromatrix.engines.contract import Command, Machine, MachineSpec
from distromatrix.execute.cell.outputs import SMALL, Brought, bring_back
from distromatrix.execute.product.snapshot import take
from distromatrix.files.small_tar import tar_of
from distromatrix.model import Product
from fake_engine.engine import FakeEngine
from fake_engine.machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    engine = FakeEngine(tmp_path / "engine")
    engine.images.load_rootfs(io.BytesIO(tar_of(())), "distromatrix/test:fake", {})
    (tmp_path / "p").mkdir()
    snapshot = take(Product(path=tmp_path / "p"), tmp_path / "s.tar")
    stage = engine.stage(snapshot, image="distromatrix/test:fake", labels={})
    opened = engine.open(MachineSpec(name="distromatrix-x", image="distromatrix/test:fake"), stage)
    yield opened
    opened.close()
    stage.close()


@pytest.mark.parametrize(
    ("left", "files", "archived"),
    [
        ("true", {}, False),
        ("printf '<a>\\n\\377' >junit.xml", {"junit.xml": b"<a>\n\xff"}, False),
        (": >junit.xml", {"junit.xml": b""}, True),
        ("echo a >artifacts/b", {"artifacts/b": b"a\n"}, True),
        (f"head -c {SMALL + 1} /dev/zero >junit.xml", {"junit.xml": bytes(SMALL + 1)}, True),
        ("mkdir 'junit.xml x'; echo j >junit.xml", {"junit.xml": b"j\n"}, True),
        ("echo j >junit.xml; mkdir artifacts/.hidden; echo h >artifacts/.hidden/h",
         {"junit.xml": b"j\n", "artifacts/.hidden/h": b"h\n"}, True),
    ],
)  # fmt: skip
def test_what_is_left_comes_back(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: str,
    files: dict[str, bytes],
    archived: bool,
) -> None:
    asked: list[str] = []
    get = FakeMachine.get

    def counted(self: FakeMachine, path: str) -> Iterable[bytes]:
        asked.append(path)
        return get(self, path)

    monkeypatch.setattr(FakeMachine, "get", counted)
    machine.run(Command(left, cwd=machine.out))
    folder = tmp_path / "cell"
    folder.mkdir()
    assert bring_back(machine, folder, folder, alive=True) == Brought()
    found = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    assert found == files
    assert bool(asked) == archived


def test_a_report_that_is_a_link_is_refused(machine: Machine, tmp_path: Path) -> None:
    machine.run(Command("ln -s /etc/passwd junit.xml", cwd=machine.out))
    folder = tmp_path / "cell"
    folder.mkdir()
    assert "junit.xml" in bring_back(machine, folder, folder, alive=True).fault
    assert not (folder / "junit.xml").exists()


def test_a_stopped_machine_is_asked_for_an_archive(machine: Machine, tmp_path: Path) -> None:
    machine.run(Command("echo j >junit.xml", cwd=machine.out))
    machine.kill()
    folder = tmp_path / "cell"
    folder.mkdir()
    assert bring_back(machine, folder, folder, alive=False) == Brought()
    assert (folder / "junit.xml").read_text() == "j\n"


def test_links_and_pipes_among_the_artifacts_are_told_and_no_fault(
    machine: Machine, tmp_path: Path
) -> None:
    script = "echo 1 >1.log; ln -s $PWD/1.log latest.log; ln -s /etc/passwd out; mkfifo pipe"
    machine.run(Command(script, cwd=f"{machine.out}/artifacts"))
    (folder := tmp_path / "cell").mkdir()
    came = bring_back(machine, folder, folder, alive=True)
    assert came.fault == ""
    assert "left out of the artifacts: " in came.left_out
    assert came.left_out.endswith(" and 2 more")
    assert [file.name for file in (folder / "artifacts").iterdir()] == ["1.log"]


def test_an_archive_that_is_cut_off_is_a_fault(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = FakeMachine.get
    monkeypatch.setattr(
        FakeMachine, "get", lambda self, path: iter((b"".join(get(self, path))[:2000],))
    )
    machine.run(
        Command("head -c 3000 /dev/zero >log; echo j >../junit.xml", cwd=f"{machine.out}/artifacts")
    )
    (folder := tmp_path / "cell").mkdir()
    with pytest.raises(CollectError):
        bring_back(machine, folder, folder, alive=True)


def test_what_comes_for_ever_is_cut_off_at_the_deadline(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, now = FakeMachine.get, [0.0]

    def slow(self: FakeMachine, path: str) -> Iterator[bytes]:
        whole = b"".join(get(self, path))
        for at in range(0, len(whole), 512):  # a block each hundred seconds
            now[0] += 100.0
            yield whole[at : at + 512]

    monkeypatch.setattr(FakeMachine, "get", slow)
    monkeypatch.setattr("distromatrix.execute.cell.outputs.monotonic", lambda: now[0])
    script = "echo 1 >a; head -c 30000 /dev/zero >b; echo j >../junit.xml"
    machine.run(Command(script, cwd=f"{machine.out}/artifacts"))
    (folder := tmp_path / "cell").mkdir()
    with pytest.raises(CollectError, match="could not be collected within 300 s"):
        bring_back(machine, folder, folder, alive=True)
