"""`distromatrix init`: a product's folder → what is there → suites → the text of a matrix file.

Pure looking: nothing of the product is run, and only `cli/init.py` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distromatrix.init.facts import Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.kinds import KINDS, LAST
from distromatrix.init.write import matrix_text, named_apart

__all__ = ["Survey", "look"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found in a folder, and what could not be read."""

    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]

    @property
    def suites(self) -> tuple[tuple[str, str], ...]:
        """Each suite's name, with the file and the tool it comes from."""
        drafts = [(finding, draft) for finding in self.findings for draft in finding.drafts]
        names = (name for name, _ in named_apart(draft for _, draft in drafts))
        return tuple(
            (name, f"{finding.source}: {finding.what.partition(':')[0]}")
            for name, (finding, _) in zip(names, drafts, strict=True)
        )

    def text(self, distros: Sequence[str], more: Sequence[str] = ()) -> str:
        """The matrix file."""
        return matrix_text(self.findings, distros, more, self.warnings)


def look(root: Path) -> Survey:
    """See what there is in a product's folder. Never raises."""
    folder = ScannedFolder(root)
    findings = [found for kind in KINDS if (found := kind(folder)) is not None]
    if not any(finding.drafts for finding in findings):
        findings += [found for kind in LAST if (found := kind(folder)) is not None]
    return Survey(findings=tuple(findings), warnings=tuple(folder.warnings))
