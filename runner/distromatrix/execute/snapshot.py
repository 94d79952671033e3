"""The product, as it is now, in one tar file: taken once for a run, copied for every cell.

In a git work tree that is what git tracks, as it is in the working tree, and what is neither
tracked nor ignored, submodules included; elsewhere it is the whole folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from distromatrix.errors import InputError
from distromatrix.model import Product
from distromatrix.runs import STATE, disk_fault, give_to_caller

PREFIX = "product"
GLOB_PARTS = re.compile(r"(\*\*/|\*\*|\*|\?)")
LINKS_NAMED = 3  # escaping links that a warning names before it only counts them


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A taken snapshot: `path` is a tar file whose members lie below `product/`, all of them
    root's; sizes in bytes."""

    path: Path
    files: int = 0
    size: int = 0
    warnings: tuple[str, ...] = ()

    def matching(self, globs: tuple[str, ...]) -> tuple[tuple[str, bytes, int], ...]:
        """The regular files that any of the globs matches: path from the product's root,
        content and mode, sorted by path. `**` crosses folders, `*` does not."""
        patterns = [re.compile(_glob(g)) for g in globs]
        found: list[tuple[str, bytes, int]] = []
        with tarfile.open(self.path) as tar:
            for member in tar:
                name = member.name.removeprefix(PREFIX + "/")
                if any(p.fullmatch(name) for p in patterns):
                    content = tar.extractfile(member) if member.isfile() else None
                    if content is not None:
                        found.append((name, content.read(), member.mode))
        return tuple(sorted(found))

    def digest(self) -> str:
        """What names the product as it is tested, wherever it was checked out: files, links and
        who may execute them, but for git's own, times and empty folders."""
        members: dict[str, tuple[str, ...]] = {}
        with tarfile.open(self.path) as tar:
            for member in tar:
                if member.isdir() or ".git" in PurePosixPath(member.name).parts:
                    continue
                content = tar.extractfile(member) if member.isfile() else None
                if content is None:
                    members[member.name] = ("link", member.linkname)
                else:
                    said = hashlib.sha256()
                    while block := content.read(1024**2):
                        said.update(block)
                    members[member.name] = ("x" * bool(member.mode & 0o100), said.hexdigest())
        listed = json.dumps(sorted(members.items())).encode()
        return "sha256:" + hashlib.sha256(listed).hexdigest()


def take(product: Product, dest: Path) -> Snapshot:
    """Write the product's snapshot to `dest`. Raises InputError when it cannot be read,
    InfrastructureError when it cannot be written."""
    try:
        return _take(product, dest)
    except OSError as error:
        raise disk_fault(error, dest) or InputError(
            f"{error.filename or product.path}: {error.strerror}"
        ) from error


def _take(product: Product, dest: Path) -> Snapshot:
    root = product.path
    paths = sorted(set(_listed_by_git(root) or _walk(root)))
    files = size = 0
    escaping: list[str] = []
    special: list[str] = []
    partial = dest.with_suffix(".part")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        _add_folder(tar, root, PurePosixPath())
        known = {PurePosixPath()}
        for relative in (*paths, *(_git_metadata(root, tar) if product.git else ())):
            path = root / relative
            name = PurePosixPath(relative)
            try:
                mode = path.lstat().st_mode
                for parent in reversed(name.parents):
                    if parent not in known:
                        known.add(parent)
                        _add_folder(tar, root, parent)
                if stat.S_ISLNK(mode) and _escapes(root, path):
                    escaping.append(relative)
                elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
                    special.append(relative)
                    continue
                size += _add(tar, path, f"{PREFIX}/{relative}")
                files += 1
            except FileNotFoundError:
                continue  # tracked, but deleted in the working tree
            except OSError as error:
                if disk_fault(error, dest):
                    raise
                said = error.strerror or "it changed while it was read; try again"
                raise InputError(f"{path}: cannot be read: {said}") from error
    partial.replace(dest)
    give_to_caller(dest)
    warnings = (
        *_warning(escaping, "points outside the product, and will dangle in the cells"),
        *_warning(special, "is no file, folder or link, and was left out"),
    )
    return Snapshot(path=dest, files=files, size=size, warnings=warnings)


def _add(tar: tarfile.TarFile, path: Path, arcname: str) -> int:
    info = tar.gettarinfo(path, arcname)
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    if info.isreg():
        with path.open("rb") as content:
            tar.addfile(info, content)
        return info.size
    tar.addfile(info)
    return 0


