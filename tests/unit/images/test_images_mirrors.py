"""Where packages come from: the user's mirror in images that do not point at it already, an
archive for a release past its end of life, and what is asked when a package is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from images_fakes import World, cell, distro

from distromatrix.engines.contract import Command, Exit
from distromatrix.errors import ImageError, MachineGoneError
from distromatrix.images import Handed, Prepared
from distromatrix.images.base.bootstrap import OutOfReachError
from distromatrix.images.base.sources import advised, base_tag, from_archive
from distromatrix.load.settings import Settings
from distromatrix.model import Bootstrap, Cell, Plan, Product, Pull
from distromatrix.project.session import handed_here, open_images

HUB = Pull(ref="docker.io/library/debian:12")
BOOTSTRAP = Bootstrap(tool="mmdebstrap", suite="bookworm")
MIRROR = "http://mirror.example/debian"
DEBIAN = distro(HUB, repositories=("bookworm main",), packages={"pytest": ("python3-pytest",)})
GIT = cell(packages=("git",))
NO_VALID_UNTIL = '--aptopt=Acquire::Check-Valid-Until "false"'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "cache")
    world.engine.images.answers[HUB.ref] = ["base-1"]
    yield world


def prepared(world: World, wanted: Cell, of=DEBIAN) -> Prepared:
    return world.images().prepared(of, wanted, lambda globs: (), Handed())


def scripts(world: World) -> list[str]:
    return [script for script, _, _ in world.engine.machines[-1].ran]


# --- mirrors -----------------------------------------------------------------------------------


def test_without_a_mirror_nothing_is_touched(world: World) -> None:
    prepared(world, GIT)
    assert len(scripts(world)) == 1
    assert "distromatrix.sources" not in scripts(world)[0]
    assert prepared(world, cell()).image.id == "base-1"


def test_a_mirror_is_set_before_packages_are_installed(world: World) -> None:
    world.settings.package_mirror = MIRROR
    prepared(world, GIT)
    assert f"URIs: {MIRROR}\nSuites: bookworm\nComponents: main\n" in scripts(world)[0]
    assert "Check-Valid-Until" not in scripts(world)[0]
    assert "install -- git" in scripts(world)[1]


def test_a_mirror_is_in_the_image_of_a_cell_that_asks_for_no_packages_itself(world: World) -> None:
    world.settings.package_mirror = MIRROR
    assert prepared(world, cell()).image.tag.startswith("distromatrix/prepared:")
    assert MIRROR in scripts(world)[0]


def test_an_archive_may_have_expired(world: World) -> None:
    world.settings.package_mirror, world.settings.archive = MIRROR, True
    prepared(world, GIT)
    assert 'Acquire::Check-Valid-Until "false";' in scripts(world)[0]


def test_the_mirror_is_part_of_the_layers_key(world: World) -> None:
    tags = [prepared(world, GIT).image.tag]
    world.settings.package_mirror = MIRROR
    tags.append(prepared(world, GIT).image.tag)
    world.settings.archive = True
    tags.append(prepared(world, GIT).image.tag)
    tags.append(prepared(world, GIT, replace(DEBIAN, repositories=("x main",))).image.tag)
    assert len(set(tags)) == 4


def test_what_was_bootstrapped_points_at_its_mirror_already(world: World) -> None:
    world.settings.package_mirror = MIRROR
    of = replace(DEBIAN, image=(BOOTSTRAP,))
    world.engine.images.add(base_tag(of, BOOTSTRAP, world.settings), "base-b")  # type: ignore[arg-type]
    prepared(world, GIT, of)
    assert len(scripts(world)) == 1


def test_a_mirror_of_which_the_distros_file_says_nothing_is_warned_of(world: World) -> None:
    world.settings.package_mirror = MIRROR
    prepared(world, GIT, replace(DEBIAN, repositories=()))
    assert len(scripts(world)) == 1
    assert (
        f"debian-12: packages do not come from {MIRROR}, as its file does not say which "
        "`repositories` lie below it"
    ) in list(world.said)


# --- archives ----------------------------------------------------------------------------------


def test_a_bootstrap_from_an_archive_takes_expired_release_files(world: World) -> None:
    settings = world.settings
    assert from_archive(DEBIAN, BOOTSTRAP, settings) == BOOTSTRAP  # type: ignore[arg-type]
    ordinary = base_tag(DEBIAN, BOOTSTRAP, settings)  # type: ignore[arg-type]
    settings.archive = True
    assert from_archive(DEBIAN, BOOTSTRAP, settings).options == (NO_VALID_UNTIL,)  # type: ignore[arg-type]
    assert base_tag(DEBIAN, BOOTSTRAP, settings) != ordinary  # type: ignore[arg-type]
    dnf = Bootstrap(tool="dnf", packages=("bash",))
    assert from_archive(DEBIAN, dnf, settings) == dnf  # type: ignore[arg-type]


def test_the_commands_know_which_day_it_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    old = replace(DEBIAN, image=(BOOTSTRAP,), eol=date(2020, 1, 1))
    settings = Settings(archive_mirrors={"debian": MIRROR})
    tag = base_tag(old, BOOTSTRAP, replace(settings, today=date(2020, 1, 2)))
    world.engine.images.add(tag, "from the archive")
    images = open_images(world.engine, settings, {}, world.events.append)  # type: ignore[arg-type]
    assert images.base(old).image.id == "from the archive"


LOGIN = "me:s3kr%26t"
WITH_LOGIN = Settings(mirrors={"debian": f"https://{LOGIN}@m.example"})


@pytest.mark.parametrize("spelt", ["s3kr%26t", "s3kr&t", "bWU6czNrciUyNnQ="])
def test_no_login_of_a_mirror_is_told(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelt: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = open_images(world.engine, WITH_LOGIN, {}, world.events.append)  # type: ignore[arg-type]
    said = f"404 for https://me:{spelt}@m.example"
    world.engine.images.answers[HUB.ref] = ["base-1", ImageError(said, log=said)]
    images.prepared(replace(DEBIAN, repositories=()), GIT, lambda _: (), Handed())
    for ask in (
        lambda: images.base(DEBIAN, force=True),
        lambda: images.prepared(replace(DEBIAN, name="debian-13"), GIT, lambda _: (), Handed()),
    ):
        with pytest.raises(ImageError, match=r"404 for https://(me:)?\*\*\*@m") as caught:
            ask()
        assert spelt not in str(caught.value) + caught.value.log
    assert any("packages do not come from https://***@m.example" in text for text in world.said)
    assert not any("s3kr" in text for text in world.said)


def test_no_login_of_a_mirror_is_told_by_what_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://u:of-a-proxy@p.example")
    plan = Plan(matrix=Path("m"), root=Path(), product=Product(path=Path()), cells=(), distros=())
    assert {"s3kr%26t", "s3kr&t", "of-a-proxy"} <= set(handed_here(plan, WITH_LOGIN).secrets)


GONE = "E: The repository 'http://m x Release' does not have a Release file."


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImageError(f"mmdebstrap failed: {GONE}"), f"mmdebstrap failed: {GONE[:-1]}; advice"),
        (ImageError("failed", log="Status code: 404 for http://m"), "failed; advice"),
        (OutOfReachError("Status code: 404 for http://m"), "Status code: 404 for http://m; advice"),
        (
            ImageError("zypper: File '/repodata/repomd.xml' not found on medium 'http://m'"),
            "zypper: File '/repodata/repomd.xml' not found on medium 'http://m'; advice",
        ),
        (
            ImageError("mmdebstrap x: the mirror's Release file has expired (http://m)"),
            "mmdebstrap x: the mirror's Release file has expired (http://m); advice",
        ),
        (OutOfReachError("Could not resolve m"), "Could not resolve m"),
        (ImageError("mmdebstrap: cancelled"), "mmdebstrap: cancelled"),
    ],
)
def test_advice_follows_where_a_mirror_lacks_the_release(error: Exception, told: str) -> None:
    result = advised(error, "advice")  # type: ignore[arg-type]
    assert str(result) == told
    assert type(result) is type(error)
    assert getattr(result, "log", "") == getattr(error, "log", "")
    assert advised(error, "") is error  # type: ignore[arg-type]


def test_advice_follows_where_the_mirror_of_an_image_lacks_the_release(world: World) -> None:
    world.settings.advice = "set archive_mirrors"
    world.engine.reply = lambda script: (100, GONE)
    with pytest.raises(ImageError, match=r"does not have a Release file; set archive_mirrors$"):
        prepared(world, GIT)


# --- near names --------------------------------------------------------------------------------


def answering(world: World, *search: tuple[int | None, str]) -> None:
    """Let the installation find no package, and the search after it end so."""
    answers = {"apt-cache": search[0]} if search else {}
    missing = (100, "E: Unable to locate package python3-pytset\n")
    world.engine.reply = lambda script: next(
        (answer for word, answer in answers.items() if word in script), missing
    )


def refused(world: World) -> str:
    with pytest.raises(ImageError) as caught:
        prepared(world, cell(packages=("python3-pytset",)))
    assert caught.value.log == "E: Unable to locate package python3-pytset\n"
    return str(caught.value)


PLAIN = "package 'python3-pytset' not found in debian-12 (apt)"


def test_near_names_are_asked_of_the_machine_that_failed(world: World) -> None:
    answering(world, (0, "python3\npython3-pytest\ngit\n"))
    assert refused(world) == f"{PLAIN}; near: python3-pytest"
    assert len(world.engine.machines) == 1


@pytest.mark.parametrize("search", [(None, "python3-pytest\n"), (1, "python3-pytest\n"), (0, "")])
def test_a_search_that_hangs_fails_or_finds_nothing_changes_no_error(world: World, search) -> None:
    answering(world, search)
    assert refused(world) == PLAIN


def test_a_machine_that_goes_while_it_is_searched_changes_no_error(world: World) -> None:
    answering(world)
    reply = world.engine.reply

    def gone(script: str) -> tuple[int | None, str]:
        if "apt-cache" in script:
            raise MachineGoneError("gone")
        return reply(script)

    world.engine.reply = gone
    assert refused(world) == PLAIN


def test_a_search_is_given_ten_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(world)
    given: dict[str, float | None] = {}
    open_machine = world.engine.open

    def opening(spec):
        machine = open_machine(spec)
        run = machine.run

        def noting(command: Command) -> Exit:
            given[command.script] = command.timeout
            return run(command)

        machine.run = noting  # type: ignore[method-assign]
        return machine

    monkeypatch.setattr(world.engine, "open", opening)
    refused(world)
    assert given["apt-cache pkgnames\n"] == 10.0
