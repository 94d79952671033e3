"""The images of a Docker-API engine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from docker.errors import APIError, NotFound

from distromatrix.engines.base import Image, Machine
from distromatrix.engines.docker_api import LONG_TIMEOUT, Api, disk_full, message_of
from distromatrix.engines.pull_failures import pull_error
from distromatrix.errors import InfrastructureError

if TYPE_CHECKING:
    from distromatrix.engines.docker_machine import DockerMachine

OURS = "distromatrix/"


class DockerImages:
    """See ImageStore."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, tag: str) -> Image | None:
        """See ImageStore."""
        with self._api.calling(f"look at the image {tag}") as client:
            try:
                found = client.inspect_image(tag)
            except NotFound:
                return None
        return _image(found, tag)

    def pull(self, ref: str, tag: str, progress: Callable[[str], None]) -> Image:
        """See ImageStore. Raises PullError, EngineUnavailableError."""
        failed = ""
        with self._api.calling(f"pull {ref}", LONG_TIMEOUT) as client:
            try:
                events = client.pull(ref, stream=True, decode=True)
            except APIError as error:
                failed, events = message_of(error), ()
        for text in self._pulling(ref, events):
            if text.startswith("error: "):
                failed = text.removeprefix("error: ")
            else:
                progress(text)
        if "no space left on device" in failed.lower():
            raise disk_full(f"pull {ref}", failed)
        if failed:
            raise pull_error(ref, failed)
        self._tag(ref, tag)
        return self._found(tag)

    def _pulling(self, ref: str, events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
        iterator = iter(events)
        while True:
            with self._api.calling(f"pull {ref}", LONG_TIMEOUT):
                event = next(iterator, None)
            if event is None:
                return
            if "error" in event:
                yield "error: " + " ".join(str(event["error"]).split())
            elif "status" in event:
                layer = f"{event['id']}: " if event.get("id") else ""
                yield f"{layer}{event['status']} {event.get('progress', '')}".strip()

    def _tag(self, ref: str, tag: str) -> None:
        name, _, version = tag.rpartition(":")
        with self._api.calling(f"tag {ref}") as client:
            client.tag(ref, name or tag, version if name else None)

    def load_rootfs(self, tar: BinaryIO, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore. Raises InfrastructureError."""
        name, _, version = tag.rpartition(":")
        changes = [*_label_changes(labels), 'CMD ["/bin/sh"]']
        with self._api.calling(f"import {tag}", LONG_TIMEOUT) as client:
            # A generator: for an open file docker-py would announce chunks and send none.
            chunks = iter(lambda: tar.read(1 << 20), b"")
            said = client.import_image(src=chunks, repository=name, tag=version, changes=changes)
        # The engine answers 200 before it has read anything, and tells of an error after.
        for line in said.splitlines():
            with contextlib.suppress(ValueError):
                if failed := json.loads(line).get("error"):
                    raise self._write_failed(f"import {tag}", str(failed))
        return self._found(tag)

    def commit(self, machine: Machine, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore; `machine` is one of the same engine. Raises InfrastructureError."""
        container = cast("DockerMachine", machine).container
        name, _, version = tag.rpartition(":")
        with self._api.calling(f"commit {tag}", LONG_TIMEOUT) as client:
            config = client.inspect_container(container)["Config"]
            base = client.inspect_image(config["Image"])["Config"] or {}
            # The container's labels would come along, and with them its run: whatever is
            # started from this image would be swept as that run's.
            emptied = {key: "" for key in config["Labels"] or {} if key.startswith("distromatrix.")}
            client.commit(
                container,
                repository=name,
                tag=version,
                changes="\n".join(
                    [
                        *_label_changes({**emptied, **labels}),
                        f"CMD {json.dumps(base.get('Cmd') or ['/bin/sh'])}",
                        f"USER {base.get('User') or '0'}",
                    ]
                ),
            )
        return self._found(tag)

    def list(self) -> tuple[Image, ...]:
        """See ImageStore."""
        with self._api.calling("list images") as client:
            rows = client.images()
        tags = sorted(t for row in rows for t in row["RepoTags"] or () if t.startswith(OURS))
        return tuple(image for tag in tags if (image := self.find(tag)))

    def remove(self, tag: str) -> None:
        """See ImageStore. Raises InfrastructureError."""
        calling = self._api.calling(f"remove the image {tag}")
        with calling as client, contextlib.suppress(NotFound):
            try:
                client.remove_image(tag)
            except APIError as error:
                if error.response is None or error.response.status_code != 409:
                    raise
                # A container still stands on it: the tag alone goes.
                client.remove_image(tag, force=True)

    def _found(self, tag: str) -> Image:
        image = self.find(tag)
        if image is None:
            raise InfrastructureError(f"the engine has lost the image {tag} it just made")
        return image

    @staticmethod
    def _write_failed(doing: str, text: str) -> InfrastructureError:
        if "no space left on device" in text.lower():
            return disk_full(doing, text)
        return InfrastructureError(f"cannot {doing}: {text}", transient=False)


def _label_changes(labels: Mapping[str, str]) -> tuple[str, ...]:
    """LABEL instructions of a Dockerfile, in which \\, " and $ have a meaning."""

    def word(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        return '"' + escaped.replace("\n", " ") + '"'

    return tuple(f"LABEL {word(key)}={word(value)}" for key, value in labels.items())


# Go's names for architectures, which image configurations use, and uname(1)'s.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l"}


def _image(found: Mapping[str, Any], tag: str) -> Image:
    names = found.get("RepoTags") or ()
    if tag not in names:
        tag = next((name for name in names if name.startswith(OURS)), tag)
    # When it was last tagged, which for a pull is when it was pulled; year 1 where never.
    tagged = str((found.get("Metadata") or {}).get("LastTagTime") or "0001")
    architecture = str(found.get("Architecture") or "")
    made = found["Created"] if tagged.startswith("0001") else tagged
    return Image(
        id=found["Id"],
        tag=tag,
        labels=(found.get("Config") or {}).get("Labels") or {},
        created=_timestamp(made),
        size=int(found.get("Size") or 0),
        arch=_MACHINES.get(architecture, architecture),
    )


def _timestamp(text: str) -> float:
    # RFC 3339 with nanoseconds.
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    return 0.0
