"""What an engine promises of its images."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from time import time

import pytest

from distromatrix.engines.base import LABEL_KIND, LABEL_RUN

from .conftest import Bench, said, tar_of, untar

LABELS = {LABEL_KIND: "prepared", "odd": """it's "quoted" \\ $HOME ü"""}


@pytest.fixture
def tag(bench: Bench) -> Iterator[str]:
    name = f"distromatrix/test-image:{secrets.token_hex(6)}"
    yield name
    bench.engine.images.remove(name)


def test_a_root_filesystem_becomes_an_image(bench: Bench, tag: str) -> None:
    images = bench.engine.images
    assert images.find(tag) is None
    made = images.load_rootfs(io.BytesIO(tar_of({"etc/x": b"x"})), tag, LABELS)
    assert made.tag == tag
    assert {key: made.labels[key] for key in LABELS} == LABELS
    assert abs(made.created - time()) < 300
    assert images.find(tag) == made
    assert images.find(made.id) == made
    assert made in images.list()
    images.remove(tag)
    images.remove(tag)
    assert images.find(tag) is None


def test_a_committed_machine_is_an_image_without_its_run(bench: Bench, tag: str) -> None:
    machine = bench.open()
    machine.run("mkdir -p opt; echo kept >opt/file")
    made = bench.engine.images.commit(machine, tag, LABELS)
    machine.close()
    assert {key: made.labels[key] for key in LABELS} == LABELS
    assert not made.labels.get(LABEL_RUN)
    second = bench.open(image=tag)
    assert said(second, "cat opt/file")[1] == b"kept\n"
    assert untar(second.get("/opt")) == {"opt/file": b"kept\n"}
    second.close()


def test_an_image_can_be_removed_while_a_machine_stands_on_it(bench: Bench, tag: str) -> None:
    machine = bench.open()
    bench.engine.images.commit(machine, tag, {})
    second = bench.open(image=tag)
    bench.engine.images.remove(tag)
    assert bench.engine.images.find(tag) is None
    assert second.run(":").status == 0
    second.close()
    machine.close()
