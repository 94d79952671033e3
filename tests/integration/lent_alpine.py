"""The Alpine that an engine has, lent to distros of tests: importing it takes a quarter of
a second, for each of a hundred."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress

from docker.errors import APIError, NotFound
from filelock import FileLock
from platformdirs import user_cache_path

from distromatrix.engines.contract import LABEL_DISTRO, LABEL_KIND, LABEL_SOURCE
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.files.small_tar import tar_of
from distromatrix.images.base.sources import BASE_REPOSITORY
from given import alpine_or_pulled


def lend_alpine(distros: Iterable[str]) -> None:
    """What Docker would import of the archive for each of them: an image of its own, on a layer
    that is there. Where it takes no image without its files, a run imports the archive."""
    engine = DockerEngine()
    sha256 = hashlib.sha256(alpine_or_pulled().read_bytes()).hexdigest()
    key = hashlib.sha256(f"archive\0{sha256}".encode()).hexdigest()[:12]
    tag = f"distromatrix/test-alpine:{key}"
    made = {f"{BASE_REPOSITORY}:{name}-archive-{key}": name for name in distros}
    with engine._api.calling("lend Alpine") as client, suppress(APIError):
        try:
            shared = client.inspect_image(tag)
        except NotFound:
            with FileLock(user_cache_path("distromatrix") / "tests.lock"):
                if engine.images.find(tag) is None:
                    with alpine_or_pulled().open("rb") as tar:
                        engine.images.load_rootfs(tar, tag, {})
            shared = client.inspect_image(tag)
        client.load_image(_images(made, shared))
    engine.close()


def _images(made: dict[str, str], shared: dict) -> bytes:
    """What `docker save` would write of them, but for their layer."""
    files: dict[str, object] = {}
    manifest = []
    layers = shared["RootFS"]["Layers"]
    for tag, name in made.items():
        labels = {LABEL_DISTRO: name, LABEL_KIND: "base", LABEL_SOURCE: "archive"}
        files[f"{name}.json"] = {
            "architecture": shared["Architecture"],
            "os": shared["Os"],
            "created": shared["Created"],
            "config": {"Cmd": ["/bin/sh"], "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": layers},
        }
        manifest.append({"Config": f"{name}.json", "RepoTags": [tag], "Layers": ["l/layer.tar"]})
    said = {**files, "manifest.json": manifest}
    return tar_of((path, json.dumps(content).encode(), 0o644) for path, content in said.items())
