"""A guest over ssh: one connection, kept open, through which all shells and files go."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.answer import LONGEST, MOST, Answer, Late, hear, hear_out
from distromatrix.engines.guest.scripts import PIPED, SESSION, becoming_program
from distromatrix.engines.guest.stream import SocketStream
from distromatrix.engines.parcel import ids_of
from distromatrix.engines.shell.homes import home_found
from distromatrix.engines.shell.shell import loop_by
from distromatrix.errors import EngineUnavailableError, InfrastructureError
from distromatrix.files.own import own_folder

HOST = "guest"  # its name in the configuration that we write
_PIECE = 1 << 16
_POLL = 0.02  # seconds
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of a guest that is busy under emulation, a minute's silence says nothing. The key exchange that
# newer clients prefer, against quantum computers, is dear there.
_CONFIG = """Host {host}
  HostName {address}
  Port {port}
  User {user}
{keys}  IdentitiesOnly yes
  BatchMode yes
  HostKeyAlias {host}
  StrictHostKeyChecking {check}
  UserKnownHostsFile "{known}"
  GlobalKnownHostsFile /dev/null
  LogLevel ERROR
  ConnectTimeout 10
  ServerAliveInterval 10
  ServerAliveCountMax 9
  ControlPath {control}
  Compression no
  Ciphers ^aes128-gcm@openssh.com
  KexAlgorithms ^curve25519-sha256
  GSSAPIAuthentication no
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where sshd listens, and who may log in. `host_key`: the public key that sshd shows; where
    nobody knows it, the first one that is shown."""

    address: str
    port: int
    user: str
    keys: tuple[str, ...]
    host_key: str = ""


class Connection:
    """ssh's configuration and its open connection in a folder. Thread-safe; another process
    with the same folder uses the same connection. `sockets`: a folder with a short path."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.config = folder / "ssh_config"
        self._control = sockets / hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        self._master: subprocess.Popen[bytes] | None = None
        self.root = True  # whether who logs in is root

    def write(self, login: Login) -> None:
        """Write the configuration."""
        keys = "".join(f'  IdentityFile "{key}"\n' for key in login.keys)
        known = self.config.with_name("known_hosts")
        if login.host_key:
            known.write_text(f"{HOST} {login.host_key}\n", encoding="utf-8")
        text = _CONFIG.format(
            host=HOST,
            address=login.address,
            port=login.port,
            user=login.user,
            keys=keys,
            control=self._control,
            check="yes" if login.host_key else "accept-new",
            known=known,
        )
        self.config.write_text(text, encoding="utf-8")
        self.root = login.user == "root"

    def host_key(self) -> str:
        """The public key that sshd has shown, or is to show; '' before that."""
        with contextlib.suppress(OSError):
            for line in self.config.with_name("known_hosts").read_text("utf-8").splitlines():
                if line.startswith(f"{HOST} "):
                    return line.partition(" ")[2]
        return ""

    def open(self, timeout: float) -> None:
        """Connect, as often as it takes within `timeout` seconds. Raises TimeoutError with
        ssh's words, EngineUnavailableError."""
        own_folder("sockets of Vagrant's guests", self._control.parent)
        deadline = time.monotonic() + timeout
        said = ""
        while True:
            self._control.unlink(missing_ok=True)
            self._master = self._popen(["-M", "-N", HOST], stdin=subprocess.DEVNULL)
            while self._master.poll() is None and time.monotonic() < deadline:
                if self._control.exists():
                    return
                time.sleep(_POLL)
            said = self._let_go() or said
            if time.monotonic() >= deadline or "unix_listener" in said:
                raise TimeoutError(said)
            time.sleep(0.1)

    def wait_lost(self, timeout: float) -> None:
        """Wait until it is lost, then let go of it; so does the end of `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.is_open() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.end()
        self.close()

    def is_open(self) -> bool:
        """Whether the connection stands."""
        if self._master is not None and self._master.poll() is None:
            return True
        if not self._control.exists():
            return False
        command = ["ssh", "-F", str(self.config), "-O", "check", HOST]
        with contextlib.suppress(subprocess.TimeoutExpired):
            return (
                subprocess.run(command, capture_output=True, check=False, timeout=10).returncode
                == 0
            )
        return False

    def end(self) -> None:
        """End it, whoever opened it. Never raises."""
        if self._control.exists():
            command = ["ssh", "-F", str(self.config), "-O", "exit", HOST]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, check=False, timeout=10)
            self._control.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it. Never raises."""
        if self._master is not None:
            self._let_go()
        self._control.unlink(missing_ok=True)

    def _let_go(self) -> str:
        master, self._master = self._master, None
        if master is None:
            return ""
        with contextlib.suppress(OSError):
            master.kill()
        _, said = master.communicate()
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def command(self, script: str) -> list[str]:
        """The call of ssh that runs a script of sh as the guest's root."""
        if not self.root:
            script = f"exec sudo -n /bin/sh -c {shlex.quote(script)}"
        return [HOST, script]

    def stream(self, script: str) -> SshStream:
        """What a script of sh that runs as root in the guest hears and says."""
        (out, far_out), (err, far_err) = socket.socketpair(), socket.socketpair()
        with far_out, far_err:
            far = far_out.fileno()
            ends = {"stdin": far, "stdout": far, "stderr": far_err.fileno()}
            return SshStream(self._popen(["-T", *self.command(script)], **ends), out, err)

    def _start(self, script: str, *, stdin: int) -> subprocess.Popen[bytes]:
        """Run a script of sh as root in the guest, its ends in pipes."""
        return self._popen(["-T", *self.command(script)], stdin=stdin, stdout=subprocess.PIPE)

    def _popen(
        self,
        arguments: list[str],
        *,
        stdin: int,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                ["ssh", "-F", str(self.config), *arguments],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # a terminal's Ctrl-C is for us to handle
                bufsize=0,
            )
        except FileNotFoundError as error:
            raise EngineUnavailableError(
                "ssh is not installed, and Vagrant's guests need it: install openssh-client"
            ) from error

    # --- files ---

    def send(
        self, tar: Iterator[bytes], script: str, *, within: float | None = None
    ) -> tuple[int, str]:
        """Run a script with that for its stdin; its status and what it said on stderr. After
        `within` seconds (LONGEST) it counts as lost, as ssh's own status 255 says."""
        process = self._start(script, stdin=subprocess.PIPE)
        within = LONGEST if within is None else within
        try:
            _, said = hear_out(process, within, feed=tar, most=MOST)
        except subprocess.TimeoutExpired:
            return 255, f"no answer within {within:.0f} seconds"
        return process.returncode, said.decode(errors="replace").strip()

    def receive(self, script: str, *, within: float = LONGEST) -> Iterator[bytes]:
        """What a script prints, as it comes. Raises InfrastructureError in the end where its
        status is not 0, as it is after `within` seconds."""
        process = self._start(script, stdin=subprocess.DEVNULL)
        assert process.stdout is not None and process.stderr is not None  # noqa: S101
        said = Answer()
        hearer = hear(process.stderr, said)
        late = Late(process, within)
        try:
            while piece := process.stdout.read(_PIECE):
                yield piece
        finally:
            process.stdout.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
            late.cancel()
            process.kill()
            process.wait()
            hearer.join(1.0)
            if not hearer.is_alive():
                process.stderr.close()
        if process.returncode != 0:
            words = str(said) or f"status {process.returncode}"
            raise InfrastructureError(f"files do not come from the guest: {words}")


