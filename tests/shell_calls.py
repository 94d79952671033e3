"""What the shell in the pages calls, checked against what there is: options of our commands as the
real parser reads them, targets of make, options of pytest, extras, files."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

import click

from distromatrix.cli import root
from documents import ROOT

# Programs of others, and of the shell: what they are called with is theirs.
OTHERS = {
    "cd",
    "echo",
    "mkdir",
    "cp",
    "git",
    "dask",
    "do",
    "docker",
    "done",
    "for",
    "openssl",
    "sg",
    "vagrant",
    "export",
    "test",
    "python3",
    "pre-commit",
}
MISSING = "left out:"  # what a sentence need not say
_SEPARATORS = re.compile(r"[;&|()]+")


def calls(script: str) -> Iterator[list[str]]:
    """The simple commands of a script, in words, without the variables before them."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in (*lexer, ";"):
            if not _SEPARATORS.fullmatch(word):
                words.append(word)
                continue
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            if words:
                yield _without_redirections(words)
            words = []


def _without_redirections(words: list[str]) -> list[str]:
    kept = []
    for before, word in zip(["", *words], words, strict=False):
        if not re.fullmatch(r"[<>]+", word) and not re.fullmatch(r"[<>]+", before):
            kept.append(word)
    return kept


def fault(words: list[str], options: Collection[str]) -> str:
    """What is wrong with a call; '' if nothing is. `options` are those that pytest knows."""
    name, *args = words
    name = name.removeprefix(".venv/bin/").removeprefix("$")
    if name in OTHERS:
        return ""
    checks = {
        "distromatrix": _command_fault,
        "make": _make_fault,
        "pytest": lambda args: _pytest_fault(args, options),
        "pip": _pip_fault,
        "pipx": _pip_fault,
        "python": _python_fault,
        "tox": _tox_fault,
    }
    return checks[name](args) if name in checks else f"nobody checks what {name} is called with"


def _command_fault(args: list[str]) -> str:
    """What the parser of `distromatrix` says of these arguments."""
    command: click.Command = root
    context: click.Context | None = None
    try:
        while True:
            context = command.make_context(command.name or "", list(args), parent=context)
            rest = [*context._protected_args, *context.args]  # group's own options are gone
            if not isinstance(command, click.Group) or not rest:
                return ""
            _, inner, args = command.resolve_command(context, rest)
            assert inner is not None
            command = inner
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):  # --help, --version
        return ""
    except click.MissingParameter as error:
        return f"{MISSING} {error.format_message()}"
    except click.ClickException as error:
        return f"distromatrix {shlex.join(args)}: {error.format_message()}"


def _make_fault(args: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    wrong = [arg for arg in args if not re.search(rf"^{re.escape(arg)}:", makefile, re.MULTILINE)]
    return f"make has no {', '.join(wrong)}" if wrong else ""


def _pytest_fault(args: list[str], known: Collection[str]) -> str:
    wrong = [a for a in args if a.startswith("-") and a.partition("=")[0] not in known]
    return f"pytest has no {', '.join(wrong)}" if wrong else ""


def _pip_fault(args: list[str]) -> str:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for arg in args:
        if found := re.fullmatch(r"(?:\.|distromatrix)\[(\w+)\]", arg):
            if found[1] not in extras:
                return f"there is no extra {found[1]}"
        elif arg not in ("install", ".", "-e", "distromatrix", "junitparser"):
            return f"pip: {arg}"
    return ""


def _python_fault(args: list[str]) -> str:
    return "" if args[0] == "-m" or Path(ROOT / args[0]).is_file() else f"no file {args[0]}"


def _tox_fault(args: list[str]) -> str:
    known = re.findall(
        r"^\[testenv:([\w,]+)\]", (ROOT / "tox.ini").read_text("utf-8"), re.MULTILINE
    )
    known = [name for names in known for name in names.split(",")]
    wrong = [name for name in args[-1].split(",") if name not in known]
    return f"tox has no {', '.join(wrong)}" if wrong else ""
