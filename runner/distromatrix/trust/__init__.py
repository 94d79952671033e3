"""A checkout asks before it reaches the host: whoever acts on a plan calls `require` first."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from distromatrix.errors import Fault, InputError
from distromatrix.files.user_folders import current_folder
from distromatrix.model import Plan
from distromatrix.trust.kept import keep, yes_of
from distromatrix.trust.reach import Reach, reach_of

__all__ = ["ALL", "VARIABLE", "Reach", "given_here", "missing", "reach_of", "refusal", "require"]

VARIABLE = "DISTROMATRIX_TRUST"
ALL = "all"
_DIGEST = r"[0-9a-f]{40}"


def given_here(text: str | None, name: str) -> frozenset[str]:
    """The digests that an option or a variable of that name gives, separated by commas, or `all`.
    Raises InputError."""
    words = [word for word in re.split(r"[,\s]+", text or "") if word]
    for word in words:
        if word != ALL and not re.fullmatch(_DIGEST, word):
            hint = f"digests of `distromatrix trust --digest`, separated by commas, or `{ALL}`"
            raise InputError(Fault(name, 0, 0, f"expected {hint}, got {word[:60]!r}"))
    return frozenset(words)


def missing(
    reaches: Iterable[Reach], root: Path, given: frozenset[str] = frozenset()
) -> tuple[Reach, ...]:
    """Those that have no yes: neither the user's that is kept for that project, nor `given`, nor in
    the environment. Raises InputError."""
    given |= given_here(os.environ.get(VARIABLE), f"${VARIABLE}")
    reaches = tuple(reaches)
    if not reaches or ALL in given:
        return ()
    given |= yes_of(root)
    return tuple(one for one in reaches if one.digest not in given)


def refusal(left: Sequence[Reach], plan: Plan) -> InputError:
    """What is said where nobody can be asked."""
    where = "" if plan.root.resolve() == current_folder() else f" -C {shlex.quote(str(plan.root))}"
    usual = plan.root / "matrix" / "default.yaml"
    file = plan.matrix
    if file.is_absolute() and file != usual and file.is_relative_to(plan.root):
        where += f" -m {shlex.quote(str(file.relative_to(plan.root)))}"
    lines = [str(one) for one in left]
    digests = ",".join(one.digest for one in left)
    return InputError(
        *lines,
        "this checkout may not do that to this host before you say yes: "
        f"`distromatrix trust{where}`, or where there is no terminal {VARIABLE}={digests}",
    )


def require(
    plan: Plan,
    given: frozenset[str] = frozenset(),
    *,
    stored: bool = False,
    ask: Callable[[Sequence[Reach]], bool] | None = None,
) -> None:
    """See that all by which a plan reaches the host has a yes; with `ask`, ask for what has none
    and keep the answer. `stored`: see `reach_of`. Raises InputError, with all that has none."""
    reaches = reach_of(plan, stored=stored)
    left = missing(reaches, plan.root, given)
    if not left:
        return
    if ask is None or not ask(left):
        raise refusal(left, plan)
    keep(plan.root, yes_of(plan.root) | {one.digest for one in left})
