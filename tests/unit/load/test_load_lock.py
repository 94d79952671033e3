"""`distros.lock`: what it says, what is wrong with it, and what it makes of a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from images_fakes import cell, distro

from distromatrix.errors import InputError
from distromatrix.load.lock import (
    LOCK,
    Entry,
    apply_lock,
    as_text,
    read_lock,
    with_digest,
)
from distromatrix.load.shapes.lock import BootstrappedShape, LockedArchiveShape, LockedPullShape
from distromatrix.model import Archive, Bootstrap, Distro, Plan, Product, Pull

HUB = Pull(ref="docker.io/library/debian:12", refresh=60.0)
TOOL = Bootstrap(tool="mmdebstrap", suite="bookworm")
SHA = "5a" * 32
TAR = Archive(file="r.tar", sha256=SHA)
DEBIAN = distro(HUB, TOOL, TAR)
PULLED = LockedPullShape(pull=HUB.ref, digest=f"sha256:{SHA}")
BUILT = BootstrappedShape.model_construct(
    bootstrap="mmdebstrap bookworm", built=date(2026, 11, 24), image=f"sha256:{SHA}"
)

TEXT = f"""\
# Written by `distromatrix images lock`; commit it. Runs use these very images until the next
# `distromatrix images lock`, which takes what there is then and prints what that changes.
format: 1
distros:
  alpine-3.9:
    archive: r.tar
    sha256: {SHA}
  alpine-3.20:
    pull: docker.io/library/alpine:3.20
    digest: sha256:{SHA}
    arch: x86_64
  debian-12:
    # Cannot be locked: each build takes what its mirrors have then.
    bootstrap: mmdebstrap bookworm
    built: 2026-11-24
    image: sha256:{SHA}
