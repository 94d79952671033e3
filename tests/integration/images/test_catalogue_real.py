"""The catalogue where it can be had: its packages exist, and a new distro is one file away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distromatrix.engines import open_engine
from distromatrix.images.base.sources import base_tag
from distromatrix.load import load_distros
from distromatrix.load.settings import load_settings
from given import alpine_or_pulled
from quick_python import quick_python

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[3]


def call(*args: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [quick_python(), "-m", "distromatrix", *args],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return {cell["id"]: cell["verdict"] for cell in json.loads(done.stdout)["cells"]}


@pytest.mark.slow
def test_the_common_packages_of_the_debians_are_what_they_are_called() -> None:
    done = call("run", "-m", "matrix/catalogue.yaml", "debian-*/common", "--json")
    debians = [d.name for d in load_distros(None) if d.name.startswith("debian-")]
    assert verdicts(done) == {f"{name}/common": "passed" for name in debians}
    assert done.returncode == 0


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Path]:
    """A copy of the example, whose own distros' images go with it."""
    root = tmp_path / "logtally"
    shutil.copytree(
        ROOT / "examples/logtally", root, ignore=shutil.ignore_patterns(".distromatrix")
    )
    yield root
    engine = open_engine("docker")
    for distro in load_distros(root):
        if distro.file.is_relative_to(root):
            for source in distro.image:
                engine.images.remove(base_tag(distro, source, load_settings()))
    engine.close()


def test_a_new_distro_is_one_command_and_runs(product: Path) -> None:
    archives = str(alpine_or_pulled().parent)
    added = call("add-distro", "brandnew-1", "--like", "alpine-3.20", cwd=product)
    assert added.returncode == 0, added.stderr
    matrix = (product / "matrix/default.yaml").read_text()
    suites = 'suites: {core: {run: sh tests/core.sh "$DISTROMATRIX_JUNIT"}}\n'
    head = matrix.partition("distros:")[0]
    (product / "matrix/new.yaml").write_text(f"{head}distros: [brandnew-1]\n{suites}")
    done = call(
        "run", "-m", "matrix/new.yaml", "--json", cwd=product, DISTROMATRIX_ARCHIVES=archives
    )
    assert verdicts(done) == {"brandnew-1/core": "passed"}
    assert done.returncode == 0
