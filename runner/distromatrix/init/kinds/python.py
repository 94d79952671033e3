"""Python products: tox's environments where there are any, else pytest or unittest in an
environment of their own, for distributions forbid pip to touch their Python (PEP 668)."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.kinds import meson
from distromatrix.init.libraries import built_with
from distromatrix.init.programs import wanted_packages
from distromatrix.init.python.nox import nox_drafts
from distromatrix.init.python.project import PythonProject, TestDeps
from distromatrix.init.python.runner import Runner, find_runner, test_files
from distromatrix.init.python.tox import ToxSuites, tox_suites
from distromatrix.init.python.toxconf import read_tox

_SETUPTOOLS = re.compile(r"^[ \t]*+(?:import|from)[ \t]++setuptools\b", re.MULTILINE)
VENV = "/opt/venv"
_PIP = f"{VENV}/bin/pip install -q"


def look(folder: ScannedFolder) -> Finding | None:
    """What there is of Python, or None."""
    project = PythonProject(folder)
    if "mesonpy" in project.backend and meson.tests(folder):
        return None  # they are Meson's
    tox = read_tox(folder)
    runner = find_runner(project)
    if not (project.installable or tox or runner or folder.has("noxfile.py")):
        return None
    base = _Base.of(project)
    suites = tox_suites(tox, folder, base.packages) if tox else ToxSuites()
    if suites.drafts and suites.unittest is None and tox:
        drafts = tuple(
            replace(d, env={**d.env, **base.env}, setup=base.setup) for d in suites.drafts
        )
        what = f"tox: {', '.join(d.name for d in drafts)}"
        finding = Finding(source=tox.source, what=what, drafts=drafts)
    elif runner:
        finding = _direct(project, base, _told(runner, suites.unittest))
    elif drafts := nox_drafts(folder, base.packages):
        what = f"nox: {', '.join(d.name for d in drafts)}"
        drafts = tuple(replace(d, env=base.env) for d in drafts)
        finding = Finding(source="noxfile.py", what=what, drafts=drafts)
    else:
        said = "a Python product, but no tests that pytest or unittest would find"
        finding = Finding(source=project.source or "tox.ini", what=said)
    notes = tuple(f"{tox.source}: left out {line}" for line in suites.aside) if tox else ()
    return replace(finding, notes=(*base.notes, *notes), git=base.git)


@dataclass(frozen=True, slots=True)
class _Base:
    """What every suite of a Python product shares."""

    packages: tuple[str, ...]
    env: Mapping[str, str]
    notes: tuple[str, ...]
    git: bool
    setup: str

    @classmethod
    def of(cls, project: PythonProject) -> _Base:
        packages, env, notes = ["python"], {}, []
        if project.compiled:
            packages += ["compiler", "python-dev"]
            packages += built_with(project.folder, "setup.py", "meson.build")
        if project.rust:
            packages += ["cargo"]
        git = project.versioned_by_git and (project.folder.root / ".git").exists()
        if git:
            packages += ["git"]
        elif project.versioned_by_git and not project.folder.has("PKG-INFO"):
            env["SETUPTOOLS_SCM_PRETEND_VERSION"] = "0.0.0"
            notes.append("its version comes out of git, which is not here: it will be 0.0.0")
        called = wanted_packages(project.folder, test_files(project.folder))
        packages += [name for name in called if name not in packages]
        if project.requires_python:
            said = f"for Python {project.requires_python}"
            notes.append(f"{said}: where a distro has an older one, skip it by a rule")
        setup = ""
        if project.takes_any_folder:
            setup = "rm -r matrix # setuptools would take it for a package of the product"
            notes.append(
                "setuptools looks for its packages by itself, and takes the new folder matrix/ for "
                "one: name them in pyproject.toml ([tool.setuptools] packages = …)"
            )
        return cls(tuple(packages), env, tuple(notes), git, setup)


def _told(runner: Runner, arguments: str | None) -> Runner:
    """The runner with what tox tells unittest, where tox tells it anything."""
    if arguments is None:
        return runner
    return replace(
        runner,
        tool="unittest",
        requirements=("unittest-xml-reporting",),
        arguments=arguments or runner.arguments or "discover",
        said="tox: unittest",
    )


def _direct(project: PythonProject, base: _Base, runner: Runner) -> Finding:
    deps = project.test_deps
    nested, local = _requirement_files(project.folder, deps.files)
    by_file = "" if local else " ".join(f"-r {shlex.quote(f)}" for f in deps.files)
    builds = " setuptools" if project.compiled and _imports_setuptools(project.folder) else ""
    named = (*runner.requirements, *deps.requirements, *_cacheable(project))
    quoted = " ".join(shlex.quote(r) for r in dict.fromkeys(named))
    groups = " ".join(f"--group {shlex.quote(g)}" for g in deps.groups)
    prepare = [
        f"python3 -m venv {VENV}",
        f"{_PIP} -U pip{builds}",  # a venv may have an old one
        " ".join(filter(None, (_PIP, groups, by_file, quoted))),
        f"chmod -R a+rwX {VENV} # setup adds the product, as another user",
    ]
    files = (*(["pyproject.toml"] if groups else []), *([] if local else nested))
    about = [f"{runner.said}: {runner.tool}" if runner.tool not in runner.said else runner.said]
    if deps.said:
        about[0] += f", with {deps.said}"
    draft = Draft(
        name="unit",
        about=tuple(about),
        packages=base.packages,
        files=files,
        prepare="\n".join(prepare),
        setup="\n".join(filter(None, (base.setup, *_setup(project, deps, local=local)))),
        env=base.env,
        run=f". {VENV}/bin/activate\n{_command(runner)}",
    )
    source = project.source or runner.said.partition(":")[0]
    return Finding(source=source, what=runner.tool, drafts=(draft,))


def _command(runner: Runner) -> str:
    if runner.tool == "pytest":
        return 'python -m pytest -q --junitxml="$DISTROMATRIX_JUNIT"'
    return f'python -m xmlrunner {runner.arguments} --output-file "$DISTROMATRIX_JUNIT"'


def _imports_setuptools(folder: ScannedFolder) -> bool:
    """Whether it is needed beyond the build, as by what compiles in its tests."""
    paths = [p for p in folder.files if p.endswith(".py") and not p.startswith("setup")]
    return any(_SETUPTOOLS.search(folder.head(path)) for path in paths[:300])


def _cacheable(project: PythonProject) -> tuple[str, ...]:
    """The product's own dependencies, so that they too come out of the cached layer."""
    return tuple(d for d in project.dependencies if " @ " not in d)


