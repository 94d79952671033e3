"""Hosts of a cluster that cannot run what they are asked for: the others do, and it is said why."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from breaking_world import Project, until
from cluster_world import fill, left, seen, whole

from cluster_rig import Rig, cluster
from given import ROOT, alpine_or_pulled

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with cluster(2) as made:
        yield made


@pytest.fixture
def product(rig: Rig, tmp_path: Path) -> Project:
    made = Project(tmp_path / "p", alpine_or_pulled().parent)
    fill(made, rig, distros=1)
    return made


def test_a_worker_of_another_version_runs_nothing(
    rig: Rig, product: Project, tmp_path: Path
) -> None:
    other = tmp_path / "runner"
    shutil.copytree(ROOT / "runner", other)
    file = other / "distromatrix/__init__.py"
    file.write_text(re.sub(r"(__version__ =) .*", r'\1 "0.0.7"', file.read_text()))
    rig.kill_worker("h2")
    rig.start_worker("h2", PYTHONPATH=str(other))
    check = product.call("cluster", "check", rig.address)
    done = product.call("run", "--cluster", rig.address)
    rig.kill_worker("h2")
    rig.start_worker("h2")
    assert check.code == 69, check.said
    assert "1 of 2 workers can run cells" in check.out
    assert done.code == 1, done.said
    assert "no cell runs on h2: has distromatrix 0.0.7, and this is " in done.said
    assert seen(product) == whole(product)
    assert {cell["host"] for cell in product.every_result()} == {"h1"}


def test_a_guest_is_not_waited_for_where_no_host_has_any(rig: Rig, product: Project) -> None:
    programs = [str(path) for path in Path("/usr/bin").glob("qemu-system-*")]
    with ExitStack() as stack:
        for name, host in rig.hosts.items():
            for program in programs:
                host.call("mount", "--bind", "/dev/null", program)
                stack.callback(host.call, "umount", program)
            rig.kill_worker(name)
            rig.start_worker(name)
        suite = {"run": "true", "needs": ["own-kernel"]}
        product.add_distro(product.distro, guest={"bootstrap": {"kernel": "linux"}})
        product.suites({"kernel": suite, "good": "true"})
        done = product.call("run", "--cluster", rig.address)
    for name in rig.hosts:
        rig.kill_worker(name)
        rig.start_worker(name)
    assert done.code == 1, done.said
    verdicts = {suite: one["verdict"] for suite, one in product.results().items()}
    assert verdicts == {"kernel": "skipped", "good": "passed"}
    assert "needs own-kernel, which a container does not have; no qemu: " in done.said


def test_a_product_goes_only_where_there_is_room_for_it(rig: Rig, product: Project) -> None:
    (product.root / "big.bin").write_bytes(os.urandom(40 << 20))

    def small(name: str) -> None:
        host = rig.hosts[name]
        place = host.folder / "home/cache/distromatrix"
        rig.kill_worker(name)
        place.mkdir(parents=True, exist_ok=True)
        host.call("mount", "-t", "tmpfs", "-o", "size=30M", "small", str(place))
        rig.start_worker(name)

    small("h1")
    done = product.call("run", "--cluster", rig.address)
    assert done.code == 1, done.said
    assert seen(product) == whole(product)
    until(lambda: not left(rig))
    small("h2")
    none = product.call("run", "--cluster", rig.address)
    assert none.code == 69, none.said
    assert re.search(
        r"no more cells run on h[12]: the product has 42 MB, and .* has room", none.said
    )
    until(lambda: not left(rig))
