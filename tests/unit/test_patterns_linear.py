"""Regular expressions that meet text from elsewhere take time in proportion to it: each is fed
with a quarter of a megabyte of what it likes best, around each of its repetitions."""

from __future__ import annotations

import ast
import re
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest

import distromatrix

SOURCE = Path(distromatrix.__file__).parent
MUCH = 1 << 18
MOST = 10  # repetitions of a pattern that are tried
CPU_SECONDS = 1.0  # linear ones need some hundredths, quadratic ones half a minute
METHODS = ("search", "match", "fullmatch", "sub", "subn", "findall", "finditer", "split")


class Use(NamedTuple):
    """A pattern and how it is put to text."""

    where: str
    pattern: str | bytes
    flags: int
    method: str


def uses() -> Iterator[Use]:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "import re\n" not in text:
            continue
        tree = ast.parse(text)
        name = path.relative_to(SOURCE).as_posix()
        strings = dict(_strings(tree))
        methods = _methods(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                for call in ast.walk(node.value):
                    if _of_re(call) == "compile" and (made := _pattern(call, strings)):
                        yield from _called(methods, name, node.targets[0].id, made)
            method = _of_re(node)
            if method in METHODS and (made := _pattern(node, strings)):
                yield Use(f"{name}:{node.lineno}", *made, method)


def _methods(tree: ast.AST) -> dict[str, set[str]]:
    """Of each name of a module, those that are asked of it; of '', of what has no name."""
    methods: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            said = node.value.id if isinstance(node.value, ast.Name) else ""
            methods.setdefault(said, set()).add(node.attr)
    return methods


def _called(
    methods: Mapping[str, set[str]], where: str, name: str, made: tuple[str | bytes, int]
) -> Iterator[Use]:
    """How a pattern of that name is used; in a table, how this module uses any (`split` is a
    string's there); where only another module uses it, in either of the ways that tables are."""
    unnamed = {m for n, found in methods.items() if n.islower() and n != "re" for m in found}
    unnamed.discard("split")
    for method in sorted(methods.get(name) or unnamed or {"search", "finditer"}):
        yield Use(f"{where}:{name}", *made, method)


def _strings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                value = ast.literal_eval(node.value)
            except (ValueError, TypeError):
                continue
            if isinstance(value, str):
                yield node.targets[0].id, value


def _of_re(node: ast.AST) -> str:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
    ):
        return node.func.attr
    return ""


def _pattern(node: Any, strings: dict[str, str]) -> tuple[str | bytes, int] | None:
    """The text and the flags of a pattern, where the code has them as they are."""
    pattern = node.args[0] if node.args else None
    try:
        text = eval(compile(ast.Expression(pattern), "pattern", "eval"), {"re": re, **strings})
    except Exception:  # noqa: BLE001 - made of what only a run knows
        return None
    flags = 0
    for one in (*node.args[1:], *(k.value for k in node.keywords if k.arg == "flags")):
        for part in ast.walk(one):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                flag = getattr(re, part.attr, 0) if part.value.id == "re" else 0
                flags |= flag if isinstance(flag, re.RegexFlag) else 0
    return (text, flags) if isinstance(text, str | bytes) else None