"""
ENTRIES: dict[str, Entry] = {
    "debian-12": BUILT,
    "alpine-3.20": LockedPullShape(
        pull="docker.io/library/alpine:3.20", digest=f"sha256:{SHA}", arch="x86_64"
    ),
    "alpine-3.9": LockedArchiveShape(archive="r.tar", sha256=SHA),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(root: Path, *distros: Distro) -> Plan:
    cells = tuple(cell(id=f"{d.name}/unit", distro=d.name) for d in distros)
    return Plan(matrix=root, root=root, product=Product(path=root), cells=cells, distros=distros)


def locked(root: Path, entry: Entry, one: Distro = DEBIAN, arch: str = "x86_64") -> Plan:
    (root / LOCK).write_text(as_text({one.name: entry}))
    lock = read_lock(root)
    assert lock is not None
    return apply_lock(plan_of(root, one), lock, arch)


def test_a_lock_is_written_in_order_and_reads_back(root: Path) -> None:
    assert as_text(ENTRIES) == TEXT
    (root / LOCK).write_text(TEXT)
    lock = read_lock(root)
    assert lock is not None
    assert lock.entries == ENTRIES


def test_a_lock_of_nothing_reads_back_too(root: Path) -> None:
    (root / LOCK).write_text(as_text({}))
    lock = read_lock(root)
    assert lock is not None
    assert not lock.entries


def test_without_a_file_there_is_no_lock(root: Path) -> None:
    assert read_lock(root) is None


def test_a_locked_pull_is_by_digest_and_no_other_source_is_left(root: Path) -> None:
    (found,) = locked(root, PULLED).distros
    assert found == replace(
        DEBIAN,
        image=(Pull(ref=f"docker.io/library/debian@sha256:{SHA}", refresh=60.0),),
        locked=True,
    )


def test_a_locked_archive_is_that_archive(root: Path) -> None:
    (found,) = locked(root, LockedArchiveShape(archive="r.tar", sha256=SHA)).distros
    assert (found.image, found.locked) == ((TAR,), True)


def test_a_bootstrap_is_the_source_but_is_not_locked(root: Path) -> None:
    (found,) = locked(root, BUILT).distros
    assert (found.image, found.locked) == ((TOOL,), False)


def test_an_archive_beside_its_distros_file_is_known_by_its_name(root: Path) -> None:
    beside = replace(TAR, file="/somewhere/r.tar")
    (found,) = locked(root, LockedArchiveShape(archive="r.tar", sha256=SHA), distro(beside)).distros
    assert found.image == (beside,)


def test_distros_without_an_entry_run_as_declared_with_one_warning(root: Path) -> None:
    (root / LOCK).write_text(as_text({"debian-12": PULLED}))
    lock = read_lock(root)
    assert lock is not None
    others = (distro(HUB, name="a"), distro(HUB, name="b"))
    found = apply_lock(plan_of(root, DEBIAN, *others), lock, "x86_64")
    assert found.distros[1:] == others
    assert found.warnings == (
        "distros.lock has no entry for a, b: run as declared; `distromatrix images lock` adds one",
    )


def test_a_distro_that_does_not_run_is_neither_warned_of_nor_checked(root: Path) -> None:
    (root / LOCK).write_text(
        as_text({"debian-12": PULLED.model_copy(update={"pull": "docker.io/x:1"})})
    )
    lock = read_lock(root)
    assert lock is not None
    plan = plan_of(root, DEBIAN, distro(HUB, name="a"))
    idle = replace(plan, cells=tuple(replace(c, engine=None) for c in plan.cells))
    assert apply_lock(idle, lock, "x86_64") == idle


@pytest.mark.parametrize(
    ("entry", "arch", "place", "words"),
    [
        (
            PULLED.model_copy(update={"pull": "docker.io/library/debian:11"}),
            "x86_64",
            "6:11",
            "the file of `debian-12` does not declare `docker.io/library/debian:11` any more",
        ),
        (
            PULLED.model_copy(update={"arch": "aarch64"}),
            "x86_64",
            "8:11",
            "`debian-12` is locked for aarch64; this host is x86_64",
        ),
        (
            LockedArchiveShape(archive="r.tar", sha256="0" * 64),
            "x86_64",
            "7:13",
            f"the distro's file declares another sha256: {SHA}",
        ),
        (
            LockedArchiveShape(archive="other.tar", sha256=SHA),
            "x86_64",
            "6:14",
            "the file of `debian-12` does not declare `other.tar` any more",
        ),
        (
            BUILT.model_copy(update={"bootstrap": "mmdebstrap bullseye"}),
            "x86_64",
            "7:16",
            "the file of `debian-12` does not declare `mmdebstrap bullseye` any more",
        ),
    ],
)
def test_an_entry_that_does_not_match_is_one_line_that_says_what_to_do(
    root: Path, entry: Entry, arch: str, place: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        locked(root, entry, arch=arch)
    again = "`distromatrix images lock debian-12` locks it anew"
    assert str(caught.value) == f"{LOCK}:{place}: {words} ({again})"


def test_all_entries_that_do_not_match_are_told_at_once(root: Path) -> None:
    wrong = PULLED.model_copy(update={"pull": "docker.io/x:1"})
    (root / LOCK).write_text(as_text({"debian-12": wrong, "b": wrong, "debain-13": wrong}))
    lock = read_lock(root)
    assert lock is not None
    with pytest.raises(InputError) as caught:
        apply_lock(plan_of(root, DEBIAN, distro(HUB, name="b")), lock, "x86_64")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{LOCK}:6:11",
        f"{LOCK}:8:3",
        f"{LOCK}:12:11",
    ]
    assert "no distro `debain-13` (did you mean `debian-13`?)" in lines[1]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("format: 1", "format: 2", "3:9: expected `1`, got `2`"),
        ("format: 1\n", "", "`format` is missing"),
        ("digest:", "digset:", "10:5: unknown key `digset` (did you mean `digest`?)"),
        (f"digest: sha256:{SHA}", "digest: 12", "10:13: expected a digest such as"),
        ("pull: docker", "pul: docker", "9:5: expected a mapping with one of `pull`,"),
        ("mmdebstrap bookworm", "'m: x #'", "14:16: expected a tool and a release, such as"),
        ("built: 2026-11-24", "built: soon", "15:12: expected a date such as"),
        ("debian-12:", "alpine-3.9:", "12:3: duplicate key `alpine-3.9` (the first is at 5:3)"),
        ("distros:", "<<<<<<< ours\ndistros:", "not valid YAML"),
    ],
)
def test_what_is_wrong_in_the_file_has_its_place(
    root: Path, old: str, new: str, fault: str
) -> None:
    (root / LOCK).write_text(TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_lock(root)
    assert f"{LOCK}:" in str(caught.value)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("docker.io/library/debian:12", "docker.io/library/debian"),
        ("localhost:5000/debian", "localhost:5000/debian"),
        ("localhost:5000/debian:12", "localhost:5000/debian"),
        (f"quay.io/x@sha256:{'0' * 64}", "quay.io/x"),
    ],
)
def test_a_digest_takes_the_place_of_a_tag(ref: str, name: str) -> None:
    assert with_digest(ref, f"sha256:{SHA}") == f"{name}@sha256:{SHA}"
