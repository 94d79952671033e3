"""What suites really open, by strace in a real container."""

from __future__ import annotations

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine


def test_reads_are_held_against_what_suites_open(project: Project) -> None:
    for name in ("src/a.txt", "src/b.txt", "docs/x.md", "docs/é.md", "docs/z.md", "tools/t"):
        file = project.root / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("text\n")
    project.suites(
        {
            "right": {"setup": "cat src/b.txt", "run": "cd src; cat a.txt", "reads": ["src/*"]},
            "wrong": {
                "run": "set -o pipefail; cat docs/é.md | (exec cat); echo >docs/x.md; ls tools",
                "shell": "bash",
                "reads": ["src/**", "tools/**"],
            },
            "silent": "cat src/a.txt hello; exit 3",
        },
        distros=["debian-12"],
        defaults={"timeout": "1m"},
    )
    said = project.call("run", "--check-reads")
    assert said.code == 1, said.out + said.err
    verdicts = {suite: result["verdict"] for suite, result in project.results().items()}
    assert verdicts == {"right": "passed", "wrong": "passed", "silent": "failed"}
    lines = [
        line.removeprefix("reads   ") for line in said.err.splitlines() if line.startswith("reads ")
    ]
    assert lines == [
        "right: opened 2 of the product's 9 files; its `reads` are right",
        "silent: opened 2 of the product's 9 files; its `reads` would be: `hello`, `src/**`",
        "wrong: opened 1 of the product's 9 files, and its `reads` lack `docs/é.md`",
        "wrong: nothing that `src/**` matches was opened",
        "wrong: nothing that `tools/**` matches was opened",
        "wrong: its `reads` would be: `docs/é.md`",
    ]
