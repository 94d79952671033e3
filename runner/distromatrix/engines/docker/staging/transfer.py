"""Images of a Docker-API engine as one stream, there and back.

`docker save` keeps neither when an image was last pulled nor under which digests. A loaded
image gets both back as a tag of ours that lies in the engine, where every user of it sees the
same: `distromatrix/carried-IDPREFIX:SECONDS[-DIGEST]`.
"""

from __future__ import annotations

import contextlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO

import requests
from docker.errors import APIError, NotFound

from distromatrix.engines.docker.connection.api import (
    GONE,
    LONG_TIMEOUT,
    Api,
    failure,
    patiently,
    remove_container,
)
from distromatrix.engines.docker.dialect import Dialect, take_name
from distromatrix.engines.docker.messages import cannot_start
from distromatrix.engines.image_store import Image, Preparation
from distromatrix.errors import CannotStartError, InfrastructureError

_MARK = re.compile(r"(?:.*/)?distromatrix/carried-[0-9a-f]+:(\d+)(?:-([0-9a-f]{64}))?")
_CHUNK = 1 << 20
_PREPARED_WITHIN = 120  # seconds
# What prepares an image has what that takes, and nothing of the host.
_ALONE: dict[str, Any] = {
    "Entrypoint": [""],
    "User": "0",
    "WorkingDir": "/",
    "HostConfig": {
        "NetworkMode": "none",
        "Memory": 512 * 1024**2,
        "PidsLimit": 256,
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": {"Type": "none"},
    },
}
_GZIP = b"\x1f\x8b"
_MOST = 16 << 20  # bytes of a manifest


def inspected(client: Any, name: str) -> dict[str, Any] | None:
    """What an APIClient says of an image; None where there is none."""
    with contextlib.suppress(NotFound):
        found: dict[str, Any] = patiently(lambda: client.inspect_image(name), GONE)
        return found
    return None


def is_mark(tag: str) -> bool:
    """Whether that tag only says something of its image."""
    return _MARK.fullmatch(tag) is not None


def carried(found: Mapping[str, Any]) -> tuple[float | None, tuple[str, ...]]:
    """When an inspected image was made or pulled where it came from (None if it did not come
    so), and its digests."""
    marks = [m for tag in found.get("RepoTags") or () if (m := _MARK.fullmatch(tag))]
    digests = tuple(f"sha256:{m[2]}" for m in marks if m[2])
    return (max(float(m[1]) for m in marks) if marks else None), digests


