"""Checkouts made at random, what git says is in them, and what a machine has of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

# What is odd about names; also as folders.
NAMES = (
    *(b"a", b"b", b"c", b"d.log", b"kept.log", b".hidden"),
    *(b"new\nline", b"latin-\xe9", "ünï".encode(), b" blank ", b"-rf", b"*", b"back\\slash"),
    *(b'"quo\'te"', b".wh.a", b".wh..wh..opq", b"$HOME", b"x" * 120, b"y" * 255),
)
TARGETS = (*NAMES[:4], b"..", b"../../up", b"/etc/passwd", b"/no/\xe9", b"n" * 150)
TIMES = (-86400, -1, 0, 1, 981173106, 1700000000, 4102444800)
MODES = (0o400, 0o444, 0o600, 0o644, 0o664, 0o666, 0o700, 0o755, 0o777, 0o4755, 0o2755)

_names = st.sampled_from(NAMES)
_contents = st.sampled_from([b"", b"x", b"\0" * 5000, bytes(range(256)) * 9])
# How often each is done, and with what beside a path.
_ACTIONS: tuple[tuple[int, str, tuple[st.SearchStrategy, ...]], ...] = (
    (8, "write", (_contents,)),
    (1, "mkdir", ()),
    (2, "link", (st.sampled_from(TARGETS),)),
    (1, "sparse", (st.lists(st.integers(0, 3 << 20), max_size=3),)),
    (2, "chmod", (st.sampled_from(MODES),)),
    (2, "touch", (st.sampled_from(TIMES),)),
    (1, "remove", ()),
    (1, "repository", ()),
    (1, "submodule", ()),
    (1, "intend", ()),
)


@st.composite
def trees(draw: st.DrawFn, steps: int, below: bytes = b"") -> list[tuple]:
    """How to make a checkout; what cannot be done in it is passed over."""
    tops = draw(st.lists(_names, min_size=6, max_size=12, unique=True))
    deep = st.lists(_names, max_size=2).map(lambda more: b"".join(b"/" + n for n in more))
    paths = [draw(st.sampled_from(tops)) + draw(deep) for _ in range(steps // 2)]
    path = st.sampled_from([below + one for one in (*tops, *paths)])
    actions = [
        st.tuples(st.just(name), path, *more) for n, name, more in _ACTIONS for _ in range(n)
    ]
    actions += [st.tuples(st.just(name), path, path) for name in ("hardlink",) * 4 + ("rename",)]
    actions += [st.just(("commit",))] * 2
    return draw(st.lists(st.one_of(actions), min_size=steps * 3 // 4, max_size=steps))


def woods(count: int, steps: int) -> st.SearchStrategy[list[tuple]]:
    """How to make one with several such trees in it."""
    each = (trees(steps, b"tree %d/" % number) for number in range(count))
    return st.tuples(*each).map(lambda made: [step for one in made for step in one])


def make(root: Path, steps: list[tuple]) -> None:
    """A checkout in that folder, which is not there yet."""
    root.mkdir()
    _git(root, "init", "-q")
    (root / ".gitignore").write_text("*.log\n!kept.log\n")
    change(root, steps)


def change(root: Path, steps: list[tuple]) -> None:
    """Go on with a checkout."""
    # Links in a circle are a RuntimeError of resolve() before Python 3.13.
    fails = (OSError, RuntimeError, subprocess.CalledProcessError, shutil.Error)
    for action, *arguments in steps:
        with contextlib.suppress(*fails):
            globals()[f"_{action}"](root, *arguments)


def _at(root: Path, path: bytes) -> Path:
    found = root / os.fsdecode(path)
    if ".git" in found.relative_to(root).parts or found.parent.resolve() != found.parent:
        raise FileExistsError
    return found


def _new(root: Path, path: bytes, *, folders: bool = False) -> Path:
    """A path that is free now; a folder makes room only where that is asked for."""
    found = _at(root, path)
    found.parent.mkdir(parents=True, exist_ok=True)
    if folders:
        _gone(found)
    else:
        found.unlink(missing_ok=True)
    return found


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(root: Path, path: bytes, content: bytes) -> None:
    _new(root, path).write_bytes(content)


def _mkdir(root: Path, path: bytes) -> None:
    _at(root, path).mkdir(parents=True)


def _link(root: Path, path: bytes, target: bytes) -> None:
    _new(root, path, folders=True).symlink_to(os.fsdecode(target))


def _hardlink(root: Path, path: bytes, other: bytes) -> None:
    if (there := _at(root, other)).is_file() and not there.is_symlink() and path != other:
        _new(root, path).hardlink_to(there)


def _sparse(root: Path, path: bytes, places: list[int]) -> None:
    with _new(root, path).open("wb") as file:
        for place in sorted(places):
            file.seek(place)
            file.write(b"data")
        file.truncate(4 << 20)


def _chmod(root: Path, path: bytes, mode: int) -> None:
    if (there := _at(root, path)).is_file() and not there.is_symlink():
        there.chmod(mode)


def _touch(root: Path, path: bytes, time: int) -> None:
    os.utime(_at(root, path), (time, time), follow_symlinks=False)


def _remove(root: Path, path: bytes) -> None:
    _gone(_at(root, path))


def _rename(root: Path, path: bytes, new: bytes) -> None:
    _at(root, path).rename(_at(root, new))


def _repository(root: Path, path: bytes) -> None:
    folder = _new(root, path)
    folder.mkdir()
    _git(folder, "init", "-q")
    (folder / "inner").write_text("inner")
    (folder / "inner.log").write_text("tracked, though ignored above")
    _git(folder, "add", "-f", ".")
    _git(folder, "commit", "-qm", "inner")
    (folder / "later").write_text("untracked")


def _submodule(root: Path, path: bytes) -> None:
    _repository(root, path)
    _git(root, "add", "--", os.fsdecode(path))


def _commit(root: Path) -> None:
    _git(root, "add", "-A", "--ignore-errors")
    _git(root, "commit", "-qm", "all")


def _intend(root: Path, path: bytes) -> None:
    _git(root, "add", "--intent-to-add", "--", os.fsdecode(path))


def _git(folder: Path, *args: str) -> bytes:
    env = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    options = ("user.name=t", "user.email=t@example.org", "init.defaultBranch=m", "advice.a=b")
    flags = [word for option in options for word in ("-c", option)]
    return subprocess.run(
        ["git", *flags, *args],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**env, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_LITERAL_PATHSPECS": "1"},
    ).stdout


class Thing(NamedTuple):
    """A file, link or folder: `f`, `l` or `d`."""

    kind: str
    mode: int = 0
    said: str = ""  # a file's content, hashed, or where a link leads
    time: int | None = None


def expected(root: Path) -> dict[bytes, Thing]:
    """By `git ls-files`, repository by repository."""
    found: dict[bytes, Thing] = {b"": Thing("d", 0o755)}
    _expect(os.fsencode(root), b"", found)
    return found


def _expect(root: bytes, prefix: bytes, found: dict[bytes, Thing]) -> None:
    folder = _path(root, prefix)
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    links = _git(folder, "ls-files", "-z", "--stage").split(b"\0")
    modules = {entry.partition(b"\t")[2] for entry in links if entry.startswith(b"160000")}
    for name in {*filter(None, listed.split(b"\0"))}:
        path = prefix + name.rstrip(b"/")
        there = _path(root, path)
        parents = [path[:i] for i, byte in enumerate(path) if byte == ord("/")]
        if any(_path(root, p).is_symlink() for p in parents) or not os.path.lexists(there):
            continue
        status = there.lstat()
        folders = parents
        if there.is_symlink():
            found[path] = Thing("l", 0, repr(os.fsencode(there.readlink())))
        elif there.is_file():
            mode = (0o755 if status.st_mode & 0o100 else 0o644) | status.st_mode & 0o6000
            said = hashlib.sha256(there.read_bytes()).hexdigest()
            found[path] = Thing("f", mode, said, int(status.st_mtime // 1))
        elif name.endswith(b"/") or name in modules:
            folders = [*parents, path]
            if (there / ".git").exists():
                _expect(root, path + b"/", found)
        else:
            continue
        for parent in folders:
            found[parent] = Thing("d", 0o755)


def _path(root: bytes, path: bytes) -> Path:
    return Path(os.fsdecode(root + b"/" + path))


def seen(stream: Iterable[bytes]) -> dict[bytes, Thing]:
    """In a tar of the product in a machine."""
    found: dict[bytes, Thing] = {}
    data = io.BytesIO(b"".join(stream))
    with tarfile.open(fileobj=data, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            name = member.name.encode("utf-8", "surrogateescape").partition(b"/")[2]
            if member.isdir():
                found[name] = Thing("d", member.mode & 0o7777)
            elif member.issym():
                target = member.linkname.encode("utf-8", "surrogateescape")
                found[name] = Thing("l", 0, repr(target))
            else:
                content = tar.extractfile(member)
                assert content is not None
                said = hashlib.sha256(content.read()).hexdigest()
                found[name] = Thing("f", member.mode & 0o7777, said, int(member.mtime // 1))
    return found


def differences(one: dict[bytes, Thing], other: dict[bytes, Thing]) -> dict[bytes, tuple]:
    """What differs, for who reads it. Docker knows no time before 1970, and Podman rounds what
    it gives."""

    def same(this: Thing | None, that: Thing | None) -> bool:
        if this is None or that is None or this.time is None or that.time is None:
            return this == that
        apart = max(0, this.time) - max(0, that.time)
        return this[:3] == that[:3] and abs(apart) <= 1

    names = sorted({*one, *other})
    return {n: (one.get(n), other.get(n)) for n in names if not same(one.get(n), other.get(n))}
