"""tox's configuration in its three writings, as far as it says which environments there are
and what they run. https://tox.wiki/en/stable/config.html"""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from distromatrix.init.folder import ScannedFolder, parse_ini, table, texts

MAX_ENVS = 500
_REFERENCE = re.compile(r"\{\[([^]{}]+)\]([\w.-]+)\}")
_CONDITION = re.compile(r"^((?:[\w.!-]|\{[^{}]*+\}|\s*+,\s*+)++):\s++(.*+)$")
_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToxEnv:
    """One environment. `own`: whether it has a section that others have not; `commands` as written,
    substitutions unresolved; `sections`: those of the file that say what it passes on (`pass_env`),
    by the names that overrides want."""

    name: str
    own: bool = False
    commands: tuple[str, ...] = ()
    deps: tuple[str, ...] = ()
    set_env: str = ""
    runner: str = ""
    base_python: str = ""
    sections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToxConf:
    """What a configuration says. `requires`: what tox itself must have beside it."""

    source: str
    envs: tuple[ToxEnv, ...]
    requires: tuple[str, ...] = ()
    package_section: str = "pkgenv"


def read_tox(folder: ScannedFolder) -> ToxConf | None:
    """The first configuration that tox would find, or None."""
    for reader in (_tox_ini, _setup_cfg, _pyproject, _tox_toml):
        if (conf := reader(folder)) is not None:
            return conf
    return None


def _tox_ini(folder: ScannedFolder) -> ToxConf | None:
    ini = folder.ini("tox.ini")
    has = any(section == "tox" or section.startswith("testenv") for section in ini)
    return _of_ini("tox.ini", ini, "tox") if has else None


def _setup_cfg(folder: ScannedFolder) -> ToxConf | None:
    cfg = folder.ini("setup.cfg")
    return _of_ini("setup.cfg", cfg, "tox:tox") if "tox:tox" in cfg else None


def _pyproject(folder: ScannedFolder) -> ToxConf | None:
    tox = table(folder.toml("pyproject.toml"), "tool", "tox")
    legacy = tox.get("legacy_tox_ini")
    if not isinstance(legacy, str):
        return _of_toml("pyproject.toml", tox, "tool.tox.") if tox else None
    try:
        return _of_ini("pyproject.toml", parse_ini(legacy), "tox")
    except configparser.Error as error:
        folder.warn(f"pyproject.toml: its legacy_tox_ini is not valid INI, not looked at: {error}")
        return None


def _tox_toml(folder: ScannedFolder) -> ToxConf | None:
    tox = folder.toml("tox.toml")
    return _of_toml("tox.toml", tox, "") if tox else None


# --- INI -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ini:
    sections: Mapping[str, Mapping[str, str]]
    expanded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # env -> sections

    def value(self, env: str, *keys: str) -> tuple[str, ...]:
        """The lines of the first section of an environment that has one of the keys."""
        factors = frozenset(env.split("-")) | {env}
        for section in (*self.expanded.get(env, ()), "testenv"):
            for key in keys:
                if (text := self.sections.get(section, {}).get(key)) is not None:
                    return tuple(_lines(self.resolve(text), factors))
        return ()

    def resolve(self, text: str, depth: int = 5) -> str:
        """The text with `{[section]key}` put in."""

        def put(match: re.Match[str]) -> str:
            return self.sections.get(match[1], {}).get(match[2], "")

        for _ in range(depth):
            new = _REFERENCE.sub(put, text)[:100_000]
            if new == text:
                break
            text = new
        return text


def _of_ini(source: str, sections: Mapping[str, Mapping[str, str]], core: str) -> ToxConf:
    own = sections.get(core, {})
    expanded: dict[str, tuple[str, ...]] = {}
    for section in sections:
        if section.startswith("testenv:"):
            for name in expand(section.removeprefix("testenv:")):
                expanded[name] = (*expanded.get(name, ()), section)
    ini = _Ini(sections, expanded)
    listed = ini.resolve(own.get("env_list") or own.get("envlist") or "")
    names = tuple(expand(listed)) or ("py",)
    return ToxConf(
        source=source,
        envs=tuple(_ini_env(ini, name) for name in names),
        requires=tuple(_lines(ini.resolve(own.get("requires", "")), frozenset())),
    )


