"""Images without a network: what is here serves at any age, what is not is told at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from images_fakes import World, cell, distro

from distromatrix.errors import ImageError
from distromatrix.images import Handed, Images
from distromatrix.images.base.sources import AS_DECLARED, base_tag
from distromatrix.images.offline import missing
from distromatrix.model import Archive, Bootstrap, Cell, Distro, Plan, Prepare, Product, Pull

HUB = Pull(ref="docker.io/library/debian:12")
TOOL = Bootstrap(tool="mmdebstrap", suite="bookworm")
GIT = cell(packages=("git",))
HERE = Path("/nowhere")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "cache")
    world.engine.images.answers[HUB.ref] = ["base-1"]
    yield world


def files(globs: tuple[str, ...]) -> tuple[tuple[str, bytes, int], ...]:
    return (("requirements.txt", b"six\n", 0o644),)


def cut_off(world: World) -> Images:
    """The next process, without network: whoever asks a registry gets no answer at all."""
    world.settings.offline = True
    world.engine.images.answers.clear()
    return world.images()


def test_images_of_any_age_serve_and_nothing_is_asked(world: World) -> None:
    first = world.images().prepared(distro(HUB), GIT, files, Handed())
    world.engine.images.age(1000 * 86400.0)
    offline = cut_off(world)
    assert offline.prepared(distro(HUB), GIT, files, Handed()) == replace(
        first, image=replace(first.image, created=first.image.created - 1000 * 86400.0)
    )
    assert world.engine.images.pulls == [HUB.ref]
    assert len(world.engine.machines) == 1


def test_an_image_of_a_later_source_serves_too(world: World) -> None:
    world.engine.images.add(base_tag(distro(TOOL), TOOL, AS_DECLARED), "built")
    assert cut_off(world).base(distro(HUB, TOOL)).used.source == "bootstrap"


def test_what_is_not_here_is_neither_pulled_nor_bootstrapped_nor_imported(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "r.tar").write_bytes(b"x")
    archive = Archive(file="r.tar", sha256=hashlib.sha256(b"x").hexdigest())
    everywhere = distro(HUB, TOOL, archive, file=tmp_path / "d.yaml")
    with pytest.raises(ImageError, match=r"its base image is not here, and --offline gets none"):
        cut_off(world).base(everywhere)
    assert not world.engine.images.images


def test_a_layer_that_is_not_here_is_not_built(world: World) -> None:
    world.images().base(distro(HUB))
    with pytest.raises(ImageError, match="--offline builds none"):
        cut_off(world).prepared(distro(HUB), GIT, files, Handed())
    assert not world.engine.machines


def test_an_image_carried_here_is_found_whatever_registry_this_user_has_set(world: World) -> None:
    world.images().base(distro(HUB))
    world.settings.registry = "mirror.example"
    assert cut_off(world).base(distro(HUB)).used.id == "base-1"


def test_a_layer_made_with_another_hosts_settings_serves_and_this_is_told(world: World) -> None:
    theirs = Handed(env={"PIP_INDEX_URL": "https://theirs.example"}, ca=b"theirs", apt_conf="x")
    made = world.images().prepared(distro(HUB), GIT, files, theirs)
    ours = Handed(env={"PIP_INDEX_URL": "https://ours.example"}, ca=b"ours")
    assert cut_off(world).prepared(distro(HUB), GIT, files, ours).image == made.image
    assert any("another host's settings" in text for text in world.said)


def test_a_mirror_that_is_set_here_alone_asks_for_no_layer(world: World) -> None:
    far = distro(HUB, repositories=("bookworm main",))
    base = world.images().base(far)
    world.settings.package_mirror = "http://mirror.example/debian"
    assert cut_off(world).prepared(far, cell(), files, Handed()).image == base.image


def test_a_layer_with_other_packages_does_not_serve(world: World) -> None:
    world.images().prepared(distro(HUB), GIT, files, Handed())
    other = cell(packages=("git", "make"))
    assert cut_off(world).stored(distro(HUB), other, files, Handed()) is None


def told(world: World, *cells: Cell, distros: tuple[Distro, ...]) -> list[str]:
    plan = Plan(matrix=HERE, root=HERE, product=Product(path=HERE), cells=cells, distros=distros)
    return missing(cut_off(world), plan, cells, files, Handed()).splitlines()


def test_all_that_is_missing_is_in_one_list_with_how_to_get_it(world: World) -> None:
    world.images().base(distro(HUB))
    alpine = distro(Pull(ref="docker.io/library/alpine:3.20"), TOOL, name="alpine-3.20")
    lines = told(
        world,
        cell(id="debian-12/plain"),
        cell(id="debian-12/unit", packages=("git",), prepare=Prepare(run="x")),
        cell(id="debian-12/docs", packages=("git",), prepare=Prepare(run="x")),
        *(cell(id=f"alpine-3.20/{n}", distro="alpine-3.20", env={"A": n}) for n in "abcdef"),
        distros=(distro(HUB), alpine),
    )
    assert lines == [
        "--offline: 2 images not in the engine's store, so nothing was started:",
        "  base image of alpine-3.20 (pull docker.io/library/alpine:3.20, else bootstrap "
        "mmdebstrap bookworm), for alpine-3.20/a, alpine-3.20/b, alpine-3.20/c, alpine-3.20/d "
        "and 2 more",
        "  prepared layer of debian-12/unit, debian-12/docs (packages git, prepare)",
        "with a network, `distromatrix images build alpine-3.20 debian-12/unit` makes them; from "
        "a machine that has them, `distromatrix images export FILE` and here `distromatrix "
        "images import FILE`",
    ]


def test_nothing_is_told_where_all_is_here(world: World) -> None:
    world.images().prepared(distro(HUB), GIT, files, Handed())
    assert told(world, GIT, distros=(distro(HUB),)) == []
