"""Container engines beside this machine's own: each in a root of Debian's sid, a Docker with the
containerd image store and a Podman; and the same Docker as another host, at the end of ssh.

A world is a process and mount namespace with a root of its own (pivot_root: a plain chroot breaks
Docker's `cp` and `exec`) and a network namespace behind a veth pair. Its data folder has the same
path inside and outside, so that its socket can be reached from here. All its processes end with
its first one, which ends with this one; control groups, the rules of iptables and the folder are
removed after it, by the next world where this one was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from filelock import FileLock
from platformdirs import user_cache_path

from distromatrix.engines import open_engine
from distromatrix.engines.docker.connection.ping import answers
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.errors import InfrastructureError
from given import image_of, unobtainable
from leftovers import remove_ended

PREFIX = "distromatrix-engine-"
PATIENCE = 120.0  # seconds that an engine has to answer on a busy machine
PROGRAMS = ("unshare", "setpriv", "nsenter", "ip", "iptables", "tar", "ssh", "ssh-keygen")
SSH = shutil.which("ssh")

# What begins in the new namespaces: $1 the root, $2 the data folder, $3 the engine's command.
BEGIN = r"""set -eu
root=$1 data=$2
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/tmp/host" "$root/$data" "$root/run/sshd"
mount --bind "$data" "$root/$data"
if ! [ -e "$root/etc/resolv.conf" ] || [ -L "$root/etc/resolv.conf" ]; then
  rm -f "$root/etc/resolv.conf"
  : >"$root/etc/resolv.conf"
