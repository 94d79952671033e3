"""The user's own settings: `config.yaml` in the platform's configuration folder, then
`DISTROMATRIX_…` variables, which beat it. (A flag beats both; that is the CLI's part.)"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from distromatrix.errors import Fault, InputError
from distromatrix.files.user_folders import config_file
from distromatrix.load.decode import decode
from distromatrix.load.read import read_document
from distromatrix.load.shapes.settings import SettingsShape
from distromatrix.model import AccelWanted, Distro

_DOCKER_HUB = "docker.io/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user has set for all projects.

    `registry` takes the place of `docker.io` in references that are pulled. `mirrors` are
    package mirrors (URLs) by distro or distribution, `archive_mirrors` those that keep releases
    past their end of life, as of `today` (None: none is past it). `jobs` None is 'auto'.
    `archives` are the absolute folders in which rootfs archives are looked for. `cache_size`: the
    bytes that the caches of suites may hold, all together. `offline`:
    images come from the engine's store alone, and nothing asks the network. `accel`: how guests
    run, KVM (`kvm`), software emulation (`tcg`), or KVM where it is proved to work (`auto`).
    `keep_products`: bytes that may be kept of products on engines between runs. `cluster`: where
    runs are carried out instead of here, `insecure_cluster`: also in the clear.
    """

    registry: str = ""
    mirrors: Mapping[str, str] = field(default_factory=dict)
    archive_mirrors: Mapping[str, str] = field(default_factory=dict)
    today: date | None = None
    engine: str = "docker"
    jobs: int | None = None
    archives: tuple[Path, ...] = ()
    cache_size: int = 20 * 1024**3
    offline: bool = False
    accel: AccelWanted = "auto"
    keep_products: int = 20 * 1024**3
    cluster: str = ""
    insecure_cluster: bool = False

    def reference(self, ref: str) -> str:
        """Where to pull `ref` from: with the user's registry in the place of `docker.io`.
        References to other registries stay as they are."""
        if self.registry and ref.startswith(_DOCKER_HUB):
            return f"{self.registry}/{ref.removeprefix(_DOCKER_HUB)}"
        return ref

    def mirror(self, distro: Distro) -> str:
        """The user's package mirror for a distro, or '': the one set for `opensuse-leap-16.0`,
        else for `opensuse-leap`, else for `opensuse`. Of a distro past its end of life, an
        archive of it counts before a mirror."""
        return self._mirror(distro)[0]

    def archived(self, distro: Distro) -> bool:
        """Whether that mirror is an archive of releases past their end of life."""
        return self._mirror(distro)[1]

    def archive_advice(self, distro: Distro) -> str:
        """Of a distro past its end of life without an archive of it: what to set, else ''."""
        if not self._past(distro) or self.archived(distro):
            return ""
        name = distro.name.rpartition("-")[0] or distro.name
        return (
            f"{distro.name} is past its end of life ({distro.eol}): set `archive_mirrors: "
            f"{{{name}: URL}}` in config.yaml to where its distribution keeps old releases"
        )

    def _past(self, distro: Distro) -> bool:
        return bool(self.today and distro.eol and distro.eol < self.today)

    def _mirror(self, distro: Distro) -> tuple[str, bool]:
        kinds = [(self.mirrors, False)]
        if self._past(distro):
            kinds.insert(0, (self.archive_mirrors, True))
        name = distro.name
        while name:
            for urls, archive in kinds:
                if url := urls.get(name):
                    return url, archive
            name = name.rpartition("-")[0]
        return "", False


def load_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the file at `path` (default: the platform's place, where it may be
    absent) with those of `environ` over them. Raises InputError."""
    file = path or config_file()
    shape = SettingsShape()
    faults: list[Fault] = []
    if file is not None:
        document = read_document(file)
        shape = decode(SettingsShape, document) or shape
        faults += document.faults
    over = _from_environment(environ, faults)
    if faults:
        raise InputError(*sorted(faults))
    beside = file.parent if file else Path()
    folders = over.archives or tuple(str(beside / _user(a)) for a in shape.archives)
    both = shape.model_copy(update={key: getattr(over, key) for key in over.model_fields_set})
    return Settings(
        registry=both.registry or "",
        mirrors=both.mirrors,
        archive_mirrors=both.archive_mirrors,
        engine=both.engine or Settings().engine,
        jobs=both.jobs,
        archives=tuple(_user(folder).absolute() for folder in folders),
        cache_size=both.cache_size or Settings().cache_size,
        offline=both.offline,
        accel=both.accel or "auto",
        keep_products=both.keep_products or Settings().keep_products,
        cluster=both.cluster or "",
        insecure_cluster=both.insecure_cluster,
    )


def _from_environment(environ: Mapping[str, str], faults: list[Fault]) -> SettingsShape:
    """A shape with what the environment sets; an empty variable sets nothing. Inside a cell
    $DISTROMATRIX_ENGINE is what the cell runs on, and nobody's choice."""
    values: dict[str, object] = {}
    if "DISTROMATRIX_CELL" in environ:
        environ = {name: environ[name] for name in environ if name != "DISTROMATRIX_ENGINE"}
    for key in ("registry", "engine", "jobs", "accel", "keep_products", "cache_size", "cluster"):
        if text := environ.get(f"DISTROMATRIX_{key.upper()}"):
            values[key] = text
    if text := environ.get("DISTROMATRIX_ARCHIVES"):
        values["archives"] = [part for part in text.split(os.pathsep) if part]
    for key in ("offline", "insecure_cluster"):
        if text := environ.get(f"DISTROMATRIX_{key.upper()}"):
            values[key] = {"1": "true", "0": "false"}.get(text, text)
    try:
        return SettingsShape.model_validate(values)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            given = details.get("ctx", {})
            name = f"$DISTROMATRIX_{str(details['loc'][0]).upper()}"
            message = given.get("text", details["msg"])
            faults.append(Fault(name, 0, 0, message, given.get("hint", "")))
        return SettingsShape()


def _user(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user: the folder will simply hold nothing
        return Path(text)
