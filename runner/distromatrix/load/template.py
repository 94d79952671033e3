"""The text of a new distro's file: every key, with what to change first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import yaml

from distromatrix.load.listing import distro_json, guest_json, source_json
from distromatrix.model import (
    Archive,
    Bootstrap,
    Containerfile,
    Distro,
    Family,
    ImageSource,
    Libc,
    PackageManagerName,
    Pull,
)

_WIDTH = 92  # of lines that are indented yet
_SOURCES = "image: # sources in order of preference; the next only where one is out of reach"
_EXTRA = (
    "# extra_repositories: {backports: {paths: [bookworm-backports main]}} # suites may ask for"
)
_NO_PULL = "# - pull: docker.io/library/debian:12"
_COMMON = ("python", "pytest", "compiler", "git", "bash", "curl", "ca-certificates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is said of the new distro already; '' where nothing is. `archive`: the file's name."""

    name: str
    title: str = ""
    pull: str = ""
    archive: str = ""
    sha256: str = ""
    eol: str = ""
    family: str = ""
    package_manager: str = ""
    libc: str = ""


def like_another(given: Given, other: Distro, head: str = "") -> str:
    """A file that loads at once: what is another release's own (title, image, repositories) as
    values to change, what is taken over from `other` in comments. `head` goes before all."""
    first = [
        *([] if given.title else ["title"]),
        *([] if given.pull or given.archive else ["pull"]),
        *(["repositories"] if other.repositories else []),
        *(["extra_repositories"] if other.extra_repositories else []),
        *([] if given.eol else ["eol"]),
    ]
    own = {
        key: value
        for key in ("family", "package_manager", "libc")
        if (value := getattr(given, key)) and value != getattr(other, key)
    }
    lines = [
        f"# Starts from {other.name}: what is not said here is taken over from there.",
        *([f"# Change first: {', '.join(first)}."] if first else []),
        _pair("title", given.title or given.name, "" if given.title else _EXAMPLES["title"]),
        _pair("like", other.name),
        *_life(given, other.eol.isoformat() if other.eol else "2030-12-31"),
        *_image(given, other.image),
        *(_dump({"repositories": list(other.repositories)}) if other.repositories else ()),
        *(_extra_repositories(other) if other.extra_repositories else [_EXTRA]),
        *(_pair(key, value) for key, value in own.items()),
        "",
        f"# Taken over from {other.name}. Take the `# ` away where it differs.",
        *(_commented({"guest": guest_json(other.guest)}) if other.guest else ()),
        *_commented({"arch": list(other.arch)}),
        *(
            f"# {key}: {getattr(other, key)} # {' | '.join(choices)}"
            for key, choices in _CHOICES.items()
            if key not in own
        ),
        "# packages: # only those whose names differ are needed",
        *(
            f"#   {_flow(common)}: {_flow(list(native))}"
            for common, native in other.packages.items()
        ),
    ]
    return head + "\n".join(lines) + "\n"


def from_nothing(given: Given, head: str = "") -> str:
    """A file with every key. Those that must be said and are not in `given` are blank, which
    the loader tells of in a line each."""
    lines = [
        f"# {given.name}: what stands blank must be said, what is commented may be.",
        *(_blank(key, getattr(given, key)) for key in ("title", "family")),
        *(_blank(key, getattr(given, key)) for key in ("package_manager", "libc")),
        *_life(given, "2030-12-31"),
        _SOURCES,
        "  " + (_blank("- pull", given.pull) if given.pull or not given.archive else _NO_PULL),
        "  #   refresh: 1d # a moving tag is looked at again after this long (7d)",
        "  # - bootstrap: {tool: mmdebstrap, suite: bookworm}",
        *_archive(
            given, "  # - archive: {file: rootfs.tar.gz, sha256: …} # in an archives' folder"
        ),
        "# repositories: [bookworm main] # below its mirror; paths for all but apt, with {arch}",
        _EXTRA,
        "# like: debian-12 # start from that distro's values, override what differs",
        "# arch: [x86_64, aarch64]",
        "# guest:",
        "#   bootstrap: {kernel: linux-image-cloud-amd64, system: [systemd-sysv, openssh-server]}",
        "#   box: debian/bookworm64 # a Vagrant box by name",
        "# packages: # common names and the native ones that they stand for",
        *(f"#   {common}: [{common}]" for common in _COMMON),
    ]
    return head + "\n".join(lines) + "\n"


