"""Cells whole, as the matrix resolved them (`plan --verbose`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distromatrix.model import Cell, Plan

# What comes first, in this order; what else a cell has follows.
_FIRST = (
    "image",
    "image_locked",
    "guest",
    "packages",
    "prepare",
    "env",
    "pass_env",
    "setup",
    "run",
)
# The line above has these.
_SAID = {"id", "distro", "suite", "variant", "engine", "reason", "verdict", "unmet", "tags"}


def whole(plan: Plan, cell: Cell, mask: Callable[[str], str]) -> dict[str, Any]:
    """All that a cell has, and what its distro and the plan give to it, in plain data: seconds
    and bytes are numbers, and variables of `pass_env` are named only."""
    from distromatrix.load.listing import guest_json, source_json
    from distromatrix.plan.file import plain_data

    distro, own = plan.distro(cell.distro), plain_data(cell)
    said = {
        "image": [source_json(source) for source in distro.image],
        "image_locked": distro.locked,
        "guest": guest_json(distro.guest) if distro.guest else None,
        "pass_env": list(plan.pass_env),
        **own,
        "needs": list(map(str, cell.needs)),
        "repositories": list(map(_repository, own["repositories"])),
        "ca_bundle": plan.ca_bundle,
        "index": plan.index,
    }
    order = dict.fromkeys((*_FIRST, *said))
    return {key: _each_text(said[key], mask) for key in order}


def _repository(said: dict[str, Any]) -> dict[str, Any]:
    """As a matrix says it, its key by its fingerprints."""
    from distromatrix.load.openpgp import fingerprints

    if said["key"]:
        return {**said, "key": list(fingerprints(said["key"]))}
    return {**said, "signed": False} if said["url"] else said


def in_lines(said: dict[str, Any]) -> str:
    """That as YAML, to stand below the cell's line, without what is not set."""
    import yaml

    from distromatrix.record.verdicts import size_of
    from distromatrix.reports.style import duration

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    said = said | {key: size_of(said[key]) for key in ("memory", "disk")}
    said["timeout"] = duration(said["timeout"])
    shown = _set({key: value for key, value in said.items() if key not in _SAID})
    lines = yaml.dump(
        shown, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=90
    )
    return "".join(f"    {line}\n" for line in str(lines).splitlines())


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_each_text(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def _set(value: Any) -> Any:
    """Without keys that say nothing."""
    if isinstance(value, list):
        return [_set(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: _set(inner) for key, inner in value.items() if inner not in (None, "", [], {})}
