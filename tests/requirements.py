"""What our tests need in a cell, one requirement a line, as pyproject.toml beside `tests` has it:
pip older than 25.1 can only be told by name."""

import tomllib
from pathlib import Path

said = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
project = said["project"]
names = ("pytest", "testinfra", "cluster", "test")
extras = (project["optional-dependencies"][name] for name in names)
needed = [*said["build-system"]["requires"], *project["dependencies"]]
needed += [one for extra in extras for one in extra]
print(*(one for one in needed if not one.startswith("distromatrix")), sep="\n")
