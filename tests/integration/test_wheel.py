"""The wheel holds all that is needed: built, installed into an empty environment, run there."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel"]
    subprocess.run([*pip, "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel and what it depends on, no more."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", folder / "bin/python"]
    subprocess.run([*pip, "install", "--no-compile", wheel], check=True)
    return folder / "bin"


@pytest.fixture
def call(environment: Path, tmp_path: Path):
    """Call the installed program from a folder that knows nothing of the checkout."""

    def call(*arguments: str) -> str:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DISTRO"))}
        command = [environment / "distromatrix", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def catalogue() -> set[str]:
    return {file.name for file in (ROOT / "distros").glob("*.yaml")}


def test_the_catalogue_and_the_data_files_are_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert catalogue()
    assert {f"distromatrix/distros/{name}" for name in catalogue()} <= names
    suffixes = (".yaml", ".json", ".html", ".css", ".js")
    data = [f for f in (ROOT / "runner").rglob("*.*") if f.suffix in suffixes]
    data += (ROOT / "runner/distromatrix/engines/guest/inside/programs").glob("*/*")
    assert {f.relative_to(ROOT / "runner").as_posix() for f in data} <= names
    assert not [name for name in names if name.startswith(("runner/", "tests/")) or "fake" in name]


def test_the_man_page_lies_where_man_looks(environment: Path) -> None:
    page = environment.parent / "share/man/man1/distromatrix.1"
    assert page.read_text("utf-8") == (ROOT / "docs/distromatrix.1").read_text("utf-8")


def test_the_version_is_the_wheels(call, wheel: Path) -> None:
    assert call("--version").split()[-1] == wheel.name.split("-")[1]


def test_the_installed_program_lists_its_own_catalogue(call) -> None:
    listed = {f"{distro['name']}.yaml" for distro in json.loads(call("distros", "--json"))}
    assert listed == catalogue()


def test_the_installed_program_plans_the_example(call) -> None:
    plan = json.loads(call("plan", "--json", "-C", str(ROOT / "examples/logtally")))
    ids = {cell["id"] for cell in plan["cells"]}
    assert {"debian-11/core", "alpine-3.20/libc"} <= ids
    assert all(cell["engine"] == "docker" for cell in plan["cells"])


def test_the_installed_program_begins_a_distros_file_from_its_catalogue(call) -> None:
    call("add-distro", "brandnew-1", "--like", "fedora-43")
    (listed,) = json.loads(call("distros", "brandnew-1", "--json"))
    assert (listed["like"], listed["package_manager"]) == ("fedora-43", "dnf")


def test_doctor_looks_without_a_traceback(environment: Path, tmp_path: Path) -> None:
    nowhere = os.environ | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run(
        [environment / "distromatrix", "doctor"],
        cwd=tmp_path,
        env=nowhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69
    assert "nothing answers at DOCKER_HOST" in done.stdout
    assert "Traceback" not in done.stderr
