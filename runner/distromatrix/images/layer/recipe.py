"""The prepared layer: a base image with a cell's packages, its `prepare` and its user."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from distromatrix.engines.contract import Machine
from distromatrix.errors import ImageError
from distromatrix.files.small_tar import File, tar_of
from distromatrix.images.layer.cache_folders import make_folders
from distromatrix.images.layer.hostnet import APT_CONF_PATH, CA_PATH, Handed
from distromatrix.images.layer.installing import (
    PackageSource,
    add_repositories,
    install,
    use_mirror,
)
from distromatrix.images.layer.step import Step
from distromatrix.images.store.downloads import Downloads
from distromatrix.model import Cell, Repository

# Part of every key: raise it when what is built from the same inputs changes.
FORMAT = 1
PREPARE_FOLDER = "/distromatrix/prepare"
_NUMERIC_USER = re.compile(r"(\d+)(?::(\d+))?")
_USER_LINE = re.compile(r"^distromatrix-user (\d+:\d+)$", re.MULTILINE)

ProductFiles = Callable[[tuple[str, ...]], tuple[File, ...]]  # of globs


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that goes into a prepared layer on top of its base image. `user` is a name that
    must exist in it, or ''. `env` is what its commands see."""

    source: PackageSource
    packages: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    script: str = ""
    files: tuple[File, ...] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    own_env: Mapping[str, str] = field(default_factory=dict)  # of `env`, what is the cell's own
    ca: bytes | None = None
    apt_conf: str | None = None
    secrets: tuple[str, ...] = ()
    caches: tuple[tuple[str, str], ...] = ()  # names and paths
    cache_user: str = ""  # whose: `root`, `UID:GID`, or '' for `user`

    @property
    def empty(self) -> bool:
        """True when the base image is already all that is asked for."""
        return self.bare and not self.source.mirror

    @property
    def bare(self) -> bool:
        """True when nothing but the user's mirror would be set, from which nothing comes."""
        own = self.packages or self.repositories or self.script or self.user or self.caches
        return not (own or self.ca or self.apt_conf)

    def key(self, base: str) -> str:
        """A name for the result on the base image of that id: equal for equal inputs."""
        handed_over = (
            sorted(self.env.items()) if self.packages or self.script else (),
            hashlib.sha256(self.ca).hexdigest() if self.ca else "",
            self.apt_conf,
            self.source.key,
        )
        return _digest((*self._own(base), *handed_over))

    def own_key(self, base: str) -> str:
        """As `key`, of all but what this host hands over: a layer that was carried here from
        a host with other indexes and certificates is found by it."""
        return _digest((*self._own(base), sorted(self.own_env.items())))

    def _own(self, base: str) -> tuple[object, ...]:
        return (
            FORMAT,
            base,
            self.source.manager,
            self.packages,
            self.script,
            [
                (path, hashlib.sha256(content).hexdigest(), mode)
                for path, content, mode in self.files
            ],
            self.user,
            *((self.caches, self.cache_user) if self.caches else ()),
            *([asdict(one) for one in self.repositories]),
        )


def _digest(inputs: tuple[object, ...]) -> str:
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def recipe_of(source: PackageSource, cell: Cell, files: ProductFiles, handed: Handed) -> Recipe:
    """What a cell needs; `files` gives the product's files by globs. The variables of `pass_env`
    are not among a cell's own: secrets never go into a layer. Raises ImageError."""
    declared = cell.prepare.files if cell.prepare else ()
    found = files(declared) if declared else ()
    if declared and not found:
        globs = ", ".join(declared)
        raise ImageError(
            f"{cell.id}: no file of the product matches prepare's files: {globs}",
            phase="prepare",
        )
    own_env = cell.env if cell.prepare else {}
    return Recipe(
        source=source,
        packages=cell.packages,
        repositories=cell.repositories,
        script=cell.prepare.run if cell.prepare else "",
        files=found,
        user="" if numeric_user(cell.user) else cell.user,
        env={**handed.env, **own_env},
        own_env=own_env,
        ca=handed.ca,
        apt_conf=handed.apt_conf,
        secrets=handed.secrets,
        caches=tuple(sorted(cell.caches.items())),
        cache_user=numeric_user(cell.user) if cell.caches else "",
    )


