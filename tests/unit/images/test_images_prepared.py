"""The prepared layer: what is in its key, what is done for it, and how it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from images_fakes import World, cell, distro

from distromatrix.engines.contract import Command, Exit
from distromatrix.errors import ImageError
from distromatrix.images import Handed, Prepared, layer_inputs
from distromatrix.images.layer.hostnet import APT_CONF_PATH, CA_PATH
from distromatrix.images.layer.installing import PackageSource
from distromatrix.images.layer.layers import Layers
from distromatrix.images.layer.recipe import Recipe, numeric_user
from distromatrix.images.layer.step import Step
from distromatrix.images.store import inventory
from distromatrix.model import Cell, Prepare, Pull, Repository

HUB = Pull(ref="docker.io/library/debian:12")
PREPARE = Prepare(run="pip install -r requirements.txt", files=("requirements*.txt",))
FILES = (("requirements.txt", b"six\n", 0o644),)
REFUSES = "E: Unable to locate package nosuch\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "cache")
    world.engine.images.answers[HUB.ref] = ["base-1", "base-2"]
    yield world


def prepared(world: World, wanted: Cell, files=FILES, handed=None, images=None) -> Prepared:
    images = images or world.images()
    return images.prepared(distro(HUB), wanted, lambda globs: files, handed or Handed())


def failing(world: World, wanted: Cell, step: str, status: int | None, text: str) -> ImageError:
    """The error when the script that holds `step` ends so."""
    world.engine.reply = lambda script: (status, text) if step in script else (0, "")
    with pytest.raises(ImageError) as caught:
        prepared(world, wanted)
    return caught.value


def test_nothing_asked_for_is_the_base_image_itself(world: World) -> None:
    result = prepared(world, cell())
    assert (result.image.id, result.user) == ("base-1", "root")
    assert not world.engine.machines


def test_packages_are_installed_as_root_with_network_in_a_machine_of_the_base(world: World) -> None:
    result = prepared(world, cell(packages=("git",), user="tester", network=False))
    machine = world.engine.machines[0]
    assert (machine.spec.image, machine.spec.user, machine.spec.network) == ("base-1", "root", True)
    assert "install -- git" in machine.ran[0][0]
    assert machine.closed
    assert result.image.tag.startswith("distromatrix/prepared:")
    assert result.used.id == "base-1"


def test_progress_ends_with_ready_for_the_board_to_let_go_of_it(world: World) -> None:
    prepared(world, cell(packages=("git",)))
    said = list(world.said)
    assert said[-1].startswith("ready in")


def test_the_second_cell_with_the_same_inputs_finds_it_made(world: World) -> None:
    first = prepared(world, cell(packages=("git",)))
    second = prepared(world, cell(id="debian-12/other", packages=("git",)))
    assert first == second
    assert len(world.engine.machines) == 1


APT, APK = (PackageSource(distro="d", manager=name) for name in ("apt", "apk"))
BASIC = Recipe(source=APT, packages=("a", "b"), script="x", files=FILES)


@pytest.mark.parametrize(
    "other",
    [
        Recipe(source=APK, packages=("a", "b"), script="x", files=FILES),
        Recipe(source=APT, packages=("b", "a"), script="x", files=FILES),
        Recipe(source=APT, packages=("a", "b"), script="y", files=FILES),
        Recipe(source=APT, packages=("a", "b"), script="x"),
        *(
            Recipe(source=APT, packages=("a", "b"), script="x", files=(file,))
            for file in (
                ("requirements.txt", b"attrs\n", 0o644),
                ("requirements.txt", b"six\n", 0o755),
                ("other.txt", b"six\n", 0o644),
            )
        ),
        *(
            Recipe(source=APT, packages=("a", "b"), script="x", files=FILES, **more)
            for more in (
                {"user": "tester"},
                {"env": {"PIP_INDEX_URL": "https://i.example"}},
                {"ca": b"ca"},
                {"apt_conf": "x"},
            )
        ),
    ],
)
def test_all_that_goes_in_is_part_of_the_key(other: Recipe) -> None:
    assert BASIC.key("base-1") != other.key("base-1")


def test_the_base_image_is_part_of_the_key() -> None:
    assert BASIC.key("base-1") != BASIC.key("base-2")
    assert BASIC.key("base-1") == BASIC.key("base-1")


def test_prepare_runs_where_its_files_are_and_they_are_gone_after(world: World) -> None:
    prepared(world, cell(prepare=PREPARE))
    machine = world.engine.machines[0]
    folder = next(cwd for script, _, cwd in machine.ran if script == PREPARE.run)
    assert machine.files == {f"{folder}/requirements.txt": (b"six\n", 0o644)}
    assert f"rm -rf {folder}" in machine.ran[-1][0]


def test_prepare_sees_what_the_host_hands_over_and_a_suites_own_env_wins(world: World) -> None:
    handed = Handed(env={"PIP_INDEX_URL": "https://host.example", "http_proxy": "p"})
    prepared(world, cell(prepare=PREPARE, env={"PIP_INDEX_URL": "mine"}), handed=handed)
    env = next(env for script, env, _ in world.engine.machines[0].ran if script == PREPARE.run)
    assert env == {"PIP_INDEX_URL": "mine", "http_proxy": "p"}


def test_files_that_match_nothing_are_an_error(world: World) -> None:
    with pytest.raises(ImageError, match=r"no file of the product .*requirements\*\.txt") as caught:
        prepared(world, cell(prepare=PREPARE), files=())
    assert caught.value.phase == "prepare"


def test_certificates_and_apts_settings_are_there_before_packages_come(world: World) -> None:
    handed = Handed(env={"APT_CONFIG": APT_CONF_PATH}, ca=b"pem", apt_conf="x;\n")
    prepared(world, cell(packages=("git",)), handed=handed)
    machine = world.engine.machines[0]
    assert machine.files == {CA_PATH: (b"pem", 0o644), APT_CONF_PATH: (b"x;\n", 0o644)}
    assert machine.ran[0][1] == {"APT_CONFIG": APT_CONF_PATH}


def test_a_named_user_is_made_and_known_by_number_from_then_on(world: World) -> None:
    assert prepared(world, cell(user="tester")).user == "1000:1000"
    assert prepared(world, cell(user="tester")).user == "1000:1000"
    assert len(world.engine.machines) == 1


@pytest.mark.parametrize(
    ("user", "number"),
    [("root", "root"), ("0", "root"), ("1000", "1000:1000"), ("5:6", "5:6"), ("tester", "")],
)
def test_a_user_given_by_number_needs_no_image_of_its_own(user: str, number: str) -> None:
    assert numeric_user(user) == number


def test_cells_that_share_an_image_have_equal_inputs() -> None:
    same = (
        cell(packages=("a",), user="0"),
        cell(id="debian-12/b", packages=("a",), env={"A": "1"}),
    )
    assert layer_inputs(same[0]) == layer_inputs(same[1])
    envs = (cell(prepare=PREPARE), cell(prepare=PREPARE, env={"A": "1"}))
    assert layer_inputs(envs[0]) != layer_inputs(envs[1])


def test_a_package_that_does_not_exist_is_named_with_distro_and_manager(world: World) -> None:
    error = failing(world, cell(packages=("nosuch",)), "apt-get", 100, REFUSES)
    assert str(error) == "package 'nosuch' not found in debian-12 (apt)"
    assert (error.phase, error.transient, error.log) == ("packages", False, REFUSES)
    assert error.absent == ("nosuch",)
    assert world.engine.machines[0].closed


def test_a_package_mirror_out_of_reach_is_worth_another_try(world: World) -> None:
    text = "  Temporary failure resolving 'mirror.example.org'\n"
    error = failing(world, cell(packages=("git",)), "apt-get", 100, text)
    assert "package mirror of debian-12 (apt) not reachable: Temporary failure" in str(error)
    assert (error.phase, error.transient) == ("packages", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Could not connect to own.example:81 (192.0.2.1)", "the repository {} is not reachable"),
        ("E: The repository '{}/apt ./ Release' does not have a Release file.", "{} has nothing"),
        ("E: The repository '{}/apt-2 ./ Release' does not have a Release file.", "the package"),
        ("Could not connect to own.example:8100 (192.0.2.1)", "package mirror of debian-12"),
    ],
)
def test_what_is_wrong_with_an_added_repository_is_told_of_that_one(
    world: World, text: str, said: str
) -> None:
    url = "http://own.example:81"
    added = (Repository(url=f"{url}/apt"),)
    wanted = cell(packages=("git",), repositories=added)
    error = failing(world, wanted, "apt-get", 100, text.format(url) + "\n")
    assert said.format(f"{url}/apt") in str(error)


def test_a_failing_prepare_is_told_with_its_output(world: World) -> None:
    error = failing(world, cell(prepare=PREPARE), "pip install", 3, "one\nno such thing\n")
    assert str(error) == "prepare in debian-12 failed with status 3: no such thing"
    assert (error.phase, error.log) == ("prepare", "one\nno such thing\n")


def test_a_hanging_prepare_is_told_with_what_hung(world: World) -> None:
    error = failing(world, cell(prepare=PREPARE), "pip install", None, "")
    assert str(error) == "prepare in debian-12 did not end within 30 min (running: sleep 9999)"


@pytest.mark.parametrize("spelt", ["p&ss/word", "p%26ss%2Fword", "cCZzcy93b3Jk", "p&amp;ss/word"])
def test_handed_secrets_are_masked_in_what_is_told(world: World, spelt: str) -> None:
    handed = Handed(secrets=("p&ss/word",))
    world.engine.reply = lambda script: (1, f"from https://u:{spelt}@i.example\n")
    for wanted in (cell(packages=("git",)), cell(prepare=PREPARE)):
        with pytest.raises(ImageError) as caught:
            prepared(world, wanted, handed=handed)
        assert spelt not in caught.value.log + str(caught.value)
        assert "https://u:***@i.example" in caught.value.log


class Talking:
    """A machine whose command prints such pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def run(self, command: Command) -> Exit:
        assert command.output is not None
        for piece in self.pieces:
            command.output(piece)
        return Exit(status=0, seconds=0.0)


