"""Whose a cache is, and which of them go."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from distromatrix.engines import caches as whose
from distromatrix.engines.cache_store import Cache
from distromatrix.engines.caches import Caches, is_strangers_run
from distromatrix.execute.caches import bound, measured
from fake_engine.caches import FakeCaches

PATHS = {"pip": "/root/.cache/pip"}


@pytest.fixture
def store(tmp_path: Path) -> FakeCaches:
    return FakeCaches(tmp_path / "store")


@pytest.fixture
def mine(tmp_path: Path) -> Caches:
    (tmp_path / "project").mkdir()
    return Caches(tmp_path / "project", tmp_path / "notes")


def used(store: FakeCaches, caches: Caches, distro: str, size: int, at: float) -> Cache:
    """One with so many bytes, that was used at that time."""
    (cache,) = caches.of(distro, "x86_64", "root", PATHS)
    store.write(cache, {}, [bytes(size)])
    os.utime(caches.folder / cache.name, (at, at))
    return cache


def there(store: FakeCaches) -> set[str]:
    return {one.name for one in store.list(whose.owner())}


def test_a_cache_is_of_one_project_user_distro_architecture_and_name(
    mine: Caches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> Iterator[str]:
        for owner in (mine, replace(mine, project=tmp_path)):
            for distro, arch, user, paths in (
                ("debian-12", "x86_64", "root", PATHS),
                ("debian-13", "x86_64", "root", PATHS),
                ("debian-12", "aarch64", "root", PATHS),
                ("debian-12", "x86_64", "1:1", PATHS),
                ("debian-12", "x86_64", "root", {"uv": "/root/.cache/pip"}),
            ):
                yield from (one.name for one in owner.of(distro, arch, user, paths))

    first = [*names()]
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    every = [*first, *names()]
    assert len({*every}) == len(every) == 20


def test_those_used_longest_ago_go_and_of_projects_that_are_gone_all(
    store: FakeCaches, mine: Caches, tmp_path: Path
) -> None:
    old, older, new = (
        used(store, mine, f"debian-{n}", 40, at) for n, at in ((11, 20), (12, 10), (13, 30))
    )
    gone = used(store, replace(mine, project=tmp_path / "gone"), "debian-12", 1, 40)
    assert there(store) == {one.name for one in (old, older, new, gone)}
    bound(store, mine.folder, 100)
    assert there(store) == {old.name, new.name}
    bound(store, mine.folder, 39)
    assert there(store) == set()


def test_a_cache_is_measured_again_only_after_it_was_used(
    store: FakeCaches, mine: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(store, mine, "debian-12", 40, 10.0)
    assert [(one.size, one.used) for one in measured(store, mine.folder)] == [(40, 10.0)]
    monkeypatch.setattr(FakeCaches, "size", lambda *_: 50)
    assert [one.size for one in measured(store, mine.folder)] == [40]
    mine.of("debian-12", "x86_64", "root", PATHS)
    assert [one.size for one in measured(store, mine.folder)] == [50]


@pytest.mark.parametrize(
    ("environ", "strangers"),
    [
        ({}, False),
        ({"GITHUB_EVENT_NAME": "push"}, False),
        ({"GITHUB_EVENT_NAME": "pull_request"}, True),
        ({"GITHUB_EVENT_NAME": "pull_request_target"}, True),
        ({"CI_PIPELINE_SOURCE": "merge_request_event"}, True),
    ],
)
def test_a_pull_requests_run_is_a_strangers(environ: dict[str, str], strangers: bool) -> None:
    assert is_strangers_run(environ) == strangers
