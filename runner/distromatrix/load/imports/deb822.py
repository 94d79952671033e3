"""Debian's control files (deb822(5)), with the lines of what they say.

python-debian reads them, too, but says no lines; these few are all that DEP-8 needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from distromatrix.errors import Fault, InputError
from distromatrix.wording import quoted

_FIELD = re.compile(r"([!-9;-~]+)\s*:(.*)")


@dataclass(slots=True)
class Stanza:
    """Fields by their names in lower case, continuation lines joined by spaces; the line of each
    (from 1), and the first line of all."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # as they are written

    def words(self, name: str) -> list[str]:
        """A field's value as words, which commas or spaces separate."""
        return self.values.get(name, "").replace(",", " ").split()


def stanzas(text: str, file: str) -> Iterator[Stanza]:
    """The stanzas of a file. What follows a `#` is a comment, as autopkgtest has it. Raises
    InputError."""
    stanza: Stanza | None = None
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        said, mark, _ = line.partition("#")
        if mark and not said.strip():
            continue
        if not said.strip():
            if stanza:
                yield stanza
            stanza = None
        elif said[0] in " \t":
            if stanza is None:
                raise _fault(file, number, "a line goes on that has no field before it")
            stanza.values[name] = f"{stanza.values[name]} {said.strip()}".strip()
        elif found := _FIELD.fullmatch(said):
            stanza = stanza or Stanza(number)
            name = found[1].lower()
            if name in stanza.values:
                raise _fault(file, number, f"the field {quoted(found[1])} is there twice")
            stanza.values[name] = found[2].strip()
            stanza.lines[name], stanza.names[name] = number, found[1]
        else:
            raise _fault(file, number, f"expected `Field: value`, got {quoted(said.strip())}")
    if stanza:
        yield stanza


def _fault(file: str, line: int, message: str) -> InputError:
    return InputError(Fault(file, line, 1, message))
