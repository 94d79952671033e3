"""The machine that doctor stands on, and how its family installs and starts things."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from distromatrix.doctor.model import Check, Thing

DOCKER_SOCKET = Path("/var/run/docker.sock")
DOCKER_LOG = Path("/var/log/dockerd.log")
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One entry of families.yaml: command lines without `sudo`."""

    ids: tuple[str, ...]
    install: str
    packages: Mapping[Thing, tuple[str, ...]]
    systemd: str = "systemctl enable --now docker"
    sysv: str = "service docker start"
    refresh: str = ""
    known: str = ""
    fix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What decides which commands mend something here. `init`: systemd, sysv or none."""

    title: str
    family: Family | None
    user: str
    root: bool
    sudo: bool
    init: str
    dockerd: bool
    podman: bool = False
    in_docker_group: bool = False

    def as_root(self, command: str) -> str:
        """The command line, with sudo in front where the user is not root."""
        return command if self.root else f"sudo {command}"

    def packages(self, thing: Thing) -> tuple[str, ...]:
        """The packages of that thing here, or none where nothing is known."""
        return tuple(self.family.packages.get(thing, ())) if self.family else ()

    def install(self, thing: Thing) -> tuple[str, ...]:
        """The command that installs a thing, or none where its package is not known."""
        if self.family is None or not (packages := self.packages(thing)):
            return ()
        sure = [name for name in packages if not name.endswith("?")]
        wanted = sure or [name.rstrip("?") for name in packages]
        return (self.as_root(f"{self.family.install} {' '.join(wanted)}"),)

    def lacks(self, thing: Thing, name: str, found: str, why: str) -> Check:
        """A check that is missing until that thing is installed."""
        mend = self.install(thing)
        return Check(name=name, status="missing", found=found, why=why, mend=mend, install=thing)

    def start(self) -> tuple[str, ...]:
        """The commands that start an installed engine, the next where one does not."""
        by_hand = dockerd_by_hand()
        if self.family is None or self.init == "none":
            return (self.as_root(by_hand),)
        if self.init == "systemd":
            return (self.as_root(self.family.systemd),)
        return (self.as_root(self.family.sysv), self.as_root(by_hand))

    def let_in(self) -> tuple[str, ...]:
        """The command that gives the user rights on Docker's socket."""
        return (self.as_root(f"usermod -aG docker {shlex.quote(self.user)}"),)


def dockerd_by_hand(arguments: str = "", log: Path = DOCKER_LOG) -> str:
    """A command line that starts dockerd in a session of its own, where no init system does:
    it outlives the terminal. Its output is appended to `log`."""
    command = f"setsid dockerd {arguments}".rstrip()
    return f"sh -c {shlex.quote(f'{command} >>{log} 2>&1 </dev/null &')}"


def look_at_host(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Host:
    """The host whose file system is at `root`. Never raises: what is not known is empty."""
    release = _os_release(root / "etc/os-release")
    path = f"{environ.get('PATH', '')}:{_SYSTEM_PATH}"
    user = _user_name()
    return Host(
        title=release.get("PRETTY_NAME", "this system"),
        family=_family(release),
        user=user,
        root=os.geteuid() == 0,
        sudo=shutil.which("sudo", path=path) is not None,
        init=_init(root),
        dockerd=shutil.which("dockerd", path=path) is not None,
        podman=shutil.which("podman", path=path) is not None,
        in_docker_group=user in _members(root / "etc/group", "docker"),
    )


@cache
def families() -> dict[str, Family]:
    """families.yaml, checked."""
    text = files("distromatrix.doctor").joinpath("families.yaml").read_text("utf-8")
    return TypeAdapter(dict[str, Family]).validate_python(yaml.safe_load(text))


def _family(release: Mapping[str, str]) -> Family | None:
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        for family in families().values():
            if name in family.ids:
                return family
    return None


def _os_release(file: Path) -> dict[str, str]:
    """os-release(5): shell-like assignments."""
    try:
        lines = shlex.split(file.read_text("utf-8"), comments=True)
    except (OSError, ValueError):
        return {}
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _init(root: Path) -> str:
    if (root / "run/systemd/system").is_dir():  # sd_booted(3)
        return "systemd"
    scripts = (root / "etc/init.d/docker", root / "etc/sv/docker")
    return "sysv" if any(script.exists() for script in scripts) else "none"


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _members(file: Path, group: str) -> tuple[str, ...]:
    """The members that group(5) names."""
    try:
        rows = [line.split(":") for line in file.read_text("utf-8").splitlines()]
    except OSError:
        return ()
    return tuple(name for row in rows if row[0] == group for name in row[-1].split(","))