def _setup(project: PythonProject, deps: TestDeps, *, local: bool) -> Iterator[str]:
    if project.installable:
        extras = f"[{','.join(deps.extras)}]" if deps.extras else ""
        # meson-python's editable installs need their build tools to stay.
        editable = "" if "mesonpy" in project.backend else "-e "
        target = f"'.{extras}'" if extras else "."
        yield f"{_PIP} {editable}{target}"
    elif project.folder.has("requirements.txt"):
        yield f"{_PIP} -r requirements.txt"
    if local:
        yield f"{_PIP} {' '.join(f'-r {shlex.quote(f)}' for f in deps.files)}"


def _requirement_files(
    folder: ScannedFolder, files: tuple[str, ...]
) -> tuple[tuple[str, ...], bool]:
    """Requirement files with those that they name, and whether one of them names a path."""
    found: dict[str, None] = {}
    waiting = list(files)
    local = False
    while waiting and len(found) < 50:
        name = waiting.pop()
        if name in found or not folder.has(name):
            continue
        found[name] = None
        parent = name.rpartition("/")[0]
        for line in folder.text(name).splitlines():
            if other := re.match(r"\s*(?:-[rc]|--requirement|--constraint)[\s=]*(\S+)", line):
                waiting.append(posixpath.normpath(posixpath.join(parent, other[1])))
            elif re.match(r"\s*(?:(?:-e|--editable)[\s=]*)?(?:\.|/|file:)", line):
                local = True
    return tuple(found), local
