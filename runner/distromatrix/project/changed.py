"""Only what a change touches: what git says is other than where the branch began, the working
tree and untracked files with it, held against what the suites read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distromatrix.errors import InputError
from distromatrix.files.git import ask, is_work_tree, path_of
from distromatrix.model import Matrix
from distromatrix.plan.reads import untouched
from distromatrix.wording import quoted

_DEFAULTS = (  # branches that may be the default one, below refs/
    *("remotes/origin/HEAD", "remotes/origin/main", "heads/main"),
    *("remotes/origin/master", "heads/master"),
)
_FILES = {b"100644", b"100755", b"000000"}  # modes: a plain file, or none
_FIELDS = {b"1": 8, b"u": 10, b"?": 1}  # before the path, by kind of record (git-status(1))
_SUBMODULE = b"160000"
_DIGITS = 12  # of a commit that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a change means for the suites: those that are left out, each with the reason, and a
    line for the user."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    said: str


def changes_since(matrix: Matrix, ref: str) -> Changes:
    """What has changed since the merge base with `ref`, or with the default branch where that is
    ''. Raises InputError where git cannot tell."""
    root, product = matrix.root.resolve(), matrix.product.path.resolve()
    top = _top_of(root)
    if _top_of(product) != top:
        raise InputError(
            f"--changed: the product ({product}) is not in the matrix's git repository ({top}): "
            "run without --changed"
        )
    head, base, name = _merge_base(top, ref)
    since = f"{name} ({base[:_DIGITS]})"
    found: dict[str, bool] = {}
    for path, plain in _changed(top, base):
        found[path] = plain and found.get(path, True)
    if not found and head == base:
        return _everything(f"nothing changed since {since}, as on the default branch")
    decisive = _decisive(matrix, root, top)
    below = "" if product == top else f"{product.relative_to(top)}/"
    files: list[str] = []
    for path, plain in sorted(found.items()):
        if any(path == one or path.startswith(f"{one}/") for one in decisive):
            return _everything(f"{quoted(path)} changed, which says what cells are")
        if not path.startswith(below):
            continue  # in no cell
        if not plain:
            return _everything(f"{quoted(path)} changed, which is no plain file")
        files.append(path.removeprefix(below))
    left_out, unread = untouched(matrix.suites, files, since)
    if unread:
        return _everything(f"{quoted(unread)} changed, which no suite's `reads` mentions")
    many = f"{len(left_out)} of {len(matrix.suites)} suites"
    return Changes(left_out=left_out, said=f"{many} read nothing that changed since {since}")


def _everything(why: str) -> Changes:
    return Changes(said=f"all suites run: {why}")


def _top_of(folder: Path) -> Path:
    """The top folder of its work tree. Raises InputError where it is in none."""
    try:
        if is_work_tree(folder):
            return path_of(ask(folder, "rev-parse", "--show-toplevel"))
        why = f"{folder} is in no git repository"
    except FileNotFoundError:
        why = "git, which knows what changed, is not installed"
    raise InputError(f"--changed: {why}: run without --changed")


def _decisive(matrix: Matrix, root: Path, top: Path) -> set[str]:
    """What all cells depend on, from the top folder: files and folders, both those that are
    links and where these lead."""
    file = root / os.path.relpath(matrix.file, matrix.root)
    found = [file, root / "matrix", root / "distros", root / "distros.lock"]
    found += [Path(matrix.ca_bundle)] if matrix.ca_bundle not in ("host", "none") else []
    guests = (distro.guest for distro in matrix.distros)
    found += [guest.vagrantfile for guest in guests if guest and guest.vagrantfile]
    every = {*found, *(path.resolve() for path in found)}
    return {str(path.relative_to(top)) for path in every if path.is_relative_to(top)}


def _merge_base(top: Path, ref: str) -> tuple[str, str, str]:
    """The commits of HEAD and of its merge base with `ref`, and what that is called. Raises
    InputError."""
    head = _commit(top, "HEAD")
    if not head:
        raise InputError(f"--changed: {top} has no commit yet: run without --changed")
    for name in (ref,) if ref else (f"refs/{name}" for name in _DEFAULTS):
        if other := _commit(top, name):
            break
    else:
        what = (
            f"no commit {quoted(ref)}" if ref else "no default branch (origin/HEAD, main, master)"
        )
        hint = "a REF is a branch, tag or commit that is here: --changed=REF"
        raise InputError(f"--changed: git knows {what} here: {_shallow(top) or hint}")
    base = ask(top, "merge-base", head, other, missing=b"").decode().strip()
    shown = quoted(ref or name.split("/", 2)[2])
    if not base:
        hint = "name another: --changed=REF"
        raise InputError(
            f"--changed: HEAD and {shown} have no commit in common here: {_shallow(top) or hint}"
        )
    return head, base, shown


def _commit(top: Path, name: str) -> str:
    """The commit of that name, '' where there is none."""
    if name.startswith("-"):  # it would be an option
        return ""
    try:
        asked = ask(top, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", missing=b"")
    except InputError:  # a name that git cannot even read
        return ""
    return asked.decode().strip()


def _shallow(top: Path) -> str:
    """What to do where git has not the whole history, '' where it has."""
    if ask(top, "rev-parse", "--is-shallow-repository").strip() != b"true":
        return ""
    return "the checkout is shallow: set `fetch-depth: 0`, or fetch all of it (--unshallow)"


def _changed(top: Path, base: str) -> Iterator[tuple[str, bool]]:
    """The paths of a work tree that are not as in HEAD, or there not as in another commit, and
    whether each is and was a plain file. What is in a repository within is not told one by one.
    Raises InputError."""
    fields = iter(
        ask(top, "diff-tree", "-r", "-z", "--raw", "--no-renames", base, "HEAD").split(b"\0")
    )
    for head in filter(None, fields):
        yield os.fsdecode(next(fields)), {head[1:7], head[8:14]} <= _FILES
    # Unlike `diff`, it leaves the index as it is (GIT_OPTIONAL_LOCKS of git(1)).
    status = ("status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all")
    told = ask(top, *status, "--ignore-submodules=dirty", settings=no_filters(top))
    for record in told.split(b"\0"):
        if fields_before := _FIELDS.get(record[:1]):
            *meta, raw = record.split(b" ", fields_before)
            name = os.fsdecode(raw)
            modes = {part for part in meta[3:] if len(part) == len("100644")}
            yield name.rstrip("/"), modes <= _FILES if modes else _is_plain(top / name)
    for record in ask(top, "ls-files", "-z", "--stage").split(b"\0"):
        if record.startswith(_SUBMODULE):
            name = os.fsdecode(record.partition(b"\t")[2])
            if _is_dirty(top / name):
                yield name, False


def _is_dirty(submodule: Path) -> bool:
    """Whether a submodule that is there is other than its HEAD, or cannot be asked."""
    if submodule.is_symlink() or not os.path.lexists(submodule / ".git"):
        return False
    top = _top_of(submodule)
    return top != submodule.resolve() or any(_changed(top, "HEAD"))


def no_filters(top: Path) -> Iterator[str]:
    """The settings that keep git from running, when it compares files, the filters that a
    repository's config names: files count as they are. Raises InputError."""
    keys = ask(top, "config", "-z", "--name-only", "--get-regexp", r"^filter\.", missing=b"")
    for key in sorted({raw.rpartition(b".")[0] for raw in keys.split(b"\0") if raw}):
        name = os.fsdecode(key)
        if "=" in name:
            raise InputError(f"git's config has a {quoted(name)}: rename or remove it")
        for option in ("clean=", "process=", "required=false"):
            yield f"{name}.{option}"


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return True  # gone meanwhile
