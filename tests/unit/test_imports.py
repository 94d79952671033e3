"""Imports point one way, and the command line is quick because it imports late."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import distromatrix

SOURCE = Path(distromatrix.__file__).parent
# The ground floor: plain data and pure functions that everyone may use.
COMMON = {"", "errors", "model", "files", "wording", "schemas", "plan", "record"}
# What each room may use besides those and itself, from the top floor down.
ALLOWED = {
    "__main__": {"cli"},
    "cli": {
        "cluster",
        "testing",
        "project",
        "doctor",
        "execute",
        "trust",
        "init",
        "merge",
        "reports",
        "images",
        "engines",
        "load",
        "collect",
    },
    "pytest_plugin": {"testing"},
    "cluster": {"project", "execute", "merge", "engines", "load", "collect"},
    "testing": {
        "cluster",
        "project",
        "execute",
        "trust",
        "reports",
        "images",
        "engines",
        "load",
        "collect",
    },
    "project": {"execute", "merge", "images", "engines", "load", "collect"},
    "doctor": {"images", "engines", "load", "collect"},
    "execute": {"images", "engines", "load", "collect"},
    "trust": {"images", "load", "collect"},
    "init": {"load"},
    "merge": {"reports", "collect"},
    "reports": {"collect"},
    "images": {"engines", "load", "collect"},
    "engines": {"collect"},
    "load": set[str](),
    "collect": set[str](),
    "record": {"plan"},
}
HEAVY = {"distributed", "docker", "rich", "pydantic", "yaml", "requests", "jinja2"}


MOST_ROOMS = 22
MOST_FILES = 20  # directly in a folder
MOST_LINES = 400  # of a file


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def part_of(name: str) -> str:
    """`distromatrix.engines.docker.engine` -> `engines`."""
    return [*name.split("."), ""][1]


def imported_parts(file: Path) -> set[str]:
    """The parts of distromatrix that a file imports, wherever in it."""
    package = ("distromatrix", *file.relative_to(SOURCE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *filter(None, [node.module])))
            # `from distromatrix import doctor` imports a part; other names do no harm here.
            names = (
                [f"{start}.{a.name}" for a in node.names] if start == "distromatrix" else [start]
            )
        else:
            continue
        found |= {part_of(name) for name in names if name.partition(".")[0] == "distromatrix"}
    return {part for part in found if (SOURCE / part).is_dir() or (SOURCE / f"{part}.py").exists()}


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_one_way(file: Path) -> None:
    own = file.relative_to(SOURCE).parts[0].removesuffix(".py").replace("__init__", "")
    allowed = COMMON | {own} | ALLOWED.get(own, set())
    assert imported_parts(file) <= allowed


def test_no_part_stands_outside_the_rules() -> None:
    parts = {f.relative_to(SOURCE).parts[0].removesuffix(".py") for f in modules()}
    assert parts - {"__init__"} <= COMMON | set(ALLOWED)


@pytest.mark.parametrize(
    "module",
    [
        "distromatrix.cli",
        "distromatrix.cluster",  # which a scheduler imports while everybody waits
        "distromatrix.model",
        "distromatrix.errors",
        "distromatrix.record.events",
    ],
)
def test_importing_costs_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


def test_what_a_worker_is_first_called_for_loads_nothing_of_ours_in_its_loop() -> None:
    code = "import sys; from distromatrix.cluster import join; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {one for one in done.stdout.split() if one.startswith("distromatrix.")}
    assert ours == {"distromatrix.cluster"}


def test_help_costs_no_heavy_library() -> None:
    code = (
        "import sys, atexit; atexit.register(lambda: print(*sys.modules));"
        "from distromatrix.cli import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert HEAVY.isdisjoint(done.stdout.split())


def loaded_by(*args: str) -> set[str]:
    """The modules that are there when a command has ended."""
    code = (
        "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from distromatrix.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_a_plan_loads_only_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    matrix = "distros: [debian-12]\nsuites: {a: {run: 'true'}, b: {run: 'true'}}\n"
    (tmp_path / "matrix/default.yaml").write_text(matrix)
    loaded = loaded_by("plan", "-C", str(tmp_path))
    assert not loaded & {"docker", "requests", "rich", "jinja2"}
    ours = {"images", "execute.executor", "project.session", "engines.guest.initramfs"}
    assert not loaded & {f"distromatrix.{name}" for name in ours}


def imported_files(file: Path) -> set[Path]:
    """The files of distromatrix that a file imports, wherever in it, for types as well."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "distromatrix":
                continue
            for length in range(len(parts), 1, -1):
                place = SOURCE.joinpath(*parts[1:length])
                target = place.with_suffix(".py")
                target = target if target.exists() else place / "__init__.py"
                if target.exists():
                    found.add(target)
                    break
    return found - {file}


def circle_in(graph: dict[Path, set[Path]]) -> list[Path]:
    """The files of one circle, in their order; none where there is no circle."""
    done: set[Path] = set()

    def search(file: Path, way: list[Path]) -> list[Path]:
        if file in way:
            return way[way.index(file) :]
        if file in done:
            return []
        for other in sorted(graph[file]):
            if found := search(other, [*way, file]):
                return found
        done.add(file)
        return []

    return next((found for file in graph if (found := search(file, []))), [])


def test_no_files_import_each_other_in_a_circle() -> None:
    circle = circle_in({file: imported_files(file) for file in modules()})
    assert not circle, " -> ".join(str(f.relative_to(SOURCE)) for f in circle)


def test_a_circle_is_found() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    assert circle_in({a: {b}, b: {c}, c: {b}}) == [b, c]
    assert circle_in({a: {b, c}, b: {c}, c: set()}) == []


def test_the_house_has_few_rooms_and_no_room_is_full() -> None:
    rooms = {file.relative_to(SOURCE).parts[0] for file in modules()} - {"__init__.py"}
    assert len(rooms) <= MOST_ROOMS
    folders = Counter(file.parent for file in modules() if file.name != "__init__.py")
    assert {f.name: n for f, n in folders.items() if n > MOST_FILES} == {}


def test_no_file_is_long() -> None:
    root = Path(__file__).parents[2]
    files = [*modules(), *root.glob("tests/**/*.py"), *root.glob("benchmarks/**/*.py")]
    lengths = {str(f): len(f.read_text("utf-8").splitlines()) for f in files}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}
