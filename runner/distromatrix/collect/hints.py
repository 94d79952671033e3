"""What may mend a failure, in a line each, as far as what was printed tells.

The words are those of dash, bash, busybox, zsh, mksh, env and make. They come from the machine:
what is taken from them is a single short word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from distromatrix.plan.scripts import MISSING, SHELLS, base

_WHAT = r"(?P<what>[\w.+@/\[-]{1,80})"
_WHERE = r"(?P<where>[\w./+-]{1,200})"
_LINE = r"(?:line )?\d+: "
_NOT_FOUND = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_WHERE}: {_LINE}{_WHAT}: (?:command )?not found",  # dash, bash
        rf"(?P<where>[\w./+-]{{0,200}}sh): {_WHAT}: (?:inaccessible or )?not found",  # busybox
        rf"(?P<where>[\w./+-]{{0,200}}zsh):\d+: command not found: {_WHAT}",
        rf"(?P<where>[\w./]{{0,80}}env): (?:can't execute )?['‘]{_WHAT}['’]: No such file.*",
        rf"(?P<where>g?make)(?:\[\d+\])?: {_WHAT}: (?:Command not found|No such file.*)",
    )
)
# What bash understands, and a plain sh stumbles over.
_STUMBLED = re.compile(
    rf"{_WHERE}: (?:{_LINE})?(?:"
    r'[Ss]yntax error: (?:"[({}]" unexpected|unexpected "[({}]"|redirection unexpected'
    r"|unexpected redirection|bad substitution)|Bad substitution"
    r"|(?P<what>set: [Ii]llegal option -o pipefail|\[: \S{1,80}: unexpected operator))"
)
# Who says it (a shell, at a line), and of which program: up to what is wrong.
_SAID = r"(?:[^:]{1,100}: ){0,3}['‘]?[\w./-]{0,100}"
_EPERM = r"(?:[Oo]peration not permitted|[Pp]ermission denied).{0,80}"
# What programs say where a container lacks what a privilege gives.
_LACKS = {
    # sudo and busybox, where no-new-privileges keeps them from becoming root.
    "setuid programs do nothing in this container: privileges: [setuid]": re.compile(
        r'sudo: (?:The "no new privileges" flag is set|effective uid is not 0).*'
        r"|\S{1,80}: must be suid to work properly"
    ),
    # Programs with that file capability (ping), which no shell may start, and what opens sockets.
    "raw sockets are not open to this container: privileges: [net-raw]": re.compile(
        rf"{_SAID}\b(?:ping6?|arping|mtr|mtr-packet|dumpcap|tcpdump)['’]?: (?:socket: )?{_EPERM}"
        r"|.{0,80}(?:You don't have permission to (?:perform this )?capture|CAP_NET_RAW required).*"
        r"|You do not have enough privileges to use this traceroute method\."
    ),
    "device nodes cannot be made in this container: privileges: [mknod]": re.compile(
        rf"{_SAID}mknod: .{{1,200}}: {_EPERM}|.{{1,200}}: Cannot mknod: {_EPERM}"
        r"|E: Cannot install into target .{1,200} mounted with noexec or nodev"
    ),
    "the kernel's audit log is not open to this container: privileges: [audit-write]": re.compile(
        rf"{_SAID}(?:unable to send audit message|linux_audit_write_entry failed): {_EPERM}"
    ),
}
_MISSING = re.compile(rf"{MISSING} {_WHAT} in this image")
# fmt: off
_OF_BASH = frozenset((
    "[[", "source", "shopt", "declare", "typeset", "let", "function", "pushd", "popd", "dirs",
    "mapfile", "readarray", "coproc", "disown", "compgen", "complete",
))
# fmt: on
# What is packaged under another common name than that of its command.
_PACKAGES = {
    **dict.fromkeys(("python", "python3"), "python"),
    **dict.fromkeys(("pip", "pip3"), "pip"),
    **dict.fromkeys(("pytest", "pytest-3", "py.test"), "pytest"),
    **dict.fromkeys(("cc", "gcc"), "compiler"),
    **dict.fromkeys(("c++", "g++"), "c++"),
    "gmake": "make",
    "numfmt": "coreutils",
}


def of_lines(lines: Iterable[str], shell: str) -> Iterator[str]:
    """What such lines of a suite for that shell tell."""
    for line in lines:
        text = line.strip()
        if missing := _MISSING.fullmatch(text):
            name = base(missing["what"])
            yield f"the image has no {name}: packages: [{name}]"
        yield from (hint for hint, says in _LACKS.items() if says.fullmatch(text))
        for pattern in _NOT_FOUND:
            if found := pattern.fullmatch(text):
                yield _not_found(found["what"], found["where"], shell)
                break
        if stumbled := _STUMBLED.fullmatch(text):
            what = stumbled["what"] or ""
            why = "pipefail is bash's" if "pipefail" in what else "this looks like bash"
            why = "`==` in [ ] is bash's" if what.startswith("[") else why
            yield _of_bash(why, stumbled["where"], shell)


def _not_found(what: str, where: str, shell: str) -> str:
    if what in _OF_BASH:
        return _of_bash(f"{what} is bash's", where, shell)
    if "/" in what:
        return f"{what} is not there, or the program that its first line (#!) names is not"
    return f"{what} is not installed: packages: [{_PACKAGES.get(what, what)}]"


def _of_bash(why: str, where: str, shell: str) -> str:
    """`where`: the shell that stumbled, where it was the suite's own script, else a script's."""
    if base(where) in SHELLS and shell in ("sh", "dash", "ash"):
        return f"{why}: shell: bash"
    return f"{why}: run {where} with bash"