def test_of_a_secret_that_comes_in_pieces_or_is_cut_off_nothing_is_left() -> None:
    step = Step("s", "prepare", {}, ("hidden-word",))
    said = b"hidden-word " * 20_000
    step.run(Talking(*(said[at : at + 4999] for at in range(0, len(said), 4999))), "s")  # type: ignore[arg-type]
    assert len(step.text) > 10_000
    assert set(step.text.split()) <= {"***", "**", "*"}


def test_a_secret_on_a_command_line_is_masked_where_that_is_silent_or_hangs(world: World) -> None:
    said: list[str] = []
    around = SimpleNamespace(say=lambda _, text: said.append(text))
    layers = Layers(around)  # type: ignore[arg-type]
    layers._silent(Recipe(source=APT, secrets=("p&ss/word",)), 60.0, "curl p%26ss%2Fword")
    assert said == ["silent for 60 s, running: curl ***"]
    world.engine.reply = lambda script: (None, "")
    with pytest.raises(ImageError, match=r"\(running: sleep \*\*\*\)"):
        prepared(world, cell(packages=("git",)), handed=Handed(secrets=("9999",)))


def test_a_manager_that_is_not_known_here_is_named(world: World) -> None:
    with pytest.raises(ImageError, match="its package manager is none, and only apt, dnf"):
        world.images().prepared(
            distro(HUB, package_manager="none"), cell(packages=("git",)), lambda g: (), Handed()
        )


