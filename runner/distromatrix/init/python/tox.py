"""tox's environments as suites that ask for no knowledge of tox.

Each is run as tox would on a developer's machine, but with the distribution's own Python, and
with the cell's environment let through: tox passes on only what its configuration names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distromatrix.init.facts import Draft
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.python.project import requirement_name
from distromatrix.init.python.toxconf import ToxConf, ToxEnv

MAX_SUITES = 6
NAMED = 12  # environments that a comment names before it stops
_PYTHON = re.compile(r"(?:py|python|cpython)(?:3(?:\.?\d+)?)?|3\.\d+")
_VERSION = re.compile(r"(py|python|cpython)?3(\.?)(\d{1,3})")
_PINNED = re.compile(r"(?:py|python|cpython)?[23]\.?\d\S*|pypy.*")
_OTHER_PYTHON = re.compile(
    r"(?:pypy|jython|graalpy|rustpython).*|(?:py|python)?[23]\.?\d*t|(?:py|python)2\.?\d*"
)
# What environments are called that are not about how a product runs on a distribution.
_ASIDE = (
    "lint linters flake8 mypy typing types type typecheck pyright pyrefly ty pytype docs "
    "doc style format formatting fmt black ruff isort precommit pre coverage cov report "
    "combine codecov clean build package pkg release publish upload changelog news "
    "linkcheck spell codespell spelling bandit safety audit pylint twine manifest "
    "benchmark bench perf stress dev devel main master nightly head trunk upstream update "
    "bootstrap finalize readme security pytestmain freethreaded shellcheck yamllint "
    "vulture pydocstyle interrogate "
)
_TESTS = re.compile(
    r"pytest|py\.test|\bunittest\b|\btrial\b|\bstestr\b|\bnose|zope-testrunner|\bward\b|\bgreen\b"
    r"|tests?\.py\b|run_?tests?|setup\.py\s++(?:-\w++\s++)*+test|manage\.py\s+test|make\s+(?:check|test)"
)
_UNITTEST = re.compile(
    r"(?:\{envpython\}|\{env_python\}|python[\d.]*)\s+(?:-\w+\s+)*?-m\s+unittest\b(.*)"
)
_PYTEST = re.compile(r"pytest|py\.test")
# Where a command has its report written: its options count more than those of PYTEST_ADDOPTS.
_REPORT = re.compile(r"--junit-?xml(?:=|\s++)((?:\{\w++\}|[\w./-])*+)(?=[\s}'\"]|$)")
_PLACES = {
    **dict.fromkeys(("toxinidir", "tox_root"), "."),
    **dict.fromkeys(("toxworkdir", "work_dir"), ".tox"),
    **dict.fromkeys(("envname", "env_name"), "%"),
    **dict.fromkeys(("envdir", "env_dir"), ".tox/%"),
    **dict.fromkeys(("envtmpdir", "env_tmp_dir"), ".tox/%/tmp"),
    **dict.fromkeys(("envlogdir", "env_log_dir"), ".tox/%/log"),
}
_ADDOPTS_LOST = re.compile(
    r"^[ \t]*+PYTEST_ADDOPTS[ \t]*+=(?!.*\{env:PYTEST_ADDOPTS)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToxSuites:
    """`drafts`: suites that run; `aside`: environments that are named only, with the reason;
    `unittest`: what `python -m unittest` is given where it is all that tox would run."""

    drafts: tuple[Draft, ...] = ()
    aside: tuple[str, ...] = ()
    unittest: str | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Environments that differ in their Python only. `env` stands for all of them."""

    factors: tuple[str, ...]
    envs: tuple[ToxEnv, ...]

    @property
    def env(self) -> ToxEnv:
        return self.envs[0]

    @property
    def name(self) -> str:
        return "-".join(f for f in self.factors if f != "{py}") or "unit"

    @property
    def versions(self) -> list[re.Match[str]]:
        """The Pythons that their names have."""
        factors = (f for env in self.envs for f in env.name.split("-"))
        return list(filter(None, map(_VERSION.fullmatch, factors)))


def tox_suites(conf: ToxConf, folder: ScannedFolder, packages: tuple[str, ...]) -> ToxSuites:
    """What becomes of the environments of `env_list`. Every suite gets `packages`."""
    drafts: list[Draft] = []
    aside: dict[str, list[str]] = {}
    unittest: str | None = None
    for group in _groups(conf):
        if why := next(_reasons(group, folder), ""):
            aside.setdefault(why, []).extend(e.name for e in group.envs)
        elif len(drafts) == MAX_SUITES:
            aside.setdefault(f"{MAX_SUITES} are enough to begin with", []).append(group.name)
        else:
            drafts.append(_draft(conf, group, packages))
            if (arguments := _unittest_only(group.env)) is not None:
                unittest = arguments
    if len(drafts) != 1:
        unittest = None
    return ToxSuites(
        drafts=tuple(drafts), aside=tuple(_told(*a) for a in aside.items()), unittest=unittest
    )


def _told(why: str, names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''} ({why})"


def _groups(conf: ToxConf) -> Iterator[_Group]:
    groups: dict[tuple[str, ...], list[ToxEnv]] = {}
    for env in conf.envs:
        factors = env.name.split("-")
        if python := next(filter(_PYTHON.fullmatch, factors), ""):
            factors[factors.index(python)] = "{py}"  # in py39-python, the other is a name
        groups.setdefault(tuple(factors), []).append(env)
    return (_Group(key, tuple(envs)) for key, envs in groups.items())


