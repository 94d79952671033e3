"""Getting a distro's base image from one of its sources."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePath
from typing import BinaryIO

from distromatrix.engines.contract import LABEL_DISTRO, LABEL_KIND, LABEL_SOURCE
from distromatrix.engines.image_store import Build, Image
from distromatrix.errors import ImageError, PullError
from distromatrix.files.small_tar import tar_of
from distromatrix.images.base.bootstrap import OutOfReachError, bootstrap, declaration, remove
from distromatrix.images.base.context import BuildContext
from distromatrix.images.packages.apt import NO_VALID_UNTIL
from distromatrix.load.settings import Settings
from distromatrix.model import Archive, Bootstrap, Containerfile, Distro, ImageSource, Pull

BASE_REPOSITORY = "distromatrix/base"
# What bootstrap tools say where a mirror answers, and has the release no more or no longer fresh.
_GONE = re.compile(
    r"\b404\b|does not have a Release file|Release file has expired|Not Found"
    r"|type can't be determined|not found on medium|No such file or directory"
)


# An image carried to a machine with other settings is found there under the tag that these give.
AS_DECLARED = Settings()


def digest_of(source: ImageSource) -> str:
    """The digest (`sha256:…`) that fixes what a source pulls, or ''."""
    return source.ref.partition("@")[2] if isinstance(source, Pull) else ""


def base_tag(distro: Distro, source: ImageSource, settings: Settings) -> str:
    """The tag under which a source's image is kept. It changes with all that decides what
    the image holds, so that an edited declaration is never answered with the old image."""
    declared: tuple[str, ...]
    if isinstance(source, Pull):
        declared = ("pull", settings.reference(source.ref))
    elif isinstance(source, Bootstrap):
        source = from_archive(distro, source, settings)
        declared = declaration(distro, source, settings.mirror(distro))
    elif isinstance(source, Containerfile):
        parts = (source.path, *map(repr, source.files), *map(repr, source.args))
        declared = ("containerfile", *parts)
    else:
        declared = ("archive", source.sha256)
    key = hashlib.sha256("\0".join(declared).encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", distro.name)
    return f"{BASE_REPOSITORY}:{name}-{source.kind}-{key}"


def from_archive(distro: Distro, source: Bootstrap, settings: Settings) -> Bootstrap:
    """The source; where an archive serves, whose Release files have expired long ago, with
    the option that lets mmdebstrap (and later the image) take them."""
    if source.tool != "mmdebstrap" or not settings.archived(distro):
        return source
    return replace(source, options=(*source.options, f"--aptopt={NO_VALID_UNTIL}"))


def advised(error: ImageError | OutOfReachError, advice: str) -> Exception:
    """The error; with that advice where a mirror answered, and does not have the release."""
    log = error.log if isinstance(error, ImageError) else ""
    if not advice or not _GONE.search(f"{error}\n{log}"):
        return error
    text = f"{str(error).rstrip('.')}; {advice}"
    return ImageError(text, log=log) if isinstance(error, ImageError) else OutOfReachError(text)


def get_image(around: BuildContext, distro: Distro, source: ImageSource) -> Image:
    """The image of one source, anew, whatever is in the engine's store already. Raises
    OutOfReachError or ImageError."""
    settings = around.settings
    tag = base_tag(distro, source, settings)
    if isinstance(source, Pull):
        return around.registries.pull(settings.reference(source.ref), tag, around.teller(distro))
    labels = {
        LABEL_KIND: "base",
        LABEL_DISTRO: distro.name,
        LABEL_SOURCE: source.kind,
    }
    if isinstance(source, Bootstrap):
        around.say(distro.name, f"bootstrapping {source.suite or distro.name} with {source.tool}")
        try:
            settled = from_archive(distro, source, settings)
            return _bootstrap(around, distro, settled, tag, labels)
        except (ImageError, OutOfReachError) as error:
            raise advised(error, settings.archive_advice(distro)) from error
    if isinstance(source, Containerfile):
        return _build(around, distro, source, tag, labels)
    around.say(distro.name, f"importing {source.file}")
    # One open file for both: what was checked is what is imported.
    with open_archive(around, distro, source) as file:
        return around.engine.images.load_rootfs(file, tag, labels)


def _build(
    around: BuildContext, distro: Distro, source: Containerfile, tag: str, labels: dict[str, str]
) -> Image:
    def tell(line: str) -> None:
        around.require_going(distro.name)
        around.say(distro.name, f"building {source.path}: {line}")

    files = tuple((name, b64decode(content), mode) for name, content, mode in source.files)
    build = Build(
        context=tar_of(files),
        file=PurePath(source.path).name,
        args=dict(source.args),
        labels=labels,
        anew=source.refresh is not None,
    )
    try:
        return around.engine.images.build(build, tag, tell)
    except PullError as error:
        if error.kind != "unreachable":
            raise
        raise OutOfReachError(f"containerfile {source.path}: {error}") from error
    except ImageError as error:
        error.args = (f"containerfile {source.path}: {error}",)
        raise


def _bootstrap(
    around: BuildContext, distro: Distro, source: Bootstrap, tag: str, labels: dict[str, str]
) -> Image:
    folder = around.cache / "bootstrap" / tag.rpartition(":")[2]
    try:
        mirror = around.settings.mirror(distro)
        tar = bootstrap(source, distro, mirror, folder, around.cancelled)
        with tar.open("rb") as file:
            return around.engine.images.load_rootfs(file, tag, labels)
    except OSError as error:
        raise ImageError(f"bootstrap in {folder}: {error.strerror}") from error
    finally:
        remove(folder)


def find_archive(distro: Distro, source: Archive, archives: tuple[Path, ...]) -> Path | None:
    """Its file, beside the distro's or in one of the folders `archives`."""
    paths = (folder / source.file for folder in (distro.file.parent, *archives))
    return next((path for path in paths if path.is_file()), None)


@contextmanager
def open_archive(around: BuildContext, distro: Distro, source: Archive) -> Iterator[BinaryIO]:
    """The file of an archive, open and checked. Raises OutOfReachError or ImageError."""
    archives = around.settings.archives
    path = find_archive(distro, source, archives)
    if path is None:
        looked = ", ".join(str(f) for f in (distro.file.parent, *archives))
        raise OutOfReachError(
            f"archive {source.file}: not found in {looked}: "
            "set DISTROMATRIX_ARCHIVES to the folder that holds it"
        )
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != source.sha256.lower():
                raise ImageError(
                    f"archive {path}: its sha256 is {found}, not {source.sha256} as "
                    f"{distro.name} declares: the file is damaged or another one"
                )
            file.seek(0)
            yield file
    except OSError as error:
        raise ImageError(f"archive {path}: {error.strerror}") from error
