"""Debian's tests of installed packages (DEP-8) as suites: debian/tests/control.

As autopkgtest has it: /usr/share/doc/autopkgtest/README.package-tests. What autopkgtest skips is
left out, what it calls invalid is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from distromatrix.errors import Fault, InputError
from distromatrix.files.below import Folder
from distromatrix.load.imports.deb822 import Stanza, stanzas
from distromatrix.load.imports.debian_scripts import Test, keys_of
from distromatrix.load.imports.imported import (
    Imported,
    ImportedSuite,
    named_apart,
    place,
    read_text,
)
from distromatrix.wording import listing, quoted

_FIELDS = (
    *("tests", "test-command", "restrictions", "features", "depends", "tests-directory"),
    *("classes", "architecture"),
)
_RESTRICTIONS = (
    *("allow-stderr", "flaky", "isolation-container", "isolation-machine", "needs-recommends"),
    *("needs-root", "needs-sudo", "rw-build-tree", "skip-not-installable", "skippable"),
    # Nothing is to be done about these: a test has a machine for itself, of the host's
    # architecture, with a network and the built tree, and a shallow one passes as any other.
    *("breaks-testbed", "build-needed", "needs-internet", "skip-foreign-architecture"),
    "superficial",
)
_NO_TESTS = {
    "hint-testsuite-triggers": "it is no test, but a hint for Debian's archive",
    "needs-reboot": "it asks for /tmp/autopkgtest-reboot, which is not there",
}
_DEPENDENCY = re.compile(
    r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9_-]+)?\s*(\((<<|<=|>=|=|>>)\s*[A-Za-z0-9.+~:-]+\s*\))?"
    r"(\s*\[[a-z0-9+.! -]+\])?"
)


def is_there(folder: Folder, path: str) -> bool:
    """Whether `path` is a `debian/tests` with a control file."""
    try:
        ours = PurePosixPath(path).parts[-2:] == ("debian", "tests")
        return ours and folder.has(f"{path}/control")
    except OSError:
        return False


def read_suites(folder: Folder, path: str) -> Imported:
    """A suite for each test of `path`/control, a `debian/tests`. Raises InputError."""
    debian = PurePosixPath(path).parent
    file = place(folder, f"{path}/control")
    about = list(
        stanzas(read_text(folder, f"{debian}/control"), place(folder, f"{debian}/control"))
    )
    left_out = [*_automatic(about, place(folder, f"{debian}/control"))]
    found: list[tuple[str, ImportedSuite]] = []
    unnamed = 0
    for stanza in stanzas(read_text(folder, f"{path}/control"), file):
        names, key = _names(stanza, file)
        if not names:
            unnamed += 1
            names = [f"command{unnamed}"]
        depends = ", ".join(_depends(stanza, about, file))
        why = _unsupported(stanza)
        for name in names:
            line, said = (stanza.lines[key], "a `/` in its name") if "/" in name else why
            if said:
                left_out.append(f"{file}:{line}: the test {name} is left out: {said}")
                continue
            test = Test(
                package=str(debian.parent),
                file=f"{stanza.values.get('tests-directory') or 'debian/tests'}/{name}",
                command=stanza.values.get("test-command", ""),
                depends=depends,
                restrictions=frozenset(stanza.words("restrictions")),
                architectures=tuple(stanza.words("architecture")),
            )
            suite = ImportedSuite(keys=keys_of(test), file=file, line=stanza.lines[key])
            found.append((name, suite))
    return Imported(suites=named_apart(found), left_out=tuple(left_out), family="debian")


def _names(stanza: Stanza, file: str) -> tuple[list[str], str]:
    """The names of a stanza's tests (none: a command without one), and the field they are in.
    Raises InputError."""
    features = [word.partition("=") for word in stanza.words("features")]
    named = [value for feature, _, value in features if feature == "test-name"]
    given = [key for key in ("tests", "test-command") if key in stanza.values]
    if len(given) != 1:
        which = "both" if given else "neither"
        raise _fault(stanza, file, f"expected one of Tests and Test-Command, got {which}")
    (key,) = given
    if key == "tests" and named:
        raise _fault(stanza, file, "test-name goes with Test-Command only", "features")
    if len(named) > 1 or not all(named):
        raise _fault(stanza, file, "expected one `test-name=NAME`", "features")
    if key == "test-command":
        return named, key
    if not (names := stanza.words("tests")):
        raise _fault(stanza, file, "Tests names no test", key)
    return names, key


def _unsupported(stanza: Stanza) -> tuple[int, str]:
    """The line and the reason why a stanza's tests are not run; 0 and '' where they are."""
    for key, name in stanza.names.items():
        if key not in _FIELDS:
            return stanza.lines[key], f"the field {quoted(name)} is not known"
    for one in stanza.words("restrictions"):
        if one not in _RESTRICTIONS:
            unknown = f"the restriction {quoted(one)} is not known"
            return stanza.lines["restrictions"], _NO_TESTS.get(one, unknown)
    wanted = stanza.words("architecture")
    bad = [one for one in wanted if not re.fullmatch(r"!?[a-z0-9-]+", one) or one == "all"]
    if bad or len({one[0] == "!" for one in wanted}) > 1:
        said = f"Architecture takes names, or names with `!`, got {listing(wanted)}"
        return stanza.lines["architecture"], said
    return 0, ""


