"""Suites that fail, hang and eat memory, in one run: each is told as what it was."""

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine


def test_three_bad_ends_are_told_apart(project: Project) -> None:
    hungry = "dd if=/dev/zero of=/dev/null bs=200M count=1 || exit 1"
    project.suites(
        {
            "fine": "echo fine",
            "fails": "echo broken; exit 3",
            "hangs": {"run": "sleep 4741", "timeout": "3s"},
            "hungry": hungry,
        },
        defaults={"network": False, "memory": "64M", "timeout": "10m"},
    )
    assert project.call("run", timeout=900).code == 1
    cells = project.results()
    verdicts = {name: cell["verdict"] for name, cell in cells.items()}
    assert verdicts == {"fine": "passed", "fails": "failed", "hangs": "failed", "hungry": "failed"}
    reasons = {name: cell["reason"] for name, cell in cells.items()}
    assert "status 3" in reasons["fails"]
    assert "sleep 4741" in reasons["hangs"]
    assert "64 MiB" in reasons["hungry"]
    assert project.left() == []
