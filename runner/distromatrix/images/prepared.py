"""The prepared layer: a base image with a cell's packages, its `prepare` and its user."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from distromatrix.engines.base import Exit, Machine
from distromatrix.errors import ImageError, MachineGoneError
from distromatrix.images.hostnet import APT_CONF_PATH, CA_PATH, Handed
from distromatrix.images.packages import MANAGERS
from distromatrix.model import Cell, Distro

# Part of every key: raise it when what is built from the same inputs changes.
FORMAT = 1
PREPARE_FOLDER = "/distromatrix/prepare"
STEP_TIMEOUT = 1800.0
_LOG_TAIL = 64 * 1024
_NUMERIC_USER = re.compile(r"(\d+)(?::(\d+))?")
_USER_LINE = re.compile(r"^distromatrix-user (\d+:\d+)$", re.MULTILINE)

File = tuple[str, bytes, int]  # path, content, mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that goes into a prepared layer on top of its base image. `user` is a name that
    must exist in it, or ''. `env` is what its commands see."""

    distro: str
    manager: str
    packages: tuple[str, ...] = ()
    script: str = ""
    files: tuple[File, ...] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    own_env: Mapping[str, str] = field(default_factory=dict)  # of `env`, what is the cell's own
    ca: bytes | None = None
    apt_conf: str | None = None
    secrets: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """True when the base image is already all that is asked for."""
        return not (self.packages or self.script or self.user or self.ca or self.apt_conf)

    def key(self, base: str) -> str:
        """A name for the result on the base image of that id: equal for equal inputs."""
        handed_over = (
            sorted(self.env.items()) if self.packages or self.script else (),
            hashlib.sha256(self.ca).hexdigest() if self.ca else "",
            self.apt_conf,
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
            self.manager,
            self.packages,
            self.script,
            [
                (path, hashlib.sha256(content).hexdigest(), mode)
                for path, content, mode in self.files
            ],
            self.user,
        )


def _digest(inputs: tuple[object, ...]) -> str:
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def recipe(distro: Distro, cell: Cell, files: tuple[File, ...], handed: Handed) -> Recipe:
    """What a cell needs. `files` are those that `cell.prepare` declares. The variables of
    `pass_env` are not among a cell's own: secrets never go into a layer."""
    own_env = cell.env if cell.prepare else {}
    return Recipe(
        distro=distro.name,
        manager=distro.package_manager,
        packages=cell.packages,
        script=cell.prepare.run if cell.prepare else "",
        files=files,
        user="" if numeric_user(cell.user) else cell.user,
        env={**handed.env, **own_env},
        own_env=own_env,
        ca=handed.ca,
        apt_conf=handed.apt_conf,
        secrets=handed.secrets,
    )


def numeric_user(user: str) -> str:
    """`root` or `UID:GID` for a user that no image must know by name, else ''."""
    if user in ("root", "0", "0:0"):
        return "root"
    found = _NUMERIC_USER.fullmatch(user)
    return f"{found[1]}:{found[2] or found[1]}" if found else ""


def apply(recipe: Recipe, machine: Machine, say: Callable[[str], None]) -> str:
    """Turn a fresh machine of the base image into the prepared one. Returns the `UID:GID` of
    the recipe's user ('' if it names none). Raises ImageError with the phase that failed."""
    _hand_over(recipe, machine)
    if recipe.packages:
        say(f"installing {_counted(recipe.packages)}")
        _install(recipe, machine)
    if recipe.script:
        say("running prepare")
        _prepare(recipe, machine)
    return _user(recipe, machine) if recipe.user else ""


def _counted(packages: tuple[str, ...]) -> str:
    return f"{len(packages)} packages" if len(packages) > 1 else f"package {packages[0]}"


def _hand_over(recipe: Recipe, machine: Machine) -> None:
    files: list[File] = []
    if recipe.ca:
        files.append((CA_PATH.lstrip("/"), recipe.ca, 0o644))
    if recipe.apt_conf:
        files.append((APT_CONF_PATH.lstrip("/"), recipe.apt_conf.encode(), 0o644))
    if files:
        machine.put(_tar(tuple(files)), "/")


