"""What is known of guests on this host: of their engine, and of each machine in its folder, for
who joins, enters or sweeps it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distromatrix.engines.contract import (
    LABEL_CELL,
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_RUN,
    EngineFacts,
    Leftover,
)
from distromatrix.errors import InfrastructureError
from distromatrix.files.whole import read_json, write_whole

FACTS = "machine.json"


def engine_facts(
    name: str, product: str, version: str, data_root: Path, api_version: str = ""
) -> EngineFacts:
    """Those of an engine whose guests run on this host."""
    return EngineFacts(
        name=name,
        product=product,
        version=version,
        api_version=api_version,
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        arch=platform.machine(),
        storage_driver="qcow2",
        cgroup_version="",
        rootless=os.geteuid() != 0,
        local=True,
        data_root=str(data_root),
    )


def write_facts(folder: Path, labels: Mapping[str, str], **more: object) -> None:
    """Write them anew. Raises OSError."""
    facts = {"labels": dict(labels), "created": time.time(), **more}
    write_whole(folder / FACTS, json.dumps(facts))


def read_facts(folder: Path) -> dict[str, Any]:
    """What is known of the machine in a folder; {} where nothing is."""
    facts = read_json(folder / FACTS)
    return facts if isinstance(facts, dict) else {}


def change_facts(folder: Path, **change: object) -> None:
    """Change what is known of the machine in a folder. Raises InfrastructureError."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        write_whole(folder / FACTS, json.dumps({**facts, **change}))
    except (OSError, ValueError) as error:
        raise InfrastructureError(f"{folder / FACTS}: {error}") from error


def leftovers(machines: Path) -> tuple[Leftover, ...]:
    """The machines in that folder that have labels of ours."""
    found = []
    for folder in sorted(machines.glob("*")):
        facts = read_facts(folder)
        labels = facts.get("labels") or {}
        if labels.get(LABEL_RUN):
            found.append(
                Leftover(
                    kind=facts.get("kind", "guest"),
                    name=str(facts.get("name") or folder.name),
                    run=labels[LABEL_RUN],
                    folder=labels.get(LABEL_FOLDER, ""),
                    host=labels.get(LABEL_HOST, ""),
                    kept=bool(facts.get("kept")),
                    created=float(facts.get("created", 0.0)),
                )
            )
    return tuple(found)


def folder_in_run(labels: Mapping[str, str], engine: str) -> Path | None:
    """Where what a guest has shown lies in its cell's folder; None where the run has none."""
    run, cell = labels.get(LABEL_FOLDER, ""), labels.get(LABEL_CELL, "")
    return Path(run, "cells", cell, "guest", engine) if cell and Path(run).is_dir() else None