def loop_script(user: str, cgroup: str) -> str:
    """What root runs in a guest for a shell of that user (`root` or `UID:GID`). Its processes
    are in a control group of their own, where there are any, which can be ended as one."""
    script = shlex.quote(home_found(user) + loop_by(SESSION))
    loop = f"{becoming_program(user)} {PIPED} /bin/sh -c {script}"
    return f"""{{ mkdir -p {cgroup} && echo $$ >{cgroup}/cgroup.procs; }} 2>/dev/null
{clean_start(user, loop)}"""


def clean_start(user: str, command: str) -> str:
    """What root's sh becomes a command by that has that user's HOME, and nothing of root's
    variables."""
    uid, _ = ids_of(user)
    return f"""h=/
while IFS=: read -r _ _ u _ _ d _; do if [ "$u" = {uid} ]; then h=$d; break; fi; done </etc/passwd
cd /
exec env -i PATH={_PATH} HOME="$h" {command}"""


class SshStream(SocketStream):
    """A shell that a process of this machine, of which these are the standard streams, leads to."""

    def __init__(
        self, process: subprocess.Popen[bytes], out: socket.socket, err: socket.socket
    ) -> None:
        super().__init__(out, err)
        self._process = process

    def shutdown(self) -> None:
        """See Stream."""
        super().shutdown()
        self._process.kill()

    def close(self) -> None:
        """See Stream."""
        super().close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