class TransferredImages:
    """The part of an ImageStore by which its images leave it and come into it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def export(
        self, image: str, labels: Mapping[str, str], first: Preparation | None = None
    ) -> Iterator[bytes]:
        """The root filesystem of an image, by way of a container in which nothing is started but
        what is to be done `first`."""
        with self._api.calling(f"export {image}", LONG_TIMEOUT) as client:
            body = {"Image": self._api.dialect.name(image), "Labels": dict(labels), **_ALONE}
            script = (first.script, "sh", *first.arguments) if first else ("",)
            body["Cmd"] = ["/bin/sh", "-ec", *script]
            container = client.create_container_from_config(body)["Id"]
            try:
                if first is not None:
                    _prepare(client, container, first)
                yield from client.export(container, chunk_size=_CHUNK)
            finally:
                with contextlib.suppress(NotFound):
                    remove_container(client, container)

    def save(self, tags: tuple[str, ...]) -> Iterator[bytes]:
        """See ImageStore.save."""
        with self._api.calling("save images", LONG_TIMEOUT) as client:
            names = [self._api.dialect.name(tag) for tag in tags]
            url = f"{client.base_url}/v{client.api_version}/images/get"
            answer = client.get(url, params={"names": names}, stream=True, timeout=LONG_TIMEOUT)
            client._raise_for_status(answer)
            yield from answer.iter_content(_CHUNK)

    @staticmethod
    def tags_in(tar: BinaryIO) -> tuple[str, ...]:
        """See ImageStore.tags_in. What the engine reads is the archive's manifest.json."""
        try:
            with tarfile.open(fileobj=tar, mode="r|*") as members:
                for member in members:
                    if member.name == "manifest.json" and (file := members.extractfile(member)):
                        entries = json.loads(file.read(_MOST))
                        tags = [str(tag) for entry in entries for tag in entry["RepoTags"] or ()]
                        return tuple(tag.removeprefix("localhost/") for tag in tags)
        except (tarfile.TarError, zlib.error, EOFError, ValueError, TypeError, KeyError):
            pass
        raise InfrastructureError("these are no images of the engine's", transient=False)

    def load(self, tar: BinaryIO, images: tuple[Image, ...]) -> None:
        """See ImageStore.load."""
        calling = self._api.calling("load images", LONG_TIMEOUT)
        with calling as client, contextlib.ExitStack() as moved:
            for image in images:
                moved.enter_context(moving(client, image.tag, self._api.dialect))
            chunks = iter(lambda: tar.read(_CHUNK), b"")
            if not self._api.dialect.loads_gzip:
                chunks = _unpacked(chunks)
            for event in client.load_image(chunks) or ():
                if failed := event.get("error"):
                    raise failure("load images", str(failed))
            for image in images:
                _rename(client, image.tag, self._api.dialect)
                said = f"{image.created:.0f}"
                self._mark(
                    image.tag, *(said + d.replace("sha256:", "-") for d in image.digests or ("",))
                )

    def _mark(self, tag: str, *said: str) -> None:
        """Note on an image when, and under which digests, it was pulled (see _MARK), and take away
        what was noted before. Raises InfrastructureError."""
        dialect = self._api.dialect
        with self._api.calling("tag an image") as client:
            if (found := inspected(client, dialect.name(tag))) is None:
                raise InfrastructureError(
                    f"{tag} was not among the images that came", transient=False
                )
            for name in filter(is_mark, found.get("RepoTags") or ()):
                with contextlib.suppress(NotFound):
                    take_name(client, name, dialect)
            name = dialect.name(f"distromatrix/carried-{found['Id'].rpartition(':')[2][:16]}")
            for mark in said:
                client.tag(found["Id"], name, mark)


def _prepare(client: Any, container: str, first: Preparation) -> None:
    try:
        client.start(container)
        status = client.wait(container, timeout=_PREPARED_WITHIN)["StatusCode"]
    except APIError as error:
        text = str(error.explanation)
        raise _unfit(cannot_start(text) or text) from error
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
        raise _unfit(f"preparing it did not end within {_PREPARED_WITHIN} seconds") from error
    if status != 0:
        raise _unfit(first.complaints.get(status, f"preparing it ended with status {status}"))


def _unfit(why: str) -> CannotStartError:
    return CannotStartError(f"no guest can be made of the image: {why}")


@contextlib.contextmanager
def moving(client: Any, tag: str, dialect: Dialect) -> Iterator[None]:
    """Around what gives that tag (or id) to another image, or takes it away: the marks of the image
    that had it go too, where it has no other tag of ours."""
    own = dialect.name(tag)
    before = inspected(client, own) or {}
    names = [name for name in before.get("RepoTags") or () if name != own and dialect.tag(name)]
    marks = names if all(map(is_mark, names)) else []
    yield
    if marks and (inspected(client, own) or {}).get("Id") != before["Id"]:
        for mark in marks:
            with contextlib.suppress(NotFound):
                take_name(client, mark, dialect)


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What was packed with gzip, else as it is. Raises InfrastructureError."""
    first = next(chunks, b"")
    if not first.startswith(_GZIP):
        yield first
        yield from chunks
        return
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for chunk in chain((first,), chunks):
            yield unpacker.decompress(chunk)
    except zlib.error as error:
        raise InfrastructureError(f"cannot load images: {error}", transient=False) from error


def _rename(client: Any, tag: str, dialect: Dialect) -> None:
    """Give a loaded image this engine's name for it, where another engine has saved it."""
    own = dialect.name(tag)
    # As Podman saves it; as Podman loads what Docker saves.
    for other in (f"localhost/{tag}", f"docker.io/{tag}"):
        with contextlib.suppress(NotFound):
            names = (inspected(client, other) or {}).get("RepoTags") or ()
            if other != own and other in names:
                repository, _, version = own.rpartition(":")
                client.tag(other, repository, version)
                take_name(client, other, dialect)
