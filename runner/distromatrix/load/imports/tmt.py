"""tmt's shell tests as suites: what the metadata of a tree of `.fmf` files say of how they run."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from distromatrix.files.below import Folder
from distromatrix.load.imports.fmf import Branch, Placed, Tree, Unread
from distromatrix.load.imports.imported import Imported, ImportedSuite, named_apart
from distromatrix.load.shapes.fields import EnvName, EnvValue, PackageName
from distromatrix.load.shapes.which import TagName
from distromatrix.wording import quoted, some_of, visible

_SHOWN = 10  # names in a line about what is left out
_DEFAULT_DURATION = "5m"
_LONGEST = 365 * 86400  # of a duration, in seconds
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
# What says nothing about how a test runs.
_IGNORED = frozenset(
    [
        *("summary", "description", "contact", "author", "component", "id", "link", "order"),
        *("coverage", "relevancy", "serial-number", "story", "example"),
    ]
)
# What makes of a test something that we do not do, unless it has this value.
_USUAL = {"framework": "shell", "manual": "false", "tty": "false"}
_REFUSED = ("where", "restart-on-exit-code", "restart-with-reboot")
_PARTLY = {"recommend": "is not installed", "check": "is not done"}
_READ = frozenset(
    [
        *("test", "path", "require", "environment", "duration", "result", "enabled", "tag", "tier"),
        *("adjust", "restart-max-count", *_USUAL, *_REFUSED, *_PARTLY),
    ]
)
_HARMLESS = _IGNORED | {*_PARTLY, "tag", "tier"}  # in a rule of `adjust`
_OBEYED = {"enabled", "require+"}  # there, where `when` names distros
_DISTROS = re.compile(r"\s*distro\s*==\s*([\w.:-]+(?:\s*,\s*[\w.:-]+)*)\s*")
_TOOLS = re.compile(r"(?<![\w./-])(?:tmt|rstrnt|rhts)-[a-z][a-z-]*")  # that tmt has on its guests
_TIME = re.compile(r"\*\s*(?P<times>\d+(?:\.\d+)?)(?![smhd])|(?P<number>\d+)\s*(?P<unit>[smhd]?)")
_EXPECTED_TO_FAIL = """\
set +e
(set -e
{command}
)
status=$?
case $status in
0) echo "it passed, and is expected to fail (result: xfail)"; exit 1 ;;
1) exit 0 ;;
*) exit $status ;;
esac"""

Because = tuple[str, str]  # FILE:LINE, and what is not done there


def is_there(product: Folder, path: str) -> bool:
    """Whether a folder of the product is the root of a tree of fmf's."""
    try:
        return product.has(f"{path}/.fmf/version")
    except OSError:  # a link on the way
        return False


def read_suites(product: Folder, path: str) -> Imported:
    """The shell tests of the tree in a folder of the product. Raises InputError."""
    tree = Tree(product, path)
    found: list[tuple[str, ImportedSuite]] = []
    without: dict[Because, list[str]] = {}
    partly: dict[Because, list[str]] = {}
    for leaf in tree.leaves():
        data = leaf.data
        reasons = list(_refused(data))
        for reason in reasons:
            without.setdefault(reason, []).append(leaf.name)
        if reasons or "test" not in data:
            continue
        for reason in _lost(data):
            partly.setdefault(reason, []).append(leaf.name)
        file, _, line = _at(data, "test").rpartition(":")
        rules = tuple(filter(None, map(_ours, _items(data.get("adjust")))))
        suite = ImportedSuite(keys=_suite(leaf, path), file=file, line=int(line), rules=rules)
        found.append((leaf.name, suite))
    lines = [
        *tree.left_out,
        *(f"{at}: {why}; left out: {some_of(n, _SHOWN)}" for (at, why), n in without.items()),
        *(f"{at}: {why}, for {some_of(n, _SHOWN)}" for (at, why), n in partly.items()),
    ]
    return Imported(suites=named_apart(found), left_out=tuple(map(visible, lines)))


