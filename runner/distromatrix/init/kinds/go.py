"""Go modules."""

from __future__ import annotations

from distromatrix.init import reports
from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder


def look(folder: ScannedFolder) -> Finding | None:
    """A go.mod with `*_test.go` files beside or below it, or None."""
    if not folder.has("go.mod"):
        return None
    if not any(path.endswith("_test.go") for path in folder.files):
        return Finding(source="go.mod", what="a Go module without a _test.go file")
    cgo = any('import "C"' in folder.head(p) for p in folder.files[:500] if p.endswith(".go"))
    draft = Draft(
        name="go",
        about=("go.mod: go test ./...",),
        packages=("golang-go", *(("compiler",) if cgo else ())),
        run=reports.GO_TEST,
    )
    return Finding(source="go.mod", what="go test", drafts=(draft,))
