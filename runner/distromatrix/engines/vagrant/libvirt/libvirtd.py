"""A libvirtd of our own, for one user: started when it is needed, ended by itself when idle.

The machine's libvirtd may not run, may not be the user's, and where KVM does not work, libvirtd
stands still for half a minute each time it looks at it. Ours runs in a mount namespace of its
own, with its own folders where libvirt's are, and with `/dev/kvm` hidden where KVM is of no use.
Nothing of the machine's libvirt is seen or changed by it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from distromatrix.engines.answer import hear_out
from distromatrix.engines.contract import API_TIMEOUT
from distromatrix.engines.guest.qemu_program import PROGRAM, find_qemu
from distromatrix.engines.vagrant.libvirt import emulator
from distromatrix.errors import EngineUnavailableError, InfrastructureError
from distromatrix.files.lock import hold
from distromatrix.files.own import own_folder

POOL = "distromatrix"
IDLE = 15  # seconds without a client and a guest after which it ends
# sockaddr_un(7) has 108 bytes, of which libvirt's longest name below `run` takes some 60.
_LONGEST = 48
_TRIES = 3

# $1: our folder; $2: 1 where KVM is hidden. An empty file that cannot be written to is no KVM to
# libvirt (access(2) says so even to root); /dev/null would be probed for 16 seconds.
_START = """
if [ "$2" ] && [ -e /dev/kvm ]; then
  mount --bind "$1/nothing" /dev/kvm
  mount -o remount,bind,ro /dev/kvm
fi
for one in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
  mount --bind "$1/$(basename "$(dirname $one)")" $one
done
if [ ! -d /run/libvirt ]; then
  mount -t tmpfs -o mode=755 distromatrix /run
  mkdir /run/libvirt
fi
mount --bind "$1/run" /run/libvirt
exec libvirtd --timeout "$3" --pid-file /run/libvirt/libvirtd.pid
"""
_LIBVIRTD_CONF = """listen_tls = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
"""
# All of it is one user's, whose files the guests' disks are. What is run as QEMU makes namespaces,
# and drops its capabilities itself.
_QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
clear_emulator_capabilities = 0
stdio_handler = "file"
"""


class Libvirtd:
    """The daemon whose folders lie in `folder`, and its pool, whose volumes lie in `pool`.
    Thread-safe, and safe among processes."""

    def __init__(self, folder: Path, pool: Path, *, hide_kvm: bool = True) -> None:
        self.folder = short(folder)
        self.pool = pool
        self._hide_kvm = hide_kvm

    @property
    def uri(self) -> str:
        """Where libvirt's clients find it."""
        return f"qemu:///system?socket={self.folder}/run/libvirt-sock"

    @property
    def emulator(self) -> Path:
        """What it is to run as QEMU."""
        return self.folder / "emulator"

    def __call__(self, *arguments: str, timeout: float = API_TIMEOUT) -> str:
        """What `virsh ARGUMENTS` prints. Raises VirshError, EngineUnavailableError."""
        for _ in range(_TRIES):
            done = self._virsh(*arguments, timeout=timeout)
            if done.returncode == 0:
                return done.stdout
            if not _is_away(done.stderr):
                raise VirshError(last_words(done.stderr) or f"virsh {arguments[0]} failed")
            self.ensure()
        raise EngineUnavailableError(f"libvirtd went away: {self._log()}")

    def ensure(self) -> None:
        """Have it run. Raises EngineUnavailableError."""
        if self._answers():
            return
        own_folder("libvirtd", self.folder)
        with hold(self.folder / "lock"):
            if not self._answers():
                self._start()

    def running(self) -> bool:
        """Whether it answers; nothing is started."""
        return (self.folder / "run/libvirt-sock").exists() and self._answers()

    def _answers(self) -> bool:
        return self._virsh("uri", timeout=10.0).returncode == 0

    def _virsh(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        if self.folder.is_symlink() or self.folder.exists():  # what answers there is ours
            own_folder("libvirtd", self.folder)
        command = ["virsh", "-q", "-c", self.uri, *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
            )
            said = [text.decode(errors="replace") for text in hear_out(process, timeout)]
            return subprocess.CompletedProcess(command, process.returncode, *said)
        except FileNotFoundError as error:
            raise EngineUnavailableError(
                "virsh is not installed, and Vagrant's guests need it: "
                "`distromatrix doctor --guests --fix` installs it"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise EngineUnavailableError(
                f"libvirtd does not answer `virsh {arguments[0]}` within {timeout:.0f} seconds"
            ) from error

    def _start(self) -> None:
        for name in ("etc", "lib", "cache", "log", "run"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "nothing").touch()
        (self.folder / "etc/libvirtd.conf").write_text(_LIBVIRTD_CONF, encoding="ascii")
        (self.folder / "etc/qemu.conf").write_text(_QEMU_CONF, encoding="ascii")
        emulator.write(self.emulator, find_qemu() or Path(PROGRAM))
        hidden = "1" if self._hide_kvm else ""
        own = ["unshare", "--mount", "--propagation", "private"]
        if os.geteuid() != 0:
            own.append("--map-root-user")
        script = ["sh", "-ec", _START, "sh", str(self.folder), hidden, str(IDLE)]
        search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        if shutil.which("libvirtd", path=search) is None:
            raise EngineUnavailableError(
                "libvirtd is not installed, and Vagrant's guests need it: "
                "`distromatrix doctor --guests --fix` installs it"
            )
        with (self.folder / "libvirtd.log").open("w") as log:
            process = subprocess.Popen(
                [*own, *script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, "PATH": search},
                start_new_session=True,
            )
        deadline = time.monotonic() + API_TIMEOUT
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                ended = process.poll()
                killed = f"it was killed by signal {-ended}" if ended and ended < 0 else ""
                raise EngineUnavailableError(f"libvirtd does not start: {killed or self._log()}")
            time.sleep(0.05)
        self._have_pool()

    def _have_pool(self) -> None:
        self.pool.mkdir(parents=True, exist_ok=True)
        if self._virsh("pool-info", POOL, timeout=API_TIMEOUT).returncode != 0:
            self("pool-define-as", POOL, "dir", "--target", str(self.pool))
            self("pool-autostart", POOL)
        if "running" not in self("pool-info", POOL):
            self("pool-start", POOL)

    def _log(self) -> str:
        with contextlib.suppress(OSError):
            return last_words((self.folder / "libvirtd.log").read_text(errors="replace"))
        return "it says nothing"


class VirshError(InfrastructureError):
    """What virsh said."""


def short(folder: Path) -> Path:
    """That folder, or where its path is too long for sockets below it, one in /tmp that stands
    for it."""
    if len(str(folder)) <= _LONGEST:
        return folder
    import hashlib

    name = hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"distromatrix-{os.geteuid()}-{name}"


def last_words(said: str) -> str:
    """The line of a tool's output that says what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower()]
    line = (wrong or lines or [""])[-1]
    return line.removeprefix("error: ")


def _is_away(said: str) -> bool:
    return any(
        words in said
        for words in ("Failed to connect socket", "End of file while", "Cannot recv data")
    )
