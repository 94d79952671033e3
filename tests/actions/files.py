"""What a runner keeps between jobs and runs (artifacts, caches), and the actions that use it."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Full commit ids as our workflows use them, each found in public workflows with this version.
KNOWN = {
    "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1": "v7.0.1",
    "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97": "v7.0.0",
    "actions/cache/restore@55cc8345863c7cc4c66a329aec7e433d2d1c52a9": "v6.1.0",
    "actions/cache/save@55cc8345863c7cc4c66a329aec7e433d2d1c52a9": "v6.1.0",
    "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a": "v7.0.1",
    "pypa/gh-action-pypi-publish@dc37677b2e1c63e2034f94d8a5b11f265b73ba33": "v1.14.2",
    "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c": "v8.0.1",
}
# What their READMEs say that a name may not hold.
_REFUSED_NAME = re.compile(r'["<>|*?:\r\n\\/]')
_REFUSED_FILE = re.compile(r'["<>|*?:\r\n]')


class ActionError(Exception):
    """An action that fails, as the real one would."""


@dataclass
class Storage:
    """What outlives a job: artifacts of a workflow run, and caches of the repository."""

    folder: Path
    repository: Path  # what is checked out
    python: str
    caches: dict[str, Path] = field(default_factory=dict)  # newest last
    artifacts: dict[str, Path] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_run(self) -> None:
        """Another run of the workflow: the caches stay."""
        self.artifacts = {}

    def fresh(self, kind: str) -> Path:
        """A new folder, for a machine or for what is kept."""
        folder = self.folder / f"{kind}-{next(self._numbers)}"
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Call:
    """One use of an action: `given` is its `with`, looked at by `take` until nothing is left."""

    storage: Storage
    workspace: Path
    given: dict[str, str]

    def take(self, name: str, default: str | None = None) -> str:
        if name not in self.given and default is None:
            raise ActionError(f"{name} is missing")
        return self.given.pop(name, default or "")


def _checkout(call: Call) -> Mapping[str, str]:
    assert call.take("persist-credentials", "true") == "false", "the token must not stay"
    depth = int(call.take("fetch-depth", "1"))
    shallow = ("--depth", str(depth)) if depth else ()
    ref = call.take("ref", "HEAD")
    for left in call.workspace.iterdir():  # it cleans what an earlier one has left
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    source = call.storage.repository.as_uri()
    git = ("git", "-C", str(call.workspace))
    branches = () if depth else ("+refs/heads/*:refs/remotes/origin/*",)
    fetch = ("fetch", *shallow, source, ref, *branches)
    for command in (("init",), fetch, ("checkout", "FETCH_HEAD")):
        subprocess.run([*git, *command], check=True, capture_output=True)
    return {}


def _setup_python(call: Call) -> Mapping[str, str]:
    assert re.fullmatch(r"3\.\d+", call.take("python-version"))
    assert call.take("update-environment", "true") == "false"
    return {"python-path": call.storage.python}


def _restore(call: Call) -> Mapping[str, str]:
    path, key = Path(call.take("path")), call.take("key")
    prefixes = call.take("restore-keys", "").split("\n")
    caches = call.storage.caches
    found = key if key in caches else ""
    for prefix in filter(None, prefixes):
        found = found or next((k for k in reversed(list(caches)) if k.startswith(prefix)), "")
    if found:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(caches[found], path)
    hit = ("true" if found == key else "false") if found else ""
    return {"cache-hit": hit, "cache-matched-key": found, "cache-primary-key": key}


def _save(call: Call) -> Mapping[str, str]:
    path, key = Path(call.take("path")), call.take("key")
    assert key, "a cache without a key"
    if path.is_file() and key not in call.storage.caches:  # they warn, and change none
        kept = call.storage.fresh("cache") / "file"
        shutil.copy2(path, kept)
        call.storage.caches[key] = kept
    return {}


def _upload(call: Call) -> Mapping[str, str]:
    name, path = call.take("name"), Path(call.take("path"))
    overwrite = call.take("overwrite", "false") == "true"
    absent = call.take("if-no-files-found", "warn")
    for other in ("retention-days", "compression-level"):
        assert call.take(other, "0").isdigit()
    if not name or _REFUSED_NAME.search(name):
        raise ActionError(f"{name!r} is not a name for an artifact")
    inside = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    files = [f for f in inside if f.is_file()]
    if not files:
        if absent == "error":
            raise ActionError(f"{path}: nothing to upload")
        return {}
    if wrong := [str(f) for f in files if _REFUSED_FILE.search(str(f))]:
        raise ActionError(f"{wrong[0]!r} is not a name for a file in an artifact")
    if name in call.storage.artifacts and not overwrite:
        raise ActionError(f"there is an artifact {name} already")
    kept = call.storage.fresh("artifact")
    base = path if path.is_dir() else path.parent
    for file in files:
        target = kept / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    call.storage.artifacts[name] = kept
    return {}


def _download(call: Call) -> Mapping[str, str]:
    path, artifacts = Path(call.take("path")), call.storage.artifacts
    name = call.take("name", "")
    if name:
        if name not in artifacts:
            raise ActionError(f"there is no artifact {name}")
        shutil.copytree(artifacts[name], path, dirs_exist_ok=True)
        return {}
    for one in fnmatch.filter(artifacts, call.take("pattern")):
        shutil.copytree(artifacts[one], path / one, dirs_exist_ok=True)
    return {}


_DOINGS: Mapping[str, tuple[Callable[[Call], Mapping[str, str]], tuple[str, ...]]] = {
    "actions/checkout": (_checkout, ()),
    "actions/setup-python": (_setup_python, ("python-path",)),
    "actions/cache/restore": (_restore, ("cache-hit", "cache-matched-key", "cache-primary-key")),
    "actions/cache/save": (_save, ()),
    "actions/upload-artifact": (_upload, ()),
    "actions/download-artifact": (_download, ()),
}


def outputs_of(uses: str) -> tuple[str, ...]:
    """The outputs that an action has. Raises AssertionError for one that is not known."""
    assert uses in KNOWN, f"{uses} is not known here"
    return _DOINGS[uses.partition("@")[0]][1]


def use(uses: str, storage: Storage, workspace: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Do what an action does; its outputs. Raises ActionError where it would fail."""
    names = outputs_of(uses)
    call = Call(storage, workspace, dict(given))
    done = _DOINGS[uses.partition("@")[0]][0](call)
    assert not call.given, f"{uses} is given {', '.join(call.given)}, which is not known here"
    return dict.fromkeys(names, "") | dict(done)


def environment() -> dict[str, str]:
    """What of this machine's environment a runner has: how to reach things, and no more."""
    kept = ("PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    more = ("PIP_", "DOCKER_", "XDG_", "DISTROMATRIX_ARCHIVES", "DISTROMATRIX_FAKE")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or name.startswith(more) or name.lower().endswith("_proxy")
    }
