"""A machine that bootstraps: Debian 12 with the real tools, this package's own source, the
engine's socket and the right to mount; and tiny distributions to bootstrap there."""

from __future__ import annotations

import io
import json
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import requires
from pathlib import Path
from typing import Any
from uuid import uuid4

from apk_format import tar_of
from images_world import World, told
from local_repositories import (
    KEY_NAME,
    REPOSITORIES,
    Built,
    Kind,
    Package,
    Workshop,
    program,
    served,
    tools_image,
)

from distromatrix.engines.contract import Machine, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.docker.spec import create_body
from distromatrix.engines.image_store import Image
from given import ROOT, alpine_or_pulled, unobtainable

TOOLS: dict[str, Kind] = {"dnf": "rpm", "zypper": "rpm", "pacman": "pacman", "apk": "apk"}
HOME = "/opt/distromatrix"
PYTHON = f"env PYTHONPATH={HOME}/runner:{HOME}/site python3"
KEYS = "/opt/keys"
KINDS: tuple[Kind, ...] = ("rpm", "pacman", "apk")
# Alpine's own apk runs beside Debian's C library with the loader it brings along.
_APK = (
    "#!/bin/sh\nexec /opt/alpine/lib/ld-musl-*.so.1 "
    '--library-path /opt/alpine/lib:/opt/alpine/usr/lib /opt/alpine/sbin/apk "$@"\n'
)
_PREPARE = f"""
mkdir -p {KEYS} /opt/alpine
tar -xf /opt/alpine.tar -C /opt/alpine
chmod 755 /usr/local/bin/apk
useradd -m tester
"""


@dataclass
class Bootstrapper:
    """The machine, and what it made."""

    world: World
    machine: Machine
    workshop: Workshop
    folder: Path
    tags: list[str] = field(default_factory=list)

    def told(self, script: str, **env: str) -> str:
        return told(self.machine, script, env)

    def signed(self) -> Built:
        """Signed repositories of tiny distributions that have their package manager; their keys
        lie where the tools find them."""
        shell, apk_key = self.workshop.shell(), b""
        managers: dict[Kind, Package] = {
            "rpm": _with(
                self.workshop.real("manager", "/usr/bin/rpm", "/usr/bin/rpmdb"), self._rpm_files()
            ),
            "pacman": self.workshop.real("manager", "/usr/bin/pacman", "/usr/bin/gpg"),
            "apk": alpines_own_apk(),
        }
        for kind, manager in managers.items():
            packages = (*base(shell, kind), manager)
            built = self.workshop.build(self.folder, packages, kinds=(kind,), signed="all")
            apk_key = built.apk_key or apk_key
        self.machine.put(tar_of({"testix.asc": built.key, KEY_NAME: apk_key}), KEYS)
        return replace(built, apk_key=apk_key)

    def unsigned(self) -> Built:
        """The same, without signatures and package managers."""
        folder = self.folder / "unsigned"
        folder.mkdir()
        packages = base(self.workshop.shell(), "unsigned")
        return self.workshop.build(folder, packages, kinds=KINDS, signed="none")

    def _rpm_files(self) -> dict[str, bytes | str]:
        """What rpm reads, and a database in another place than the one it is built in."""
        lines = "%_dbpath /var/lib/rpm\n%_db_backend sqlite\n"
        read = ("macros", "rpmrc", f"platform/{platform.machine()}-linux/macros")
        files = {f"usr/lib/rpm/{n}": self.told(f"cat /usr/lib/rpm/{n}").encode() for n in read}
        return {**files, "etc/rpm/macros.testix": lines.encode()}

    def job(self, tool: str, url: Callable[[Kind], str], **more: Any) -> dict[str, Any]:
        """What bootstrap_driver.py does: the tool on its tiny distribution."""
        kind = TOOLS[tool]
        return {
            "tool": tool,
            "mirror": url(kind),
            "repositories": REPOSITORIES[kind],
            "packages": ["base"],
            "options": [f"--keys={keys_of(tool)}"],
            "folder": f"/root/build/{tool}",
            **more,
        }

    def bootstrap(self, *jobs: dict[str, Any], prefix: str = "") -> list[dict[str, str]]:
        """How they went."""
        return [json.loads(line) for line in self.told(command(*jobs, prefix=prefix)).splitlines()]

    def load(self, tar: str) -> Image:
        """A root filesystem made there, as an image of the engine."""
        tag = f"distromatrix/test-bootstrap:{uuid4().hex[:12]}"
        with tarfile.open(fileobj=io.BytesIO(b"".join(self.machine.get(tar)))) as outer:
            rootfs = outer.extractfile("rootfs.tar")
            assert rootfs is not None
            self.tags.append(tag)
            return self.world.engine.images.load_rootfs(io.BytesIO(rootfs.read()), tag, {})


