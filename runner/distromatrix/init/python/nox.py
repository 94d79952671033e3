"""nox's sessions as suites, for products whose tests are recognised by nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from distromatrix.init.facts import Draft
from distromatrix.init.folder import ScannedFolder, parse_python

_TESTS = re.compile(r"(^|_)(unit_?)?tests?($|_)|check|pytest")


def nox_drafts(folder: ScannedFolder, packages: tuple[str, ...]) -> tuple[Draft, ...]:
    """A suite for each session of noxfile.py whose name speaks of tests."""
    code = folder.text("noxfile.py")
    prepare = "python3 -m venv /opt/nox\n/opt/nox/bin/pip install -q nox"
    version = "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"
    junit = "pytest" in code
    drafts = []
    for session in _sessions(code):
        addopts = 'export PYTEST_ADDOPTS="${PYTEST_ADDOPTS-} --junitxml=$DISTROMATRIX_JUNIT"'
        lines = [addopts] if junit else []
        lines.append(f'/opt/nox/bin/nox -s {session} --force-python "$({version})"')
        drafts.append(
            Draft(
                name=session,
                about=(f"noxfile.py: session {session}, with the distribution's own Python",),
                packages=packages,
                prepare=prepare,
                run="\n".join(lines),
            )
        )
    return tuple(drafts[:4])


def _sessions(code: str) -> Iterator[str]:
    for node in parse_python(code).body:
        if isinstance(node, ast.FunctionDef) and _TESTS.search(node.name):
            decorators = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
            if any(getattr(d, "attr", getattr(d, "id", "")) == "session" for d in decorators):
                yield node.name