def numeric_user(user: str) -> str:
    """`root` or `UID:GID` for a user that no image must know by name, else ''."""
    if user in ("root", "0", "0:0"):
        return "root"
    found = _NUMERIC_USER.fullmatch(user)
    return f"{found[1]}:{found[2] or found[1]}" if found else ""


@dataclass(frozen=True, slots=True)
class Made:
    """What a prepared machine says of itself: the `UID:GID` of the recipe's user ('' if it names
    none), where its caches are, by name, and which optional packages are `absent`."""

    user: str
    caches: Mapping[str, str]
    absent: tuple[str, ...] = ()


def apply(
    recipe: Recipe,
    machine: Machine,
    say: Callable[[str], None],
    downloads: Downloads | None = None,
) -> Made:
    """Turn a fresh machine of the base image into the prepared one, by what is kept among the
    `downloads`. Raises ImageError with the phase that failed."""
    _hand_over(recipe, machine)
    source = recipe.source
    use_mirror(source, machine, _step(recipe, "setting the package mirror", "packages"))
    if recipe.repositories:
        step = _step(recipe, "adding repositories", "packages", f" ({source.manager})")
        add_repositories(recipe.repositories, source, machine, step, downloads)
    absent: tuple[str, ...] = ()
    if recipe.packages:
        say(f"installing {_counted(recipe.packages)}")
        step = _step(recipe, "installing packages", "packages", f" ({source.manager})")
        told, absent = install(source, recipe.packages, machine, step, downloads)
        if told:
            say(told)
    if recipe.script:
        say("running prepare")
        _prepare(recipe, machine)
    user = _user(recipe, machine) if recipe.user else ""
    step = _step(recipe, "making the folders of caches", "prepare")
    caches = make_folders(recipe.caches, recipe.cache_user or user, machine, step)
    return Made(user, caches, absent)


def _step(
    recipe: Recipe, doing: str, phase: Literal["packages", "prepare"], more: str = ""
) -> Step:
    name = f"{doing} in {recipe.source.distro}{more}"
    return Step(name, phase, recipe.env, recipe.secrets)


def _counted(packages: tuple[str, ...]) -> str:
    return f"{len(packages)} packages" if len(packages) > 1 else f"package {packages[0]}"


def _hand_over(recipe: Recipe, machine: Machine) -> None:
    files: list[File] = []
    if recipe.ca:
        files.append((CA_PATH.lstrip("/"), recipe.ca, 0o644))
    if recipe.apt_conf:
        files.append((APT_CONF_PATH.lstrip("/"), recipe.apt_conf.encode(), 0o644))
    if files:
        machine.put(tar_of(files), "/")


def _prepare(recipe: Recipe, machine: Machine) -> None:
    step = _step(recipe, "prepare", "prepare")
    step.must(machine, f"mkdir -p {PREPARE_FOLDER}")
    if recipe.files:
        below = PREPARE_FOLDER.lstrip("/")
        named = ((f"{below}/{path}", content, mode) for path, content, mode in recipe.files)
        machine.put(tar_of(named), "/")  # which is there, whatever else an engine sees
    step.must(machine, recipe.script, PREPARE_FOLDER)
    step.must(machine, f"rm -rf {PREPARE_FOLDER}; rmdir /distromatrix 2>/dev/null || :")


def _user(recipe: Recipe, machine: Machine) -> str:
    step = _step(recipe, f"making the user {recipe.user}", "prepare")
    name = shlex.quote(recipe.user)
    step.must(
        machine,
        f"id -u {name} >/dev/null 2>&1 || {{\n"
        f"if command -v useradd >/dev/null 2>&1; then useradd -m -U -s /bin/sh {name}\n"
        f"else adduser -D -s /bin/sh {name}; fi; }}\n"
        f'echo "distromatrix-user $(id -u {name}):$(id -g {name})"',
    )
    found = _USER_LINE.findall(step.text)
    if not found:
        raise step.error(f"{step.name} failed: {step.last}")
    return str(found[-1])
