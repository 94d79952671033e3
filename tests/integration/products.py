"""Products that no one here wrote, their suites through distromatrix, and the same by hand.

What is downloaded stays in the user's cache, and so do the prepared images, as with any other
product (`distromatrix images prune` removes them).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen

from filelock import FileLock
from pip._internal.models.index import PyPI
from platformdirs import user_cache_path

from distromatrix.images import handed_over
from quick_python import quick_python

CACHE = user_cache_path("distromatrix") / "test-products"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a suite came to in one cell; `failed` counts errors too."""

    green: bool
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder with a product in `product/` and its matrix beside it, so that nothing is
    added to what its authors released."""

    root: Path

    @property
    def product(self) -> Path:
        return self.root / "product"

    def outcomes(self) -> dict[str, Outcome]:
        """What `distromatrix run` says of each cell, by id."""
        done = self._call("run", "--json")
        results = json.loads(done.stdout)
        cells = {cell["id"]: _outcome(cell) for cell in results["cells"]}
        assert done.returncode == (0 if all(o.green for o in cells.values()) else 1), done.stderr
        return cells

    def images(self) -> dict[str, str]:
        """The tag of each cell's prepared image, by the cell's id."""
        done = self._call("images", "build")
        assert done.returncode == 0, done.stderr
        return dict(line.split(": ") for line in done.stdout.splitlines())

    def by_hand(
        self, image: str, script: str, counted: Callable[[str], Mapping[str, int]], **env: str
    ) -> Outcome:
        """What `docker run` says of a script in a copy of the product."""
        handed = handed_over("host", "host", os.environ).env
        variables = {"LC_ALL": "C.UTF-8", **handed, **env}
        done = subprocess.run(
            [
                *("docker", "run", "--rm", "--volume", f"{self.product}:/product:ro"),
                *(word for name in variables for word in ("--env", name)),
                *(image, "sh", "-ec", f"cp -a /product /copy\ncd /copy\n{script}"),
            ],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        assert done.returncode < 125, done.stdout
        return Outcome(green=done.returncode == 0, **counted(done.stdout))

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [quick_python(), "-m", "distromatrix", *arguments, "-C", str(self.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done


def _outcome(cell: Mapping[str, Any]) -> Outcome:
    assert cell["verdict"] in ("passed", "failed"), cell
    counts = {key: (cell["cases"] or {}).get(key, 0) for key in ("passed", "failed", "skipped")}
    return Outcome(green=cell["verdict"] == "passed", **counts)


def project(root: Path, archive: Path, matrix: str) -> Project:
    """A project out of a released archive and a matrix; `root` is an empty or no folder."""
    unpacked(root, archive)
    (root / "matrix").mkdir()
    (root / "matrix/default.yaml").write_text(matrix)
    return Project(root=root)


def unpacked(root: Path, archive: Path) -> Path:
    """The folder `product/` in `root`, an empty or no folder, with what an archive holds."""
    root.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        tar.extractall(root)
    (top,) = root.iterdir()
    return top.rename(root / "product")


def sdist(requirement: str) -> Path:
    """The source distribution of `NAME==VERSION` from the host's package index."""

    def fetch(folder: Path) -> None:
        name = requirement.partition("==")[0]
        pip = (sys.executable, "-m", "pip", "--quiet", "download", "--no-deps")
        subprocess.run([*pip, "--no-binary", name, "--dest", folder, requirement], check=True)

    return _cached(requirement, fetch, "*.tar.gz")


def simple_sdist(requirement: str) -> Path:
    """As `sdist`, without pip, which builds what it downloads."""
    name, _, version = requirement.partition("==")

    def fetch(folder: Path) -> None:
        index = handed_over("host", "host", os.environ).env.get("PIP_INDEX_URL", PyPI.simple_url)
        with urlopen(f"{index.rstrip('/')}/{name}/") as page:
            found = re.search(rf'href="([^"#]*/{name}-{version}\.tar\.gz)', page.read().decode())
        assert found
        with urlopen(urljoin(page.url, found[1])) as archive:
            (folder / f"{name}-{version}.tar.gz").write_bytes(archive.read())

    return _cached(requirement, fetch, "*.tar.gz")


def npm_package(spec: str) -> Path:
    """What npm's registry has of `NAME@VERSION`, by the host's npm."""

    def fetch(folder: Path) -> None:
        subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True)

    return _cached(spec, fetch, "*.tgz")


def debian_source(package: str, image: str) -> Path:
    """The original source archive of a Debian package, as the release in `image` has it."""
    script = f"""
        exec >&2
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list || :
        sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/*.sources || :
        apt-get update -q
        cd /tmp
        apt-get source -q --download-only --tar-only {shlex.quote(package)}
        mkdir /fetched
        find . -name '*.orig.tar.?z*' ! -name '*.asc' -exec cp -t /fetched {{}} +
    """

    def fetch(folder: Path) -> None:
        name = f"distromatrix-test-source-{os.getpid()}"
        try:
            subprocess.run(
                ["docker", "run", "--name", name, image, "sh", "-ec", script], check=True
            )
            subprocess.run(["docker", "cp", f"{name}:/fetched/.", folder], check=True)
        finally:
            subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)

    return _cached(f"{package}-{image.replace('/', '_')}", fetch, "*.orig.tar.?z*")


def _cached(key: str, fetch: Callable[[Path], None], glob: str) -> Path:
    """The file that `fetch` puts into its folder, fetched once for all test runs."""
    folder = CACHE / re.sub(r"[^\w.=-]", "-", key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            fresh = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            fetch(fresh)
            fresh.rename(folder)
    return next(folder.glob(glob))


def pytest_counts(output: str) -> dict[str, int]:
    """The numbers in pytest's last line: `1 failed, 249 passed, 2 skipped in 0.64s`."""
    found = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", output.splitlines()[-1])}
    return {
        "passed": found.get("passed", 0),
        "failed": sum(found.get(word, 0) for word in ("failed", "error", "errors")),
        "skipped": found.get("skipped", 0),
    }


def automake_counts(output: str) -> dict[str, int]:
    """The sums of all summaries of automake's parallel test harness: `# PASS:  26`."""
    sums: dict[str, int] = {}
    for word, n in re.findall(r"^# ([A-Z]+): +(\d+)$", output, re.MULTILINE):
        sums[word] = sums.get(word, 0) + int(n)
    return {
        "passed": sums.get("PASS", 0),
        "failed": sums.get("FAIL", 0) + sums.get("ERROR", 0),
        "skipped": sums.get("SKIP", 0),
    }


def begun(root: Path, distros: str = "debian-12,debian-13") -> Project:
    """A product's own folder, with the matrix that `distromatrix init` writes for it; for these
    distros, whatever else is in reach."""
    command = [quick_python(), "-m", "distromatrix", "init", "--distros", distros]
    subprocess.run([*command, "-C", str(root)], check=True)
    return Project(root=root)
