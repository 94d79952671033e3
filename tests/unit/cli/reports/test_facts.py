"""`distromatrix facts`: what differs between machines of a run."""

import json
import shutil
from pathlib import Path

from cli_world import Cli, runs

from distromatrix.collect.facts import add_facts
from distromatrix.model import Facts


def test_a_run_has_facts_and_they_are_compared(cli: Cli, project: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "CACHE")  # it has none yet
    assert cli("run", "*/good").code == 0
    (folder,) = runs(project)
    assert {path.name for path in (folder / "facts").iterdir()} == {"one.json", "two.json"}
    done = cli("facts", "one")
    assert done.code == 0 and "kernel" in done.out and "packages" in done.out
    dash = Facts(libc="glibc", packages={"dash": "0.5.12-2"}, commands={"sh": "/bin/dash"})
    bash = Facts(libc="glibc", packages={"dash": "0.5.11-1"}, commands={"sh": "/usr/bin/bash"})
    add_facts(folder, {"two/good": dash, "three/good": bash, "gone/good": Facts(absent="no sh")})
    done = cli("facts", "two", "three/good")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines == [
        ["two", "three/good"],
        ["commands", "sh", "dash", "bash"],
        ["packages", "dash", "0.5.12-2", "0.5.11-1"],
    ]
    said = json.loads(cli("facts", "two", "three/good", "--json").out)
    assert said["differs"]["packages dash"] == {"two": "0.5.12-2", "three/good": "0.5.11-1"}
    assert said["machines"]["two"]["libc"] == "glibc"
    wrong = cli("facts", "twoo")
    assert wrong.code == 2 and "did you mean `two`" in wrong.err
    absent = cli("facts", "gone")
    assert absent.code == 2 and "could not be read: no sh" in absent.err
