"""The reusable workflow, carried out: every script of it in order, as a runner would, with real
containers for the shards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from actions.files import Storage
from actions.runner import Runner
from given import alpine_archive

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
MATRIX = {
    "product": ".",
    "distros": ["alpine-3.20", "debian-12"],
    "pass_env": ["TOKEN"],
    "defaults": {"network": False, "memory": "64M", "timeout": "1m"},
    "suites": {
        "extra": {"run": "true"},
        "unit": {"run": 'echo "$TOKEN"; sh unit.sh > "$DISTROMATRIX_JUNIT"'},
    },
}
# One case holds everywhere, the other where the libc is GNU's.
UNIT = """\
test "$TOKEN" = "a secret"
if ls /lib/ld-musl-* >/dev/null 2>&1; then found='<failure message="this libc is musl"/>'; fi
cat <<END
<testsuite name="unit"><testcase classname="libc" name="test_is_gnu">$found</testcase>
<testcase classname="libc" name="test_is_there"/></testsuite>
END
"""


@pytest.fixture
def world(tmp_path: Path) -> Storage:
    """A product in a repository, and what GitHub keeps of it."""
    folder = tmp_path / "github"
    product = folder / "repository"
    (product / "matrix").mkdir(parents=True)
    (product / "matrix/default.yaml").write_text(yaml.safe_dump(MATRIX))
    (product / "unit.sh").write_text(UNIT)
    git = ["git", "-C", str(product), "-c", "user.name=x", "-c", "user.email=x@mirror.example"]
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "all")):
        subprocess.run([*git, *command], check=True)
    return Storage(folder, product, sys.executable)


def installed_once(storage: Storage) -> Callable[[Path], None]:
    """The first job of all installs distromatrix by pip; the others find it there."""

    def before(temp: Path) -> None:
        for done in storage.folder.glob("machine-*/temp/distromatrix/what"):
            if done.is_relative_to(temp.parent):
                continue
            (temp / "distromatrix").symlink_to(done.parent)
            return

    return before


def without_unit(matrix: Mapping[str, Any]) -> bool:
    return not [cell for cell in matrix["cells"] if cell.endswith("/unit")]


def test_a_lost_shard_and_a_case_that_fails_only_on_alpine_are_told_as_that(
    world: Storage,
) -> None:
    runner = Runner(
        root=ROOT,
        workflow=ROOT / ".github/workflows/distromatrix.yml",
        storage=world,
        inputs={"selectors": "*/unit\ndebian-12/extra", "shards": "3", "cache-size": 60},
        secrets={"pass-env": "TOKEN=a secret\n"},
        lost=without_unit,
        before=installed_once(world),
    )
    if archive := alpine_archive():
        runner.environ["DISTROMATRIX_ARCHIVES"] = str(archive.parent)
    jobs = runner.run()
    assert [j.id for j in jobs] == ["plan", "shard", "shard", "shard", "answer"], jobs[0].log
    answer, shards = jobs[-1], {j.name: j for j in jobs[1:4]}
    assert set(shards) == {"alpine-3.20/unit", "debian-12/unit", "debian-12/extra"}
    log = "\n".join(job.log for job in jobs)

    file = world.artifacts["distromatrix"] / "results.json"
    results = {cell["id"]: cell for cell in json.loads(file.read_text())["cells"]}
    verdicts = {name: cell["verdict"] for name, cell in results.items()}
    assert verdicts == {
        "alpine-3.20/unit": "failed",
        "debian-12/unit": "passed",
        "debian-12/extra": "error",
    }, log
    assert "is lost" in results["debian-12/extra"]["reason"]
    assert (answer.result, answer.outputs) == ("failure", {"verdict": "error"})
    assert "a secret" not in log

    first = next(a for a in answer.annotations if a.kind == "error")
    said = first.message + first.properties
    assert "test_is_gnu" in said and "fails only on alpine-3.20" in said
    assert "fails only on alpine-3.20" in answer.summary.replace("\\", "").replace("`", "")

    # Alpine's few megabytes are kept for the next run; Debian's are more than a third of 60.
    kept = [key for key in world.caches if key.startswith("distromatrix-images-Linux-X64-")]
    assert len(kept) == 1
    assert shards["alpine-3.20/unit"].step("Keep them").outcome == "success"
    assert shards["debian-12/unit"].step("Keep them").outcome == "skipped"
    assert [key for key in world.caches if key.startswith("distromatrix-history-")]
