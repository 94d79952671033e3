"""The same calls of all testinfra's modules, through distromatrix:// and through docker://, in
the same machine. A test module: test_testinfra_equal.py has pytest run it.

All modules are called. `docker`, `podman`, `ansible`, `salt`, `puppet_resource` and `facter` want
what these machines do not have (engines and agents in them, or a connection of ansible's or
salt's): of them it is their errors that are compared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from testinfra.backend.base import CommandResult
from testinfra.host import Host
from testinfra.modules import modules
from testinfra.modules.base import Module

from distromatrix.images import handed_over

Call = Callable[[Host], Any]

_FILES = ("/etc/shadow", "/etc", "/bin/sh", "/nonexistent")
_OF_FILE = (
    "exists is_file is_directory is_executable is_pipe is_socket is_symlink linked_to user uid "
    "group gid mode mtime size inode md5sum sha256sum"
)
_PACKAGES = ("busybox", "dpkg", "apk-tools", "tar", "nonexistent-package")
_OF_USER = (
    "exists uid gid group gids groups home shell password password_max_days password_min_days "
    "gecos expiration_date get_all_users get_local_users"
)
_OF_SERVICE = "exists is_running is_enabled is_valid is_masked systemd_properties"
_OF_LINK = "exists addresses speed link"

COMMANDS = (
    "true",
    "false",
    "exit 3",
    "false; echo on",
    "set -e; false; echo on",
    "echo out; echo err >&2",
    "echo err >&2; exit 255",
    "printf '%s\\n' a b; printf 'no newline'",
    "printf '\\000\\001\\377\\n\\r\\n'",
    "printf 'ümlaut €' >&2",
    "head -c 300000 /dev/zero | tr '\\0' x",
    "i=0; while [ $i -lt 2000 ]; do echo $i; echo $i >&2; i=$((i + 1)); done",
    "kill -9 $$",
    "kill -TERM $$",
    "nonexistent-command",
    "if",
    "echo 'unfinished",
    "cat",
    'read line; echo "$?:$line"',
    "tty; test -t 0; echo $?; test -t 1; echo $?",
    'pwd; echo "${OLDPWD-unset}"',
    "cd /usr; pwd",
    "echo $0 $# $-",
    "umask; ulimit -n; ulimit -u 2>/dev/null || ulimit -p",
    "id; id -u; id -gn",
    "ls /proc/self/fd | wc -l",
    # Not SigIgn: a last command that busybox execs in place of itself inherits that it, as a
    # shell, ignores SIGQUIT; one that it forks does not, and both are its `sh -c`.
    "grep -e ^SigBlk -e ^SigCgt -e ^Cap -e ^NoNew -e ^Seccomp /proc/self/status",
    "trap 'echo bye' EXIT; echo hi",
    "(sleep 0.2; echo late) & echo first; wait",
    "exec echo replaced",
    "echo \\$HOME '$HOME' \"$HOME\"",
    "echo one\necho two\n",
    "cat <<END\nhere\nEND",
    "",
    "# only a comment",
    "echo " + "long" * 20_000 + " | wc -c",
)
ARGUMENTS = ("plain", "it's", 'a "b" c', "$HOME `id` $(id)", "two\nlines", "", "-n", "ünï", "%s %%")

CALLS: dict[str, Call] = {
    **{f"run {command[:40]!r}": lambda h, c=command: h.run(c) for command in COMMANDS},
    **{f"quoted {arg!r}": lambda h, a=arg: h.run("printf '[%%s]' %s", a) for arg in ARGUMENTS},
    "check_output": lambda h: h.check_output("echo a; echo"),
    "check_output fails": lambda h: h.check_output("echo a; echo b >&2; exit 3"),
    "run_expect": lambda h: h.run_expect([3], "exit 3"),
    "run_expect fails": lambda h: h.run_expect([0], "exit 3"),
    "run_test": lambda h: h.run_test("exit 2"),
    "exists": lambda h: [h.exists(name) for name in ("sh", "awk", "nonexistent")],
    "find_command": lambda h: [h.find_command("sh"), h.find_command("nonexistent")],
    "encoding": lambda h: h.backend.get_encoding(),
    "command": lambda h: [h.command("echo %s", "x"), h.command.exists("sh")],
    **{
        f"file {p} {a}": lambda h, p=p, a=a: getattr(h.file(p), a)
        for p in _FILES
        for a in _OF_FILE.split()
    },
    "file content": lambda h: [h.file("/bin/sh").content, h.file("/nonexistent").content],
    "file content_string": lambda h: [
        h.file("/etc/passwd").content_string,
        h.file("/tmp/ünï").content_string,
    ],
    "file contains": lambda h: [h.file("/etc/passwd").contains(p) for p in ("^root:", "nobody-x")],
    "file listdir": lambda h: [h.file("/etc").listdir(), h.file("/nonexistent").listdir()],
    "file equal": lambda h: h.file("/etc") == h.file("/etc"),
    **{
        f"package {p} {a}": lambda h, p=p, a=a: getattr(h.package(p), a)
        for p in _PACKAGES
        for a in ("is_installed", "version", "release")
    },
    **{
        f"user root {a}": lambda h, a=a: _value(getattr(h.user("root"), a))
        for a in _OF_USER.split()
    },
    **{
        f"user nobody {a}": lambda h, a=a: _value(getattr(h.user("nobody"), a))
        for a in _OF_USER.split()
    },
    **{
        f"user none {a}": lambda h, a=a: _value(getattr(h.user("none"), a))
        for a in _OF_USER.split()[:4]
    },
    "user own": lambda h: h.user().name,
    **{
        f"group {g} {a}": lambda h, g=g, a=a: _value(getattr(h.group(g), a))
        for g in ("root", "tty", "nogroup-x")
        for a in ("exists", "gid", "members", "get_all_groups", "get_local_groups")
    },
    **{
        f"system_info {a}": lambda h, a=a: getattr(h.system_info, a)
        for a in ("type", "distribution", "release", "codename", "arch")
    },
    "sysctl": lambda h: [h.sysctl(n) for n in ("kernel.ostype", "kernel.pid_max", "vm.swappiness")],
    "sysctl none": lambda h: h.sysctl("no.such.thing"),
    **{
        f"mount_point {p} {a}": lambda h, p=p, a=a: getattr(h.mount_point(p), a)
        for p in ("/", "/proc", "/nonexistent")
        for a in ("exists", "filesystem", "device", "options")
    },
    "mount_point all": lambda h: [
        (m.path, m.device, m.filesystem, m.options) for m in h.mount_point.get_mountpoints()
    ],
    "environment": lambda h: {k: h.environment()[k] for k in ("PATH", "HOME", "HOSTNAME", "PWD")},
    **{
        f"interface {n} {a}": lambda h, n=n, a=a: getattr(h.interface(n), a)
        for n in ("lo", "eth0", "none0")
        for a in _OF_LINK.split()
    },
    "interface names": lambda h: [h.interface.names(), h.interface("lo", "inet").addresses],
    "interface default": lambda h: h.interface.default().name,
    "interface routes": lambda h: h.interface("eth0").routes(),
    **{
        f"addr {n} {a}": lambda h, n=n, a=a: getattr(h.addr(n), a)
        for n in ("localhost", "127.0.0.1", "nonexistent.invalid")
        for a in ("is_resolvable", "ip_addresses", "ipv4_addresses", "ipv6_addresses")
    },
    "addr reachable": lambda h: h.addr("localhost").is_reachable,
    "addr namespace": lambda h: h.addr("localhost", "none").namespace_exists,
    "addr port": lambda h: [h.addr("127.0.0.1").port(p).is_reachable for p in (9001, 9)],
    "process filter": lambda h: [
        (p.pid, p.user, p.comm, p.args) for p in h.process.filter(user="root") if p.pid == 1
    ],
    "process get": lambda h: h.process.get(pid=1).ppid,
    "process none": lambda h: h.process.get(comm="nonexistent"),
    "socket listening": lambda h: sorted(h.socket.get_listening_sockets()),
    **{
        f"socket {s}": lambda h, s=s: [h.socket(s).is_listening, h.socket(s).clients]
        for s in ("tcp://127.0.0.1:9001", "tcp://9", "unix:///tmp/supervisor.sock", "udp://53")
    },
    **{
        f"service {s} {a}": lambda h, s=s, a=a: getattr(h.service(s), a)
        for s in ("supervisor", "nonexistent")
        for a in _OF_SERVICE.split()
    },
    "supervisor": lambda h: [
        _of_program(h.supervisor("sleeper", "supervisorctl", "/tmp/supervisord.conf"))
    ],
    "supervisor all": lambda h: [
        _of_program(program)
        for program in h.supervisor.get_services("supervisorctl", "/tmp/supervisord.conf")
    ],
    "supervisor none": lambda h: h.supervisor("none", "supervisorctl", "/tmp/none.conf").status,
    "pip": lambda h: [h.pip("pip").is_installed, h.pip("pip").version, h.pip("no").is_installed],
    "pip check": lambda h: h.pip.check(),
    "pip packages": lambda h: h.pip.get_packages(),
    "sudo": lambda h: _sudo(h, None),
    "sudo user": lambda h: _sudo(h, "nobody"),
    "iptables": lambda h: h.iptables.rules("filter", "INPUT"),
    **{
        f"block_device {a}": lambda h, a=a: getattr(h.block_device("/dev/null"), a)
        for a in ("size", "sector_size", "block_size", "is_writable", "is_partition", "ra")
    },
    "puppet_resource": lambda h: h.puppet_resource("user", "root"),
    "facter": lambda h: h.facter("os"),
    "docker": lambda h: h.docker("none").is_running,
    "docker containers": lambda h: h.docker.get_containers(),
    "podman": lambda h: h.podman("none").is_running,
    "ansible": lambda h: h.ansible("ping"),
    "salt": lambda h: h.salt("test.ping"),
}


def test_every_module_is_called() -> None:
    assert set(modules) <= {name.partition(" ")[0] for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_answers_are_equal(host: Host, machine: Any, name: str) -> None:
    theirs = testinfra.get_host(f"docker://{machine.name}")
    assert outcome(CALLS[name], host) == outcome(CALLS[name], theirs)


@pytest.mark.parametrize("name", ("file /bin/sh sha256sum", "system_info release", "user own"))
def test_answers_are_no_errors(host: Host, name: str) -> None:
    """Else all could be equal because nothing works."""
    assert outcome(CALLS[name], host)[0] == "is"


def test_variables_are_the_containers_and_those_that_are_handed_in(
    host: Host, machine: Any
) -> None:
    ours = host.environment()
    theirs = testinfra.get_host(f"docker://{machine.name}").environment()
    assert theirs.items() <= ours.items()
    handed = {*handed_over("host", "host", os.environ).env, "LC_ALL"}
    assert {k for k in ours.keys() - theirs.keys() if not k.startswith("DISTROMATRIX_")} <= handed


def outcome(call: Call, host: Host) -> tuple[str, Any]:
    """What it returned or raised, as plain data."""
    try:
        return "is", _value(call(host))
    except Exception as error:  # noqa: BLE001 - whatever it is, both are to raise it
        said = str(error).partition("\nassert ")[0]  # what pytest adds is cut in the middle
        text = re.sub("backend=<[^>]*>", "backend=…", said)  # in a CommandResult
        return type(error).__name__, text


def _value(value: Any) -> Any:
    if isinstance(value, CommandResult):
        return value.rc, value.command, value.stdout_bytes, value.stderr_bytes
    if callable(value):
        return _value(value())
    if isinstance(value, (list, tuple)):
        return [_value(one) for one in value]
    if isinstance(value, Module):
        return repr(value)
    return value


def _of_program(program: Any) -> tuple[Any, ...]:
    return program.name, program.status, program.is_running, program.pid


def _sudo(host: Host, user: str | None) -> list[Any]:
    with host.sudo(user):
        return [host.run("id -un"), host.user().name]
