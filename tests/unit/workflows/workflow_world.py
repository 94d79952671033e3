"""A product whose names would be code if they were let, and the workflow carried out on it with
the fake engine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import yaml
from cli_world import DISTRO

import distromatrix
from actions.files import Storage
from actions.runner import Job, Runner
from quick_python import quick_python

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github/workflows/distromatrix.yml"
CODE = "touch $PWNED"
NASTY = f'it\'s "$({CODE})" `{CODE}`; {CODE} #${{{{ github.token }}}} 🦊 %0A::error::x'
CASE = f"{NASTY}\n::error::y <script>alert(1)</script> | *"
SUITES = {
    "token": {"run": 'test "$TOKEN" = "$(cat token)"', "tags": ["quick"]},
    "cases": {"run": 'cat cases.xml > "$DISTROMATRIX_JUNIT"; echo "::error::not mine"'},
}


@dataclass(frozen=True)
class World:
    """`pwned` is a file that nothing may make."""

    storage: Storage
    pwned: Path

    def runner(self, workflow: Path = WORKFLOW, **inputs: Any) -> Runner:
        secret = f"TOKEN={NASTY}\nno assignment $({CODE})\nA B=$({CODE})"
        made = Runner(
            root=ROOT,
            workflow=workflow,
            storage=self.storage,
            inputs={"directory": NASTY, "matrix": f"matrix/{NASTY}.yaml", **inputs},
            secrets={"pass-env": secret},
            before=installed,
        )
        made.environ |= {"PWNED": str(self.pwned)}
        return made

    def call(self, **inputs: Any) -> list[Job]:
        return self.runner(**inputs).run()


def make_world(folder: Path) -> World:
    product = folder / "github/repository" / NASTY
    for name in ("matrix", "distros"):
        (product / name).mkdir(parents=True)
    (product / "distros/one.yaml").write_text(DISTRO.replace("NAME", "one"))
    matrix = {"product": ".", "distros": ["one"], "pass_env": ["TOKEN"], "suites": SUITES}
    matrix["sets"] = {"pr": {"tags": ["quick"]}}
    (product / "matrix" / f"{NASTY}.yaml").write_text(yaml.safe_dump(matrix))
    (product / "token").write_text(NASTY)
    cases = "".join(
        f"<testcase name={quoteattr(name)}><failure message={quoteattr(said)}/></testcase>"
        for name, said in ((CASE, CASE), ("::error::forged", "::error::forged"))
    )
    (product / "cases.xml").write_text(f"<testsuite>{cases}</testsuite>")
    git = ["git", "-C", str(product.parent), "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    return World(Storage(folder / "github", product.parent, quick_python()), folder / "pwned")


def installed(temp: Path) -> None:
    """distromatrix, as the action leaves it: what is installed here already."""
    home = temp / "distromatrix"
    for folder in ("bin", "venv/bin"):
        (home / folder).mkdir(parents=True)
    python, program = home / "venv/bin/python", home / "bin/distromatrix"
    python.symlink_to(quick_python())
    source = Path(distromatrix.__file__).parents[1]
    # `doctor` would install the engine that is not needed here.
    program.write_text(
        '#!/bin/sh\n[ "$1" != doctor ] || exit 0\n'
        f'PYTHONPATH={source} exec {quick_python()} -m distromatrix "$@"\n'
    )
    program.chmod(0o755)
    (home / "what").write_text(str(ROOT))
