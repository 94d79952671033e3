"""A plan as JSON: for programs (`plan --json`), and stored whole for `--resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distromatrix.errors import Fault, InputError
from distromatrix.model import Plan


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """What `plan --json` prints: which cells there are, and why each runs where it does."""
    keys = ("id", "distro", "suite", "variant", "engine", "reason", "verdict")
    return {
        "cells": [{key: getattr(cell, key) for key in keys} for cell in plan.cells],
        "excluded": [{"id": cell.id, "reason": cell.reason} for cell in plan.excluded],
    }


def store_plan(plan: Plan, path: Path) -> None:
    """Write the whole plan to a file, at once or not at all. Raises OSError."""
    from pydantic import TypeAdapter

    part = path.with_name(path.name + ".part")
    part.write_bytes(TypeAdapter(Plan).dump_json(plan, indent=1))
    part.replace(path)


def read_plan(path: Path) -> Plan:
    """The plan that `store_plan` wrote. Raises InputError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Plan).validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(Fault(str(path), 0, 0, f"cannot be read: {error.strerror}")) from None
    except ValidationError as error:
        message = f"is no stored plan: {error.errors(include_url=False)[0]['msg']}"
        hint = "it may come from another version of distromatrix; start a new run"
        raise InputError(Fault(str(path), 0, 0, message, hint)) from None
