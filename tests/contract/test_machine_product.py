"""Whatever a checkout holds, a machine's copy of it holds the same and behaves the same."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from distromatrix.execute.product.snapshot import take
from distromatrix.model import Product
from fake_engine.engine import FakeEngine
from product_trees import differences, expected, make, seen, woods

from .conftest import EACH_STAGING, Bench, said


def check_copies(bench: Bench, *, examples: int, trees: int) -> None:
    users = itertools.cycle(("root", "1234:4321"))
    phases = [Phase.generate, *((Phase.shrink,) if isinstance(bench.engine, FakeEngine) else ())]

    @settings(max_examples=examples, derandomize=True, deadline=None, database=None, phases=phases)
    @given(woods(trees, 30))
    def check(steps: list[tuple]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "checkout")
            make(root, steps)
            bench.snapshot = take(Product(path=root), Path(folder, "s.tar")).path
            stage = bench.stage()
            machine = bench.open(stage, user=next(users))
            try:
                found = seen(machine.get(machine.product))
            finally:
                machine.close()
                stage.close()
            assert differences(expected(root), found) == {}

    check()


@pytest.mark.parametrize("staging_bench", EACH_STAGING, indirect=True)
def test_a_copy_is_the_checkout_file_by_file(staging_bench: Bench) -> None:
    one = isinstance(staging_bench.engine, FakeEngine)
    if one and os.geteuid() != 0:
        pytest.skip("the fake engine copies as whoever runs it, and only root keeps all modes")
    check_copies(staging_bench, examples=12 if one else 3, trees=1 if one else 6)


@pytest.mark.slow
def test_many_copies_are_their_checkouts_file_by_file(staging_bench: Bench) -> None:
    one = isinstance(staging_bench.engine, FakeEngine)
    check_copies(staging_bench, examples=200 if one else 15, trees=1 if one else 10)


def test_a_copy_behaves_as_a_folder_of_one_disk(staging_bench: Bench, tmp_path: Path) -> None:
    product = tmp_path / "p"
    (product / "folder/inner").mkdir(parents=True)
    (product / "folder/inner/file").write_text("f")
    (product / "first").write_text("a\n")
    (product / "second").hardlink_to(product / "first")
    (product / "log").write_text("line1\n")
    (product / "link").symlink_to("folder")
    staging_bench.snapshot = take(Product(path=product), tmp_path / "s.tar").path
    stage = staging_bench.stage()
    machine = staging_bench.open(stage, user="1234:4321")
    script = """
exec 3<log; read -r one <&3; echo line2 >>log; read -r two <&3; echo "$one $two"
before=$(ls -di folder); mv folder moved; after=$(ls -di moved)
[ "${before%% *}" = "${after%% *}" ] && cat moved/inner/file   # mv copies what is not renamed
echo b >>first; cat second
[ "$(ls -i first | sed 's/ .*//')" = "$(ls -i second | sed 's/ .*//')" ] && echo one
rm link; mkdir link; echo x >link/x; rm -r moved; ln -s link moved; cat moved/x"""
    try:
        done, out = said(machine, script, cwd=machine.product)
    finally:
        machine.close()
        stage.close()
    assert (done.status, out.decode()) == (0, "line1 line2\nfa\nb\none\nx\n")


def test_holes_arrive_as_holes(staging_bench: Bench, tmp_path: Path) -> None:
    product = tmp_path / "p"
    product.mkdir()
    with (product / "it's a disk").open("wb") as image:
        for at in (4096, 70 << 20, 300 << 20):
            image.seek(at)
            image.write(b"data")
        image.truncate(400 << 20)
    (product / "nothing").touch()
    with (product / "nothing").open("wb") as image:
        image.truncate(3 << 20)
    staging_bench.snapshot = take(Product(path=product), tmp_path / "s.tar").path
    assert staging_bench.snapshot.stat().st_size < 1 << 20
    stage = staging_bench.stage()
    machine = staging_bench.open(stage, user="1234:4321")
    script = """
du -k "it's a disk" nothing | while read -r size name; do [ "$size" -lt 1000 ] || echo "$size"; done
for at in 1 17920 76800 102399; do
dd if="it's a disk" bs=4096 skip=$at count=1 2>/dev/null | head -c 4 | tr '\\0' .
done
echo; wc -c <nothing; [ -O "it's a disk" ] && ls -A .."""
    try:
        done, out = said(machine, script, cwd=machine.product)
    finally:
        machine.close()
        stage.close()
    assert done.status == 0 or isinstance(staging_bench.engine, FakeEngine)
    lines = out.decode().split("\n")
    assert lines[0] == "datadatadata...."
    assert int(lines[1]) == 3 << 20
    assert ".holes" not in lines
