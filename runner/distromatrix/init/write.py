"""Findings as the text of a matrix file, made to be read and edited by people."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from distromatrix.init.facts import Draft, Finding
from distromatrix.load.imports.imported import named_apart
from distromatrix.wording import visible

_PLAIN = re.compile(r"[A-Za-z0-9_./$][A-Za-z0-9_./+@=-]*( [A-Za-z0-9_./+@=-]+)*")

HEAD = """\
# Written by `distromatrix init` from what is in this folder: read it, and change what you like.
#   distromatrix plan      what would run, and why
#   distromatrix run       run it"""
NETWORK = """\
# Cells install from package indexes as this machine does: with its CA certificates, its pip and
# npm indexes and its proxies. It changes nothing where there are none of those."""
USER = "user: tester # not root, as at a developer's desk: what tests permissions fails as root"
NOTHING = """\
# Nothing was found that says how this product is tested: put the command in place of these lines.
# It runs in a fresh container of each distro, in a copy of this folder."""


def matrix_text(
    findings: Sequence[Finding],
    distros: Sequence[str],
    more: Sequence[str],
    warnings: Sequence[str],
    *,
    why: str = "",
    away: Mapping[str, str] | None = None,
    root: bool = False,
) -> str:
    """The whole file. `distros`: names or globs, and `why` these; `away`: of those that are out of
    reach, why; `more`: others to suggest; `warnings`: what could not be read; `root`: who runs the
    suites."""
    drafts = tuple((name, draft) for name, (_, draft) in suites_of(findings).items())
    lines = [HEAD]
    lines += _comments(f"Not looked at: {warning}" for warning in warnings)
    git = any(finding.git for finding in findings)
    lines.append("")
    if git:
        lines.append("# .git comes along: the product's version comes out of it.")
    lines.append("product: {path: ., git: true}" if git else "product: .")
    if why:
        lines += _comments([f"{why[0].upper()}{why[1:]}."])
    lines += _distros(distros, away or {})
    if more:
        lines += _comments([f"more: {', '.join(more)} (`distromatrix distros` lists all)"])
    lines.append("env: {LC_ALL: C.UTF-8}")
    if not drafts or any(draft.network for _, draft in drafts):
        lines += [NETWORK, "ca_bundle: host", "index: host"]
    notes = [note for finding in findings for note in finding.notes]
    lines += ["", *_comments(notes)]
    shared = _shared([draft for _, draft in drafts if not draft.imports])
    lines += [
        "defaults:",
        *_indented(["user: root" if root else USER, *(_fields(shared) if shared else ())]),
    ]
    if shared:
        drafts = tuple((name, _bare(draft)) for name, draft in drafts)
    lines.append("suites:")
    lines += _nothing() if not drafts else _joined(_suite(draft) for draft in drafts)
    # What YAML forbids, or takes for a line's end, can only come out of foreign files, where it
    # means nothing that a suite could need.
    return visible("\n".join(lines) + "\n", kept="\n\t")


def _distros(names: Sequence[str], away: Mapping[str, str]) -> Iterator[str]:
    if not away:
        yield f"distros: [{', '.join(map(scalar, names))}]"
        return
    yield "distros:"
    for name in names:
        note = f" # {away[name]}" if name in away else ""
        yield f"  - {scalar(name)}{note}"


def _shared(drafts: Sequence[Draft]) -> Draft | None:
    """What all suites have in common, where it is worth saying once."""
    if len(drafts) < 2:
        return None
    common = [replace(d, name="", run="", about=(), setup="") for d in drafts]
    return common[0] if common[0].prepare and all(c == common[0] for c in common) else None


def _bare(draft: Draft) -> Draft:
    """A draft without what all have in common."""
    return replace(draft, packages=(), files=(), prepare="", env={}, timeout="")


def suites_of(findings: Iterable[Finding]) -> dict[str, tuple[Finding, Draft]]:
    """The suites by their names, each with what it comes from."""
    drafts = [(draft.name, (finding, draft)) for finding in findings for draft in finding.drafts]
    imported = {name: found for name, found in drafts if found[1].imports}
    others = [(name, found) for name, found in drafts if not found[1].imports]
    taken = [name for _, draft in imported.values() for name in draft.stands_for]
    return imported | named_apart(others, "unit", taken)


def _comments(texts: Iterable[str]) -> list[str]:
    """Each text as comment lines; of one that takes several, the later ones are indented."""
    wrapper = textwrap.TextWrapper(94, subsequent_indent="  ", break_on_hyphens=False)
    wrapped = (wrapper.wrap(visible(text, kept="\n\t")) for text in texts)
    return [f"# {line}" for lines in wrapped for line in lines]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _joined(parts: Iterable[Iterable[str]]) -> list[str]:
    lines: list[str] = []
    for part in parts:
        lines += [*([""] if lines else []), *part]
    return lines


def _suite(named: tuple[str, Draft]) -> Iterator[str]:
    name, draft = named
    yield from _indented(_comments(draft.about))
    if draft.imports:
        yield f"  import: [{', '.join(map(scalar, draft.imports))}]"
        return
    yield f"  {name}:"
    for line in _whole(draft.keys) if draft.keys else _fields(draft):
        yield f"    {line}"


def _whole(keys: Mapping[str, Any]) -> Iterator[str]:
    """Keys as they are: text, lists and mappings of text."""
    for name, value in keys.items():
        key = scalar(name)
        if isinstance(value, Mapping):
            yield f"{key}:"
            yield from _indented(_whole(value))
        elif not isinstance(value, str):
            yield f"{key}: [{', '.join(map(scalar, value))}]"
        elif "\n" not in value:
            yield f"{key}: {scalar(value)}"
        else:
            indent = "2" if value[0] in " \n" else ""
            end = "-" if value[-1] != "\n" else "+" if value.endswith("\n\n") else ""
            yield f"{key}: |{indent}{end}"
            yield from _indented(value.removesuffix("\n").split("\n"))


def _fields(draft: Draft) -> Iterator[str]:
    if draft.packages:
        yield f"packages: [{', '.join(map(scalar, draft.packages))}]"
    if draft.prepare and draft.files:
        yield "prepare: # cached as an image; made again when these files change"
        yield f"  files: [{', '.join(map(scalar, draft.files))}]"
        yield from _indented(_script("run", draft.prepare))
    elif draft.prepare:
        yield from _script("prepare", draft.prepare, note="cached as an image")
    if draft.setup:
        yield from _script("setup", draft.setup, note="in every cell, before the tests")
    if draft.env:
        pairs = (f"{key}: {scalar(value)}" for key, value in draft.env.items())
        yield f"env: {{{', '.join(pairs)}}}"
    if draft.run:
        yield from _script("run", draft.run)
    if draft.user:
        yield f"user: {draft.user}"
    if draft.timeout:
        yield f"timeout: {draft.timeout}"


def _script(key: str, script: str, note: str = "") -> Iterator[str]:
    comment = f" # {note}" if note else ""
    lines = script.splitlines()
    if len(lines) == 1 and _PLAIN.fullmatch(script):
        yield f"{key}: {script}{comment}"
        return
    yield f"{key}: |{comment}"
    yield from _indented(lines)


def _nothing() -> list[str]:
    return [
        *_indented(NOTHING.splitlines()),
        "  unit:",
        "    # packages: [python, compiler, make, git]",
        "    run: |",
        "      echo 'matrix/default.yaml does not say yet how this product is tested' >&2",
        "      exit 1",
        "    timeout: 30m",
    ]


def scalar(text: str) -> str:
    """A value as YAML reads it back, in a flow sequence too."""
    if _PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "''") + "'"
