"""JUnit files that a suite wrote where nobody looks: one line tells where they lie."""

from __future__ import annotations

import shlex
from contextlib import suppress

from distromatrix.collect.log import Masker
from distromatrix.collect.text import one_line
from distromatrix.engines.answer import ask
from distromatrix.engines.contract import Machine
from distromatrix.errors import InfrastructureError

_SHOWN = 3
# Newer than the machine's `out`, which was made, or touched by `clear_reports`, when `run` began:
# what came with the product, or with its packages, is none. A small minority of files is opened.
_LOOK = f"""\
cd PRODUCT && find . -maxdepth 8 -xdev \\
  '(' -name .git -o -name node_modules -o -name site-packages ')' -prune -o \\
  -type f -name '*.xml' -newer OUT -size -40000 -exec grep -l '<testsuite' {{}} + 2>/dev/null |
  head -n {_SHOWN + 1} || :
"""


def stray_reports(machine: Machine, masker: Masker) -> str:
    """A line about the JUnit files that lie in the product and are newer than its suite, or ''.
    Never raises."""
    script = _LOOK.replace("PRODUCT", shlex.quote(machine.product), 1)
    script = script.replace("OUT", shlex.quote(machine.out), 1)
    output = ""
    with suppress(InfrastructureError):
        output = ask(machine, script)
    names = masker.mask(output).split("\n")
    shown = [one_line(name.removeprefix("./"), 200) for name in names if name.startswith("./")]
    if not shown:
        return ""
    more = " and more" if len(shown) > _SHOWN else ""
    where = "$DISTROMATRIX_JUNIT" if len(shown) == 1 else "below $DISTROMATRIX_JUNIT_DIR"
    it = "write it to" if len(shown) == 1 else "write them"
    return f"found {', '.join(shown[:_SHOWN])}{more}: {it} {where}, or copy {it.split()[1]} there"
