"""Whether a shell script ends in a pipe that hides how its first commands end.

No parser of sh: a scan that knows quotes, comments, here-documents, substitutions and compound
commands well enough to find the last command line, and says nothing where it loses its way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# What a script pipes into so that its status is the answer: a test of what came.
_JUDGES = {"grep", "egrep", "fgrep", "zgrep", "rg", "diff", "cmp", "test", "[", "jq"}
_JUDGES |= {"sh", "bash", "dash", "python3", "perl"}
# What cannot fail in a way that matters: it feeds the others.
_FEEDERS = {"echo", "printf", "cat", "yes", "true", ":", "seq", "sleep"}
_OPENS = {"if": "fi", "case": "esac", "for": "done", "while": "done", "until": "done", "{": "}"}
_LEADS = {"!", "then", "else", "elif", "do", "time"}
_PIPES = {"|", "|&"}
_ENDS = {";", "\n", "&", "&&", "||"}
# After these a command begins, and with it a reserved word may.
_BEFORE = {*_OPENS, *_OPENS.values(), *_LEADS, *_PIPES, *_ENDS, "(", ")"}
_HEREDOC = re.compile(r"<<(-?)[ \t]*(\\?)(['\"]?)([\w.-]+)\3")
_BLANK = " \t"


class _LostError(Exception):
    """The scan does not know where it is."""


def hiding_pipe(script: str) -> str:
    """The first words of the last command of the pipe that `script` ends in, such as `tee log`,
    where the status of what comes before it is lost; else ''."""
    if "|" not in script or "pipefail" in script or "PIPESTATUS" in script:
        return ""
    scan = _Scan()
    try:
        for part in _parts(script):
            scan.take(part)
        last = scan.end()
    except (_LostError, RecursionError):
        return ""
    *before, end = ([word for word in command if word not in _LEADS] for command in last)
    if not before or not end or end[0].rpartition("/")[2] in _JUDGES or end[0] in _OPENS:
        return ""
    if all(command and command[0] in _FEEDERS for command in before):
        return ""
    return " ".join(end[:2])


class _Scan:
    """Finds the last line of a script: commands, each a list of words, joined by pipes."""

    def __init__(self) -> None:
        self._line: list[list[str]] = [[]]
        self._last: list[list[str]] = [[]]
        self._open: list[str] = []  # what closes the compound commands that are open
        self._fresh = True  # a command begins

    def take(self, part: str) -> None:
        """The next word or operator. Raises _LostError."""
        if self._nested(part):
            return
        words = self._line[-1]
        if part in _PIPES:
            self._line.append([])
        elif part not in _ENDS:
            words.append(part)
        elif part != "\n" or words or len(self._line) == 1:  # else a pipe goes on
            if self._line != [[]]:
                self._last = self._line
            self._line = [[]]
            if part == "&":
                self._last = [[]]

    def _nested(self, part: str) -> bool:
        """Whether it is within a compound command, or opens one, which is then a word."""
        fresh, self._fresh = self._fresh, part in _BEFORE
        within = bool(self._open)
        if within and part == self._open[-1] and (fresh or part == ")"):
            self._open.pop()
        elif part == ")" and self._open[-1:] != ["esac"]:  # that is the end of a pattern
            raise _LostError
        elif part == "(" or (fresh and part in _OPENS):
            if not within:
                self._line[-1].append(part)
            self._open.append(_OPENS.get(part, ")"))
            return True
        return within

    def end(self) -> list[list[str]]:
        """The last line. Raises _LostError."""
        if self._open:
            raise _LostError
        return self._last if self._line == [[]] else self._line


def _parts(script: str) -> Iterator[str]:
    """Words, quotes and all, and operators. Inside compound commands, too, whose reserved words
    are those of a command's beginning: so each is given as a word."""
    at, word, end = 0, "", len(script)
    heredocs: list[tuple[str, bool]] = []
    while at < end:
        char = script[at]
        if char == "\\":
            word += script[at : at + 2] if script[at : at + 2] != "\\\n" else ""
            at += 2
        elif char in "'\"`" or (char == "$" and script[at + 1 : at + 2] in ("(", "{")):
            after = _quoted(script, at)
            word, at = word + script[at:after], after
        elif char == "#" and not word:
            at = _line_end(script, at)
        elif found := _HEREDOC.match(script, at) if script[at : at + 3] != "<<<" else None:
            heredocs.append((found[4], bool(found[1])))
            word, at = word + found[0], found.end()
        elif char in _BLANK or char in "\n;&|()":
            operator = _operator(script, at, word)
            if not operator and char in "&|":  # of a redirection: 2>&1
                word, at = word + char, at + 1
                continue
            if word:
                yield word
                word = ""
            if operator:
                yield operator[:1] if operator.startswith(";") else operator
            at += len(operator) or 1
            if char == "\n" and heredocs:
                at = _after_heredocs(script, at, heredocs)
        else:
            word, at = word + char, at + 1
    if word:
        yield word


def _operator(script: str, at: int, word: str) -> str:
    """That which begins there, '' of a blank or of a redirection's `&` or `|`."""
    char, two = script[at], script[at : at + 2]
    if char in _BLANK or (char in "&|" and word.endswith((">", "<"))) or two == "&>":
        return ""
    return two if two in ("&&", "||", "|&", ";;") else char


def _line_end(script: str, at: int) -> int:
    found = script.find("\n", at)
    return len(script) if found < 0 else found


def _quoted(script: str, at: int) -> int:
    """Where what begins there, a quote or a substitution, ends. Raises _LostError."""
    char = script[at]
    if char == "'":
        found = script.find("'", at + 1)
        if found < 0:
            raise _LostError
        return found + 1
    closing = {'"': '"', "`": "`"}.get(char) or {"(": ")", "{": "}"}[script[at + 1]]
    at += 1 if char in '"`' else 2
    depth = 1
    while at < len(script):
        now = script[at]
        if now == "\\":
            at += 2
        elif now == closing:
            depth, at = depth - 1, at + 1
            if not depth:
                return at
        elif now == "'" and closing == '"':
            at += 1
        elif now in "'\"`" or (now == "$" and script[at + 1 : at + 2] in ("(", "{")):
            at = _quoted(script, at)
        else:
            depth += now == "(" and closing == ")"
            at += 1
    raise _LostError


def _after_heredocs(script: str, at: int, heredocs: list[tuple[str, bool]]) -> int:
    """Where the lines of the here-documents that were announced end. Raises _LostError."""
    while heredocs:
        word, tabs = heredocs.pop(0)
        while True:
            if at >= len(script):
                raise _LostError
            stop = _line_end(script, at)
            line, at = script[at:stop], stop + 1
            if (line.lstrip("\t") if tabs else line) == word:
                break
    return at
