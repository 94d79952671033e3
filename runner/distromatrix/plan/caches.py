"""The caches that suites may name without saying where they are."""

from __future__ import annotations

from collections.abc import Mapping

OURS = "/distromatrix"  # where in a machine the product is, and what is ours

# Where each tool keeps what it downloads or compiles, unless it is told otherwise.
CACHES: Mapping[str, str] = {
    "bazel": "~/.cache/bazel",
    "cargo": "~/.cargo/registry",
    "ccache": "~/.ccache",  # where it is there, newer ones use it, too (ccache(1), cache_dir)
    "composer": "~/.cache/composer",
    "go": "~/go/pkg/mod",
    "go-build": "~/.cache/go-build",
    "gradle": "~/.gradle/caches",
    "maven": "~/.m2/repository",
    "npm": "~/.npm",
    "pip": "~/.cache/pip",
    "pnpm": "~/.local/share/pnpm/store",
    "poetry": "~/.cache/pypoetry",
    "pre-commit": "~/.cache/pre-commit",
    "sccache": "~/.cache/sccache",
    "uv": "~/.cache/uv",
    "yarn": "~/.cache/yarn",
}
