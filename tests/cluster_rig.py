"""A Dask cluster of several hosts on this machine: a scheduler and workers, each in namespaces of
its own (network, processes, mounts, host name), the workers with a dockerd of their own.

                 bridge, in a network namespace of its own
    this machine ──┤ 10.214.N.1      the client is here
       scheduler ──┤ 10.214.N.2
              h1 ──┤ 10.214.N.11     dockerd, `dask worker`
              h2 ──┘ 10.214.N.12     …

A host dies with this process, with its processes, mounts and links. Rules of iptables, control
groups and the folder are removed at the end, or by the next cluster where this one was killed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from platformdirs import user_cache_path

from cluster_host import BEGIN, MARK, Host, RigError, begun, end, run
from distromatrix.engines.docker.connection.ping import answers
from given import unobtainable
from leftovers import remove_ended

if TYPE_CHECKING:
    from distributed import Client

PREFIX = "distromatrix-rig-"
PATIENCE = 120.0  # seconds that a process has to be ready on a busy machine
PROGRAMS = ("dockerd", "ip", "iptables", "nsenter", "openssl", "setpriv", "unshare")
PORT = 8786
KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


@dataclass
class Rig:
    """The cluster. `hosts`: those with a worker, by name."""

    folder: Path
    scheme: str
    network: str  # `10.214.N`
    lan: subprocess.Popen[bytes]  # holds the namespace of the bridge
    options: tuple[str, ...] = ()  # of `dask worker`
    given: Mapping[str, str] = field(default_factory=dict)  # variables
    hosts: dict[str, Host] = field(default_factory=dict)
    scheduler: Host = field(init=False)
    all: list[Host] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{self.scheme}://{self.network}.2:{PORT}"

    def environ(self, role: str = "client") -> dict[str, str]:
        """The variables that Dask takes its certificates from, in that role; `stranger` is a
        client whose certificate is good, but of another authority."""
        if self.scheme != "tls":
            return {}
        stranger = role == "stranger"
        tls = "DASK_DISTRIBUTED__COMM__TLS"
        return {
            f"{tls}__CA_FILE": f"{self.folder}/{'other' if stranger else 'authority'}.pem",
            f"{tls}__{'CLIENT' if stranger else role.upper()}__CERT": f"{self.folder}/{role}.pem",
            f"{tls}__{'CLIENT' if stranger else role.upper()}__KEY": f"{self.folder}/{role}.key",
        }

    # What is there.

    def client(self, role: str = "client", **given: Any) -> Client:
        """A client of Dask's own, here."""
        from distributed import Client, Security

        said = self.environ(role)
        named = {name.rpartition("TLS__")[2].lower(): value for name, value in said.items()}
        own = {"ca_file": "tls_ca_file", "client__cert": "tls_client_cert"}
        own["client__key"] = "tls_client_key"
        make: Any = (Client, Security)  # without types
        security = make[1](**{own[name]: value for name, value in named.items()})
        made: Client = make[0](self.address, security=security, set_as_default=False, **given)
        return made

    def known(self, client: Client) -> dict[str, str]:
        """The addresses of the workers that the scheduler knows, by name."""
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return {str(one["name"]): address for address, one in workers.items()}

    def start_scheduler(self) -> None:
        """Begin it (again) at the same address, and wait until it listens."""
        host = self.scheduler
        where = f"{self.scheme}://{host.address}"
        words = ("scheduler", "--host", where, "--port", str(PORT), "--no-dashboard")
        self._start_dask(host, "scheduler", words, {})

        def listens() -> bool:
            with suppress(OSError), socket.create_connection((host.address, PORT), 1):
                return True
            return False

        self._until(listens, "the scheduler does not listen", host)

    def start_worker(self, name: str, **more: str) -> None:
        """Begin it (again), with `more` variables, and wait until the scheduler knows it."""
        self.begin_worker(name, **more)
        self.await_worker(name)

    def begin_worker(self, name: str, **more: str) -> None:
        """Begin it (again); whoever wants it to be known waits for that with `await_worker`."""
        words = ("worker", self.address, "--name", name, "--no-dashboard", *self.options)
        words += ("--local-directory", str(self.hosts[name].folder / "dask"))
        self._start_dask(self.hosts[name], "worker", words, more)

    def await_worker(self, name: str) -> None:
        """Until the scheduler knows the worker that was begun last."""
        host = self.hosts[name]
        known = b"Registered to:"
        self._until(lambda: known in host.log.read_bytes(), f"{name} does not register", host)

    def begin_engine(self, name: str) -> None:
        """Begin its dockerd (again)."""
        host = self.hosts[name]
        host.call("rm", "-f", "/run/docker.pid")
        words = ["dockerd", "-H", host.docker_host, "--data-root", f"{host.folder}/data"]
        words += ["--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"]
        words += ["--exec-opt", "native.cgroupdriver=cgroupfs"]
        words += ["--cgroup-parent", f"/{self.folder.name}"]
        environ = {"PATH": os.environ["PATH"], "TMPDIR": str(host.folder / "tmp")}
        host.engine, _ = host.start("dockerd", *words, environ=environ)

    def await_engine(self, name: str) -> None:
        """Until its engine answers."""
        host = self.hosts[name]
        self._until(lambda: answers(host.socket), f"{name}'s engine does not answer", host)

    def start_engine(self, name: str) -> None:
        """Begin its dockerd (again), and wait until it answers."""
        self.begin_engine(name)
        self.await_engine(name)

    # What breaks.

    def kill_worker(self, name: str) -> None:
        """kill -9 of the worker, its nanny, and all that they began; its engine goes on."""
        self.hosts[name].kill_dask()

    def kill_scheduler(self) -> None:
        """kill -9 of the scheduler."""
        self.scheduler.kill_dask()

    def kill_engine(self, name: str) -> None:
        """kill -9 of its dockerd; what runs in containers goes on, as it does anywhere."""
        self.hosts[name].kill_engine()

    def cut(self, name: str) -> None:
        """Its cable is pulled: that of a worker's host, or `scheduler`."""
        self._in_lan(f"ip link set {name} down")

    def heal(self, name: str) -> None:
        """Its cable is plugged in again."""
        self._in_lan(f"ip link set {name} up")

    # What is seen.

    def left(self) -> dict[str, list[str]]:
        """What lies on the engines, by host; hosts with nothing are not in it."""
        found = {name: host.left() for name, host in self.hosts.items()}
        return {name: one for name, one in found.items() if one}

    def said(self, size: int = 2000) -> str:
        """The ends of all logs."""
        logs = sorted(self.folder.glob("*/*.log"))
        ends = [one.read_text(errors="replace")[-size:] for one in logs]
        return "\n".join(
            f"== {one.parent.name}/{one.name}\n{end}" for one, end in zip(logs, ends, strict=True)
        )

    # How it is made.

    def _begin(self, workers: int) -> None:
        self.scheduler = self._add("scheduler", 2)
        for number in range(1, workers + 1):
            self.hosts[f"h{number}"] = self._add(f"h{number}", 10 + number)
            self.begin_engine(f"h{number}")
        self.start_scheduler()
        for name in self.hosts:
            self.await_engine(name)
            self.begin_worker(name)
        for name in self.hosts:
            self.await_worker(name)

    def _start_dask(
        self, host: Host, role: str, words: tuple[str, ...], more: Mapping[str, str]
    ) -> None:
        own = {**host.environ(), **self.environ(role), MARK: str(host.folder), **self.given, **more}
        command = (sys.executable, "-m", "dask", *words)
        host.dask, host.log = host.start(role, *command, environ=own)

    def _add(self, name: str, number: int) -> Host:
        """A host, on the bridge; without an engine so far."""
        folder = self.folder / name
        for one in ("home", "tmp", "data"):
            (folder / one).mkdir(parents=True)
        (folder / "machine-id").write_text(f"{secrets.token_hex(16)}\n")
        (folder / "resolv.conf").write_text(_name_servers())
        words = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork"]
        words += ["--kill-child", "sh", "-c", BEGIN, "begin", str(folder), name]
        with (folder / "begin.log").open("wb") as log:
            host = Host(name, folder, f"{self.network}.{number}", begun(words, log, os.environ))
        self.all.append(host)
        self._until((folder / "begun").exists, f"{name} does not begin", host)
        self._in_lan(f"ip link add {name} type veth peer name eth0 netns {host.outer.pid}")
        self._in_lan(f"ip link set {name} master lan up")
        host.call("ip", "link", "set", "lo", "up")
        host.call(*f"ip address add {host.address}/24 dev eth0".split())
        host.call("ip", "link", "set", "eth0", "up")
        host.call(*f"ip route add default via {self.network}.1".split())
        return host

    def _connect(self) -> None:
        """The bridge, this machine's own link to it, and the way out for the others."""
        link = f"dm{secrets.token_hex(4)}"
        rule = f"-m comment --comment {self.folder.name}"
        self._in_lan("ip link add lan type bridge")
        self._in_lan("ip link set lan up")
        for line in (
            f"ip link add {link} type veth peer name out netns {self.lan.pid}",
            f"ip address add {self.network}.1/24 dev {link}",
            f"ip link set {link} up",
            f"iptables -w -t nat -I POSTROUTING -s {self.network}.0/24 ! -o {link} {rule}"
            " -j MASQUERADE",
            f"iptables -w -I FORWARD -i {link} {rule} -j ACCEPT",
            f"iptables -w -I FORWARD -o {link} {rule} -j ACCEPT",
        ):
            run(line)
        self._in_lan("ip link set out master lan up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _in_lan(self, line: str) -> None:
        run(f"nsenter -t {self.lan.pid} -n {line}")

    def _until(self, what: Callable[[], object], failure: str, host: Host) -> None:
        deadline = monotonic() + PATIENCE
        while not what():
            ended = [one for one in (host.outer, host.engine, host.dask) if one and one.poll()]
            if ended or monotonic() > deadline:
                raise RigError(f"{failure}\n{self.said()}")
            sleep(0.05)


@contextmanager
def cluster(
    workers: int = 2,
    *,
    scheme: str = "tls",
    options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Rig]:
    """A scheduler and that many workers (`h1`, `h2`, …), which it knows, with their engines.

    `options`: more of `dask worker`; `environ`: more variables of theirs and the scheduler's;
    `scheme`: `tls` or `tcp`. All is gone afterwards.
    """
    if os.geteuid() != 0:
        unobtainable("only root can give the hosts of a cluster networks of their own")
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        unobtainable(f"a cluster on one machine needs {', '.join(missing)}")
    first = user_cache_path("distromatrix") / "tests"
    first.mkdir(parents=True, exist_ok=True)
    rig: Rig | None = None
    with FileLock(first / "rig.lock"):  # no other takes the same network meanwhile
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            remove_ended(left)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = FileLock(folder / "lock")
        lock.acquire()
        lan = _lan(folder)
        try:
            rig = Rig(folder, scheme, _free_network(), lan, options, dict(environ or {}))
            rig._connect()
        except BaseException:
            _close(folder, lock, lan, [])
            raise
    try:
        _make_certificates(folder)
        rig._begin(workers)
        yield rig
    finally:
        _close(folder, lock, lan, rig.all)


def _close(folder: Path, lock: FileLock, lan: subprocess.Popen[bytes], hosts: list[Host]) -> None:
    for host in hosts:
        host.end()
    end(lan)
    lock.release()
    remove_ended(folder)


def _lan(folder: Path) -> subprocess.Popen[bytes]:
    """What holds the bridge's namespace, which it has when this returns."""
    with (folder / "lan.log").open("wb") as log:
        lan = begun(["unshare", "--net", "sleep", "infinity"], log, os.environ)
    ours = Path("/proc/self/ns/net").readlink()
    deadline = monotonic() + PATIENCE
    while Path(f"/proc/{lan.pid}/ns/net").readlink() == ours:
        if lan.poll() is not None or monotonic() > deadline:
            end(lan)
            raise RigError(f"there is no network: {(folder / 'lan.log').read_text()}")
        sleep(0.02)
    return lan


def _free_network() -> str:
    """The first three numbers of a network that this machine is not in."""
    words = ["ip", "-4", "-oneline", "address"]
    taken = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return next(one for number in range(256) if f" {(one := f'10.214.{number}')}." not in taken)


def _name_servers() -> str:
    """Those of this machine, also where its own is a stub that other networks cannot reach."""
    real = Path("/run/systemd/resolve/resolv.conf")
    return (real if real.exists() else Path("/etc/resolv.conf")).read_text()


def _make_certificates(folder: Path) -> None:
    """An authority, and what it signed for each role; the same of another for `stranger`."""
    signed = {"authority": ("scheduler", "worker", "client"), "other": ("stranger",)}
    for ca, roles in signed.items():
        own = f"-keyout {folder}/{ca}.key -out {folder}/{ca}.pem"
        run(f"openssl req -x509 {KEY} -days 2 -subj /CN={ca} {own}")
        for role in roles:
            own = f"-keyout {folder}/{role}.key -out {folder}/{role}.csr"
            run(f"openssl req {KEY} -subj /CN={role} {own}")
            by = f"-CA {folder}/{ca}.pem -CAkey {folder}/{ca}.key -CAcreateserial"
            run(f"openssl x509 -req -days 2 -in {folder}/{role}.csr {by} -out {folder}/{role}.pem")
