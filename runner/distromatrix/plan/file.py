"""A plan as JSON: for programs (`plan --json`), stored whole for `--resume`, and as a plan file
that several machines share (`plan --save`, `run --plan`)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from annotated_types import Ge, Lt

from distromatrix import __version__
from distromatrix.errors import Fault, InputError
from distromatrix.files.below import Folder
from distromatrix.model import (
    REPEATS,
    SEEDS,
    Cell,
    Distro,
    HostFacts,
    Plan,
    Selection,
    Shard,
    fields_of,
)
from distromatrix.plan.needs import CONTAINERS

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VERSION = 1  # of the format of plan files
WHOLE = "whole.json"  # in the folder of a run that is a shard: the plan file, and which shard
_BIGGEST = 256 * 1024**2  # bytes of a plan file that are read: more is none

_LONGEST = 365 * 86400.0  # seconds
_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"  # as in the YAML files

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a plan file has beside the plan, and its shard."""

    distromatrix: str
    digest: str
    snapshot: str = ""
    facts: HostFacts
    selection: Selection
    seconds: Mapping[str, Annotated[float, Ge(0), Lt(1e9)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile(_Head):
    """A plan that several machines share. Its paths are from the project's root.

    `facts` and `selection` are what it was made with; `seconds`: how long each cell that runs
    is expected to take; `digest` is the same where the same was planned; `distromatrix`: the
    version that wrote it; `shard`: the part of it that a run is; `snapshot`: in the copy that a
    run folder holds, the digest of the product's files that it was run on."""

    plan: Plan
    shard: Shard | None = None


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """What `plan --json` prints: which cells there are, and why each runs where it does."""
    return {
        "cells": [_cell_json(cell) for cell in plan.cells],
        "excluded": [{"id": cell.id, "reason": cell.reason} for cell in plan.excluded],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    keys = ("id", "distro", "suite", "variant", "engine", "reason", "verdict")
    return {
        **{key: getattr(cell, key) for key in keys},
        "tags": list(cell.tags),
        "gating": not cell.not_gating,
        "gating_reason": cell.not_gating or None,
    }


def fault_in(path: Path, message: str, hint: str = "") -> InputError:
    """What to raise for a file of ours with which something is wrong."""
    return InputError(Fault(str(path), 0, 0, message, hint))


def store_plan(plan: Plan, path: Path) -> None:
    """Write the whole plan to a file, at once or not at all. Raises OSError."""
    _write(path, json.dumps(plan, default=_plain).encode() + b"\n")


def _plain(value: Any) -> Any:
    """What json does not know of a plan, in its words; as pydantic reads it, which is not loaded
    for who only writes one."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}


def plain_data(value: Plan | Cell) -> dict[str, Any]:
    """A plan or a cell in JSON's types alone."""
    data: dict[str, Any] = json.loads(json.dumps(value, default=_plain))
    return data


def read_plan(path: Path) -> Plan:
    """The plan that `store_plan` wrote. Raises InputError."""
    hint = "it may come from another version of distromatrix; start a new run"
    plan: Plan = _validated(_adapter(Plan), _bytes_of(path), path, "is not a stored plan", hint)
    return plan


def plan_file(
    plan: Plan, facts: HostFacts, selection: Selection, seconds: Mapping[str, float]
) -> PlanFile:
    """A plan made ready to be shared."""
    running = {cell.id: seconds[cell.id] for cell in plan.cells if cell.id in seconds}
    return PlanFile(
        plan=portable(plan),
        facts=facts,
        selection=selection,
        seconds=running,
        digest=digest_of(plan, running),
        distromatrix=__version__,
    )


def portable(plan: Plan) -> Plan:
    """The plan with paths from its root, as far as they are below it or lead from there to what
    is tested; a distro's file is named by its name alone, where it is of the catalogue."""
    root = plan.root

    def moved(path: Path) -> Path:
        return Path(os.path.relpath(path, root)) if path.is_absolute() else path

    def below(path: Path) -> Path:
        return path.relative_to(root) if path.is_relative_to(root) else path

    def of_distro(distro: Distro) -> Distro:
        file = below(distro.file)
        guest = distro.guest
        if guest is not None and guest.vagrantfile is not None:
            guest = replace(guest, vagrantfile=below(guest.vagrantfile))
        return replace(distro, file=Path(file.name) if file.is_absolute() else file, guest=guest)

    bundle = plan.ca_bundle
    return replace(
        plan,
        matrix=moved(plan.matrix),
        root=Path(),
        product=replace(plan.product, path=moved(plan.product.path)),
        distros=tuple(map(of_distro, plan.distros)),
        ca_bundle=bundle if bundle in ("host", "none") else str(below(Path(bundle))),
    )


def digest_of(plan: Plan, seconds: Mapping[str, float]) -> str:
    """What names this plan and how it is cut into shards: the same on every machine that plans
    the same. Paths, the day, what the host has and which engine opens its containers are no part
    of it."""
    canonical = json.dumps(_content(plan, seconds), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def difference(plan: Plan, other: Plan) -> str:
    """Where two plans differ that have different digests, in a few words."""
    mine, theirs = (_content(p, {}) for p in (plan, other))
    ours, others = ({c["id"]: c for c in content["cells"]} for content in (mine, theirs))
    for cell_id in [*ours, *others]:
        if cell_id not in ours or cell_id not in others:
            return f"{cell_id} is in one of them only"
        a, b = ours[cell_id], others[cell_id]
        if keys := [key for key in a if a[key] != b[key]]:
            return f"{cell_id} has another `{keys[0]}`"
    for key in mine:
        if mine[key] != theirs[key]:
            return f"another `{key}`"
    return "other expected durations"


def _content(plan: Plan, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What of a plan its digest is made of."""
    content = plain_data(portable(plan))
    content["ca_bundle"] = _inside(content["ca_bundle"])
    content["product"]["path"] = _inside(content["product"]["path"])
    for key in ("root", "warnings", "guests", "excluded"):
        del content[key]
    for cell in content["cells"]:
        del cell["reason"]
        if cell["engine"] in CONTAINERS:
            cell["engine"] = CONTAINERS[0]
    for distro in content["distros"]:
        for key in ("file", "verified"):
            del distro[key]
        if distro["guest"] and distro["guest"]["vagrantfile"]:
            distro["guest"]["vagrantfile"] = _inside(distro["guest"]["vagrantfile"])
    content["seconds"] = {cell: round(1000 * value) for cell, value in seconds.items()}
    return content


def _inside(path: str) -> str:
    """A path below the root. One that leads out of it is each machine's own."""
    out = path.startswith("/") or ".." in path.split("/")
    return "(outside)" if out else path


def save_plan(file: PlanFile, path: Path) -> None:
    """Write a plan file, at once or not at all. Raises OSError."""
    head = fields_of(_Head, file)
    if not file.snapshot:
        del head["snapshot"]
    content = {
        "version": VERSION,
        **({"shard": str(file.shard)} if file.shard else {}),
        **head,
        **_plain(file.plan),
    }
    _write(path, json.dumps(content, default=_plain, indent=1).encode() + b"\n")


def read_plan_file(path: Path) -> PlanFile:
    """The plan file that `plan --save` wrote, or its copy in a run folder. What it says is
    whole and its digest is right; whether it is to be trusted is another matter. Raises
    InputError."""
    raw = _bytes_of(path)
    found = _json_of(raw, path)
    if not isinstance(found, dict) or "version" not in found or "digest" not in found:
        raise fault_in(path, "is not a plan file", _WRITE_ONE)
    if found["version"] != VERSION:
        message = f"is a plan file of version {_shown(found['version'])}, and not {VERSION}"
        hint = "plan and run with the same version of distromatrix"
        raise fault_in(path, message, hint)
    version = found.get("distromatrix")
    hint = _WRITE_ONE if version == __version__ else f"it is of distromatrix {_shown(version)}"
    head = _validated(_adapter(_Head), raw, path, "is not a complete plan file", hint)
    plan = _validated(_adapter(Plan), raw, path, "is not a complete plan file", hint)
    _check_ids(plan, path)
    timeout = head.selection.timeout
    if not (
        1 <= plan.repeat <= REPEATS
        and (plan.seed is None or 0 <= plan.seed < SEEDS)
        and (timeout is None or 0 < timeout <= _LONGEST)
    ):
        raise fault_in(path, "has a wrong `repeat`, `seed` or `timeout`")
    if head.digest != digest_of(plan, head.seconds):
        message = "was changed after it was written (digest mismatch)"
        raise fault_in(path, message, _WRITE_ONE)
    try:
        shard = Shard.parse(str(found["shard"])) if found.get("shard") else None
    except ValueError as error:
        raise fault_in(path, f"has a wrong `shard`: {error}") from None
    return PlanFile(**fields_of(_Head, head), plan=plan, shard=shard)


_WRITE_ONE = "`distromatrix plan --save FILE` writes one"


def _check_ids(plan: Plan, path: Path) -> None:
    """A cell's id is its folder in a run: it must lead nowhere else, and be its own. So must its
    caches' names, which are files of notes."""
    for cell in plan.cells:
        parts = [cell.distro, cell.suite, *([cell.variant] if cell.variant is not None else [])]
        named = all(re.fullmatch(_NAME, part) for part in (*parts, *cell.caches))
        if not named or cell.id != "/".join(parts):
            raise fault_in(path, f"has a wrong cell: {cell.id[:80]!r}")
    if len({cell.id for cell in plan.cells}) < len(plan.cells):
        raise fault_in(path, "has a cell twice")


def shard_stamp(folder: Path) -> dict[str, str]:
    """`shard` and `digest` of a run folder that is a shard; nothing of any other."""
    path = folder / WHOLE
    if not path.exists():
        return {}
    found = _json_of(_bytes_of(path), path)
    return {key: str(found[key]) for key in ("shard", "digest") if key in found}


def is_merged(folder: Path) -> bool:
    """Whether it is the folder of a run that was made of the shards of a plan."""
    stamp = shard_stamp(folder)
    return bool(stamp) and "shard" not in stamp


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_BIGGEST + 1)
    except OSError as error:
        raise fault_in(path, f"cannot be read: {error.strerror}") from None
    if len(raw) > _BIGGEST:
        raise fault_in(path, "is too big for a plan")
    return raw


def _json_of(raw: bytes, path: Path) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise fault_in(path, "is not JSON, or is cut off", _WRITE_ONE) from None


def _validated(adapter: TypeAdapter[T], raw: bytes, path: Path, what: str, hint: str) -> T:
    from pydantic import ValidationError

    try:
        found = adapter.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(_shown, first["loc"]))
        message = f"{what}: {where + ': ' if where else ''}{first['msg']}"
        raise fault_in(path, message, hint) from None
    return found


@cache  # making one takes longer than using it
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _shown(value: object) -> str:
    """A value of the file's, on one line."""
    text = str(value)[:80]
    return text if text.isprintable() else ascii(text)[1:-1]


def _write(path: Path, content: bytes) -> None:
    with Folder.at(path.parent) as folder:
        folder.write(path.name, content)