def _tar(files: tuple[File, ...]) -> bytes:
    """A tar of files, root's, without entries for folders: those that exist keep their
    modes, and whoever extracts makes the others."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content, mode in files:
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _install(recipe: Recipe, machine: Machine) -> None:
    manager = MANAGERS.get(recipe.manager)
    if manager is None:
        known = ", ".join(MANAGERS)
        raise ImageError(
            f"packages cannot be installed in {recipe.distro}: "
            f"its package manager is {recipe.manager}, and only {known} are known here",
            phase="packages",
        )
    what = _Step(f"installing packages in {recipe.distro} ({manager.name})", "packages", recipe)
    ended = what.run(machine, manager.install(recipe.packages))
    if ended.status == 0:
        return
    why = manager.failure(what.text)
    where = f"{recipe.distro} ({manager.name})"
    if why.unreachable:
        raise what.error(f"package mirror of {where} not reachable: {why.unreachable}", True)
    if why.expired:
        raise what.error(
            f"the package mirror's Release file has expired for {where}: {why.expired}; a mirror "
            'that is up to date mends it, or Acquire::Check-Valid-Until "false" in its apt.conf'
        )
    if why.not_found:
        names = ", ".join(repr(n) for n in why.not_found)
        plural = "s" if len(why.not_found) > 1 else ""
        raise what.error(f"package{plural} {names} not found in {where}")
    raise what.error(f"{what.name} failed with status {ended.status}: {why.error or what.last}")


def _prepare(recipe: Recipe, machine: Machine) -> None:
    step = _Step(f"prepare in {recipe.distro}", "prepare", recipe)
    step.must(machine, f"mkdir -p {PREPARE_FOLDER}")
    if recipe.files:
        machine.put(_tar(recipe.files), PREPARE_FOLDER)
    step.must(machine, recipe.script, PREPARE_FOLDER)
    step.must(machine, f"rm -rf {PREPARE_FOLDER}; rmdir /distromatrix 2>/dev/null || :")


def _user(recipe: Recipe, machine: Machine) -> str:
    step = _Step(f"making the user {recipe.user} in {recipe.distro}", "prepare", recipe)
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


class _Step:
    """One step of the building, with the last of what it printed."""

    def __init__(self, name: str, phase: Literal["packages", "prepare"], recipe: Recipe) -> None:
        self.name = name
        self._phase = phase
        self._recipe = recipe
        self._tail = bytearray()

    @property
    def text(self) -> str:
        """What it printed last, without the secrets that were handed over."""
        text = self._tail.decode(errors="replace")
        for secret in sorted(self._recipe.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    @property
    def last(self) -> str:
        """The last line that it printed."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"

    def run(self, machine: Machine, script: str, cwd: str = "/") -> Exit:
        """Run a script to its end. Raises ImageError when it does not come to one."""
        try:
            ended = machine.run(
                script,
                env=self._recipe.env,
                cwd=cwd,
                timeout=STEP_TIMEOUT,
                output=self._keep,
            )
        except MachineGoneError as gone:
            if gone.oom:
                raise self.error(f"{self.name}: {gone}") from gone
            raise
        if ended.timed_out:
            hung = f" (running: {ended.hung})" if ended.hung else ""
            raise self.error(f"{self.name} did not end within {STEP_TIMEOUT / 60:.0f} min{hung}")
        return ended

    def must(self, machine: Machine, script: str, cwd: str = "/") -> None:
        """Run a script that must succeed."""
        ended = self.run(machine, script, cwd)
        if ended.status != 0:
            raise self.error(f"{self.name} failed with status {ended.status}: {self.last}")

    def error(self, message: str, transient: bool = False) -> ImageError:
        """The error of this step, with its log."""
        return ImageError(message, phase=self._phase, log=self.text, transient=transient)

    def _keep(self, output: bytes) -> None:
        self._tail += output
        if len(self._tail) > 2 * _LOG_TAIL:
            del self._tail[:-_LOG_TAIL]