_CHOICES = {
    "family": get_args(Family),
    "package_manager": get_args(PackageManagerName),
    "libc": get_args(Libc),
}
_EXAMPLES = {
    "title": "its full name, such as `Debian 12 (bookworm)`",
    "- pull": "the full reference, with its registry: docker.io/library/debian:12",
    **{key: " | ".join(choices) for key, choices in _CHOICES.items()},
}


def _blank(key: str, value: str) -> str:
    return _pair(key, value) if value else f"{key}: # FILL IN: {_EXAMPLES[key]}"


def _life(given: Given, example: str) -> list[str]:
    eol = "last day of any public support; left out where none is set"
    return [
        f"eol: {given.eol}" if given.eol else f"# eol: {example} # {eol}",
        "# verified: 2026-01-31 # the day it was seen running; left out until then",
    ]


def _image(given: Given, sources: Sequence[ImageSource]) -> list[str]:
    """The sources of another as values; in comments where one is given, as they would stand in
    for it with another distro's image."""
    lines = [_SOURCES]
    if given.pull:
        lines += [f"  - pull: {given.pull}"]
    lines += _archive(given)
    own = given.pull or given.archive
    for source in sources:
        if own and isinstance(source, Pull):
            continue
        off = "# " if own else ""
        lines += [f"  {off}{line}" for line in _item(_source(source))]
    return lines


def _extra_repositories(distro: Distro) -> list[str]:
    said = distro_json(distro)["extra_repositories"]
    named = {name: {k: v for k, v in one.items() if v} for name, one in said.items()}
    return ["extra_repositories:", *(f"  {line}" for n in named for line in _dump({n: named[n]}))]


def _archive(given: Given, otherwise: str = "") -> list[str]:
    if given.archive:
        source = Archive(file=given.archive, sha256=given.sha256)
        return [f"  {line}" for line in _item(source_json(source))]
    return [otherwise] if otherwise else []


def _item(mapping: dict[str, Any]) -> list[str]:
    """A mapping as an entry of a list, its keys one below the other."""
    lines = [line for key, value in mapping.items() for line in _dump({key: value}, width=_WIDTH)]
    return [f"{'  ' if i else '- '}{line}" for i, line in enumerate(lines)]


def _source(source: ImageSource) -> dict[str, Any]:
    if isinstance(source, Archive):
        return source_json(replace(source, file=Path(source.file).name))
    if isinstance(source, Containerfile):
        return source_json(source)
    said: dict[str, Any]
    if isinstance(source, Pull):
        said, usual = {"pull": source.ref}, Pull(ref="").refresh
    else:
        parts = {key: getattr(source, key) for key in ("tool", "suite", "packages", "options")}
        kept = {k: list(v) if isinstance(v, tuple) else v for k, v in parts.items() if v}
        said, usual = {"bootstrap": kept}, Bootstrap(tool="mmdebstrap").refresh
    return said if source.refresh == usual else {**said, "refresh": _duration(source.refresh)}


def _duration(seconds: float) -> str:
    """As a file says it, in the largest unit that gives a whole number."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    return next(f"{seconds // size:.0f}{unit}" for unit, size in units if seconds % size == 0)


def _pair(key: str, value: str, why: str = "") -> str:
    return f"{key}: {_flow(value)}" + (f" # {why}" if why else "")


def _flow(value: str | list[str]) -> str:
    """A scalar or a list on one line, quoted where YAML would read something else."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _dump(value: dict[str, Any], width: int = 1 << 20) -> list[str]:
    """A mapping in lines; what has no mapping in it on one, if that is not too wide."""
    ((key, inner),) = value.items()
    if isinstance(inner, str):
        return [f"{key}: {_flow(inner)}"]
    text: str = yaml.safe_dump(
        value, sort_keys=False, width=width, allow_unicode=True, default_flow_style=None
    )
    return text.splitlines()


def _commented(values: dict[str, Any]) -> list[str]:
    return [f"# {line}" for line in _dump(values)]
