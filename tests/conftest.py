"""What all tests share: an engine when one answers, and real Alpine in it."""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.engines import open_engine
from distromatrix.errors import InfrastructureError
from given import (
    alpine_or_pulled,
    guest_image_of,
    no_engine,
    no_guests,
    no_vagrant,
    unobtainable,
)

# Of the files of tests with an engine, those that take half a minute and more.
LONG = {
    *("test_cli_run", "test_pytest_xdist_machines", "test_breaking_interrupts"),
    *("test_registry_real", "test_kept_product_real", "test_breaking_cells"),
    *("test_package_managers", "test_downloads_real", "test_pytest_machines_real"),
    *("test_image_store", "test_podman_images", "test_pytest_xdist", "test_images_real"),
    *("test_init_sdists",),
}

# tox names one folder for pytest's cache, which sessions within sessions would all share.
os.environ.pop("TOX_ENV_DIR", None)

# The fake engine, for all that tests start.
_paths = (str(Path(__file__).with_name("fakes")), os.environ.get("PYTHONPATH"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _paths))

# What a shell without job control starts in the background ignores the first two, what nohup(1)
# starts the last, and so would all that tests start, whose end by these is what some of them are
# about.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, lambda *_: None),  # not for this process, which is to go on
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture(autouse=True, scope="session")
def _trusted() -> Iterator[None]:
    """Products that tests write are their own; who tests the question itself takes this away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTROMATRIX_TRUST", "all")
        yield


@pytest.fixture(autouse=True, scope="session")
def _data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What runs are remembered by is not to lie among the data of who tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors, as many tests wait for what they have started; of those
    with an engine, another one gained nothing."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with an engine, most of whose time is waiting, are spread evenly among the others,
    which compute. First among them come those with guests, then others that take long: begun last,
    one would run on alone."""
    guests, engines = (
        {item.path for item in items if item.get_closest_marker(name)}
        for name in ("guest", "engine")
    )
    files = {item.path: item.path.stem not in LONG for item in items}
    order: dict[Path, float] = {}
    for waiting in (True, False):
        some = [path for path in files if (path in engines) is waiting]
        some.sort(key=lambda path: (path not in guests, files[path]))
        order |= {path: number / len(some) for number, path in enumerate(some)}
    items.sort(key=lambda item: order[item.path])


def pytest_collection_finish() -> None:
    """What was collected stays: no look for circles, of which sessions within this one ask for
    two each, need go through it."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    name = "podman" if item.get_closest_marker("podman") else "docker"
    if item.get_closest_marker("engine") and (reason := no_engine(name)):
        unobtainable(reason)
    if item.get_closest_marker("guest") and (reason := no_guests()):
        unobtainable(reason)


@pytest.fixture(scope="session")
def docker_alpine() -> Iterator[str]:
    """The tag of an Alpine image in the Docker engine, this session's own."""
    yield from _alpine("docker")


@pytest.fixture(scope="session")
def podman_alpine() -> Iterator[str]:
    """The same in Podman."""
    yield from _alpine("podman")


@pytest.fixture(scope="session")
def guest_image() -> str:
    """The tag of Debian 12 with its kernel in the Docker engine; it stays, as its base does."""
    return _guest_image("qemu")


@pytest.fixture(scope="session")
def system_image() -> str:
    """The same as a whole system, with systemd."""
    return _guest_image("vagrant")


@pytest.fixture(scope="session")
def debian_system(system_image: str) -> str:
    """That one, where Vagrant's guests can be opened, which boot it."""
    if reason := no_vagrant():
        unobtainable(reason)
    return system_image


def _guest_image(kind: str) -> str:
    engine = open_engine("docker")
    try:
        return guest_image_of(engine, "debian-12", kind)
    except InfrastructureError as error:
        unobtainable(f"there is no Debian 12 with a kernel: {error}")
    finally:
        engine.close()


def _alpine(name: str) -> Iterator[str]:
    engine = open_engine(name)
    tag = f"distromatrix/test-alpine:{secrets.token_hex(6)}"
    try:
        with alpine_or_pulled().open("rb") as tar:
            engine.images.load_rootfs(tar, tag, {})
    except InfrastructureError as error:
        unobtainable(f"there is no Alpine: {error}")
    yield tag
    engine.images.remove(tag)
    engine.close()
