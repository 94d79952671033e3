"""The types of single fields in our YAML files: how their text is read, what JSON Schema says.

Every check is at its type, those against other parts of the input too (a glob that must match
a distro, a folder that must exist): so all faults come out of one validation, each at its
place. What a check must know of the world it finds in the validation's `Context`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from distromatrix.model import RETRIES
from distromatrix.plan import needs
from distromatrix.plan.held import HELD
from distromatrix.plan.package_files import ENDS
from distromatrix.plan.scripts import SHELLS, base
from distromatrix.wording import did_you_mean, kind, listing, quoted

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LONGEST = 365 * 86400  # a year; longer is a slip of the pen, and overflows timers
_LEAST_MEMORY = 6 << 20  # Docker's own minimum
MOST_PIDS = 1 << 22  # Linux' own (PID_MAX_LIMIT, proc(5))

NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
GLOB = r"[A-Za-z0-9._*?!\[\]-]{1,200}"
DURATION = r"(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?"
SIZE = r"\d+(\.\d+)?[KMGT]"
VERSION = r"(>=|<=|==|>|<)?\d+(\.\d+)*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the checks know: the project's root, the names that exist, and (filled by the
    validation itself) which shape each mapping was read as, by its id()."""

    root: Path = Path()
    distros: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()  # of `distros`, those of the matrix
    tags: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()  # that the matrix's distros know by name
    shapes: dict[int, Any] = field(default_factory=dict)


def wrong(message: str, hint: str = "", *, at: str = "") -> PydanticCustomError:
    """The error a check raises; `at` is the key inside the value that is to be pointed at."""
    return PydanticCustomError("fault", "{text}", {"text": message, "hint": hint, "at": at})


def text_of(value: object, expected: str) -> str:
    """A value that must be text, and some. Raises PydanticCustomError."""
    if not isinstance(value, str):
        raise wrong(f"expected {expected}, got {kind(value)}")
    if not value.strip():
        raise wrong(f"expected {expected}, got nothing", "leave the key out if there is none")
    return value


def matching(expected: str, pattern: str) -> BeforeValidator:
    """Text that a pattern matches as a whole; else a fault that says what was `expected`."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        text = text_of(value, expected)
        if not compiled.fullmatch(text) or ".." in text:
            raise wrong(f"expected {expected}, got {quoted(text)}")
        return text

    return BeforeValidator(check)


def schema_of(pattern: str = "", **more: Any) -> WithJsonSchema:
    """What JSON Schema says of a text that matches the whole of `pattern`, and `more`."""
    return WithJsonSchema(
        {"type": "string"} | ({"pattern": f"^{pattern}$"} if pattern else {}) | more
    )


def one_or_more(of: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a field of one value take a list of them, too. `of`: the JSON Schema of one."""
    many = {"type": "array", "items": of, "minItems": 1}
    return (
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
        MinLen(1),
        WithJsonSchema({"anyOf": [of, many]}),
    )


_SCALAR = WithJsonSchema({"type": ["string", "number", "boolean"]})  # as an editor's YAML sees it


Name = Annotated[
    str,
    matching("a name of lower-case letters, digits, `.`, `_` and `-`", NAME),
    schema_of(NAME),
]
Text = Annotated[str, BeforeValidator(lambda v: text_of(v, "text")), _SCALAR]


def _line(value: object) -> str:
    text = text_of(value, "text")
    if not text.isprintable():
        raise wrong(f"expected one line without control characters, got {quoted(text)}")
    return text


