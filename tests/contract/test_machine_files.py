"""What a machine promises of files: put, get, and the product's private copy."""

from __future__ import annotations

import io
import tarfile

import pytest

from distromatrix.engines.contract import Command, Machine
from distromatrix.plan.needs import GUESTS

from .conftest import LONG_IN_GUESTS_STAGING, USERS, Bench, said, tar_of, untar


def test_what_is_put_can_be_run_and_got(machine: Machine) -> None:
    machine.run(Command("mkdir box"))
    machine.put(tar_of({"a/b.sh": b"echo from b\n"}), "/box")
    machine.put(io.BytesIO(tar_of({"c": b"c"})), "/box")
    assert said(machine, "sh box/a/b.sh")[1] == b"from b\n"
    assert untar(machine.get("/box")) == {"box/a/b.sh": b"echo from b\n", "box/c": b"c"}
    assert untar(machine.get("/box/c")) == {"c": b"c"}


def test_what_is_not_there_is_said(machine: Machine) -> None:
    with pytest.raises(FileNotFoundError):
        machine.get("/nothing")
    with pytest.raises(FileNotFoundError):
        machine.put(tar_of({"a": b""}), "/nothing")


def test_without_a_stage_there_is_no_product(machine: Machine) -> None:
    assert (machine.product, machine.out) == ("", "")


def test_the_disk_says_what_is_free(machine: Machine) -> None:
    free = machine.disk_free()
    assert free is not None
    assert free > 1024**2
    machine.kill()
    assert machine.disk_free() is None


@USERS
def test_the_product_is_the_users_own_copy(staging_bench: Bench, user: str) -> None:
    stage = staging_bench.stage()
    one, two = (staging_bench.open(stage, user=user) for _ in range(2))
    change = "[ -O . ] && [ -O hello ] && cat hello sub/deep; echo 1 >hello; rm -r sub; touch new"
    assert said(one, change, cwd=one.product)[1] == b"hello\ndeep"
    assert said(two, "ls; cat hello", cwd=two.product)[1] == b"hello\nsub\nhello\n"
    assert said(one, "ls; cat hello", cwd=one.product)[1] == b"hello\nnew\n1\n"
    one.close()
    assert said(two, "cat sub/deep", cwd=two.product)[1] == b"deep"
    two.close()
    stage.close()
    assert staging_bench.leftovers() == ()


@pytest.mark.parametrize("staging_bench", LONG_IN_GUESTS_STAGING, indirect=True)
def test_all_its_files_are_had_of_a_machine_that_was_killed_too(staging_bench: Bench) -> None:
    machine = staging_bench.open(staging_bench.stage())
    machine.put(tar_of({"own": b"its own"}), "/")
    machine.run(Command("echo left >here", cwd=machine.product))
    if staging_bench.engine.name in GUESTS:  # all the files of an emulated Debian take a minute
        kept = "usr/lib/[!x]* usr/lib/x*/[!l]* usr/lib/x*/lib[!c]*"  # but its sh, and the libc
        machine.run(Command(f"cd / && rm -rf boot var usr/share usr/sbin {kept}"))
    for _ in range(2):
        found: dict[str, bytes] = {}
        for stream in machine.files():
            found |= {name.removeprefix("./"): data for name, data in untar(stream).items()}
        assert found["own"] == b"its own"
        assert found["distromatrix/product/here"] == b"left\n"
        machine.kill()


@USERS
def test_links_of_the_product_stay_as_they_are_wherever_they_lead(
    staging_bench: Bench, user: str
) -> None:
    links = {"up": "../../../../etc/passwd", "root": "/etc", "near": "hello"}
    with tarfile.open(staging_bench.snapshot, "a") as tar:
        for name, target in links.items():
            info = tarfile.TarInfo(f"product/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        info = tarfile.TarInfo("product/hard")
        info.type, info.linkname = tarfile.LNKTYPE, "product/hello"
        tar.addfile(info)
    stage = staging_bench.stage()
    machine = staging_bench.open(stage, user=user)
    script = "for link in up root near; do readlink $link; done; cat near hard; [ -O hard ]"
    done, out = said(machine, script, cwd=machine.product)
    assert (done.status, out) == (0, b"../../../../etc/passwd\n/etc\nhello\nhello\nhello\n")
    machine.close()
    stage.close()


def test_out_is_writable_and_comes_back_after_a_kill(staging_bench: Bench) -> None:
    stage = staging_bench.stage()
    machine = staging_bench.open(stage, user="1234:4321")
    script = "ls -A . artifacts junit; echo x >artifacts/x; echo y >junit/y"
    done, out = said(machine, script, cwd=machine.out)
    assert (done.status, out) == (0, b".:\nartifacts\njunit\n\nartifacts:\n\njunit:\n")
    machine.kill()
    assert untar(machine.get(f"{machine.out}/artifacts")) == {"artifacts/x": b"x\n"}
    machine.close()
    stage.close()
    stage.close()