def _reasons(group: _Group, folder: ScannedFolder) -> Iterator[str]:
    """Why a group is no suite of its own accord."""
    env = group.env
    factors = [f for f in group.factors if f != "{py}"]
    if any(_OTHER_PYTHON.fullmatch(f) for f in factors):
        yield "for a Python that is no distribution's own"
    if any(w in _ASIDE.split() for f in factors for w in re.split(r"[_.]", f)):
        yield "by their names not about distributions"
    if "{py}" not in group.factors and _PINNED.fullmatch(env.base_python.strip()):
        yield f"wants {env.base_python} and no other"
    if all(env.own for env in group.envs) and _with_gaps(group):
        yield "with settings of their own, which another Python's would not have"
    if not any(_TESTS.search(c) for c in env.commands):
        yield "runs no test tool that is known here"
    if any("git+" in d for d in env.deps):
        yield "installs from a git repository"
    for name in _files(env):
        if not folder.has(name):
            yield f"names {name}, which is not here"


def _with_gaps(group: _Group) -> bool:
    """Whether it is for chosen Pythons: one, or some with others between them."""
    minors = {int(version[3]) for version in group.versions}
    return bool(minors) and (len(minors) == 1 or max(minors) - min(minors) >= len(minors))


def _files(env: ToxEnv) -> Iterator[str]:
    """The requirement files that an environment names, from the product's root."""
    for dep in env.deps:
        if found := re.match(r"-[rc]\s*(.+)", dep):
            name = re.sub(r"\{(toxinidir|tox_root)\}/?", "", found[1].strip())
            if "{" not in name and "://" not in name:
                yield name


def _unittest_only(env: ToxEnv) -> str | None:
    """What unittest is given where an environment runs it and nothing else, else None."""
    if len(env.commands) != 1:
        return None
    found = _UNITTEST.search(env.commands[0])
    words = re.sub(r"\{posargs:?|\}|(?:^|\s)-[vqbf]\b|--verbose", " ", found[1]) if found else "{"
    return None if "{" in words else " ".join(words.split())


def _draft(conf: ToxConf, group: _Group, packages: tuple[str, ...]) -> Draft:
    env = group.env
    named = ", ".join(e.name for e in group.envs[:8])
    about = [f"{conf.source}: {named}" + (", …" if len(group.envs) > 8 else "")]
    reports = sum(bool(_PYTEST.search(c)) for c in env.commands)
    own = _own_report(env)
    lost = _ADDOPTS_LOST.search(env.set_env) if own is None else own == ""
    junit = reports > 0 and not lost
    if not junit:
        about.append("Its tests write no JUnit report: the answer knows the cell, not its cases.")
    elif reports > 1:
        about.append("It calls pytest more than once: the last call's cases are what is counted.")
    return Draft(
        name=group.name,
        about=tuple(about),
        packages=packages,
        prepare="\n".join(
            (
                "python3 -m venv /opt/tox",
                f"/opt/tox/bin/pip install -q {' '.join(map(shlex.quote, _tools(conf)))}",
            )
        ),
        # uv would fetch a Python of its own, and the distribution's is what is to be tested.
        env={"UV_PYTHON_DOWNLOADS": "never"} if _uses_uv(conf) else {},
        run=_run(conf, group, own or "", junit=junit),
    )


def _own_report(env: ToxEnv) -> str | None:
    """Where its last command that says so has the report written, from the product's root, with %
    for its name; '' where that cannot be told, None where none says so."""
    said = [c for c in env.commands if "--junit" in c]
    if not said:
        return None
    found = _REPORT.search(said[-1])
    path = re.sub(r"\{(\w+)\}", lambda m: _PLACES.get(m[1], "{"), found[1]) if found else "{"
    return "" if "{" in path else path


def _tools(conf: ToxConf) -> tuple[str, ...]:
    """tox and what its configuration asks to have beside it."""
    wanted = [r for r in conf.requires if requirement_name(r) not in ("tox", "")]
    if _uses_uv(conf) and "tox-uv" not in map(requirement_name, wanted):
        wanted.append("tox-uv")
    return ("tox", *dict.fromkeys(wanted))


def _uses_uv(conf: ToxConf) -> bool:
    named = any(requirement_name(r) == "tox-uv" for r in conf.requires)
    return named or any(env.runner.startswith("uv-") for env in conf.envs)


def _run(conf: ToxConf, group: _Group, own: str, *, junit: bool) -> str:
    lines = []
    name = group.env.name
    versions = group.versions
    if versions and not any(e.name.split("-")[0] in ("py", "py3") for e in group.envs):
        prefix, dot = versions[0][1] or "", versions[0][2]
        wanted = f"{prefix}%d{dot}%d"
        lines.append(
            "# the environment of the distribution's own Python\n"
            f"py=$(python3 -c 'import sys; print(\"{wanted}\" % sys.version_info[:2])')"
        )
        name = "-".join("$py" if f == "{py}" else f for f in group.factors)
    elif "{py}" in group.factors:
        name = "-".join("py" if f == "{py}" else f for f in group.factors)
    if junit and not own:
        lines.append('export PYTEST_ADDOPTS="${PYTEST_ADDOPTS-} --junitxml=$DISTROMATRIX_JUNIT"')
    sections = dict.fromkeys(s for e in group.envs for s in e.sections)
    overrides = [f"{s}.pass_env=*" for s in (*sections, conf.package_section)]
    call = " ".join((f'/opt/tox/bin/tox run -e "{name}"', *(f"-x '{o}'" for o in overrides)))
    if not own:
        return "\n".join((*lines, call))
    report = own.replace("%", name)
    lines += ["status=0", f"{call} || status=$?", "# its own report"]
    lines.append(f'[ ! -e "{report}" ] || cp "{report}" "$DISTROMATRIX_JUNIT"')
    return "\n".join((*lines, "exit $status"))