Line = Annotated[str, BeforeValidator(_line), _SCALAR]
BoxName = Annotated[
    str,
    matching(
        "a Vagrant box such as `debian/bookworm64`, or its URL",
        r"([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?|https?://[!-~]+)",
    ),
]
BoxVersion = Annotated[
    str,
    matching("a box's version such as `12.20240905.1` or `>= 12`", r"[A-Za-z0-9<>=~!., +_-]+"),
    _SCALAR,
]
MachineName = Annotated[
    str, matching("the name of a machine in a Vagrantfile", r"[A-Za-z0-9][A-Za-z0-9._-]*")
]
Script = Annotated[str, BeforeValidator(lambda v: text_of(v, "a shell command"))]
Arch = Annotated[str, matching("an architecture such as `x86_64`", r"[a-z0-9_]+")]
FileName = Annotated[
    str, matching("a file's name, without folders", r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")
]
Sha256 = Annotated[
    str, matching("a sha256 of 64 hexadecimal digits", "[0-9a-f]{64}"), schema_of("[0-9a-f]{64}")
]
Digest = Annotated[
    str,
    matching("a digest such as `sha256:` and 64 hexadecimal digits", "sha256:[0-9a-f]{64}"),
    schema_of("sha256:[0-9a-f]{64}"),
]
ImageRef = Annotated[
    str,
    matching(
        "an image reference such as `docker.io/library/debian:12`",
        r"[a-z0-9]([a-z0-9._-]*(:\d+)?/)?[a-z0-9._/-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
    ),
]
_PACKAGE = r"/?[A-Za-z0-9@][A-Za-z0-9@.+_:/=~<>()^-]*"
PackageName = Annotated[
    str,
    # A path (`/usr/bin/curl`) is, to dnf, whichever package holds that file.
    matching("a package name", _PACKAGE),
]
PackageOrFile = Annotated[
    str,
    matching(
        "a package's name, what it holds such as `pkgconfig(zlib)`, or files of the product such "
        "as `./dist/*.deb`",
        rf"{_PACKAGE}|{HELD}|\./[A-Za-z0-9._*?+~@/-]+({'|'.join(map(re.escape, ENDS))})",
    ),
]
Constraint = Annotated[
    str,
    matching("a version such as `>=6.1`", f"{VERSION}(,{VERSION})*"),
    WithJsonSchema({"type": ["string", "number"]}),
]


Release = Annotated[
    str,
    matching("a release such as `bookworm` or `43`", r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
    WithJsonSchema({"type": ["string", "number"]}),
]
Repository = Annotated[
    str,
    matching(
        "a repository below the mirror, such as `bookworm main` or `releases/43/{arch}/os`",
        r"[A-Za-z0-9]([A-Za-z0-9._+/ -]|\{arch\})*",
    ),
]


def _env_name(value: object) -> str:
    text = text_of(value, "the name of an environment variable")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise wrong(f"{quoted(text)} is not a valid name for an environment variable")
    if text.startswith("DISTROMATRIX_") and text != needs.SWITCH:
        raise wrong(f"{quoted(text)}: names that begin with `DISTROMATRIX_` are set by us")
    return text


def _env_value(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"expected text, got {kind(value)}")
    return value


EnvName = Annotated[str, BeforeValidator(_env_name), schema_of("[A-Za-z_][A-Za-z0-9_]*")]
EnvValue = Annotated[
    str,
    BeforeValidator(_env_value),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]


def _relative(value: object) -> str:
    text = text_of(value, "a path or glob below the product's folder")
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise wrong(f"{quoted(text)} leads out of the product's folder")
    return text


def _of_files(text: str) -> str:
    if text.endswith("/"):
        raise wrong(f"{quoted(text)} names a folder, and no files", f"write {quoted(text + '**')}")
    return text


RelativeGlob = Annotated[str, BeforeValidator(_relative)]
ReadGlob = Annotated[RelativeGlob, AfterValidator(_of_files)]


def is_constraint(text: str) -> bool:
    """Whether it is one on versions, such as `>=5.10,<7`."""
    return re.fullmatch(f"{VERSION}(,{VERSION})*", text) is not None


def parse_duration(value: object) -> float:
    """`30m`, `1h30m`, `90s`, `7d` in seconds. Raises PydanticCustomError (a ValueError)."""
    text = text_of(value, "a duration such as `30m` or `1h30m`")
    if not re.fullmatch(DURATION, text):
        number = text.isdecimal() and len(text) < 9 and int(text) > 0
        hint = f"write `{text}s` or `{text}m`" if number else ""
        raise wrong(f"expected a duration such as `30m` or `1h30m`, got {quoted(text)}", hint)
    parts = re.findall(r"(?<!\d)(\d++)([dhms])", text)
    seconds = sum(int(n[:12]) * _UNITS[unit] for n, unit in parts)
    if not 0 < seconds <= _LONGEST:
        raise wrong(f"a duration is more than 0 and at most 365d, got {quoted(text)}")
    return float(seconds)


def parse_size(value: object) -> int:
    """`512M`, `2G` in bytes. Raises PydanticCustomError (a ValueError)."""
    text = text_of(value, "a size such as `512M` or `2G`")
    if not re.fullmatch(SIZE, text) or len(text) > 12:
        raise wrong(f"expected a size such as `512M` or `2G`, got {quoted(text)}")
    return int(float(text[:-1]) * _SIZES[text[-1]])


def _memory(value: object) -> int:
    size = parse_size(value)
    if size < _LEAST_MEMORY:
        raise wrong(f"expected at least 6M, got {quoted(str(value))}")
    return size


def whole_number(
    what: str, least: int, most: int, hint: Callable[[str], str] = lambda _: ""
) -> tuple[BeforeValidator, WithJsonSchema]:
    """What makes a field a whole number from `least` to `most`; `hint` says what to do about the
    text of another."""
    expected = f"{what} from {least} to {most}"
    digits = rf"[0-9]{{1,{len(str(most))}}}"

    def check(value: object) -> int:
        text = text_of(value, expected)
        if not re.fullmatch(digits, text) or not least <= int(text) <= most:
            raise wrong(f"expected {expected}, got {quoted(text)}", hint(text))
        return int(text)

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return BeforeValidator(check), WithJsonSchema(schema)


_OFTEN = "what fails so often is not flaky: expect it to fail, or mend it"


def _cpus(value: object) -> float:
    text = text_of(value, "a number of CPUs such as `2` or `0.5`")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text) or not float(text) >= 0.01:
        raise wrong(f"expected a number of CPUs such as `2` or `0.5`, got {quoted(text)}")
    return float(text)


def _flag(value: object) -> bool:
    text = text_of(value, "`true` or `false`")
    if text not in ("true", "false"):
        raise wrong(f"expected `true` or `false`, got {quoted(text)}")
    return text == "true"


def _day(value: object) -> date:
    text = text_of(value, "a date such as `2028-06-30`")
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise wrong(f"expected a date such as `2028-06-30`, got {quoted(text)}")


def _user(value: object) -> str:
    expected = "`root`, a user's name or a numeric `UID:GID`"
    text = text_of(value, expected)
    if re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text):
        return text  # made in the prepared image where it is unknown
    if not re.fullmatch(r"\d{1,9}(:\d{1,9})?", text):
        raise wrong(f"expected {expected}, got {quoted(text)}")
    return text if ":" in text else f"{text}:{text}"


