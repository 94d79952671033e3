"""Whether the `reads` of suites are right, by what their cells opened in a traced run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

from distromatrix.files.below import Folder
from distromatrix.model import Matrix, RunResult, Suite
from distromatrix.plan.reads import path_glob, read_by
from distromatrix.plan.traced import OPENED, reads_for
from distromatrix.wording import quoted, some_of

_MOST = 64 << 20  # bytes of one cell's OPENED that are read
_NAMED = 10  # files of a fault that are named


def check_reads(matrix: Matrix, files: Set[str], result: RunResult, folder: Path) -> Iterator[str]:
    """What to say of the `reads` of each suite of a traced run, a line each. `files`: the
    product's; `folder`: the run's."""
    opened: dict[str, set[str]] = defaultdict(set)
    untraced: dict[str, int] = defaultdict(int)
    with Folder.at(folder) as run:
        for cell in result.cells:
            suite_name = cell.id.split("/")[1]
            if (found := _opened(run, cell.id)) is None:
                untraced[suite_name] += 1
            else:
                opened[suite_name] |= found & files
    for suite in matrix.suites:
        if count := untraced.get(suite.name):
            yield f"{suite.name}: {count} of its cells did not tell what they opened"
        if suite.name in opened:
            yield from _said(suite, opened[suite.name], files)


def _opened(run: Folder, cell: str) -> set[str] | None:
    with suppress(OSError):
        listed = run.read_bytes(f"cells/{cell}/artifacts/{OPENED}", _MOST)
        # As strace writes them: in octal what is not printable ASCII.
        lines = listed.decode("ascii", "replace").splitlines()
        return {_unescaped(line) if "\\" in line else line for line in lines}
    return None


def _unescaped(line: str) -> str:
    raw = line.encode("ascii", "replace").decode("unicode_escape", "replace")
    return raw.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _said(suite: Suite, opened: set[str], files: Set[str]) -> Iterator[str]:
    right = ", ".join(map(quoted, reads_for(opened, files)))
    head = f"{suite.name}: opened {len(opened)} of the product's {len(files)} files"
    globs = [(glob, path_glob(glob)) for glob in read_by(suite)]
    if not suite.reads:
        yield f"{head}; its `reads` would be: {right or 'nothing'}"
        return
    missing = [f for f in sorted(opened) if not any(g.fullmatch(f) for _, g in globs)]
    needless = [glob for glob, g in globs if not any(map(g.fullmatch, opened))]
    if not missing and not needless:
        yield f"{head}; its `reads` are right"
        return
    if missing:
        yield f"{head}, and its `reads` lack {some_of([*map(quoted, missing)], _NAMED)}"
    for glob in needless:
        yield f"{suite.name}: nothing that {quoted(glob)} matches was opened"
    yield f"{suite.name}: its `reads` would be: {right or 'nothing'}"
