"""What is kept of a product on a real Docker between runs: who can change it (nobody), what is sent
of a change, and what goes when."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from breaking_world import Project, killed, until
from hypothesis import Phase, given, settings

from distromatrix.engines.contract import LABEL_RUN, Command, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.execute.product.kept import KeptProduct
from distromatrix.execute.product.snapshot import Snapshot, take
from distromatrix.model import Product
from distromatrix.record.folder import RunFolder
from product_trees import change, differences, expected, make, seen, woods

pytestmark = pytest.mark.engine
SHOW = "find . -type f -not -path './matrix/*' -not -path './distros/*' -exec cat {} + | sort"


def test_of_a_change_a_layer_is_sent_and_every_cell_sees_the_whole(project: Project) -> None:
    (project.root / "big").write_bytes(b"big\n" * 50_000)
    for name in ("d/gone", "d/stays", "file/was/folder"):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(f"{name}\n")
    project.suites({"s": f"{SHOW} | uniq"})
    assert project.call("run").code == 0
    before = project.left(layers=True)
    assert project.call("run").code == 0
    assert project.left(layers=True) == before
    (project.root / "d/gone").unlink()
    (project.root / "file/was/folder").unlink()
    (project.root / "file/was").rmdir()
    (project.root / "file/was").write_text("file\n")
    (project.root / "new").write_text("new\n")
    assert project.call("run").code == 0
    assert project.log("s").split() == ["big", "d/stays", "file", "hello", "new"]
    assert len(project.left(layers=True)) == 2
    assert project.call("clean").code == 0
    assert len(project.left(layers=True)) == 2


def test_no_machine_and_no_helper_writes_to_what_later_runs_stand_on(
    docker_alpine: str, tmp_path: Path
) -> None:
    engine, root = DockerEngine(), tmp_path / "p"
    (root / "d").mkdir(parents=True)
    (root / "d/file").write_text("good\n")
    (root / "out").symlink_to("../../../etc")  # which Docker does not extract everywhere
    labels = {LABEL_RUN: f"test-{secrets.token_hex(6)}"}
    store = engine.layers
    assert store is not None
    with RunFolder.create(tmp_path) as folder:
        keeper = KeptProduct(store, root, folder, labels, "0:0")
        snapshot = take(Product(path=root), folder.snapshot, keeper=keeper)
        stage = engine.stage(snapshot, image=docker_alpine, labels=labels)

        def run(script: str) -> list[bytes]:
            name, out = f"distromatrix-test-{secrets.token_hex(6)}", list[bytes]()
            spec = MachineSpec(
                name=name,
                image=docker_alpine,
                labels=labels,
                network=False,
                privileges=frozenset({"mount"}),
            )
            machine = engine.open(spec, stage)
            machine.run(Command(script, cwd=machine.product, output=out.append, strict=False))
            machine.close()
            return out

        try:
            assert stage.strategy == "overlay"
            run("echo bad >d/file; chmod 777 d; ln d/file d/other; mv d e; mount -o remount,rw ..")
            seen = b"".join(run("cat d/file; find . | sort; find d -perm 755"))
            assert seen == b"good\n.\n./d\n./d/file\n./out\nd\n"
            (layer,) = keeper.of("0:0")
            assert stage._volume is not None
            stage._volume._begin_helper()
            done = stage._volume._helper.run(Command(f"echo bad >/{layer}/product/d/file"))
            assert done.status != 0
            assert b"".join(run("cat d/file")) == b"good\n"
        finally:
            stage.close()
            for one in engine.leftovers():
                if one.run == labels[LABEL_RUN]:
                    engine.remove(one)


@settings(max_examples=3, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
@given(woods(6, 40))
def check_copies(engine: DockerEngine, image: str, steps: list[tuple]) -> None:
    steps = [step for step in steps if step[0] != "sparse"]  # holes are not kept
    third = len(steps) // 3
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "p")
        make(root, steps[:third])
        for owner, more in (("0:0", []), ("0:0", steps[third:-third]), ("1:2", steps[-third:])):
            change(root, more)
            with kept(engine, root) as (keeper, snapshot, labels):
                stage = engine.stage(snapshot, image=image, labels=labels)
                name = f"distromatrix-test-{secrets.token_hex(6)}"
                how = {"image": image, "labels": labels, "network": False, "user": owner}
                machine = engine.open(MachineSpec(name=name, **how), stage)
                try:
                    assert snapshot.keeper is keeper
                    assert stage.strategy == "overlay"
                    found = seen(machine.get(machine.product))
                    assert differences(expected(root), found) == {}
                finally:
                    machine.close()
                    stage.close()


@contextmanager
def kept(engine: DockerEngine, root: Path) -> Iterator[tuple[KeptProduct, Snapshot, dict]]:
    labels = {LABEL_RUN: f"test-{secrets.token_hex(6)}"}
    store = engine.layers
    assert store is not None
    with RunFolder.create(root.parent) as folder:
        keeper = KeptProduct(store, root, folder, labels, "0:0")
        try:
            yield keeper, take(Product(path=root), folder.snapshot, keeper=keeper), labels
        finally:
            MADE.append(labels[LABEL_RUN])


MADE: list[str] = []


@pytest.mark.slow
def test_what_is_kept_is_the_checkout_file_by_file_after_each_change(docker_alpine: str) -> None:
    engine = DockerEngine()
    try:
        check_copies(engine, docker_alpine)
    finally:
        for one in engine.leftovers():
            if one.run in MADE:
                engine.remove(one)


def test_a_run_that_goes_on_after_kill_has_the_product_as_it_was(project: Project) -> None:
    project.suites({"a": {"run": "sleep 600", "timeout": "5s"}, "b": "cat hello"})
    process = project.start("run", "-j", "1", "*/a", "*/b")
    until(lambda: '"phase":"run"' in project.journal())
    killed(process)
    (project.root / "hello").write_text("changed\n")
    project.suites({"a": "true", "b": "cat hello"})
    assert project.call("run", "*/b").code == 0
    assert project.log("b") == "changed\n"
    first = min((project.root / ".distromatrix/runs").glob("2*"))
    assert project.call("clean").code == 0
    assert project.call("run", "--resume", first.name).code == 1
    assert (first / f"cells/{project.distro}/b/log.txt").read_text() == "hello\n"


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_stages_leaves_nothing_for_good(project: Project) -> None:
    (project.root / "big").write_bytes(os.urandom(200 << 20))
    project.suites({"s": "cmp big $PWD/big && cat hello"})
    process = project.start("run")
    until(lambda: project.left(layers=True))
    killed(process)
    partial = project.left(layers=True)
    assert project.call("run").code == 0
    assert project.call("clean").code == 0
    assert not set(partial) & set(project.left(layers=True))
    assert project.left() == []
    assert project.call("clean", "--dry-run").code == 0