Duration = Annotated[float, BeforeValidator(parse_duration), schema_of(DURATION)]
Size = Annotated[int, BeforeValidator(_memory), schema_of(SIZE)]
RetryFailed = Annotated[
    int, *whole_number("a number", 0, RETRIES, lambda text: _OFTEN * text.isdigit())
]
Cpus = Annotated[float, BeforeValidator(_cpus)]
Pids = Annotated[int, *whole_number("a number of processes", 10, MOST_PIDS)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Day = Annotated[date, BeforeValidator(_day), schema_of(format="date")]
User = Annotated[str, BeforeValidator(_user), WithJsonSchema({"type": ["string", "integer"]})]


def one_of(names: Iterable[str], what: str, also: str = "", also_schema: str = "") -> Any:
    """What makes a field one of some names, or what the pattern `also` matches; else a fault with
    a near name. `also_schema`: that pattern as JSON Schema has it."""
    known = tuple(names)

    def check(value: object) -> str:
        text = text_of(value, what)
        if text in known or (also and re.fullmatch(also, text)):
            return text
        hint = did_you_mean(text, known) or f"expected {listing(known)}"
        raise wrong(f"no {what} {quoted(text)}", hint)

    schema: dict[str, Any] = {"enum": list(known)}
    if also:
        schema = {"anyOf": [schema, {"type": "string", "pattern": also_schema}]}
    return BeforeValidator(check), WithJsonSchema(schema)


NeedName = Annotated[str, *one_of(needs.NEEDS, "need")]


def _shell(value: object) -> str:
    expected = f"a shell such as `bash`, or its path; known are {listing(SHELLS)}"
    text = text_of(value, expected)
    path = r"(/[A-Za-z0-9._+-]+)*+" if text.startswith("/") else r"[a-z0-9]+"
    if not re.fullmatch(path, text) or base(text) not in SHELLS:
        raise wrong(f"expected {expected}; got {quoted(text)}", did_you_mean(base(text), SHELLS))
    return text


Shell = Annotated[
    str, BeforeValidator(_shell), schema_of(rf"(/([A-Za-z0-9._+-]+/)*)?({'|'.join(SHELLS)})")
]
Privilege = Annotated[str, *one_of(needs.PRIVILEGES, "privilege", needs.DEVICE, "^/dev/")]


def glob_over(what: str, names: Callable[[Context], tuple[str, ...]], where: str = "") -> Any:
    """A name or a glob that must match one of the names that the context knows; `where` says
    where these are."""

    def check(value: object, info: ValidationInfo) -> str:
        text = text_of(value, f"a {what} or a glob of {what}s")
        if not re.fullmatch(GLOB, text) or ".." in text:
            raise wrong(f"expected a {what} or a glob of {what}s, got {quoted(text)}")
        known = names(info.context) if isinstance(info.context, Context) else ()
        if not any(fnmatchcase(name, text) for name in known):
            said = f"{quoted(text)} matches no {what}{where}"
            message = said if set(text) & set("*?[") else f"no {what} {quoted(text)}{where}"
            raise wrong(message, did_you_mean(text, known) or _some(known, what))
        return text

    return BeforeValidator(check)


def _some(known: tuple[str, ...], what: str) -> str:
    return (
        f"there is {listing(known)}" if 0 < len(known) <= 8 else f"there is no {what}" * (not known)
    )


DistroGlob = Annotated[str, glob_over("distro", lambda c: c.distros), schema_of(GLOB)]
SuiteGlob = Annotated[str, glob_over("suite", lambda c: c.suites), schema_of(GLOB)]
VariantGlob = Annotated[str, glob_over("variant", lambda c: c.variants), schema_of(GLOB)]
