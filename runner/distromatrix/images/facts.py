"""What a prepared image is made of: read once in a machine of it, and kept by its id."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from distromatrix.collect.facts import MOST, facts_from
from distromatrix.collect.text import one_line
from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import Command, Machine, MachineSpec
from distromatrix.errors import DistromatrixError
from distromatrix.files.below import Folder
from distromatrix.images.layer.layers import Prepared
from distromatrix.model import Cell, Facts
from distromatrix.plan.needs import GUESTS

_FORMAT = 2  # of what is kept: another number is read anew
_WITHIN = 20.0  # seconds: as long as its programs stand still, other images wait
_MANAGERS = ("dpkg", "rpm", "apk", "pacman", "xbps")
_COMMANDS = (
    "sh bash awk sed grep egrep find xargs tar gzip ls cp mv rm date sort cut head tail tr wc "
    "cksum sha256sum md5sum numfmt stat readlink realpath mktemp install seq timeout split "
    "join expr printf echo test env tac shuf nproc iconv getent locale ldd getopt mount ip ps "
    "top kill pgrep less more vi diff cmp patch make cc gcc clang ld python3 python perl ruby "
    "node php lua git curl wget openssl hostname ping which xxd bc dc unzip file "
)
_VERSIONS = (
    "python3 python perl ruby node php go rustc cargo gcc cc g++ clang make cmake meson bash "
    "git openssl "
)
_NUMBER = re.compile(r"(?<!\d)\d++\.\d[\w.+~-]*")

Opens = Callable[[MachineSpec], AbstractContextManager[Machine]]


def facts_of(image: str, arch: str, kept: Path, labels: Mapping[str, str], opens: Opens) -> Facts:
    """The facts of an image, as they lie in the folder `kept`, else as a machine of it says, which
    is opened with those labels. Never raises for what the image is: then they are absent, and say
    why; they are read again the next time."""
    name = re.sub(r"[^0-9A-Za-z]", "-", image)[:100] + ".json"
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with Folder.at(kept) as folder:
            try:
                said = json.loads(folder.read_bytes(name, MOST))
                if said["format"] == _FORMAT and said["image"] == image:
                    return facts_from(said)
            except (OSError, ValueError, RecursionError, KeyError, TypeError):
                pass
            facts = read(image, arch, labels, opens)
            text = json.dumps({"format": _FORMAT, **asdict(facts)})
            if len(text) <= MOST:
                folder.write(name, text.encode())
            return facts
    except (DistromatrixError, OSError) as error:
        return Facts(image=image, absent=one_line(str(error), 300) or "they could not be read")


def machine_facts(facts: Facts, cell: Cell, prepared: Prepared) -> Facts:
    """Those of a cell's machine: a guest has a kernel of its own, and one that begins from a box
    has nothing of the image."""
    facts = replace(facts, engine=cell.engine or "")
    if cell.engine not in GUESTS:
        return facts
    guest = prepared.guest
    if guest is None or not guest.kernel or (cell.engine == "vagrant" and not guest.made):
        return Facts(engine=facts.engine, absent="its guest does not begin from the image")
    return replace(facts, kernel="".join(facts.kernels[-1:]))


def read(image: str, arch: str, labels: Mapping[str, str], opens: Opens) -> Facts:
    """The facts of an image, from a machine of it. Raises InfrastructureError, OSError."""
    name = f"distromatrix-facts-{uuid4().hex[:12]}"
    said = Answer(MOST // 2)

    def hear(piece: bytes) -> None:
        said(piece)
        if said.full:
            raise DistromatrixError(f"it says more than {MOST // 2**21} MiB of itself")

    script = files("distromatrix.images").joinpath("facts.sh").read_text(encoding="utf-8")
    env = {
        "DISTROMATRIX_COMMANDS": _COMMANDS,
        "DISTROMATRIX_VERSIONS": _VERSIONS,
    }
    with opens(MachineSpec(name=name, image=image, labels=labels, network=False)) as machine:
        command = Command(
            script, env=env, timeout=_WITHIN, strict=False, output=hear, errors=_unheard
        )
        ended = machine.run(command)
    if ended.timed_out:
        raise DistromatrixError(f"its programs did not say within {_WITHIN:.0f} s what it is")
    return parse(bytes(said).decode("utf-8", "replace"), image, arch)


def _unheard(_: bytes) -> None:
    """What programs say that are not there."""


def parse(said: str, image: str, arch: str = "") -> Facts:
    """What facts.sh printed, bounded and printable. Nothing in it is trusted."""
    lines: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in said.split("\n"):
        if line.startswith("== "):
            section = line[3:]
        elif line.strip():
            lines[section].append(line.strip())
    release = (line.partition("=") for line in lines["os"])
    uname = [*lines["uname"], "", ""]
    libc, libc_version = _libc(lines["libc"])
    manager = next((name for name in _MANAGERS if lines[name]), "")
    packages, sources = (_apk if manager == "apk" else _packages)(lines[manager])
    versions = {k: m[0] for k, v in map(_pair, lines["versions"]) if (m := _NUMBER.search(v[:300]))}
    return facts_from(
        {
            "image": image,
            "arch": uname[0] or arch,
            "kernel": uname[1],
            "libc": libc,
            "libc_version": libc_version,
            "locale": "".join(lines["locale"][:1]),
            "timezone": "".join(lines["timezone"][:1]).removeprefix("/usr/share/zoneinfo/"),
            "manager": manager,
            "limits": lines["limits"],
            "kernels": lines["kernels"],
            "os": {key: value.strip("\"'") for key, _, value in release},
            "commands": dict(map(_pair, lines["commands"])),
            "versions": versions,
            "packages": packages,
            "sources": sources,
        }
    )


def _pair(line: str) -> tuple[str, str]:
    name, _, rest = line.partition(" ")
    return name, rest.strip()


def _packages(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The versions of packages, and what those are built from that are not called like it."""
    versions, sources = {}, {}
    for line in lines:
        name, version, source, *_ = (*line.split(" "), "", "")
        versions[name] = version
        if source.endswith(".src.rpm"):
            source = source.rsplit("-", 2)[0]
        if source not in ("", "(none)", name):
            sources[name] = source
    return versions, sources


def _apk(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    said: dict[str, dict[str, str]] = {"V": {}, "o": {}}
    name = ""
    for line in lines:
        if line.startswith("P:"):
            name = line[2:]
        elif name and line[:2] in ("V:", "o:"):
            said[line[0]][name] = line[2:]
    return said["V"], {name: source for name, source in said["o"].items() if source != name}


def _libc(lines: list[str]) -> tuple[str, str]:
    said = " ".join(lines)[:500]
    if said.startswith("musl"):
        number = re.search(r"Version (\S+)", said)
        return "musl", number[1] if number else ""
    numbers = _NUMBER.findall(lines[0][-40:]) if lines else []
    glibc = re.search(r"glibc|gnu libc|^ldd \(", said, re.IGNORECASE)
    return ("glibc", numbers[-1]) if glibc and numbers else ("", "")
