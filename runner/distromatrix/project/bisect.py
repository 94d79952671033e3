"""The first commit of a product at which a cell, or a case of it, fails: as git bisect finds it,
in a work tree of its own, so that the user's checkout stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from distromatrix.collect.text import one_line
from distromatrix.engines import Engines
from distromatrix.errors import InfrastructureError, InputError
from distromatrix.files.git import ask, is_work_tree, path_of
from distromatrix.load.settings import Settings
from distromatrix.model import Plan
from distromatrix.project.again import passed, run_again, why_not
from distromatrix.project.changed import no_filters
from distromatrix.record.folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of a commit: `good` None where it cannot be told, and `why`. `log`: where what
    was printed is."""

    commit: str
    subject: str
    good: bool | None
    why: str
    log: Path

    @property
    def verdict(self) -> str:
        """As git bisect calls it."""
        return {True: "good", False: "bad", None: "skip"}[self.good]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The end of a search: the first bad commit, or, where some could not be told, all that it
    may be; with the steps at them, and the last good one."""

    first: tuple[str, ...]
    bad: Step
    good: Step


class Product:
    """A product's commits, checked out one at a time in a folder of our own, which borrows the
    repository's objects. Raises InputError."""

    def __init__(self, product: Path, folder: Path) -> None:
        self._from, self._folder = product, folder
        try:
            if not is_work_tree(product):
                raise InputError(f"{product}: is no git work tree: there are no commits to search")
        except FileNotFoundError:
            raise InputError("bisect needs git, which is not installed") from None
        top = path_of(ask(product, "rev-parse", "--show-toplevel"))
        self.path = folder / product.resolve().relative_to(top.resolve())
        objects = path_of(ask(product, "rev-parse", "--git-path", "objects"))
        folder.mkdir()
        ask(folder, "init", "-q", "--template=")
        lent = os.fsencode((product / objects).resolve())
        (folder / ".git/objects/info").mkdir(exist_ok=True)
        (folder / ".git/objects/info/alternates").write_bytes(lent + b"\n")
        tags = ask(product, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags")
        (folder / ".git/packed-refs").write_bytes(tags)  # by which some tools tell the version

    def resolve(self, ref: str) -> str:
        """The commit that the user calls so."""
        asked = ("rev-parse", "--verify", "-q", "--end-of-options", f"{ref}^{{commit}}")
        found = ask(self._from, *asked, missing=b"").decode().strip()
        if not found:
            raise InputError(f"{one_line(ref)}: no such commit in {self._from}")
        return found

    def untried(self, commit: str) -> str:
        """What of the user's checkout, or of that commit, is in no step, in a line; '' where
        nothing is. Raises InputError."""
        status = ("status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=all")
        dirty = ask(self._from, *status, settings=no_filters(self._from))
        modules = ask(self._folder, "ls-tree", "-z", commit, "--", ".gitmodules")
        left = ["changes that are not committed"] if dirty else []
        left += ["submodules (their folders are empty)"] if modules else []
        return f"not in what is tried: {', '.join(left)}" if left else ""

    def between(self, bad: str, good: str, order: str = "--bisect-all") -> tuple[str, ...]:
        """The commits that may be the first bad one: those first by which most is learnt, or in
        another order of git rev-list's."""
        said = ask(self._folder, "rev-list", order, bad, f"^{good}").decode()
        return tuple(line.split()[0] for line in said.splitlines())

    def describe(self, commit: str) -> str:
        """Its author, its day and its subject, of hostile text."""
        form = "--format=%an, %cs: %s"
        return one_line(ask(self._folder, "log", "-1", form, commit).decode(errors="replace"))

    def subject(self, commit: str) -> str:
        """Its subject alone."""
        said = ask(self._folder, "log", "-1", "--format=%s", commit)
        return one_line(said.decode(errors="replace"), 60)

    def check_out(self, commit: str) -> None:
        """Make the folder what it is at that commit, and nothing else."""
        ask(self._folder, "checkout", "-q", "--force", "--detach", commit)
        ask(self._folder, "clean", "-q", "-ffdx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What it takes: a plan of one cell, the `case` of it ('' for the whole), and where the folders
    of the steps are to lie."""

    plan: Plan
    case: str
    engines: Engines
    settings: Settings
    folder: Path

    def find(self, product: Product, good: str, bad: str, tell: Callable[[str], None]) -> Found:
        """Raises InputError where the ends are not what they are said to be, InfrastructureError
        where one of them cannot be told, KeyboardInterrupt where it was interrupted."""
        last = self._end(product, bad, "bad", tell)
        first = self._end(product, good, "good", tell)
        skipped: set[str] = set()
        while len(may := product.between(last.commit, first.commit)) > 1:
            left = [one for one in may if one not in skipped and one != last.commit]
            if not left:
                oldest_first = product.between(last.commit, first.commit, "--reverse")
                return Found(first=oldest_first, bad=last, good=first)
            step = self._try(product, left[0], f"{len(may) - 1} left", tell)
            if step.good is None:
                skipped.add(step.commit)
            elif step.good:
                first = step
            else:
                last = step
        return Found(first=(last.commit,), bad=last, good=first)

    def _end(self, product: Product, commit: str, name: str, tell: Callable[[str], None]) -> Step:
        step = self._try(product, commit, f"--{name}", tell)
        if step.good is None:
            raise InfrastructureError(
                f"--{name} {commit[:12]} cannot be told: {step.why}; log: {step.log}",
                transient=False,
            )
        if step.verdict != name:
            said = "passes" if step.good else f"fails, too ({step.why})"
            raise InputError(f"--{name} {commit[:12]} {said}: nothing to search; log: {step.log}")
        return step

    def _try(self, product: Product, commit: str, what: str, tell: Callable[[str], None]) -> Step:
        product.check_out(commit)
        subject = product.subject(commit)
        number = len(list(self.folder.iterdir())) + 1
        with RunFolder.create_at(self.folder / f"{number:02}-{commit[:12]}") as folder:
            if product.path.is_dir():
                good, why, log = self._run(product.path, folder)
            else:
                good, why, log = None, "the product's folder is not there", folder.path
        step = Step(commit=commit, subject=subject, good=good, why=why, log=log)
        tell(f"[{what}] {commit[:12]} {step.verdict:4}  {subject}{why and f' ({why})'}")
        return step

    def _run(self, path: Path, folder: RunFolder) -> tuple[bool | None, str, Path]:
        plan = replace(self.plan, product=replace(self.plan.product, path=path))
        try:
            (cell,) = run_again(plan, self.engines, self.settings, folder, self.case).cells
        except InputError as error:  # such as a prepare file that is not there yet
            return None, one_line(str(error)), folder.path
        log = folder.path / "cells" / cell.id / "log.txt"
        good = passed(cell, folder.path, self.case)
        return good, why_not(cell, good, self.case), log
