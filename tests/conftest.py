"""What all tests share: an engine when one answers, and real Alpine in it."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.engines.docker import DockerEngine
from distromatrix.errors import InfrastructureError

ALPINE = "alpine-minirootfs-3.20.3-x86_64.tar.gz"
ROOT = Path(__file__).parent.parent


def unobtainable(reason: str) -> None:
    """A test that needs an engine must not pass as skipped where one was promised."""
    if os.environ.get("DISTROMATRIX_REQUIRE_ENGINE"):
        pytest.fail(f"DISTROMATRIX_REQUIRE_ENGINE is set, and {reason}", pytrace=False)
    pytest.skip(f"NO ENGINE TESTED: {reason}")


@functools.cache
def no_engine() -> str:
    """Why no engine answers, or ''."""
    engine = DockerEngine()
    try:
        engine.facts()
    except InfrastructureError as error:
        return str(error)
    finally:
        engine.close()
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") and (reason := no_engine()):
        unobtainable(reason)


def alpine_archive() -> Path | None:
    """The Alpine root filesystem, from $DISTROMATRIX_ARCHIVES or beside the checkout."""
    named = os.environ.get("DISTROMATRIX_ARCHIVES") or str(ROOT.parent / "shared/images")
    files = (Path(folder) / ALPINE for folder in named.split(":"))
    return next((file for file in files if file.is_file()), None)


@pytest.fixture(scope="session")
def docker_alpine() -> Iterator[str]:
    """The tag of an Alpine image in the Docker engine, this session's own."""
    engine = DockerEngine()
    tag = f"distromatrix/test-alpine:{secrets.token_hex(6)}"
    archive = alpine_archive()
    try:
        if archive is not None:
            with archive.open("rb") as tar:
                engine.images.load_rootfs(tar, tag, {})
        else:
            engine.images.pull("docker.io/library/alpine:3.20", tag, lambda _: None)
    except InfrastructureError as error:
        unobtainable(f"there is no Alpine: {error}")
    yield tag
    engine.images.remove(tag)
    engine.close()
