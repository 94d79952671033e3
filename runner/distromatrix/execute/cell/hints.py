"""What may mend a failure, in a line each, as far as its last lines or its script tell."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from distromatrix.collect.hints import of_lines
from distromatrix.engines.answer import ask
from distromatrix.engines.contract import Machine
from distromatrix.errors import InfrastructureError
from distromatrix.model import Cell
from distromatrix.plan.held import held_in

MOST = 4
# $X, ${X} and ${X:?…}: those with a default may be empty.
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?:\}|:?\?)|([A-Za-z_]\w*))")


def hints(
    cell: Cell,
    tail: Iterable[str],
    machine: Machine | None,
    env: Mapping[str, str],
    callers: Collection[str],
    absent: Iterable[str] = (),
) -> tuple[str, ...]:
    """At most MOST. `tail` are the cell's last lines, masked; `env` the variables that it had in
    its machine (None where that is dead), `callers` the names of those that are not empty where
    the user is; `absent`: optional packages that its image does not have (Prepared.absent)."""
    tail = tuple(tail)
    found = [*of_lines(tail, cell.shell), *of_absent(tail, absent)]
    wanted = of_variables((*cell.setup, cell.run), env, callers)
    for name in _empty(machine, env, wanted) if machine and wanted else ():
        found.append(f"${name} is set where you are and empty in the cell: pass_env: [{name}]")
    return tuple(dict.fromkeys(found))[:MOST]


def of_absent(lines: Iterable[str], absent: Iterable[str]) -> Iterator[str]:
    """Of those packages, which no repository has, the ones whose content the lines speak of."""
    text = "\n".join(lines)
    for package in absent:
        held = held_in(package)
        if held and re.search(rf"(?<![^\W_])(lib|-l)?{re.escape(held.name)}(?!\w)", text, re.I):
            yield (
                f"no package has {held}: name one that brings it (`packages`), add a repository "
                "that has one (`repositories`), or build it in `setup`"
            )


def _empty(machine: Machine, env: Mapping[str, str], names: tuple[str, ...]) -> Iterator[str]:
    """Those that the machine's own variables do not give a value either."""
    output = ""
    script = "\n".join(f'[ "${{{name}}}" ] || echo {name}' for name in names)
    with suppress(InfrastructureError):
        output = ask(machine, script, env)
    answered = output.split()
    yield from (name for name in names if name in answered)


def of_variables(
    scripts: Iterable[str], env: Mapping[str, str], callers: Collection[str]
) -> tuple[str, ...]:
    """The variables of `callers` that the scripts name, and have neither of `env` nor of
    themselves."""
    text = "\n".join(scripts)
    found = []
    for match in _VARIABLE.finditer(text):
        name = match[1] or match[2]
        given = env.get(name) or name.startswith("DISTROMATRIX_")
        if name in callers and not given and not _is_set(name, text):
            found.append(name)
    return tuple(dict.fromkeys(found))[:MOST]


def _is_set(name: str, text: str) -> bool:
    """Whether the scripts give the variable a value themselves."""
    return bool(re.search(rf"\b{name}=|\bfor {name}\b|\bread [^\n;|&]*\b{name}\b", text))