def command(*jobs: dict[str, Any], prefix: str = "") -> str:
    """The script that runs the driver."""
    given = json.dumps(jobs).replace("'", "'\\''")
    return f"{prefix} {PYTHON} {HOME}/bootstrap_driver.py '{given}'"


def keys_of(tool: str) -> str:
    return f"{KEYS}/{KEY_NAME if tool == 'apk' else 'testix.asc'}"


@contextmanager
def bootstrapper(world: World, folder: Path) -> Iterator[Bootstrapper]:
    """Open the machine; what was loaded into the engine goes with it."""
    machine = _open(world)
    made = Bootstrapper(world, machine, Workshop(machine), folder)
    try:
        machine.put(_source(), "/")
        machine.put(_dependencies(folder / "site"), "/")
        made.told(_PREPARE)
        yield made
    finally:
        machine.close()
        for tag in made.tags:
            world.engine.images.remove(tag)


@contextmanager
def serving(built: Built, at: Bootstrapper) -> Iterator[Callable[[Kind], str]]:
    """The repositories on the network of the machine, and of all others."""
    with served(built, at.workshop.gateway) as url:
        yield url


def base(shell: Package, release: str) -> tuple[Package, ...]:
    """A distribution: `base` is what one begins with, `hello` may be installed later."""
    os_release = f'ID=testix\nVERSION_ID=1\nPRETTY_NAME="Testix {release}"\n'.encode()
    return (
        shell,
        Package(
            name="base",
            requires=(shell.name,),
            recommends=("luxury",),
            docs=("usr/share/doc/base/manual",),
            capable=("usr/bin/capable",),
            files={
                "etc/os-release": os_release,
                "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
                "etc/group": b"root:x:0:\n",
                "usr/bin/capable": b"#!/bin/sh\n",
                "usr/share/doc/base/manual": b"read me\n",
            },
        ),
        program("luxury", "ah"),
        program("hello", "hello"),
    )


def alpines_own_apk() -> Package:
    """Alpine's apk with its libraries."""
    wanted = re.compile(
        r"(?:\./)?(sbin/apk|(?:usr/)?lib/(?:ld-musl|lib(?:c|apk|crypto|ssl|z)\.).*)"
    )
    files: dict[str, bytes | str] = {}
    with tarfile.open(alpine_or_pulled()) as tar:
        for member in tar:
            if found := wanted.fullmatch(member.name):
                held = None if member.issym() else tar.extractfile(member)
                files[found[1]] = held.read() if held else member.linkname
    return Package(name="manager", files=files)


def _with(package: Package, files: dict[str, bytes | str]) -> Package:
    return replace(package, files={**package.files, **files})


def _open(world: World) -> Machine:
    engine = world.engine
    assert isinstance(engine, DockerEngine)
    image = tools_image(world)
    scheme, _, socket = engine._api.url.partition("://")
    if scheme != "unix":
        unobtainable(f"the engine at {engine._api.url} has no socket that a container could use")
    name = f"distromatrix-test-{uuid4().hex[:12]}"
    spec = MachineSpec(name=name, image=image, cpus=2.0, privileges=("mount", "mknod"))
    body = create_body(spec, engine._api.limits, network="bridge")
    body["HostConfig"]["Binds"] = [f"{socket}:/var/run/docker.sock"]
    # newuidmap is mightier than who calls it.
    body["HostConfig"]["SecurityOpt"].remove("no-new-privileges")
    return DockerMachine.create(engine._api, spec, body).start()


def _dependencies(folder: Path) -> bytes:
    """What this package stands on, for Debian 12's Python, as a tar for the machine."""
    wanted = [r for r in requires("distromatrix") or () if "extra ==" not in r]
    arch = platform.machine()
    target = ("--target", str(folder), "--python-version", "3.11", "--implementation", "cp")
    platforms = (f"manylinux2014_{arch}", f"manylinux_2_28_{arch}")
    named = (word for name in platforms for word in ("--platform", name))
    install = (sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:")
    subprocess.run((*install, *target, *named, *wanted), check=True)
    return _folder(folder, f"{HOME.lstrip('/')}/site")


def _source() -> bytes:
    """This package and what a test runs with it, for the machine's root folder."""
    here = Path(__file__).parent
    buffer = io.BytesIO(
        _folder(ROOT / "runner/distromatrix", "opt/distromatrix/runner/distromatrix")
    )
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        tar.add(ROOT / "distros", "opt/distromatrix/distros")
        tar.add(here / "bootstrap_driver.py", "opt/distromatrix/bootstrap_driver.py")
        tar.add(alpine_or_pulled(), "opt/alpine.tar")
        script = tarfile.TarInfo("usr/local/bin/apk")
        script.size = len(_APK)
        tar.addfile(script, io.BytesIO(_APK.encode()))
    return buffer.getvalue()


def _folder(folder: Path, name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, name, filter=lambda m: None if "__pycache__" in m.name else m)
    return buffer.getvalue()
