"""The home of a machine's user: a folder that is there, and that this user may write to."""

from __future__ import annotations

# For users that have none in the machine's /etc/passwd: CI's images are full of programs that
# keep something in $HOME.
HOME = "/distromatrix/home"

# HOME as it is where it will do; else what /etc/passwd says; else ours. Nothing is started for it.
_FIND = """_dm_h() { [ "$1" ] && [ "$1" != / ] && [ -d "$1" ] && [ -w "$1" ]; }
_dm_h "$HOME" || {
while IFS=: read -r _ _ _dm_u _ _ HOME _; do [ "$_dm_u" != UID ] || break; HOME=; done
} </etc/passwd 2>/dev/null
_dm_h "$HOME" || HOME=FOLDER
export HOME
"""


def home_found(user: str) -> str:
    """What a shell of that user (`root` or `UID:GID`) runs first, so that its commands have a
    HOME. Their own variables come later, and win."""
    uid = user.partition(":")[0]
    return "" if user == "root" else _FIND.replace("UID", uid).replace("FOLDER", HOME)


def home_made(user: str, busybox: str = "") -> str:
    """What root runs in a machine that has no home for that user yet."""
    if user == "root":
        return ":"
    return f"""[ -e {HOME} ] || {{
{busybox} mkdir -p {HOME.rpartition("/")[0]} && {busybox} mkdir -m 700 {HOME} &&
{busybox} chown {user} {HOME}; }}"""
