"""`distromatrix init`: a product's folder → what is there → suites → the text of a matrix file.

Pure looking: nothing of the product is run, and only `cli/init.py` writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from distromatrix.errors import InputError
from distromatrix.files.below import Folder
from distromatrix.init.choose import globs_in
from distromatrix.init.facts import Draft, Finding, shared_family
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.kinds import KINDS, LAST
from distromatrix.init.write import matrix_text, suites_of

__all__ = ["Survey", "look", "written_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found in a folder, and what could not be read."""

    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]

    @property
    def suites(self) -> tuple[tuple[str, str], ...]:
        """Each suite's name, with a line that says from which file and tool it comes."""
        return tuple(
            (
                name,
                f"{finding.source}: {finding.what.partition(':')[0]} → "
                f"{'' if draft.imports else 'suite '}{name}",
            )
            for name, (finding, draft) in suites_of(self.findings).items()
        )

    @property
    def family(self) -> str:
        """The family of distros that all of its suites are for; '' where there are others."""
        return shared_family(draft.family for one in self.findings for draft in one.drafts)

    def only(self, wanted: str) -> Survey:
        """What belongs to some of its suites: names or globs, each of which matches. Raises
        InputError."""
        names = [name for name, _ in self.suites]
        there = f"; found: {', '.join(names)}" if names else "; found none"
        globs = globs_in(wanted, names, "suite", there)
        if not globs:
            raise InputError("no suite is named")
        kept = iter(any(fnmatchcase(name, glob) for glob in globs) for name in names)
        findings = [
            replace(finding, drafts=tuple(draft for draft in finding.drafts if next(kept)))
            for finding in self.findings
        ]
        pairs = zip(findings, self.findings, strict=True)
        return replace(
            self, findings=tuple(new for new, old in pairs if new.drafts or not old.drafts)
        )

    def text(
        self,
        distros: Sequence[str],
        more: Sequence[str] = (),
        *,
        why: str = "",
        away: Mapping[str, str] | None = None,
        root: bool = False,
    ) -> str:
        """The matrix file; see `matrix_text`."""
        return matrix_text(
            self.findings, distros, more, self.warnings, why=why, away=away, root=root
        )


def written_out(root: Path, name: str) -> Survey:
    """The suites that `suites: {import: …}` would read, of the format of that name. Raises
    InputError."""
    from distromatrix.load.imports.formats import FORMATS

    form = FORMATS[name]
    try:
        with Folder.at(root) as folder:
            if not form.is_there(folder, form.usual):
                raise InputError(f"--from {name}: there is no {form.usual}/{form.holds} in {root}")
            found = form.read_suites(folder, form.usual)
    except OSError as error:
        raise InputError(f"{root}: cannot be opened: {error.strerror}") from error
    drafts = tuple(
        Draft(name=suite, about=(f"{one.file}:{one.line}",), keys=one.keys, family=found.family)
        for suite, one in found.suites.items()
    )
    unwritten = [
        f"{one.file}:{one.line}: rules of `adjust` for {suite} are not written out"
        for suite, one in found.suites.items()
        if one.rules
    ]
    notes = (*found.left_out, *unwritten)
    finding = Finding(source=form.usual, what=name, drafts=drafts, notes=notes)
    return Survey(findings=(finding,), warnings=())


def look(root: Path) -> Survey:
    """See what there is in a product's folder. Never raises."""
    folder = ScannedFolder(root)
    findings = [found for kind in KINDS if (found := kind(folder)) is not None]
    if not any(finding.drafts for finding in findings):
        findings += [found for kind in LAST if (found := kind(folder)) is not None]
    folder.warn_of_submodules()
    return Survey(findings=tuple(findings), warnings=tuple(folder.warnings))
