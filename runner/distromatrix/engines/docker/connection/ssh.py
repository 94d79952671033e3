"""An engine on another host, `ssh://[user@]host[:port][/path of its socket]`: each connection is
a command there that leads to the engine, as with the engine's own client.

docker-py's own way needs paramiko, or knows no timeout and no end of a stream. Here ssh has one
end of a pair of sockets for its input and output, and the HTTP client has the other.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import tempfile
from http.client import HTTPException
from typing import IO, Any, cast

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

from distromatrix.collect.text import one_line, without_logins
from distromatrix.errors import EngineUnavailableError
from distromatrix.files.own import own_folder

_ADDRESS = re.compile(  # the host is `host` or `[::1]`
    r"ssh://(?:(?P<user>[^:/]*)@)?(?:\[(?P<inet6>[^]/]+)]|(?P<host>[^][:/@]+))"
    r"(?::(?P<port>[0-9]*))?(?:/(?P<path>.*))?"
)
# Who asks for a password would ask once a connection, in the middle of a run. ssh gives up sooner
# than we do, so that it is its message that is told.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=30", "LogLevel=ERROR")
# One of ssh's connections for all of ours, those of the user's other runs too: nobody ends it, it
# ends some seconds after the last of them.
_SHARED = ("ControlMaster=auto", "ControlPersist=30")
# Of the folder of its socket, whose name ssh makes of 40 characters and, for a moment, of 17 more:
# a socket's path has 103 at most where it has fewest (unix(7), and macOS's unix(4)).
_LONGEST = 103 - 58
_LAST_WORDS = 4096  # bytes
_PATIENCE = 5.0  # seconds


class SshEndedError(OSError):
    """ssh, or the command at its other end, ended; with its last words."""


class SshHost:
    """Where the engine is. `client` is the engine's own, by which it is reached there. Raises
    EngineUnavailableError for what is no such address."""

    def __init__(self, url: str, client: str) -> None:
        if (found := _ADDRESS.fullmatch(url)) is None:
            raise EngineUnavailableError(
                f"{without_logins(url)} leads to no engine: ssh://[USER@]HOST[:PORT][/SOCKET] is "
                "what is understood (no password: ssh takes keys)",
                transient=False,
            )
        user, port, path = found["user"], found["port"], found["path"]
        # `-H`, as Docker has it, and `--url` are Docker's and Podman's words for the same.
        there = () if not path else ("-H" if client == "docker" else "--url", f"unix:///{path}")
        self.remote = shlex.join([client, *there, "system", "dial-stdio"])
        self._login = (*(("-l", user) if user else ()), *(("-p", port) if port else ()))
        self._host = found["inet6"] or found["host"]
        self._folder = own_folder("ssh's connections")

    def command(self) -> list[str]:
        """What makes one connection."""
        options: tuple[str, ...] = _OPTIONS
        if len(str(self._folder)) <= _LONGEST:
            options = (*_OPTIONS, *_SHARED, f"ControlPath={self._folder}/%C")
        said = [word for option in options for word in ("-o", option)]
        return ["ssh", "-T", *said, *self._login, "--", self._host, self.remote]


class _SshSocket(socket.socket):
    """Our end of the pair; with it ends the ssh at the other."""

    def __init__(self, command: list[str]) -> None:
        self.asked = False  # for a response that has not begun
        self.last_words = ""  # of an ssh that gave none
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the socket
        ours, theirs = socket.socketpair()
        with theirs, ours:
            try:
                # In a session of its own: Ctrl-C is ours to answer.
                self._ssh: subprocess.Popen[bytes] = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._said,
                    start_new_session=True,
                )
            except OSError as error:
                text = f"ssh cannot be started ({error.strerror}): install OpenSSH's client"
                self._said.close()
                raise SshEndedError(text) from error
            super().__init__(fileno=ours.detach())

    def _real_close(self) -> None:  # what socket.socket does when nobody uses it any more
        super()._real_close()  # type: ignore[misc]
        if self.asked:
            self.last_words = self._last_words()
        self._ssh.kill()
        self._ssh.wait()
        self._said.close()

    def _last_words(self) -> str:
        """What ssh says if it ends now by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._ssh.wait(_PATIENCE)
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(0, size - _LAST_WORDS))
            lines = [line for line in self._said.read().splitlines() if line.strip()]
            return one_line(lines[-1]) if lines else f"ssh ended with status {status}"
        return ""


class _Connection(UnixHTTPConnection):
    def __init__(self, host: SshHost, timeout: float) -> None:
        super().__init__("", "", int(timeout))
        self._host = host

    def connect(self) -> None:
        self.sock = _SshSocket(self._host.command())
        self.sock.settimeout(self.timeout)

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        ssh = cast("_SshSocket", self.sock)
        ssh.asked = True
        try:
            return super().getresponse(*args, **kwargs)
        except TimeoutError:
            raise
        except (OSError, HTTPException) as error:
            self.close()
            if ssh.last_words:
                raise SshEndedError(ssh.last_words) from error
            raise
        finally:
            ssh.asked = False


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, host: SshHost, timeout: float, size: int) -> None:
        super().__init__("http+docker://localhost", "", int(timeout), size)
        self._ssh_host, self._seconds = host, timeout

    def _new_conn(self) -> Any:
        return _Connection(self._ssh_host, self._seconds)


class SshAdapter(UnixHTTPAdapter):
    """What a client's requests go through. `timeout` in seconds; `pool`: connections kept."""

    def __init__(self, host: SshHost, timeout: float, pool: int) -> None:
        super().__init__("http+unix:///ssh", int(timeout), max_pool_size=pool)
        self._pool = _Pool(host, timeout, pool)

    def get_connection(self, *_: object, **__: object) -> _Pool:
        """One pool serves all."""
        return self._pool

    def close(self) -> None:
        """Close its connections."""
        super().close()
        self._pool.close()
