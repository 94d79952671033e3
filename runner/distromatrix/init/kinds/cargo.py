"""Rust packages."""

from __future__ import annotations

from distromatrix.init import reports
from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder


def look(folder: ScannedFolder) -> Finding | None:
    """A Cargo.toml, or None."""
    if not folder.has("Cargo.toml"):
        return None
    sources = [p for p in folder.files if p.endswith(".rs")]
    tests = any(p.startswith("tests/") or "#[test]" in folder.head(p) for p in sources[:500])
    if not tests:
        return Finding(source="Cargo.toml", what="a Rust package in which no #[test] was seen")
    draft = Draft(
        name="cargo",
        about=("Cargo.toml: cargo test",),
        packages=("cargo", "compiler"),
        run=reports.CARGO_TEST,
    )
    return Finding(source="Cargo.toml", what="cargo test", drafts=(draft,))