def test_a_refreshed_base_gives_a_new_layer(world: World) -> None:
    first = prepared(world, cell(packages=("git",)))
    world.engine.images.age(HUB.refresh + 60)
    second = prepared(world, cell(packages=("git",)))
    assert (first.used.id, second.used.id) == ("base-1", "base-2")
    assert first.image.tag != second.image.tag


def test_a_layer_whose_refresh_has_passed_is_built_anew_on_the_same_base(world: World) -> None:
    world.engine.images.answers[HUB.ref] = ["base-1"]
    first = prepared(world, cell(packages=("git",)))
    world.engine.images.age(HUB.refresh + 60)
    second = prepared(world, cell(packages=("git",)))
    assert first.image.tag == second.image.tag
    assert len(world.engine.machines) == 2
    assert world.engine.images.removed == [first.image.id]


def test_an_old_layer_is_used_with_a_warning_when_its_mirror_is_out_of_reach(world: World) -> None:
    world.engine.images.answers[HUB.ref] = ["base-1"]
    first = prepared(world, cell(packages=("git",)))
    world.engine.images.age(HUB.refresh + 60)
    world.engine.reply = lambda script: (100, "Could not resolve 'mirror.example.org'\n")
    assert prepared(world, cell(packages=("git",))).image.id == first.image.id
    assert any("prepared image of 7 days ago" in text for text in world.said)


def test_two_at_once_build_once(world: World) -> None:
    """Two `Images` are as two processes: all they share is the engine and the cache."""

    def slow(script: str) -> tuple[int, str]:
        time.sleep(0.2)
        return 0, ""

    world.engine.reply = slow
    results: list[Prepared] = []
    threads = [
        threading.Thread(target=lambda: results.append(prepared(world, cell(packages=("git",)))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.engine.machines) == 1
    assert len({r.image.id for r in results}) == 1
    assert len(results) == 4


def test_cancel_ends_the_machine_of_a_build(world: World) -> None:
    images = world.images()
    images.base(distro(HUB))

    def hang(script: str) -> tuple[int, str]:
        images.cancel()
        assert world.engine.machines[0].killed.wait(5)
        return 137, ""

    world.engine.reply = hang
    with pytest.raises(ImageError):
        prepared(world, cell(packages=("git",)), images=images)
    assert world.engine.machines[0].closed


def test_list_shows_what_is_there(world: World) -> None:
    prepared(world, cell(packages=("git",)))
    world.engine.images.add("distromatrix/other:x", "x")
    rows = inventory.list_images(world.engine.images)
    assert [(r.kind, r.distro, r.source) for r in rows] == [
        ("base", "debian-12", "pull"),
        ("prepared", "debian-12", "pull"),
    ]
    assert rows[1].base == rows[0].id


def test_prune_removes_what_is_old_and_nothing_of_others(world: World) -> None:
    prepared(world, cell(packages=("git",)))
    world.engine.images.add("distromatrix/other:x", "x")
    world.engine.images.age(40 * 86400)
    prepared(world, cell(packages=("git",)))
    gone = inventory.prune(world.engine.images, older_than=30 * 86400)
    assert [r.kind for r in gone] == ["prepared"]
    assert {i.tag.partition(":")[0] for i in world.engine.images.list()} == {
        "distromatrix/base",
        "distromatrix/prepared",
        "distromatrix/other",
    }


def test_prune_removes_layers_whose_base_has_been_replaced(world: World) -> None:
    prepared(world, cell(packages=("git",)))
    world.engine.images.age(2 * 86400)
    world.images().base(distro(HUB), force=True)
    assert [r.kind for r in inventory.prune(world.engine.images)] == ["prepared"]
