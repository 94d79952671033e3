"""The `.git` of a product's copy, made whole: a folder that leads nowhere else, also where the
checkout's is a linked work tree's or a submodule's, or borrows objects from another repository
(gitrepository-layout(5))."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distromatrix.errors import InputError
from distromatrix.execute.product.entries import Listing
from distromatrix.execute.product.git_config import without_passwords, without_secrets
from distromatrix.files.git import ask, path_of

# What the work trees of a repository have in common, and what below that they have not.
_COMMON = (
    *("branches", "common", "config", "hooks", "info", "logs", "lost-found", "objects"),
    *("packed-refs", "refs", "reftable", "remotes", "rr-cache", "shallow", "svn"),
)
_OWN = re.compile(r"info/sparse-checkout|(logs/)?refs/(bisect|rewritten|worktree)(/.*)?|logs/HEAD")
# What would lead out of the copy, and what a git that is at work has left for itself.
_LEFT_OUT = re.compile(
    r"worktrees|commondir|gitdir|locked|objects/info/(alternates|http-alternates)"
    r"|.*\.lock|gc\.pid|fsmonitor--daemon.*"
    r"|[^/]*credential[^/]*"
)
_URLS = re.compile(r"FETCH_HEAD|(.*/)?(branches|logs|remotes)/.*")  # may hold some
_OBJECTS = re.compile(r"[0-9a-f]{2}/.+|pack/(?!multi-pack-index).*")
_GRAPHS = re.compile(r"objects/info/commit-graph.*")  # may build on the graph of a lender


def add_git(listing: Listing, root: Path, repositories: Iterable[str]) -> Iterator[str]:
    """Add the `.git` of each of the product's repositories, '' for its own. What cannot be made
    whole is said. Raises InputError, OSError."""
    if not os.path.lexists(root / ".git"):
        raise InputError(
            f"{root}: `git: true`, but there is no .git in it "
            "(the product must be the top folder of its work tree)"
        )
    found = [_repository(root, prefix) for prefix in dict.fromkeys(("", *repositories))]
    elsewhere = {os.path.realpath(one.own) for one in found}
    for one in found:
        yield from _add_one(listing, one, elsewhere)


@dataclass(frozen=True, slots=True)
class _Repository:
    """The repository of a work tree: its folder for this work tree and the one that all its work
    trees share, which is the same but for a linked one."""

    tree: Path
    name: str  # of its `.git` in the product
    own: Path
    common: Path

    @property
    def linked(self) -> bool:
        return self.own != self.common

    def files(self, elsewhere: set[str]) -> Iterator[tuple[str, Path]]:
        """See _files."""
        for top in dict.fromkeys((self.common, self.own)):
            for relative, path in _files(top, elsewhere - {os.path.realpath(top)}):
                if not self.linked or _is_common(relative) == (top == self.common):
                    yield relative, path


def _repository(root: Path, prefix: str) -> _Repository:
    tree = root / prefix
    own = common = tree / ".git"
    if not own.is_dir():
        own = common = path_of(ask(tree, "rev-parse", "--absolute-git-dir"))
    if (own / "commondir").exists():
        common = tree / path_of(ask(tree, "rev-parse", "--git-common-dir"))
    return _Repository(tree, f"{prefix}.git", own, common)


def _add_one(listing: Listing, one: _Repository, elsewhere: set[str]) -> Iterator[str]:
    lenders: list[Path] = []
    for lost in _lenders(one.common / "objects", lenders):
        yield f"{one.tree}: git borrows objects from {lost}, which is not there"
    listing.add_folder(one.own, one.name)
    moved = one.linked or not (one.tree / ".git").is_dir()
    partial = False
    for relative, path in one.files(elsewhere):
        partial = partial or relative.endswith(".promisor")
        if _is_config(relative, path):
            # It lies in its work tree now, and says no more where that is.
            elsewhere_too = ("core.worktree",) * moved + ("core.bare",) * one.linked
            content = without_secrets(path, elsewhere_too)
            listing.add_bytes(content, f"{one.name}/{relative}", path)
        elif _URLS.fullmatch(relative) and path.is_file() and not path.is_symlink():
            content = without_passwords(path.read_bytes())
            listing.add_bytes(content, f"{one.name}/{relative}", path)
        elif not (lenders and _GRAPHS.fullmatch(relative)):
            _add(listing, path, f"{one.name}/{relative}")
    for lender in lenders:
        for relative, path in _files(lender, set()):
            if _OBJECTS.fullmatch(relative):
                _add(listing, path, f"{one.name}/objects/{relative}")
    if partial:
        yield f"{one.tree}: is a partial clone: what git has not fetched is not in the cells"
    if one.linked and (one.common / "reftable").is_dir():
        yield (
            f"{one.tree}: is a linked work tree of a repository with reftables: in the cells, git "
            "does not know its HEAD"
        )


def _add(listing: Listing, path: Path, name: str) -> None:
    """A file or folder as git has it now: what it packs or removes meanwhile is found
    elsewhere."""
    if name in listing.entries:
        return
    try:
        _add(listing, path.parent, name.rpartition("/")[0])
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            listing.add_folder(path, name)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            listing.add(path, name, elsewhere=True)
    except FileNotFoundError:
        return


def _is_config(relative: str, path: Path) -> bool:
    """Whether it is a repository's, also of one within, and no branch of that name."""
    above, _, name = relative.rpartition("/")
    if name not in ("config", "config.worktree") or not path.is_file():
        return False
    return not above or (path.parent / "objects").is_dir()