def attacks(pattern: str | bytes, flags: int) -> Iterator[str]:
    """For each repetition: what comes before it, much of it, and what does not fit."""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    tree = parser.parse(text, flags)
    around = ((before, one) for before, body in _repeats(list(tree), "") for one in _units(body))
    for before, one in islice(dict.fromkeys(around), MOST):
        yield before + one * (MUCH // len(one)) + "\n\0"
    for one in (" ", "a", "0", "\n", *filter(None, [_sample(tree)])):
        yield one * (MUCH // len(one))


def _units(body: list[Any]) -> Iterator[str]:
    yield from filter(None, dict.fromkeys((_sample(body), *_letters(body))))


def _repeats(items: list[Any], before: str) -> Iterator[tuple[str, list[Any]]]:
    for kind, value in items:
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            _, high, body = value
            if high > 3:
                yield before, list(body)
            yield from _repeats(list(body), before)
        elif kind is sre.SUBPATTERN:
            yield from _repeats(list(value[3]), before)
        elif kind is sre.BRANCH:
            for branch in value[1]:
                yield from _repeats(list(branch), before)
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _repeats(list(value[1]), before)
        before += _sample([(kind, value)])


def _sample(items: Any) -> str:
    """Something that these match."""
    said = ""
    for kind, value in items:
        if kind is sre.LITERAL:
            said += chr(value)
        elif kind is sre.NOT_LITERAL:
            said += "a" if value != ord("a") else "b"
        elif kind is sre.ANY:
            said += "a"
        elif kind is sre.IN:
            said += (_letters([(kind, value)]) or ["a"])[0]
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            said += _sample(value[2]) * max(1, value[0])
        elif kind is sre.SUBPATTERN:
            said += _sample(value[3])
        elif kind is sre.BRANCH:
            said += _sample(value[1][0])
    return said


CLASSES = {
    "DIGIT": "0",
    "SPACE": " \n",
    "WORD": "a0_",
    "NOT_SPACE": "a.",
    "NOT_DIGIT": "a ",
    "NOT_WORD": " -",
}


def _letters(items: Any) -> list[str]:
    """Single characters that a class among these takes."""
    found: list[str] = []
    for kind, value in items:
        if kind is sre.IN:
            negated = any(k is sre.NEGATE for k, _ in value)
            member: list[str] = []
            for k, v in value:
                if k is sre.LITERAL:
                    member.append(chr(v))
                elif k is sre.RANGE:
                    member += [chr(v[0]), chr(v[1])]
                elif k is sre.CATEGORY:
                    member += list(CLASSES.get(str(v).removeprefix("CATEGORY_"), "a"))
            found += [c for c in "a0 .-\r\x1b/:" if c not in member] if negated else member[:6]
        elif kind is sre.SUBPATTERN:
            found += _letters(value[3])
        elif kind is sre.BRANCH:
            for branch in value[1]:
                found += _letters(branch)
        elif kind is sre.ANY:
            found += ["a", " "]
    return found


class TooLongError(Exception):
    """It has used its time."""


def _stop(*_: object) -> None:
    raise TooLongError


@pytest.fixture
def bounded() -> Iterator[Callable[[Callable[[], object]], bool]]:
    """Calls a function, and says whether it needed no more than its share of the processor."""

    def call(do: Callable[[], object]) -> bool:
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        try:
            do()
        except TooLongError:
            return False
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return True

    before = signal.signal(signal.SIGVTALRM, _stop)
    yield call
    signal.signal(signal.SIGVTALRM, before)


def consume(found: object) -> None:
    """`finditer` looks only when it is asked."""
    if isinstance(found, Iterator):
        deque(found, maxlen=0)


USES = tuple(dict.fromkeys(uses()))


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}-{use.method}")
def test_a_pattern_takes_time_in_proportion(
    use: Use, bounded: Callable[[Callable[[], object]], bool]
) -> None:
    method = getattr(re.compile(use.pattern, use.flags), use.method)
    for text in attacks(use.pattern, use.flags):
        given: Any = text if isinstance(use.pattern, str) else text.encode("latin-1", "replace")
        words = (given[:0], given) if use.method in ("sub", "subn") else (given,)
        said = f"{use.pattern!r} by {use.method} on {text[:40]!r}…{text[-9:]!r}"
        assert bounded(lambda words=words: consume(method(*words))), said


def test_the_measure_sees_what_is_not_linear(
    bounded: Callable[[Callable[[], object]], bool],
) -> None:
    pattern = r"\s+$"
    assert not all(
        bounded(lambda text=text: re.search(pattern, text)) for text in attacks(pattern, 0)
    )
    assert len(USES) > 150
