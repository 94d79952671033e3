"""A repository of git."""

from __future__ import annotations

from pathlib import Path

import pytest
from changed_world import MATRIX, SUPPORTED, commit, write
from checkouts import git


@pytest.fixture
def repo(project: Path) -> Path:
    """The project on a branch that begins at `main`."""
    (project / "matrix/default.yaml").write_text(MATRIX)
    (project / "distros/one.yaml").write_text(SUPPORTED)
    git(project, "init", "-q", "-b", "main")
    write(project, "src/a", "docs/a", "README.md", "need.txt", "LICENSE", text="first\n")
    commit(project)
    git(project, "checkout", "-q", "-b", "topic")
    return project