def _ini_env(ini: _Ini, name: str) -> ToxEnv:
    passes = any(
        {"pass_env", "passenv"} & ini.sections[section].keys()
        for section in ini.expanded.get(name, ())
    )
    return ToxEnv(
        name=name,
        own=name in ini.expanded,
        commands=ini.value(name, "commands"),
        deps=ini.value(name, "deps"),
        runner=" ".join(ini.value(name, "runner")),
        base_python=" ".join(ini.value(name, "base_python", "basepython")),
        set_env="\n".join(ini.value(name, "set_env", "setenv")),
        sections=("testenv", *([f"testenv:{name}"] if passes else [])),
    )


def _lines(text: str, factors: frozenset[str]) -> Iterator[str]:
    """The lines that hold for an environment of those factors, without comments; one that a
    backslash ends goes on in the next."""
    for raw in re.sub(r"(?<!\s)\s*+\\\n\s*+", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if not line:
            continue
        conditional = _CONDITION.match(line)
        if conditional is None:
            yield line
        elif any(_holds(group, factors) for group in expand(conditional[1])):
            yield conditional[2].strip()


def _holds(group: str, factors: frozenset[str]) -> bool:
    return all((f[1:] not in factors) if f[:1] == "!" else (f in factors) for f in group.split("-"))


def expand(text: str) -> Iterator[str]:
    """The names in a list such as `py3{9-12}-{a,b}, lint`, at most 500."""
    count = 0
    for item in _split(re.sub(r"(^|\s)#.*", "", text, flags=re.MULTILINE)):
        parts = [
            tuple(_choices(part[1:-1])) if part[:1] == "{" else (part,)
            for part in re.split(r"(\{[^{}]*\})", item)
        ]
        for combination in itertools.product(*parts):
            name = re.sub(r"\s", "", "".join(combination)).strip("-")
            name = re.sub("-+", "-", name)
            if name:
                count += 1
                if count > MAX_ENVS:
                    return
                yield name


def _split(text: str) -> Iterator[str]:
    """Items between commas and line ends, those in braces left alone."""
    for item in re.findall(r"(?:\{[^{}]*\}|[^,\n{}])+", text):
        if item.strip():
            yield item.strip()


def _choices(text: str) -> Iterator[str]:
    for choice in text.split(","):
        bounds = _RANGE.fullmatch(choice.strip())
        if bounds and int(bounds[2]) - int(bounds[1]) < MAX_ENVS:
            yield from map(str, range(int(bounds[1]), int(bounds[2]) + 1))
        else:
            yield choice.strip()


# --- TOML ----------------------------------------------------------------------------------


def _of_toml(source: str, tox: Mapping[str, Any], prefix: str) -> ToxConf:
    listed = tox.get("env_list")
    names = tuple(
        name for item in (listed if isinstance(listed, list) else ()) for name in _toml_names(item)
    )[:MAX_ENVS]
    return ToxConf(
        source=source,
        envs=tuple(_toml_env(tox, name, prefix) for name in names or ("py",)),
        requires=texts(tox.get("requires")),
        package_section=f"{prefix}env_pkg_base",
    )


def _toml_names(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, Mapping) and isinstance(item.get("product"), list):
        parts = [texts(part) for part in item["product"]]
        yield from ("-".join(c) for c in itertools.islice(itertools.product(*parts), MAX_ENVS))


def _toml_env(tox: Mapping[str, Any], name: str, prefix: str) -> ToxEnv:
    base, own = table(tox, "env_run_base"), table(tox, "env", name)
    values = {**base, **own}
    commands = values.get("commands")
    escaped = name.replace(".", "\\.")
    passes = {"pass_env", "passenv"} & own.keys()
    return ToxEnv(
        name=name,
        own=bool(own),
        commands=tuple(_words(c) for c in commands) if isinstance(commands, list) else (),
        deps=_toml_deps(values.get("deps")),
        runner=" ".join(texts(values.get("runner"))),
        base_python=" ".join(texts(values.get("base_python"))),
        set_env="\n".join(
            f"{key}={value if isinstance(value, str) else _words([value])}"
            for key, value in table(values, "set_env").items()
        ),
        sections=(f"{prefix}env_run_base", *([f"{prefix}env.{escaped}"] if passes else [])),
    )


def _toml_deps(value: Any) -> tuple[str, ...]:
    return tuple(value.splitlines()) if isinstance(value, str) else texts(value)


def _words(command: Any) -> str:
    """A command's words as one line, with the defaults of what is replaced."""
    if isinstance(command, str):
        return command
    words: list[str] = []
    for word in command if isinstance(command, list) else ():
        if isinstance(word, Mapping):
            name = word.get("name")
            words += [f"{{env:{name}}}"] if isinstance(name, str) else []
            words += texts(word.get("default"))
        else:
            words += texts(word)
    return " ".join(words)