def _suite(test: Branch, root: str) -> dict[str, Any]:
    data = test.data
    packages = [item for item in _items(data.get("require")) if isinstance(item, str)]
    suite = {
        "run": _script(test, root),
        "shell": "bash",
        "user": "root",
        "timeout": _duration(data),
        "packages": [str(name) for name in packages],
        "env": {str(name): str(value) for name, value in _mapping(data, "environment").items()},
        "tags": list(dict.fromkeys(tag for _, tag in _tags(data) if _fits(TagName, tag))),
    }
    return {key: value for key, value in suite.items() if value}


def _script(test: Branch, root: str) -> str:
    """The test as tmt runs it, which fails for any status but 0; where it is expected to fail, for
    any but 1."""
    command, where = str(test.data["test"]).rstrip("\n"), str(test.data.get("path") or "")
    above = "" if PurePath(root) == PurePath() else f"/{shlex.quote(root)}"
    lines = [
        f'export TMT_TREE="$PWD"{above} TMT_TEST_DATA="$DISTROMATRIX_ARTIFACTS"',
        f"export TMT_TEST_NAME={shlex.quote(test.name)} TMT_REBOOT_COUNT=0",
    ]
    if folder := PurePath(root, (where or test.folder).strip("/")).parts:
        lines.append(f"cd {shlex.quote('./' + '/'.join(folder))}")
    if test.data.get("result") == "xfail":
        command = _EXPECTED_TO_FAIL.format(command=command)
    return "\n".join([*lines, command]) + "\n"


# --- what is left out ----------------------------------------------------------------------


def _refused(data: Mapping[str, Any]) -> Iterator[Because]:
    """Why a test is none for us; of what is none, why a plan is not."""
    if "test" not in data:
        if "execute" in data:
            yield _at(data, "execute"), "plans are not read"
        return
    if str(data.get("enabled")).lower() == "false":
        yield _at(data, "enabled"), "it is not enabled"
        return
    yield from _unsupported(data)
    yield from _strange(data)
    yield from _strange_packages(data)
    yield from _strange_variables(data)
    yield from _rules(data)


def _unsupported(data: Mapping[str, Any]) -> Iterator[Because]:
    for key, value in data.items():
        if isinstance(value, Unread) and key in _READ - _PARTLY.keys():
            yield value.at, f"{quoted(value)} would have to be computed"
    for key, usual in _USUAL.items():
        if (value := data.get(key, usual)) not in (usual, ""):
            yield _at(data, key), f"{quoted(f'{key}: {value}')} is not supported"
    for key in _REFUSED:
        if data.get(key) not in (None, "", "false", []):
            yield _at(data, key), f"{quoted(key)} is not supported"
    if (result := data.get("result") or "respect") not in ("respect", "xfail"):
        yield _at(data, "result"), f"{quoted(f'result: {result}')} is not supported"


def _strange(data: Mapping[str, Any]) -> Iterator[Because]:
    """Values that a test cannot be made of."""
    if not isinstance(data["test"], str) or not data["test"].strip():
        yield _at(data, "test"), "`test` is no shell command"
    elif tool := _TOOLS.search(data["test"]):
        yield _at(data, "test"), f"{quoted(tool.group())} is not there without tmt"
    if not str(data.get("path") or "/").startswith("/"):
        yield _at(data, "path"), "`path` does not begin with `/`"
    if not _duration(data):
        yield _at(data, "duration"), "`duration` is no time such as `5m` or `1h 30m`"


def _strange_packages(data: Mapping[str, Any]) -> Iterator[Because]:
    for item in _items(data.get("require")):
        if isinstance(item, dict):
            at = next((key.at for key in item if isinstance(key, Placed)), _at(data, "require"))
            if item.get("type") != "file":  # files of the tree are there as they are
                yield at, "libraries are not fetched"
        elif not isinstance(item, str) or item.startswith("library("):
            yield _at_item(item, data, "require"), "libraries are not fetched"
        elif not _fits(PackageName, item):
            yield _at_item(item, data, "require"), f"{quoted(item)} is no package's name"


