"""distromatrix inside a cell of its own: what a cell is told is no setting."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import yaml
from cli_world import DISTRO, MATRIX, Cli

INNER = """
set +e
cd inner
export DISTROMATRIX_FAKE="$INNER"
for command in plan run 'plan --engine podman'; do
  "$PY" -m distromatrix $command >"$DISTROMATRIX_ARTIFACTS/$command" 2>&1
  echo "$?" >>"$DISTROMATRIX_ARTIFACTS/$command"
done
"""


def test_distromatrix_runs_in_a_cell_of_its_own(cli: Cli, project: Path, tmp_path: Path) -> None:
    for name, text in {"matrix/default.yaml": MATRIX, "distros/one.yaml": DISTRO}.items():
        (file := project / "inner" / name).parent.mkdir(parents=True)
        file.write_text(text.replace("[one, two]", "[one]").replace("NAME", "one"))
    env = {
        "PY": sys.executable,
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "INNER": str(tmp_path / "inner"),
        **{f"XDG_{name}_HOME": str(tmp_path / f"inner-{name}") for name in ("CACHE", "CONFIG")},
    }
    suites = {"nested": {"run": INNER, "env": env}}
    matrix = {"product": ".", "distros": ["one"], "suites": suites}
    (project / "matrix/default.yaml").write_text(yaml.safe_dump(matrix))
    said = cli("run", "--json")
    assert said.code == 0, said.err
    folder = project / ".distromatrix/runs" / json.loads(said.out)["run"]
    answers = {f.name: f.read_text() for f in folder.glob("cells/one/nested/artifacts/*")}
    assert answers["plan"].endswith("2 to run, 0 skipped, 0 left out\n0\n")
    assert " docker " in answers["plan"]
    assert " podman " in answers["plan --engine podman"]
    assert "passed  2 cells" in answers["run"]