def _is_common(relative: str) -> bool:
    return relative.split("/", 1)[0] in _COMMON and not _OWN.fullmatch(relative)


def _files(top: Path, elsewhere: set[str]) -> Iterator[tuple[str, Path]]:
    """Files, folders and links that stay inside, with their paths from `top`. Links that lead
    to another repository's, as `git-new-workdir` makes them, are followed, and to nothing else;
    folders of `elsewhere` are left out."""
    inside = os.path.realpath(top)
    seen, left = {inside}, [(top, "")]
    while left:
        folder, prefix = left.pop()
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names
            path, relative = folder / name, prefix + name
            if _LEFT_OUT.fullmatch(relative):
                continue
            if path.is_symlink():
                real = Path(os.path.realpath(path))
                if not real.is_relative_to(inside) and _is_repositorys(real):
                    path = real
            if path.is_symlink() or not path.is_dir():
                yield relative, path
            elif (real_name := os.path.realpath(path)) not in seen and real_name not in elsewhere:
                seen.add(real_name)
                yield relative, path
                left.append((path, f"{relative}/"))


def _is_repositorys(path: Path) -> bool:
    """Whether it is there, and lies in the folder of a repository, or one folder below."""
    return path.exists() and any(
        (above / "HEAD").is_file() and (above / "objects").is_dir() and (above / "refs").is_dir()
        for above in path.parents[:2]
    )


def _lenders(objects: Path, found: list[Path]) -> Iterator[str]:
    """Add the folders whose objects are borrowed to `found`; those that are not there are said."""
    try:
        lines = (objects / "info/alternates").read_bytes().splitlines()
    except OSError:
        return
    for line in filter(None, lines):
        if line.startswith(b"#"):
            continue
        named = os.fsdecode(_unquoted(line))
        folder = Path(os.path.realpath(objects / named))
        if not folder.is_dir():
            yield named
        elif folder not in found:
            found.append(folder)
            yield from _lenders(folder, found)


def _unquoted(line: bytes) -> bytes:
    """A path that git may have written as a string of C."""
    if not (line.startswith(b'"') and line.endswith(b'"')):
        return line
    return line[1:-1].decode("unicode_escape").encode("latin-1")
