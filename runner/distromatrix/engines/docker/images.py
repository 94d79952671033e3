"""The images of a Docker-API engine."""

from __future__ import annotations

import contextlib
import io
import json
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from time import time
from typing import Any, BinaryIO

from docker.errors import APIError, NotFound

from distromatrix.collect.text import one_line
from distromatrix.engines.docker.connection.api import (
    GONE,
    LONG_TIMEOUT,
    failure,
    listed,
    message_of,
    patiently,
    pieces,
    timestamp,
)
from distromatrix.engines.docker.connection.auth import credentials, hiding
from distromatrix.engines.docker.dialect import DOCKER, MACHINES, OURS, Dialect, take_name
from distromatrix.engines.docker.messages import classify, pull_error
from distromatrix.engines.docker.staging.transfer import (
    TransferredImages,
    carried,
    inspected,
    is_mark,
    moving,
)
from distromatrix.engines.image_store import NO_LABELS, Build, Image, Resolved
from distromatrix.errors import DiskFullError, ImageError, InfrastructureError, PullError

_LINES = 200  # of what a build printed last, which its error has
_LONGEST = 2000  # characters of such a line
_WIDTH = 200  # of one that is told at once
_BUILD_MEMORY = 2 * 1024**3  # bytes of each step
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DockerImages(TransferredImages):
    """See ImageStore."""

    def find(self, tag: str) -> Image | None:
        """See ImageStore."""
        with self._api.calling(f"look at the image {tag}") as client:
            found = inspected(client, self._api.dialect.name(tag))
        return _image(found, tag, self._api.dialect) if found else None

    def pull(self, ref: str, tag: str, progress: Callable[[str], None]) -> Image:
        """See ImageStore. Raises PullError, EngineUnavailableError."""
        calling = partial(self._api.calling, f"pull {ref}", LONG_TIMEOUT)
        failed = ""
        events: Iterator[dict[str, Any]] = iter(())
        with calling() as client:
            login = credentials(client, ref)
            try:
                events = client.pull(ref, stream=True, decode=True, auth_config=login)
            except APIError as error:
                failed = message_of(error)
        hide = hiding(login)
        for event in pieces(events, calling):
            if "error" in event:
                failed = " ".join(str(event["error"]).split())
            elif "status" in event:
                layer = f"{event['id']}: " if event.get("id") else ""
                progress(hide(f"{layer}{event['status']} {event.get('progress', '')}".strip()))
        if failed:
            refused = failure(f"pull {ref}", failed := hide(failed))
            raise refused if isinstance(refused, DiskFullError) else pull_error(ref, failed)
        self.tag(ref, tag)
        self._mark(tag, *(() if self._api.dialect.remembers_pulls else (f"{time():.0f}",)))
        return self._found(tag)

    def resolve(self, ref: str) -> Resolved:
        """See ImageStore. Raises PullError, EngineUnavailableError."""
        if not self._api.dialect.looks_up:
            return self._resolve_by_pull(ref)
        with self._api.calling(f"look up {ref}", LONG_TIMEOUT) as client:
            login = credentials(client, ref)
            try:
                found = client.inspect_distribution(ref, login)
            except APIError as error:
                raise pull_error(ref, hiding(login)(message_of(error))) from error
        machines = {str(p.get("architecture")) for p in found.get("Platforms") or ()}
        several = re.search("list|index", found["Descriptor"]["mediaType"])
        (arch,) = machines if len(machines) == 1 and not several else ("",)
        return Resolved(digest=found["Descriptor"]["digest"], arch=MACHINES.get(arch, arch))

    def _resolve_by_pull(self, ref: str) -> Resolved:
        """For engines that cannot look into a registry: of what they pull, they know it."""
        tag = f"{OURS}resolved:{secrets.token_hex(8)}"
        image = self.pull(ref, tag, lambda _: None)
        self.remove(tag)
        if not image.digests:
            raise PullError("other", f"cannot look up {ref}: the engine tells no digest of it")
        return Resolved(digest=image.digests[0], arch=image.arch)

    def tag(self, image: str, tag: str) -> None:
        """See ImageStore. Raises InfrastructureError."""
        dialect = self._api.dialect
        name, _, version = dialect.name(tag).rpartition(":")
        with self._api.calling(f"tag {image}") as client, moving(client, tag, dialect):
            client.tag(dialect.name(image), name, version)

    def load_rootfs(self, tar: BinaryIO, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore. Raises InfrastructureError."""
        dialect = self._api.dialect
        changes = [*_label_changes(labels, dialect.imports_dockerfile), 'CMD ["/bin/sh"]']
        with self._api.calling(f"import {tag}", LONG_TIMEOUT) as client:
            # A generator: for an open file docker-py would announce chunks and send none.
            chunks = iter(lambda: tar.read(1 << 20), b"")
            # Podman takes no notice of `tag`, but both of one in `repository`.
            said = client.import_image(src=chunks, repository=dialect.name(tag), changes=changes)
        # The engine answers 200 before it has read anything, and tells of an error after.
        for line in said.splitlines():
            with contextlib.suppress(ValueError):
                if failed := json.loads(line).get("error"):
                    raise failure(f"import {tag}", str(failed))
        return self._found(tag)

    def build(self, build: Build, tag: str, progress: Callable[[str], None]) -> Image:
        """See ImageStore. Raises ImageError, PullError, EngineUnavailableError."""
        calling = partial(self._api.calling, f"build {tag}", LONG_TIMEOUT)
        dialect, failed, said = self._api.dialect, "", deque[str](maxlen=_LINES)
        with calling() as client:
            events: Iterator[dict[str, Any]] = client.build(
                fileobj=io.BytesIO(build.context),
                custom_context=True,
                dockerfile=build.file,
                buildargs=dict(build.args),
                labels=dict(build.labels),
                tag=dialect.name(tag),
                nocache=build.anew,
                pull=build.anew,
                rm=True,
                forcerm=True,
                container_limits={"memory": _BUILD_MEMORY, "memswap": _BUILD_MEMORY},
                use_config_proxy=False,  # whose passwords would stay in the image
                decode=True,
            )
        try:
            for event in pieces(events, calling):
                if "error" in event:
                    failed = " ".join(str(event["error"]).split())
                for line in filter(str.strip, str(event.get("stream", "")).splitlines()):
                    said.append(line[:_LONGEST])
                    progress(one_line(line, _WIDTH))
        except InfrastructureError as error:  # it does not begin: its file says nonsense
            if error.transient or not isinstance(error.__cause__, APIError):
                raise
            failed = message_of(error.__cause__)
        if not failed:
            return self._found(tag)
        refused = failure(f"build {tag}", failed)
        if isinstance(refused, DiskFullError):
            raise refused
        if (kind := classify(failed)) != "other":
            raise PullError(kind, f"cannot build, as what it stands on did not come: {failed}")
        raise ImageError(f"the build failed: {failed}", log="\n".join(said))

    def commit(self, machine: str, tag: str, labels: Mapping[str, str]) -> Image:
        """See ImageStore. Raises InfrastructureError."""
        dialect = self._api.dialect
        name, _, version = dialect.name(tag).rpartition(":")
        with self._api.calling(f"commit {tag}", LONG_TIMEOUT) as client:
            config = client.inspect_container(machine)["Config"]
            base = patiently(lambda: client.inspect_image(config["Image"]), GONE)["Config"] or {}
            # The container's labels would come along, and with them its run: whatever is
            # started from this image would be swept as that run's.
            emptied = {key: "" for key in config["Labels"] or {} if key.startswith("distromatrix.")}
            changes = [
                *_label_changes({**emptied, **labels}, dialect.commits_dockerfile),
                f"CMD {json.dumps(base.get('Cmd') or ['/bin/sh'])}",
                f"USER {base.get('User') or '0'}",
            ]
            commit = partial(
                client.commit,
                machine,
                repository=name,
                tag=version,
                changes="\n".join(changes),
            )
            try:
                commit()
            except APIError as error:
                # A rootless engine has no cgroup v1 to freeze a container with.
                if "can not pause" not in str(error):
                    raise
                commit(pause=False)
        return self._found(tag)

    def list(self, labels: Mapping[str, str] = NO_LABELS) -> tuple[Image, ...]:
        """See ImageStore."""
        # One of them tells most apart. Podman finds nothing by several, and refuses none.
        filters = [{"label": f"{key}={value}"} for key, value in labels.items()][:1]
        with self._api.calling("list images") as client:
            rows = listed(lambda: client.images(filters=filters[0] if filters else None))
        names = (self._api.dialect.tag(n) for row in rows for n in row.get("RepoTags") or ())
        tags = sorted({name for name in names if _is_ours(name)})
        found = (image for tag in tags if (image := self.find(tag)))
        return tuple(image for image in found if labels.items() <= image.labels.items())

    def remove(self, tag: str) -> None:
        """See ImageStore. Raises InfrastructureError."""
        calling, dialect = self._api.calling(f"remove the image {tag}"), self._api.dialect
        with calling as client, contextlib.suppress(NotFound), moving(client, tag, dialect):
            take_name(client, dialect.name(tag), dialect)

    def _found(self, tag: str) -> Image:
        image = self.find(tag)
        if image is None:
            raise InfrastructureError(f"the engine has lost the image {tag} it just made")
        return image


def _label_changes(labels: Mapping[str, str], dockerfile: bool) -> tuple[str, ...]:
    """LABEL instructions; in a Dockerfile \\, " and $ have a meaning."""

    def word(text: str) -> str:
        if dockerfile:
            text = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        return '"' + text.replace("\n", " ") + '"'

    return tuple(f"LABEL {word(key)}={word(value)}" for key, value in labels.items())


def _image(found: Mapping[str, Any], tag: str, dialect: Dialect = DOCKER) -> Image:
    names = found.get("RepoTags") or ()
    ours = [name for name in map(dialect.tag, names) if _is_ours(name)]
    if tag not in ours and tag not in names:
        tag = next(iter(ours), tag)
    came, digests = carried(found)
    known = (name.partition("@")[2] for name in found.get("RepoDigests") or ())
    # When it was last tagged, which for a pull is when it was pulled; year 1 where never.
    tagged = str((found.get("Metadata") or {}).get("LastTagTime") or "0001")
    architecture = str(found.get("Architecture") or "")
    made = str(found.get("Created") or "") if tagged.startswith("0001") else tagged
    return Image(
        id=found["Id"],
        tag=tag,
        labels=(found.get("Config") or {}).get("Labels") or {},
        created=timestamp(made) if came is None else came,
        size=int(found.get("Size") or 0),
        arch=MACHINES.get(architecture, architecture),
        digests=tuple(dict.fromkeys((*known, *digests))),
        env=_variables((found.get("Config") or {}).get("Env") or ()),
    )


def _variables(said: Iterable[str]) -> dict[str, str]:
    """Those `NAME=VALUE` that a shell can export."""
    pairs = (one.partition("=") for one in said)
    return {name: value for name, _, value in pairs if _NAME.fullmatch(name)}


def _is_ours(tag: str) -> bool:
    return tag.startswith(OURS) and not is_mark(tag)
