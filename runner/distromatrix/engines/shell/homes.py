"""The home of a machine's user: a folder that is there, and that this user may write to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from distromatrix.engines.answer import Answer
from distromatrix.engines.contract import API_TIMEOUT, Command, Exit
from distromatrix.errors import InfrastructureError

# For users that have none in the machine's /etc/passwd: CI's images are full of programs that
# keep something in $HOME. It lies beside the product; where there is none, nobody has made it.
HOME = "/distromatrix/home"
WITHOUT_PRODUCT = "/tmp/.distromatrix-home"  # noqa: S108 - of a machine that has one user

_PLAIN = re.compile(r"/[A-Za-z0-9_./+-]{1,200}")
# HOME as it is where it will do; else what /etc/passwd says; else ours. No program is started for
# it, but where there is no product.
_FIND = """_dm_h() { [ "$1" ] && [ "$1" != / ] && [ -d "$1" ] && [ -w "$1" ]; }
_dm_h "$HOME" || {
while IFS=: read -r _ _ _dm_u _ _ HOME _; do [ "$_dm_u" != UID ] || break; HOME=; done
} </etc/passwd 2>/dev/null
_dm_h "$HOME" || HOME=FOLDER
[ -d "$HOME" ] || { HOME=ELSEWHERE; mkdir -m 700 "$HOME" 2>/dev/null; }
export HOME
"""


def home_found(user: str) -> str:
    """What a shell of that user (`root` or `UID:GID`) runs first, so that its commands have a
    HOME. Their own variables come later, and win."""
    if user == "root":
        return ""
    script = _FIND.replace("UID", user.partition(":")[0])
    return script.replace("FOLDER", HOME).replace("ELSEWHERE", WITHOUT_PRODUCT)


def home_made(user: str, busybox: str = "") -> str:
    """What root runs in a machine that has no home for that user yet."""
    if user == "root":
        return ":"
    return f"""[ -e {HOME} ] || {{
{busybox} mkdir -p -m 700 {HOME} && {busybox} chown {user} {HOME}; }}"""


def without_home(env: Mapping[str, str], user: str) -> Mapping[str, str]:
    """An image's variables for the commands of a user: its HOME is root's."""
    return {key: value for key, value in env.items() if key != "HOME" or user == "root"}


def home_told(run: Callable[[Command], Exit], user: str) -> str:
    """What tells `docker exec` the HOME that a machine's commands have, where its engine does not
    know it. `run`: Machine.run."""
    said = Answer()
    if user != "root":
        with suppress(InfrastructureError):
            run(Command('printf %s "$HOME"', timeout=API_TIMEOUT, output=said))
    # It is shown to people, and an image's passwd may say anything.
    home = _PLAIN.fullmatch(str(said))
    return f"-e HOME={home[0]} " if home else ""