def _depends(stanza: Stanza, about: list[Stanza], file: str) -> Iterator[str]:
    """The dependencies of a stanza's tests, `@` and its like resolved by the package's own control
    file. Raises InputError."""
    more = ",@recommends@" if "needs-recommends" in stanza.words("restrictions") else ""
    for group in f"{stanza.values.get('depends', '@')}{more}".split(","):
        if (wanted := group.strip()) in _SPECIAL:
            yield from _SPECIAL[wanted](about)
        elif wanted:
            for one in wanted.split("|"):
                if not _DEPENDENCY.fullmatch(one.strip()):
                    message = f"{quoted(one.strip())} is no dependency"
                    raise _fault(stanza, file, message, "depends")
            yield wanted


def _binaries(about: list[Stanza]) -> Iterator[str]:
    for one in about:
        values = one.values
        kinds = (values.get("package-type"), values.get("xc-package-type"))
        if name := values.get("package") if set(kinds) <= {None, "deb"} else None:
            arch = values.get("architecture", "any")
            yield name if arch in ("all", "any") else f"{name} [{arch}]"


def _build_dependencies(about: list[Stanza]) -> Iterator[str]:
    for one in about[:1]:
        for key in ("build-depends", "build-depends-indep", "build-depends-arch"):
            yield from _listed(one.values.get(key, ""))
    yield "build-essential"


def _recommended(about: list[Stanza]) -> Iterator[str]:
    for one in about:
        for dependency in _listed(one.values.get("recommends", "")):
            if not dependency.startswith("${"):
                yield re.sub(r"\([^()]*\$\{[^()]*\)", "", dependency).strip()


def _listed(value: str) -> Iterator[str]:
    return (part.strip() for part in value.split(",") if part.strip())


_SPECIAL = {"@": _binaries, "@builddeps@": _build_dependencies, "@recommends@": _recommended}


def _automatic(about: list[Stanza], file: str) -> Iterator[str]:
    """A line where autopkgtest would have more tests made."""
    for one in about[:1]:
        for word in one.words("testsuite"):
            if word.startswith("autopkgtest-pkg-"):
                line = one.lines["testsuite"]
                yield f"{file}:{line}: what autodep8 makes of {word} is left out: it is not there"


def _fault(stanza: Stanza, file: str, message: str, key: str = "") -> InputError:
    return InputError(Fault(file, stanza.lines.get(key, stanza.line), 1, message))
