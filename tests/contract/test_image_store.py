"""What an engine promises of its images."""

from __future__ import annotations

import gzip
import io
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import time

import pytest

from distromatrix.engines.contract import LABEL_KIND, LABEL_RUN, Command
from distromatrix.engines.image_store import Build, Image
from distromatrix.errors import ImageError, InfrastructureError

from .conftest import IN_DOCKER, IN_PODMAN, SLOW, Bench, bench_of, said, tar_of, untar

LABELS = {LABEL_KIND: "prepared", "odd": """it's "quoted" \\ $HOME ü"""}


@pytest.fixture(
    params=[
        "fake",
        pytest.param("docker", marks=IN_DOCKER),
        pytest.param("podman", marks=IN_PODMAN),
    ]
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each engine with images of its own: guests have those of containers."""
    yield from bench_of(request)


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


def test_images_are_listed_by_their_labels_while_others_go(bench: Bench, tag: str) -> None:
    labels = {"distromatrix.test": tag}
    rootfs = tar_of({"etc/x": tag.encode()})
    kept = bench.engine.images.load_rootfs(io.BytesIO(rootfs), tag, labels)

    def come_and_go() -> None:
        images = bench.again().images
        for number in range(4):
            other = tar_of({"etc/y": f"{tag} {number}".encode()})
            images.load_rootfs(io.BytesIO(other), f"{tag}-{number}", labels)
            images.remove(f"{tag}-{number}")

    with ThreadPoolExecutor() as threads:
        others = threads.submit(come_and_go)
        while not others.done():
            assert kept in bench.engine.images.list(labels)
        others.result()
    assert bench.engine.images.list(labels) == (kept,)
    assert bench.engine.images.list({"other": "x", **labels}) == ()
    assert bench.engine.images.list({**labels, "other": "x"}) == ()


def test_a_committed_machine_is_an_image_without_its_run(bench: Bench, tag: str) -> None:
    machine = bench.open()
    machine.run(Command("mkdir -p opt; echo kept >opt/file"))
    made = bench.engine.images.commit(machine.address.id, tag, LABELS)
    machine.close()
    assert {key: made.labels[key] for key in LABELS} == LABELS
    assert not made.labels.get(LABEL_RUN)
    second = bench.open(image=tag)
    assert said(second, "cat opt/file")[1] == b"kept\n"
    assert untar(second.get("/opt")) == {"opt/file": b"kept\n"}
    second.close()


def test_an_image_can_be_removed_while_a_machine_stands_on_it(bench: Bench, tag: str) -> None:
    machine = bench.open()
    bench.engine.images.commit(machine.address.id, tag, {})
    second = bench.open(image=tag)
    bench.engine.images.remove(tag)
    assert bench.engine.images.find(tag) is None
    assert second.run(Command(":")).status == 0
    second.close()
    machine.close()


DIGEST = "sha256:" + "5a" * 32


@pytest.fixture
def pair(bench: Bench, tag: str) -> Iterator[tuple[Image, Image]]:
    """Two images, the second made of the first."""
    images = bench.engine.images
    machine = bench.open()
    machine.run(Command("echo below >below"))
    below = images.commit(machine.address.id, tag, LABELS)
    machine.close()
    machine = bench.open(image=tag)
    machine.run(Command("echo above >above"))
    above = images.commit(machine.address.id, f"{tag}-above", LABELS)
    machine.close()
    yield below, above
    images.remove(f"{tag}-above")


def carried(bench: Bench, *taken: Image, pack=lambda data: data) -> None:
    """Save them, lose them, load them."""
    images = bench.engine.images
    data = b"".join(images.save(tuple(image.tag for image in taken)))
    for image in reversed(taken):
        images.remove(image.tag)
        assert images.find(image.tag) is None
    images.load(io.BytesIO(pack(data)), taken)


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(lambda data: data, marks=SLOW, id="plain"),  # the tests below have it
        pytest.param(lambda data: gzip.compress(data, 1), id="gzip"),
    ],
)
def test_saved_images_are_loaded_as_they_were(bench: Bench, pair, pack) -> None:
    old = tuple(replace(i, created=time() - 9e6 // 1, digests=(DIGEST,)) for i in pair)
    carried(bench, *old, pack=pack)
    for before in old:
        after = bench.again().images.find(before.tag)
        assert after is not None
        assert (after.id, after.labels, after.tag) == (before.id, before.labels, before.tag)
        assert abs(after.created - before.created) < 1
        assert DIGEST in after.digests
        assert after in bench.engine.images.list({"odd": LABELS["odd"]})
    machine = bench.open(image=old[1].tag)
    assert said(machine, "cat below above")[1] == b"below\nabove\n"
    machine.close()


def test_what_tags_a_saved_stream_would_set_is_known_before(bench: Bench, pair) -> None:
    data = gzip.compress(b"".join(bench.engine.images.save(tuple(i.tag for i in pair))), 1)
    assert set(bench.engine.images.tags_in(io.BytesIO(data))) == {i.tag for i in pair}
    for broken in (data[: len(data) // 2], b"no tar" * 1000, gzip.compress(b"no tar" * 1000)):
        with pytest.raises(InfrastructureError):
            bench.engine.images.tags_in(io.BytesIO(broken))


def test_a_loaded_image_goes_wholly(bench: Bench, pair) -> None:
    above = pair[1]
    carried(bench, above)
    bench.engine.images.remove(above.tag)
    assert bench.engine.images.find(above.id) is None


def test_an_image_that_loses_its_tag_to_a_loaded_one_keeps_nothing(bench: Bench, pair) -> None:
    images = bench.engine.images
    data = b"".join(images.save((pair[0].tag,)))
    carried(bench, pair[1])  # so that it is one which came from elsewhere
    other = images.find(pair[1].tag)
    assert other is not None
    images.tag(pair[1].id, pair[0].tag)
    images.remove(pair[1].tag)
    images.load(io.BytesIO(data), (pair[0],))
    assert images.find(pair[0].tag).id == pair[0].id  # type: ignore[union-attr]
    assert images.find(other.id) is None


def test_an_image_comes_out_as_its_root_filesystem(bench: Bench) -> None:
    files = untar(bench.engine.images.export(bench.image, bench.labels))
    there = {name.removeprefix("./") for name in files}
    assert "etc/alpine-release" in there or bench.engine.name == "fake"
    assert bench.leftovers() == ()


def test_an_image_can_have_a_second_tag(bench: Bench, pair) -> None:
    images = bench.engine.images
    second = f"{pair[0].tag}-second"
    images.tag(pair[0].id, second)
    images.remove(pair[0].tag)
    found = images.find(second)
    assert found is not None
    assert (found.id, found.tag) == (pair[0].id, second)
    images.remove(second)


def test_what_is_no_saved_image_is_not_loaded(bench: Bench, pair) -> None:
    with pytest.raises(InfrastructureError):
        bench.engine.images.load(io.BytesIO(b"no tar" * 1000), pair)


def test_a_containerfile_is_built_with_its_context_and_arguments(bench: Bench, tag: str) -> None:
    text = f"FROM {bench.image}\nARG WORD\nCOPY given/x /x\nRUN echo $WORD >/word; echo told\n"
    context = tar_of({"Containerfile": text.encode(), "given/x": b"content"})
    build = Build(
        context=context, file="Containerfile", args={"WORD": "a b"}, labels=LABELS, anew=False
    )
    told: list[str] = []
    made = bench.engine.images.build(build, tag, told.append)
    assert {key: made.labels[key] for key in LABELS} == LABELS
    assert (made.tag, bench.engine.images.find(tag)) == (tag, made)
    assert told
    if bench.engine.name == "fake":
        return  # whose images are what was given
    assert "told" in told
    machine = bench.open(image=tag)
    assert said(machine, "cat /x /word")[1] == b"contenta b\n"
    machine.close()


def test_a_build_that_fails_has_its_output_and_leaves_no_image(bench: Bench, tag: str) -> None:
    if bench.engine.name == "fake":
        return
    text = f"FROM {bench.image}\nRUN echo before; exit 3\n"
    context = tar_of({"Containerfile": text.encode()})
    build = Build(context=context, file="Containerfile", args={}, labels={}, anew=False)
    with pytest.raises(ImageError, match="the build failed") as caught:
        bench.engine.images.build(build, tag, lambda _: None)
    assert "before" in caught.value.log.splitlines()
    assert bench.engine.images.find(tag) is None


def test_a_containerfile_that_is_none_is_a_build_that_fails(bench: Bench, tag: str) -> None:
    if bench.engine.name == "fake":
        return
    context = tar_of({"Containerfile": b"FROM a b c\n"})
    build = Build(context=context, file="Containerfile", args={}, labels={}, anew=False)
    with pytest.raises(ImageError, match=r"^the build failed: .*FROM"):
        bench.engine.images.build(build, tag, lambda _: None)