fi
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
# What hangs in a container must be found without a ps on the engine's host, too.
[ ! -e "$root/usr/bin/ps" ] || mount --bind /dev/null "$root/usr/bin/ps"
cd "$root"
pivot_root . tmp/host
cd /
umount -l tmp/host
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
sysctl() { echo "$2" >"/proc/sys/$1"; }
sysctl net/ipv4/ip_forward 1
exec /bin/sh -c "$3" "$data"
"""

DOCKER = """dockerd --feature containerd-snapshotter=true --exec-opt native.cgroupdriver=cgroupfs \
  --cgroup-parent /${0##*/} --data-root $0/data --exec-root /run/docker --pidfile /run/docker.pid \
  -H unix:///var/run/docker.sock -H unix://$0/engine.sock"""
PODMAN = """podman system service --time=0 unix://$0/engine.sock"""
# Debian's crun refuses cgroup v1; who lacks CAP_SYS_RESOURCE may raise no limit.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
cgroups = "enabled"
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE_CONF = """[storage]
driver = "overlay"
graphroot = "{data}/data"
runroot = "/run/containers/storage"
"""
SSHD = """mkdir -p /run/sshd
/usr/sbin/sshd -f $0/sshd_config -E $0/sshd.log
"""
SSHD_CONFIG = """HostKey {data}/host_key
AuthorizedKeysFile {data}/client_key.pub
PidFile none
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
"""


SSH_CONFIG = """IdentityFile {key}
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile {known}
StrictHostKeyChecking yes
"""


@dataclass(frozen=True)
class Kind:
    """One engine: the packages of its root, and what starts it there."""

    name: str
    packages: tuple[str, ...]
    command: str


BESIDE = ("iptables", "iproute2", "openssh-server")
KINDS = {
    "docker": Kind("docker", ("docker.io", "docker-cli", *BESIDE), DOCKER),
    "podman": Kind("podman", ("podman", "runc", "crun", "netavark", "nftables", *BESIDE), PODMAN),
}


@dataclass
class World:
    """An engine that runs. `folder`: its data, its socket and, for ssh, its keys."""

    kind: Kind
    folder: Path
    address: str = ""  # of its host
    folders: list[Path] = field(default_factory=list)
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def socket(self) -> Path:
        return self.folder / "engine.sock"

    def environ(self) -> dict[str, str]:
        """What leads our own client, and the engine's, to it."""
        name = "DOCKER_HOST" if self.kind.name == "docker" else "CONTAINER_HOST"
        return {name: f"unix://{self.socket}"}

    def environ_by_ssh(self, key: str = "client_key", host_key: str = "host_key") -> dict[str, str]:
        """The same by ssh, with that key, to a host that is known by that one."""
        # ssh's shared connection lies below TMPDIR, whose path must be short: each has its own.
        folder = Path(tempfile.mkdtemp(prefix="dm-"))
        self.folders.append(folder)
        algorithm, public, _ = (self.folder / f"{host_key}.pub").read_text().split()
        (folder / "known").write_text(f"{self.address} {algorithm} {public}\n")
        text = SSH_CONFIG.format(key=self.folder / key, known=folder / "known")
        (folder / "config").write_text(text)
        ssh = folder / "ssh"  # which looks nowhere else: not into HOME, as other programs do
        ssh.write_text(f'#!/bin/sh\nexec {SSH} -F {folder}/config "$@"\n')
        ssh.chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        name, *_ = self.environ()
        # Docker's client there knows by itself where its engine is.
        where = "" if self.kind.name == "docker" else str(self.socket)
        where = f"ssh://root@{self.address}{where}"
        return {name: where, "PATH": path, "TMPDIR": str(folder)}

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the engine."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        first = children.read_text().split()[0]
        words = ["nsenter", "-t", first, "-m", "-n", "-p", "-i", "--", *command]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@contextmanager
def world(name: str) -> Iterator[World]:
    """The engine of that name, started and gone again."""
    if os.geteuid() != 0:
        unobtainable("only root can give an engine a network of its own")
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        unobtainable(f"an engine beside this machine's own needs {', '.join(missing)}")
    kind = KINDS[name]
    root = root_of(kind)
    with FileLock(user_cache_path("distromatrix") / "tests/engines.lock"):
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            remove_ended(left)
        made = World(kind, Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-")))
        made.folder.chmod(0o755)
        lock = FileLock(made.folder / "lock")
        lock.acquire()
    try:
        _configure(made)
        with held(root, fcntl.LOCK_SH):
            made.process = _start(made, root)
            try:
                _connect(made)
                _until_up(made)
                yield made
            finally:
                made.process.kill()
                made.process.wait()
    finally:
        lock.release()
        remove_ended(made.folder)
        for folder in made.folders:
            shutil.rmtree(folder)


@contextmanager
def held(folder: Path, how: int) -> Iterator[None]:
    """A root is held by each world that stands on it, and removed by who has it alone. Raises
    BlockingIOError."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, how | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def root_of(kind: Kind) -> Path:
    """The root file system of that engine, made when it is first wanted: by this machine's own
    Docker, from the image that a cell with these packages would run on."""
    engine = open_engine("docker")
    try:
        image = image_of(engine, "debian-sid", *kind.packages)
        folder = user_cache_path("distromatrix") / "tests/engine-roots"
        folder.mkdir(parents=True, exist_ok=True)
        root = folder / f"{kind.name}-{image.id.rpartition(':')[2][:16]}"
        with FileLock(folder / f"{kind.name}.lock"):
            if not root.is_dir():
                for old in folder.glob(f"{kind.name}-*/"):
                    with contextlib.suppress(BlockingIOError), held(old, fcntl.LOCK_EX):
                        shutil.rmtree(old)
                part = Path(tempfile.mkdtemp(prefix=f"{kind.name}-part-", dir=folder))
                _export(engine, image.id, part)
                part.chmod(0o755)
                part.rename(root)
    except InfrastructureError as error:
        unobtainable(f"there is no root with {kind.name}: {error}")
    finally:
        engine.close()
    return root


def _export(engine: DockerEngine, image: str, folder: Path) -> None:
    with engine._api.calling("export a root", 1800) as client:
        container = client.create_container(image, command="true")["Id"]
        try:
            unpack = [
                "tar",
                "-x",
                "--numeric-owner",
                "-C",
                str(folder),
                "--exclude=dev/*",
                "--exclude=usr/bin/ps",
            ]
            with subprocess.Popen(unpack, stdin=subprocess.PIPE) as tar:
                assert tar.stdin is not None
                for chunk in client.export(container, chunk_size=1 << 20):
                    tar.stdin.write(chunk)
                tar.stdin.close()
            if tar.returncode:
                raise InfrastructureError(f"tar ended with status {tar.returncode}")
        finally:
            client.remove_container(container)


def _configure(made: World) -> None:
    data = str(made.folder)
    (made.folder / "sshd_config").write_text(SSHD_CONFIG.format(data=data))
    for name in ("host_key", "client_key", "stranger_key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"{data}/{name}"]
        subprocess.run(make, check=True)
    if made.kind.name == "podman":
        v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        text = CONTAINERS_CONF.format(runtime="crun" if v2 else "runc")
        (made.folder / "containers.conf").write_text(text)
        (made.folder / "storage.conf").write_text(STORAGE_CONF.format(data=data))


def _start(made: World, root: Path) -> subprocess.Popen[bytes]:
    command = f"{SSHD}exec {made.kind.command}"
    if made.kind.name == "podman":
        files = "CONTAINERS_CONF=$0/containers.conf CONTAINERS_STORAGE_CONF=$0/storage.conf"
        command = f"export {files}\n{command}"
    words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--ipc"]
    words += ["--fork", "--kill-child", "sh", "-c", BEGIN, "begin", str(root), str(made.folder)]
    with (made.folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*words, command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _connect(made: World) -> None:
    """A veth pair from its namespace to here, and masquerading for it. The pair goes with the
    namespace, the rules by the comment that names the folder."""
    link = f"dm{secrets.token_hex(4)}"
    number = secrets.randbelow(1 << 14) * 4
    net, here, there = (f"10.213.{(number + n) >> 8}.{(number + n) & 255}" for n in range(3))
    made.address = there
    enter = f"nsenter -t {made.process.pid} -n"
    rule = f"-m comment --comment {made.folder.name}"
    up = f"""set -e
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip link add {link} type veth peer name {link}p
    ip address add {here}/30 dev {link}
    ip link set {link} up
    ip link set {link}p netns {made.process.pid}
    {enter} ip link set lo up
    {enter} ip address add {there}/30 dev {link}p
    {enter} ip link set {link}p name eth0 up
    {enter} ip route add default via {here}
    iptables -w -t nat -I POSTROUTING -s {net}/30 ! -o {link} {rule} -j MASQUERADE
    iptables -w -I FORWARD -i {link} {rule} -j ACCEPT
    iptables -w -I FORWARD -o {link} {rule} -j ACCEPT"""
    _until_apart(made)
    done = subprocess.run(["sh", "-c", up], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _until_apart(made: World) -> None:
    """Until its first process has left our network."""
    ours = Path("/proc/self/ns/net").readlink()
    deadline = monotonic() + PATIENCE
    while Path(f"/proc/{made.process.pid}/ns/net").readlink() == ours:
        assert made.process.poll() is None, made.log()
        assert monotonic() < deadline, "it has no network of its own"
        sleep(0.02)


def _until_up(made: World) -> None:
    deadline = monotonic() + PATIENCE
    while not answers(made.socket):
        assert made.process.poll() is None, made.log()
        assert monotonic() < deadline, made.log()
        sleep(0.1)
