"""Writes the pages that come from the program itself: the two references, the command line and the
man page.

`python docs/generate.py` writes them anew; tests/unit/docs/test_docs_generated.py holds them
fresh. Keys, types, defaults and what they mean come from the JSON Schemas, the examples from
docs/sources, the commands from `--help`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from distromatrix import __version__
from distromatrix.cli import root
from distromatrix.load.schema import schemas

DOCS = Path(__file__).resolve().parent
MADE = "<!-- Made by docs/generate.py: change what it is made of, and run that. -->"

# What a pattern of the schemas is in words: the first one all of whose samples match, and no other.
WORDS = (
    ("a duration: `90s`, `10m`, `1h30m`", ["1h30m", "7d"], ["x", "512M"]),
    ("a size: `512M`, `2G`", ["512M", "2G"], ["x", "7d"]),
    ("a URL", ["https://packages.example/debian"], ["x"]),
    ("40 or 64 hexadecimal digits", ["0a" * 20, "0a" * 32], ["x"]),
    ("64 hexadecimal digits", ["0a" * 32], ["x"]),
    ("a file in a folder of its own", ["images/a/Containerfile"], ["x", "/x"]),
    ("a folder: `~/…`, `/…`", ["~/.x", "/x/y"], ["x"]),
    ("a device: `/dev/…`", ["/dev/fuse"], ["x"]),
    ("a shell, or its path", ["bash", "/bin/zsh"], ["x"]),
    ("a variable's name", ["LC_ALL"], ["a-b", "debian-*"]),
    ("an engine, an architecture or ENGINE/ARCHITECTURE", ["qemu/x86_64"], ["x"]),
    ("a name or a glob", ["debian-*"], ["a b"]),
    ("a tag, or `!` and a tag", ["!slow", "slow"], ["*"]),
    ("a name", ["py3.11"], ["a b", "*"]),
    ("text", ["kvm 2"], []),
)
TYPES = {"string": "text", "number": "a number", "boolean": "true or false", "integer": "a number"}


def type_of(schema: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{TITLES[name]}](#{TITLES[name].lower().replace(' ', '-')})"
    if options := schema.get("oneOf") or schema.get("anyOf"):
        if options[1].get("items") == options[0]:
            return f"{type_of(options[0])}; or a list of these"
        words = (type_of(option) for option in options if option != {"type": "null"})
        return "; or ".join(dict.fromkeys(words))
    if schema.get("type") == "array":
        return f"a list: {type_of(schema['items'])}"
    if schema.get("type") == "object":
        patterns = schema.get("patternProperties") or {"": schema["additionalProperties"]}
        return f"a mapping of names to: {'; or '.join(map(type_of, patterns.values()))}"
    return _scalar(schema)


def _scalar(schema: dict[str, Any]) -> str:
    if values := schema.get("enum") or ("const" in schema and [schema["const"]]):
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("format") == "date":
        return "a day: `2027-01-31`"
    if pattern := schema.get("pattern"):
        for words, samples, others in WORDS:
            matches = [bool(re.search(pattern, sample)) for sample in samples]
            if all(matches) and not any(re.search(pattern, other) for other in others):
                return words
        raise SystemExit(f"say in WORDS what {pattern} is")
    if "minimum" in schema:
        most = f" to {schema['maximum']}" if "maximum" in schema else " or more"
        return f"a number, {schema['minimum']}{most}"
    kind = schema.get("type", "string")
    return "text" if isinstance(kind, list) and "string" in kind else TYPES[kind]


# The headings of mappings, by their names in the schemas.
TITLES = {
    "MatrixShape": "The file",
    "ProductShape": "product",
    "SuiteShape": "suites",
    "SuiteOptions": "suites",
    "PrepareShape": "prepare",
    "SetupShape": "setup",
    "VariantShape": "variants",
    "RuleShape": "rules",
    "SetShape": "sets",
    "OwnRepositoryShape": "repositories",
    "ExtraRepositoryShape": "extra_repositories",
    "DistroShape": "The file",
    "PullShape": "image from a registry",
    "BootstrapShape": "image from packages",
    "BootstrapOptions": "bootstrap",
    "ArchiveShape": "image from an archive",
    "ArchiveFile": "archive",
    "ContainerfileShape": "image from a Containerfile",
    "GuestShape": "guest",
    "GuestBootstrapShape": "guest from packages",
    "SettingsShape": "config.yaml",
}


def table(schema: dict[str, Any]) -> str:
    """A mapping's keys."""
    rows = ["| key | value | default | |", "| --- | --- | --- | --- |"]
    for key, field in schema["properties"].items():
        text = " ".join(field["description"].split())
        default = _default(field, needed=key in schema.get("required", ()))
        if said := re.search(r" \(default:? ((?:[^()]|\([^()]*\))+)\)", text):
            default, text = said[1], text.replace(said[0], "")
        if said := re.search(r"[;.] absent: ([^.]*)\.$", text, re.IGNORECASE):
            default = said[1] if default == "none" else default
        cells = (f"`{key}`", type_of(field), default, text)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _default(field: dict[str, Any], *, needed: bool) -> str:
    if needed:
        return "required"
    value = field.get("default")
    if value in (None, [], {}) or isinstance(value, dict):
        return "none"
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    text = text or (", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return f"`{text}`"


def sections(schema: dict[str, Any], example: str, order: list[str]) -> Iterator[str]:
    """A heading, a table and an example for each mapping of a file."""
    parts = _top_level(example)
    for name in order:
        shape = schema["$defs"].get(name, schema)
        text = " ".join(shape["description"].split())
        yield f"## {TITLES[name]}\n\n{text}\n\n{table(shape)}"
        if example_of := parts.get(TITLES[name]):
            yield f"```yaml\n{example_of}```\n"


def _top_level(example: str) -> dict[str, str]:
    """The text of each top-level key of a YAML file."""
    found = re.finditer(r"^(\w+):.*\n(?:[ -].*\n)*", example, re.MULTILINE)
    return {part[1]: part[0] for part in found}


def matrix_reference() -> str:
    """docs/matrix-reference.md."""
    example = (DOCS / "sources/matrix.yaml").read_text("utf-8")
    order = ["MatrixShape", "ProductShape", "SuiteShape", "PrepareShape", "SetupShape"]
    order += ["OwnRepositoryShape", "VariantShape", "RuleShape", "SetShape"]
    body = sections(schemas()["matrix"], example, order)
    small = "".join(_top_level(example)[key] for key in _SMALL)
    text = f"""# Matrix reference

{MADE}

Every key of a file `matrix/NAME.yaml`. How they work together: [Writing a matrix](matrix.md). Here
is [one file with all of them](sources/matrix.yaml). `distromatrix schema matrix` prints the JSON
Schema, with which an editor completes the file: make
`# yaml-language-server: $schema=PATH` its first line.

Everything is read as text, and the key decides what it is: `1.10` stays `1.10`, and `on` is no
boolean. A key that is not known, or a name that matches nothing, is an error with its place.
`defaults` has the keys of a suite, all but `run`.

"""
    pieces = list(body)
    pieces.insert(1, f"```yaml\n{small}```\n")
    return text + "\n".join(pieces)


_SMALL = ("product", "distros", "env", "pass_env", "ca_bundle", "index", "runners", "defaults")


def distro_reference() -> str:
    """docs/distro-reference.md."""
    files = (DOCS / "sources/distros.yaml").read_text("utf-8").split("\n---\n")
    first = files[0].partition("title:")
    order = ["DistroShape", "PullShape", "BootstrapShape", "BootstrapOptions", "ArchiveShape"]
    order += [
        "ArchiveFile",
        "ContainerfileShape",
        "GuestShape",
        "GuestBootstrapShape",
        "ExtraRepositoryShape",
    ]
    pieces = list(sections(schemas()["distro"], "", order))
    pieces.insert(1, f"```yaml\n{first[1]}{first[2]}\n```\n")
    pieces.insert(-1, "\n".join(f"```yaml\n{file.strip()}\n```\n" for file in files[1:]))
    return f"""# Distro reference

{MADE}

Every key of a file `distros/NAME.yaml`. The name of the file is the name of the distro. Files in
your product's `distros/` add to the catalogue, or override what it has; `distromatrix add-distro`
writes one: see [Add a distro](../CONTRIBUTING.md#add-a-distro). `distromatrix schema distro` prints
the JSON Schema.

""" + "\n".join(pieces)


def command_line() -> str:
    """docs/command-line.md: all that `--help` says, after what stands in docs/sources."""
    settings = (DOCS / "sources/config.yaml").read_text("utf-8").partition("registry:")
    schema = schemas()["settings"]
    head = (DOCS / "sources/command-line.md.in").read_text("utf-8")
    head = head.replace("MADE", MADE)
    head = head.replace("SETTINGS", f"{table(schema)}\n```yaml\n{settings[1]}{settings[2]}```")
    helps = _helps(root, ["distromatrix"])
    return head + "".join(f"\n### {name}\n\n```text\n{text}\n```\n" for name, text in helps)


def man_page() -> str:
    """docs/distromatrix.1: the same for `man distromatrix`, as the wheel installs it."""
    (_, about), *commands = _helps(root, ["distromatrix"], 72)
    head = f"""\
.\\" Made by docs/generate.py: change what it is made of, and run that.
.TH DISTROMATRIX 1 "" "distromatrix {__version__}" "User Commands"
.SH NAME
distromatrix \\- run a product's own test suite on every Linux distribution
.SH SYNOPSIS
.B distromatrix
.I COMMAND
[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]
.SH DESCRIPTION
{_roff(about)}"""
    return head + "".join(f".SH {_escaped(name)}\n{_roff(text)}" for name, text in commands)


def _roff(text: str) -> str:
    """Text as it is, in lines."""
    return f".nf\n{_escaped(text)}\n.fi\n"


def _escaped(text: str) -> str:
    """All as it is, where troff would read it, or set it, as something else."""
    text = re.sub(
        r"[-\\'`^~]|[^\0-\x7f]", lambda c: _ROFF.get(c[0]) or f"\\[u{ord(c[0]):04X}]", text
    )
    return re.sub(r"^\.", r"\\&.", text, flags=re.MULTILINE)


_ROFF = {"-": "\\-", "\\": "\\e", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}


def _helps(command: click.Command, path: list[str], width: int = 80) -> Iterator[tuple[str, str]]:
    """Each command, by its words, and what its `--help` says."""
    vars(command).update(_help_option=None)  # click keeps the one of whoever asked first
    context = click.Context(command, info_name=" ".join(path), help_option_names=["-h", "--help"])
    context.terminal_width = context.max_content_width = width
    yield " ".join(path), command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _helps(inner, [*path, name], width)


PAGES = {
    "matrix-reference.md": matrix_reference,
    "distro-reference.md": distro_reference,
    "command-line.md": command_line,
    "distromatrix.1": man_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), "utf-8")
