"""Distros as JSON, with the keys of their files (`distros --json`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from distromatrix.model import Archive, Containerfile, Distro, Guest, ImageSource, Pull


def distros_json(distros: Iterable[Distro]) -> list[dict[str, Any]]:
    """One object a distro: `name`, then the keys of its file, `like:` resolved. Days are
    ISO 8601, durations seconds as `600s`."""
    return [distro_json(d) for d in distros]


def distro_json(distro: Distro) -> dict[str, Any]:
    """As `distros_json` has it."""
    return {
        "name": distro.name,
        "title": distro.title,
        "like": distro.like,
        "arch": list(distro.arch),
        "family": distro.family,
        "package_manager": distro.package_manager,
        "libc": distro.libc,
        "eol": distro.eol.isoformat() if distro.eol else None,
        "verified": distro.verified.isoformat() if distro.verified else None,
        "image": [source_json(s) for s in distro.image],
        "guest": guest_json(distro.guest) if distro.guest else None,
        "packages": {name: list(native) for name, native in distro.packages.items()},
        "repositories": list(distro.repositories),
        "extra_repositories": {
            name: {key: list(getattr(one, key)) for key in ("paths", "enable", "packages")}
            for name, one in distro.extra_repositories.items()
        },
    }


def guest_json(guest: Guest) -> dict[str, Any]:
    """As its file's key `guest` has it."""
    made = {"kernel": guest.kernel, "system": list(guest.system)} if guest.kernel else None
    values: dict[str, Any] = {
        "bootstrap": made,
        "box": guest.box,
        "version": guest.version,
        "vagrantfile": str(guest.vagrantfile) if guest.vagrantfile else "",
        "machine": guest.machine,
        "provider": guest.provider if guest.provider != "libvirt" else "",
    }
    given = {key: value for key, value in values.items() if value}
    if guest.provider == "libvirt" and not guest.keep_ready:
        given["keep_ready"] = False
    return given


def source_json(source: ImageSource) -> dict[str, Any]:
    """As an entry of its file's key `image` has it."""
    if isinstance(source, Pull):
        return {"pull": source.ref, "refresh": f"{source.refresh:g}s"}
    if isinstance(source, Archive):
        return {"archive": {"file": source.file, "sha256": source.sha256}}
    if isinstance(source, Containerfile):
        again = {} if source.refresh is None else {"refresh": f"{source.refresh:g}s"}
        return {"containerfile": source.path, "args": dict(source.args), **again}
    return {
        "bootstrap": {
            "tool": source.tool,
            "suite": source.suite,
            "packages": list(source.packages),
            "options": list(source.options),
        },
        "refresh": f"{source.refresh:g}s",
    }
