"""A command's shell, started while no command waits for it.

Most of a command's time is two new programs, setsid and sh. Where many commands follow each
other, LOOP starts both for the next one as soon as one has ended: READER waits for its line, and
evals it. What eval would do in another way than `sh -c` goes by a new `sh -c`.
One thing is left: a new sh becomes its last command, and READER has it for a child.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Read by a process of its own, in single quotes. The line sets _dm_m, the marker; _dm_a, where
# stderr is apart; _dm_d, the folder; _dm_e, the exports; and either _dm_x, a call that is exact,
# or _dm_l, a script. For the loop itself such a line is harmless: it gets it where somebody has
# killed the reader.
#
# As a function, the script is called by no builtin whose name dash and busybox would put before
# their messages; bash does not, but before those of functions. A script that is none (the trap)
# is for a new sh to refuse.
_STEPS = (
    "IFS= read -r _dm_l || exit 0",
    "{ echo 200 >/proc/self/oom_score_adj; } 2>/dev/null",
    'eval "$_dm_l"; exec </dev/null; echo $_dm_m b $$',
    'if [ "$_dm_a" ]; then echo $_dm_m >&2; else exec 2>&1; fi',
    'cd "$_dm_d" || exit; unset OLDPWD; eval "$_dm_e"',
    # Who counts itself in SHLVL has done so once.
    '_dm_s="[ \\"\\$SHLVL\\" != 1 ] || unset SHLVL; exec"',
    'if [ "$_dm_x" ]; then eval "$_dm_s $_dm_x"; fi',
    'trap "exec 2>&3 3>&-; $_dm_s /bin/sh -c \\"\\$_dm_l\\"" 0; exec 3>&2 2>/dev/null',
    '_dm_x="unset -f _dm_f; unset _dm_l _dm_m _dm_n _dm_a _dm_d _dm_e _dm_s _dm_x; : /bin/sh"',
    'eval "_dm_f() { $_dm_x; $_dm_l; }" || exit',
    "exec 2>&3 3>&-; trap - 0",
    'if [ "$BASH_VERSION" ]; then BASH_EXECUTION_STRING=$_dm_l; eval "$_dm_x; $_dm_l"',
    "else _dm_f; fi",
)
# On one line, the script's own, so that messages tell its number.
READER = "; ".join(_STEPS)
# What is another thing in a function or in eval: lines (aliases, what runs before a fault),
# comments, what could end the function, here-documents, `local`, traces (bash marks eval's); and
# the shell's own call, and SHLVL, which bash counts down for a last command.
_OTHERWISE = re.compile(
    r"\n|(?:^|[\s;&|()])[{}#]|<<|\\$|\bset\s+[-+]"
    r"|\b(?:local|return|alias|cmdline|xtrace|env|printenv|environ|SHLVL)\b"
)
# What a new shell takes from its environment in another way than by an assignment.
_SPECIAL = re.compile(
    r"_.*|IFS|ENV|PWD|OLDPWD|PPID|U?E?UID|LINENO|OPT.*|PS\d|POSIXLY_CORRECT|SHELLOPTS|FUNC.*"
    r"|BASH.*|LANG|LC_.*"
)
_LONGEST = 4_000


def is_alike(script: str, env: Mapping[str, str]) -> bool:
    """Whether READER runs it as `sh -c` would."""
    return (
        0 < len(script) <= _LONGEST
        and not _OTHERWISE.search(script)
        and not any(_SPECIAL.fullmatch(name) for name in env)
    )
