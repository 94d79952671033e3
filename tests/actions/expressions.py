"""GitHub's expressions, as far as our workflows use them
(docs.github.com/en/actions/reference/workflows-and-actions/expressions).

Stricter than GitHub, where whatever is not there is an empty text: here it is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<sign>&&|\|\||==|!=|<=|>=|[!<>().,\[\]]))"
)
_PART = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS = {"success", "failure", "always", "cancelled"}


class UnknownExpressionError(Exception):
    """What this evaluator does not know, or what is not there to be looked up."""


@dataclass(frozen=True)
class Contexts:
    """What expressions can name: values by context, and the state of the job so far.
    `read` looks a context's property up (all but the first of a dotted path)."""

    values: Mapping[str, Any]
    status: str = "success"  # success | failure | cancelled
    read: Callable[[tuple[str, ...]], Any] | None = None

    def look_up(self, path: tuple[str, ...]) -> Any:
        if self.read is not None and path[0] == "steps":
            return self.read(path)
        value: Any = self.values
        for index, name in enumerate(path):
            if not isinstance(value, Mapping) or name not in value:
                raise UnknownExpressionError(f"nothing is called {'.'.join(path[: index + 1])}")
            value = value[name]
        return value


def parts_of(text: str) -> Iterator[str]:
    """The expressions of a text, without their braces."""
    yield from _PART.findall(text)


def evaluate(text: str, contexts: Contexts) -> Any:
    """The value of an expression."""
    parser = _Parser(_tokens(text), contexts)
    value = parser.either()
    if parser.tokens:
        raise UnknownExpressionError(f"{text}: stands on with {parser.tokens[0][1]}")
    return value


def fill(value: Any, contexts: Contexts) -> Any:
    """A value out of YAML with its expressions replaced; of a text that is one expression alone,
    its value as it is."""
    if isinstance(value, Mapping):
        return {key: fill(item, contexts) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, contexts) for item in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*", value, re.DOTALL):
        return evaluate(whole[1], contexts)
    filled = _PART.sub(lambda m: text_of(evaluate(m[1], contexts)), value)
    if "${{" in _PART.sub("", value):
        raise UnknownExpressionError(f"{value}: an expression without an end")
    return filled


def condition(text: str | bool | None, contexts: Contexts) -> bool:
    """Whether a step or job with that `if:` runs: only after success, where it does not ask."""
    if text is None:
        return contexts.status == "success"
    inner = str(text).strip()
    if found := re.fullmatch(r"\$\{\{(.*)\}\}", inner, re.DOTALL):
        inner = found[1]
    names = {name for kind, name in _tokens(inner) if kind == "name"}
    value = truth(evaluate(inner, contexts))
    return value and (bool(names & _STATUS) or contexts.status == "success")


def truth(value: Any) -> bool:
    """What counts as true."""
    return value not in (None, False, 0, "")


def text_of(value: Any) -> str:
    """A value as text, as in an environment variable."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise UnknownExpressionError(f"{value!r} is no text")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise UnknownExpressionError(f"{text}: not known from {text[at:][:20]!r} on")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


@dataclass
class _Parser:
    """Recursive descent. Both sides of && and || are looked up, so that nothing hides there."""

    tokens: list[tuple[str, str]]
    contexts: Contexts

    def sign(self, *signs: str) -> str:
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return ""

    def must(self, sign: str) -> None:
        if not self.sign(sign):
            raise UnknownExpressionError(f"{sign} is missing")

    def either(self) -> Any:
        value = self.both()
        while self.sign("||"):
            other = self.both()
            value = value if truth(value) else other
        return value

    def both(self) -> Any:
        value = self.compared()
        while self.sign("&&"):
            other = self.compared()
            value = other if truth(value) else value
        return value

    def compared(self) -> Any:
        value = self.negated()
        if sign := self.sign("==", "!=", "<", ">", "<=", ">="):
            other = self.negated()
            if type(value) is not type(other) and not (
                isinstance(value, (int, float)) and isinstance(other, (int, float))
            ):
                raise UnknownExpressionError(f"{value!r} {sign} {other!r}: of different types")
            same = value.lower() == other.lower() if isinstance(value, str) else value == other
            if sign in ("==", "!="):
                return same == (sign == "==")
            less = value < other
            return {"<": less, "<=": less or same, ">": not (less or same), ">=": not less}[sign]
        return value

    def negated(self) -> Any:
        return not truth(self.negated()) if self.sign("!") else self.simple()

    def simple(self) -> Any:
        if self.sign("("):
            value = self.either()
            self.must(")")
            return value
        if not self.tokens:
            raise UnknownExpressionError("an expression ends too early")
        kind, word = self.tokens.pop(0)
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return float(word) if "." in word else int(word)
        if kind != "name":
            raise UnknownExpressionError(f"{word} stands where a value should")
        if self.sign("("):
            return self.call(word)
        if word in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word]
        path = [word]
        while self.sign("."):
            kind, word = self.tokens.pop(0) if self.tokens else ("", "")
            if kind != "name":
                raise UnknownExpressionError(f"{'.'.join(path)}.{word}: no name")
            path.append(word)
        return self.contexts.look_up(tuple(path))

    def call(self, name: str) -> Any:
        values = []
        if not self.sign(")"):
            values.append(self.either())
            while self.sign(","):
                values.append(self.either())
            self.must(")")
        if name in _STATUS and not values:
            return name in ("always", self.contexts.status)
        if name == "fromJSON" and len(values) == 1:
            return json.loads(values[0])
        raise UnknownExpressionError(f"{name}() with {len(values)} values is not known")
