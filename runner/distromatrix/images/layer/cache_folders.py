"""The folders of caches in a prepared image: made there, so that they and what is above them are
their user's, whatever is mounted there later."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from distromatrix.engines.contract import Machine
from distromatrix.engines.parcel import owner_of
from distromatrix.engines.shell.homes import HOME
from distromatrix.images.layer.step import Step

ROOT_HOME = "/root"
_NAME, _PATH = r"[a-z0-9][a-z0-9._-]{0,62}", r"(?:/[A-Za-z0-9@._+-]{1,255}){1,64}"
_WHERE = re.compile(f"^distromatrix-cache ({_NAME}) ({_PATH})$", re.M)
_REFUSED = re.compile(r"^distromatrix-refused (.+)$", re.M)

# `cache NAME PATH`: a path may begin with `~`. A user's own home is one that is the user's: as in
# homes.py, who has none gets HOME, which is not there yet.
_SCRIPT = f"""uid=UID gid=GID home={ROOT_HOME}
if [ $uid != 0 ]; then
home=
while IFS=: read -r _ _ u _ _ h _; do if [ "$u" = $uid ]; then home=$h; break; fi; done </etc/passwd
set -- $(ls -nd "$home/." 2>/dev/null || :)
if [ "$3" != $uid ] || [ "$home" = / ]; then home={HOME}; fi
fi
cache() {{
name=$1 path=$2
case $path in "~/"*) path=$home/${{path#??}} ;; esac
echo "distromatrix-cache $name $path"
case $path in {HOME}/*) return ;; esac
at= rest=${{path#/}}/
while [ "$rest" ]; do
at=$at/${{rest%%/*}} rest=${{rest#*/}}
if [ -L "$at" ]; then echo "distromatrix-refused $at is a link"; exit 1; fi
if [ -d "$at" ]; then continue; fi
if [ -e "$at" ]; then echo "distromatrix-refused $at is no folder"; exit 1; fi
mkdir "$at"
case $at in "$home"/*) chown $uid:$gid "$at" ;; esac
done
chown $uid:$gid "$path"
}}
"""


def make_folders(
    caches: tuple[tuple[str, str], ...], user: str, machine: Machine, step: Step
) -> Mapping[str, str]:
    """Make the folders of caches, by name and path, for `root` or `UID:GID`. Returns where they
    are. Raises ImageError, also where one is a link or lies below one."""
    if not caches:
        return {}
    uid, _, gid = owner_of(user).partition(":")
    calls = "".join(f"cache {name} {shlex.quote(path)}\n" for name, path in caches)
    ended = step.run(machine, _SCRIPT.replace("UID", uid, 1).replace("GID", gid, 1) + calls)
    if refused := _REFUSED.findall(step.text):
        raise step.error(f"caches: {refused[-1]}: give the folder that is meant")
    if ended.status != 0:
        raise step.error(f"{step.name} failed with status {ended.status}: {step.last}")
    found = dict(_WHERE.findall(step.text))
    if missing := [name for name, _ in caches if name not in found]:
        raise step.error(f"caches: {missing[0]} would lie where no folder can be: {step.last}")
    return found


def is_place(name: object, path: object) -> bool:
    """Whether it is a cache's name, and where it may be."""
    return bool(re.fullmatch(_NAME, str(name)) and re.fullmatch(_PATH, str(path)))


def for_root(caches: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Where those are that `prepare` sees, which root runs."""
    return {name: re.sub("^~", ROOT_HOME, path) for name, path in caches}