def _add_folder(tar: tarfile.TarFile, root: Path, relative: PurePosixPath) -> None:
    info = tarfile.TarInfo(str(PurePosixPath(PREFIX, relative)))
    info.type = tarfile.DIRTYPE
    status = (root / relative).stat()
    info.mode = status.st_mode & 0o777 | 0o700
    info.mtime = status.st_mtime
    info.uname = info.gname = "root"
    tar.addfile(info)


def _escapes(root: Path, link: Path) -> bool:
    target = link.readlink()
    if target.is_absolute():
        return True
    resolved = os.path.normpath(link.parent / target)
    return not Path(resolved).is_relative_to(root)


def _warning(names: list[str], what: str) -> Iterator[str]:
    for name in names[:LINKS_NAMED]:
        yield f"product: {name} {what}"
    if len(names) > LINKS_NAMED:
        yield f"product: … and {len(names) - LINKS_NAMED} more like it: {what}"


def _walk(root: Path, top: str = "") -> Iterator[str]:
    """Every file, link and empty folder below, as paths from the root."""
    for folder, names, files in os.walk(root / top):
        here = Path(folder).relative_to(root)
        if not top:
            names[:] = [n for n in names if n != STATE and n != ".git"]
        links = [n for n in names if (Path(folder) / n).is_symlink()]
        for name in (*files, *links):
            if top or name != ".git":
                yield (here / name).as_posix()
        if not files and not names and here != Path():
            yield here.as_posix()


def _git(folder: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(folder), *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
        check=False,
    )


def _listed_by_git(root: Path) -> list[str]:
    """What git has there, as paths from `root`; nothing where git knows nothing of it."""
    try:
        asked = _git(root, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        return []
    if b"dubious ownership" in asked.stderr:
        raise InputError(
            f"{root}: git will not read it, as another user owns it; "
            f"run: git config --global --add safe.directory {root}"
        )
    if asked.stdout.strip() != b"true":
        return []
    return list(_listed(root, ""))


def _listed(root: Path, prefix: str) -> Iterator[str]:
    folder = root / prefix
    tracked = _git(folder, "ls-files", "-z", "--stage").stdout.split(b"\0")
    untracked = _git(folder, "ls-files", "-z", "--others", "--exclude-standard").stdout
    for entry in filter(None, tracked):
        meta, _, raw = entry.partition(b"\t")
        name = os.fsdecode(raw)
        if meta.startswith(b"160000"):  # a submodule: a commit, not a file
            yield from _nested(root, f"{prefix}{name}/")
        else:
            yield prefix + name
    for raw in filter(None, untracked.split(b"\0")):
        name = os.fsdecode(raw)
        if name.split("/", 1)[0] == STATE:
            continue
        if name.endswith("/"):  # a repository of its own, not added
            yield from _nested(root, prefix + name)
        else:
            yield prefix + name


def _nested(root: Path, prefix: str) -> Iterator[str]:
    if (root / prefix / ".git").exists():
        yield from _listed(root, prefix)
    elif (root / prefix).is_dir():
        yield prefix.rstrip("/")


def _git_metadata(root: Path, tar: tarfile.TarFile) -> Iterable[str]:
    """Paths below `.git`; for a linked work tree, writes a whole `.git` made of both parts."""
    if not (root / ".git").exists():
        raise InputError(
            f"{root}: `git: true`, but there is no .git in it "
            "(the product must be the top folder of its work tree)"
        )
    if (root / ".git").is_dir():
        return [*_walk(root, ".git")]
    own = Path(os.fsdecode(_git(root, "rev-parse", "--absolute-git-dir").stdout.rstrip(b"\n")))
    asked = _git(root, "rev-parse", "--git-common-dir").stdout.rstrip(b"\n")
    common = (root / os.fsdecode(asked)).resolve()
    _add_folder(tar, root, PurePosixPath())
    for folder, skip in ((common, {"worktrees", "HEAD", "index"}), (own, None)):
        for relative in _walk(folder, "."):
            wanted = (
                relative in ("HEAD", "index")
                if skip is None
                else (relative.split("/", 1)[0] not in skip)
            )
            if wanted:
                _add(tar, folder / relative, f"{PREFIX}/.git/{relative}")
    return []


def _glob(pattern: str) -> str:
    """A regular expression for a glob over paths: `**/` any folders, `*` within a segment."""
    wild = {"*": "[^/]*", "?": "[^/]", "**/": "(?:[^/]+/)*", "**": ".+"}
    return "".join(wild.get(part) or re.escape(part) for part in GLOB_PARTS.split(pattern))