def _strange_variables(data: Mapping[str, Any]) -> Iterator[Because]:
    if data.get("environment") and not isinstance(data["environment"], dict):
        yield _at(data, "environment"), "`environment` is no mapping"
    for name, value in _mapping(data, "environment").items():
        at = name.at if isinstance(name, Placed) else _at(data, "environment")
        if isinstance(value, Unread) or not (_fits(EnvName, name) and _fits(EnvValue, value)):
            yield at, f"the variable {quoted(name)} cannot be handed over"


def _rules(data: Mapping[str, Any]) -> Iterator[Because]:
    """The rules of `adjust` that could change whether a test runs, or how, and are none of ours."""
    rules = _items(data.get("adjust"))
    last = any("continue" in rule for rule in rules)
    for rule in rules:
        changed = rule if isinstance(rule, dict) else {"?": ""}
        if _ours(changed) and not last and isinstance(data.get("require") or [], list):
            continue
        for key in changed:
            name = key.rstrip("+<~-")
            if name not in _HARMLESS and name not in ("when", "because", "continue"):
                at = key.at if isinstance(key, Placed) else _at(data, "adjust")
                yield at, f"{quoted(name)} depends on a rule of `adjust` that is not obeyed"


def _ours(rule: Any) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """What a rule of `adjust` says of which distros, as a rule of the matrix; None where that is
    nothing, or more."""
    if not isinstance(rule, dict):
        return None
    when = [_DISTROS.fullmatch(one) for one in re.split(r"\bor\b", str(rule.get("when")))]
    packages = rule.get("require+", [])
    plain = rule.get("enabled", "false") == "false" and isinstance(packages, list)
    more = {key for key in rule if key.rstrip("+<~-") not in _HARMLESS}
    if not (plain and more & _OBEYED and more <= _OBEYED | {"when", "because"} and all(when)):
        return None
    if any(str(n).startswith("library(") or not _fits(PackageName, n) for n in packages):
        return None
    names = tuple(name.strip() for one in when if one for name in one[1].split(","))
    if "enabled" in rule:
        because = " ".join(str(rule.get("because") or "").split())
        return names, {"skip": because or f"not enabled there, says {_at(rule, 'enabled')}"}
    return names, {"packages": [str(name) for name in packages]}


def _lost(data: Mapping[str, Any]) -> Iterator[Because]:
    """What is left out of a test that is taken over."""
    for key, what in _PARTLY.items():
        if data.get(key):
            yield _at(data, key), f"{quoted(key)} {what}"
    for key in data:
        if key not in _READ | _IGNORED and not key.startswith("extra-"):
            yield _at(data, key), f"{quoted(key)} is no key of a test, and not looked at"
    for at, tag in _tags(data):
        if not _fits(TagName, tag):
            yield at, f"{quoted(tag)} cannot be a tag"


# --- values --------------------------------------------------------------------------------


def _duration(data: Mapping[str, Any]) -> str:
    """`1h 30m` -> `90m`, as tmt reckons: sums first, then factors. '' for what is no time."""
    text = data.get("duration") or _DEFAULT_DURATION
    if not isinstance(text, str) or len(text) > 100 or _TIME.sub("", text).strip():
        return ""
    seconds, times = 0, 1.0
    for part in _TIME.finditer(text):
        if part["times"]:
            times *= float(part["times"])
        else:
            seconds += int(part["number"]) * _UNITS[part["unit"]]
    if not 0 < seconds * times <= _LONGEST:
        return ""
    whole = math.ceil(seconds * times)
    return f"{whole}s" if whole % 60 else f"{whole // 60}m"


def _tags(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The tags of a test, `tier-1` for `tier: 1` among them, each with its line."""
    for key, start in (("tag", ""), ("tier", "tier-")):
        for item in _items(data.get(key)):
            yield _at_item(item, data, key), f"{start}{item}".lower()


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _fits(kind: Any, value: Any) -> bool:
    """Whether a matrix file could have that value in a field of that kind."""
    try:
        _adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _items(value: Any) -> list[Any]:
    """What is written as one or as a list of them."""
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _at(data: Mapping[str, Any], key: str) -> str:
    return next(k.at for k in data if k == key and isinstance(k, Placed))


def _at_item(item: Any, data: Mapping[str, Any], key: str) -> str:
    return item.at if isinstance(item, Placed) else _at(data, key)
