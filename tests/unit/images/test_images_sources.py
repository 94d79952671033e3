"""Which source a distro's base image comes from, and when the next one is tried."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from images_fakes import World, distro

from distromatrix.engines.contract import LABEL_KIND
from distromatrix.errors import ImageError, PullError
from distromatrix.model import Archive, Pull

HUB = Pull(ref="docker.io/library/debian:12")
DAY = 86400.0


def unreachable(why: str = "no such host") -> PullError:
    return PullError("unreachable", why)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path / "cache")


@pytest.fixture
def archive(tmp_path: Path, world: World) -> Archive:
    """An archive that is there."""
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "rootfs.tar").write_bytes(b"root")
    world.settings.archives = (tmp_path / "absent", folder)
    return Archive(file="rootfs.tar", sha256=hashlib.sha256(b"root").hexdigest())


def pulling(world: World, *answers: str | Exception, ref: str = HUB.ref) -> None:
    world.engine.images.answers[ref] = list(answers)


def test_the_first_source_in_reach_is_taken(world: World, archive: Archive) -> None:
    pulling(world, "id-1")
    base = world.images().base(distro(HUB, archive))
    assert (base.used.source, base.used.id) == ("pull", "id-1")


def test_the_next_source_is_taken_when_a_registry_is_out_of_reach(
    world: World, archive: Archive
) -> None:
    pulling(world, unreachable())
    base = world.images().base(distro(HUB, archive))
    assert base.used.source == "archive"
    assert base.image.labels[LABEL_KIND] == "base"
    assert base.image.id.endswith(archive.sha256[:8])  # all of the file was imported


@pytest.mark.parametrize("kind", ["rate-limit", "denied", "not-found"])
def test_no_other_source_is_taken_in_silence(world: World, archive: Archive, kind) -> None:
    pulling(world, PullError(kind, "the registry's words"))
    with pytest.raises(ImageError, match=r"debian-12: the registry's words"):
        world.images().base(distro(HUB, archive))
    assert len(world.engine.images.pulls) == 1  # and no hammering either


def test_a_rate_limit_is_answered_with_what_to_do(world: World) -> None:
    pulling(world, PullError("rate-limit", "toomanyrequests"))
    with pytest.raises(ImageError, match="DISTROMATRIX_REGISTRY"):
        world.images().base(distro(HUB))


def test_all_failures_are_told_when_no_source_is_in_reach(world: World) -> None:
    pulling(world, unreachable())
    absent = Archive(file="absent.tar", sha256="0" * 64)
    with pytest.raises(ImageError) as caught:
        world.images().base(distro(HUB, absent))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "no such host" in lines[1]
    assert "absent.tar" in lines[2]
    assert "DISTROMATRIX_ARCHIVES" in lines[2]
    assert caught.value.transient


def test_an_archive_that_is_another_one_ends_the_search(world: World, archive: Archive) -> None:
    wrong = Archive(file=archive.file, sha256="0" * 64)
    pulling(world, "id-1")
    with pytest.raises(ImageError, match="its sha256 is "):
        world.images().base(distro(wrong, HUB))
    assert not world.engine.images.images


def test_an_archive_is_found_beside_the_distros_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "r.tar").write_bytes(b"x")
    source = Archive(file="r.tar", sha256=hashlib.sha256(b"x").hexdigest())
    base = world.images().base(distro(source, file=tmp_path / "debian-12.yaml"))
    assert base.used.source == "archive"


def test_a_fresh_image_is_used_without_asking_the_registry(world: World) -> None:
    pulling(world, "id-1")
    world.images().base(distro(HUB))
    world.engine.images.age(HUB.refresh - 60)
    assert world.images().base(distro(HUB)).used.id == "id-1"
    assert len(world.engine.images.pulls) == 1


def test_an_image_whose_refresh_has_passed_is_pulled_again(world: World) -> None:
    pulling(world, "id-1", "id-2")
    world.images().base(distro(HUB))
    world.engine.images.age(HUB.refresh + 60)
    assert world.images().base(distro(HUB)).used.id == "id-2"


def test_force_gets_even_a_fresh_image_anew_and_the_run_sees_it(world: World) -> None:
    pulling(world, "id-1", "id-2")
    images = world.images()
    images.base(distro(HUB))
    assert images.base(distro(HUB), force=True).used.id == "id-2"
    assert images.base(distro(HUB)).used.id == "id-2"


@pytest.mark.parametrize("kind", ["unreachable", "rate-limit"])
def test_an_old_image_is_used_with_a_warning_when_it_cannot_be_refreshed(
    world: World, archive: Archive, kind
) -> None:
    pulling(world, "id-1", PullError(kind, "lookup failed"))
    world.images().base(distro(HUB, archive))
    world.engine.images.age(20 * DAY)
    assert world.images().base(distro(HUB, archive)).used.id == "id-1"
    warning = next(t for t in world.said if "days ago" in t)
    assert "base image of 20 days ago" in warning
    assert "lookup failed" in warning


def test_an_image_that_is_gone_from_its_registry_is_not_used_in_silence(world: World) -> None:
    pulling(world, "id-1", PullError("not-found", "manifest unknown"))
    world.images().base(distro(HUB))
    world.engine.images.age(20 * DAY)
    with pytest.raises(ImageError, match="manifest unknown"):
        world.images().base(distro(HUB))


def test_an_archive_never_ages(world: World, archive: Archive) -> None:
    first = world.images().base(distro(archive))
    world.engine.images.age(1000 * DAY)
    (world.settings.archives[1] / archive.file).unlink()
    assert world.images().base(distro(archive)).used == first.used
    assert not any("days ago" in text for text in world.said)


def test_an_edited_source_is_not_answered_with_the_old_image(world: World) -> None:
    pulling(world, "id-1")
    pulling(world, "id-2", ref="docker.io/library/debian:13")
    world.images().base(distro(HUB))
    other = distro(Pull(ref="docker.io/library/debian:13"))
    assert world.images().base(other).used.id == "id-2"


def test_the_users_registry_takes_the_place_of_the_public_one(world: World) -> None:
    world.settings.registry = "mirror.example:5000"
    pulling(world, "id-1", ref="mirror.example:5000/library/debian:12")
    assert world.images().base(distro(HUB)).used.id == "id-1"


def test_a_connection_that_breaks_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distromatrix.images.base.registry.Registries._pause", lambda self, seconds: None
    )
    pulling(world, unreachable("connection reset"), PullError("other", "EOF"), "id-1")
    assert world.images().base(distro(HUB)).used.id == "id-1"
    assert len(world.engine.images.pulls) == 3


def test_a_registry_that_keeps_failing_is_told_with_how_often_it_was_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distromatrix.images.base.registry.Registries._pause", lambda self, seconds: None
    )
    pulling(world, *[PullError("other", "status: 500")] * 3)
    with pytest.raises(ImageError, match=r"status: 500 \(tried 3 times\)"):
        world.images().base(distro(HUB))


def test_an_unreachable_registry_is_asked_once_for_all_distros(
    world: World, archive: Archive
) -> None:
    pulling(world, unreachable())
    pulling(world, unreachable(), ref="docker.io/library/alpine:3.20")
    images = world.images()
    images.base(distro(HUB, archive))
    images.base(distro(Pull(ref="docker.io/library/alpine:3.20"), archive, name="alpine-3.20"))
    assert world.engine.images.pulls == [HUB.ref]


def test_an_image_for_another_machine_is_named(world: World) -> None:
    world.engine.images.arch = "aarch64"
    pulling(world, "id-1")
    with pytest.raises(ImageError, match="is for aarch64; this host is x86_64"):
        world.images().base(distro(HUB))


def test_a_distro_that_is_not_made_for_this_machine_is_named(world: World) -> None:
    with pytest.raises(ImageError, match="debian-12 is for aarch64; this host is x86_64"):
        world.images().base(distro(HUB, arch=("aarch64",)))


def test_one_run_sees_one_base_image(world: World) -> None:
    pulling(world, "id-1", "id-2")
    images = world.images()
    images.base(distro(HUB))
    world.engine.images.age(30 * DAY)
    assert images.base(distro(HUB)).used.id == "id-1"


def test_nothing_is_begun_after_a_cancel(world: World) -> None:
    images = world.images()
    images.cancel()
    with pytest.raises(ImageError, match="cancelled"):
        images.base(distro(HUB))
