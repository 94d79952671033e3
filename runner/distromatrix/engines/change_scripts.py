"""What is run in machines, by root, to carry what setup changed in a container into a guest: by GNU
find and tar, which know all that a file has."""

from __future__ import annotations

from distromatrix.engines.contract import MOUNT

CARRIED_WITHIN = 300.0  # seconds for each of these, as often as the machine's scale says
NOTED = b"noted"  # what NOTE says where it could
_LISTS = "/run/distromatrix-state"  # a folder in the container: nothing in /run is carried
# What is the container's own, or lies on no disk.
ITS_OWN = ("proc", "sys", "dev", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf")
_OUT = " -o ".join(f"-path ./{name}" for name in (*ITS_OWN, ".dockerenv"))
# Two lists: what each path is (its inode, when that was changed, which nobody can set), and of
# which kind.
_LIST = f"""LC_ALL=C; export LC_ALL; cd / && umask 077 && mkdir -p {_LISTS} || exit
list() {{
  find . .{MOUNT} -mindepth 1 -xdev \\( {_OUT} \\) -prune -o \\
    -fprintf {_LISTS}/what '%i %C@ %p\\0' -fprintf {_LISTS}/kinds '%y%p\\0'
  sort -zu {_LISTS}/what >{_LISTS}/what-$1 && sort -zu {_LISTS}/kinds >{_LISTS}/kinds-$1
}}
"""
NOTE = f"""{_LIST}
tar --version | grep -q GNU && find / -maxdepth 0 -printf '' || exit
tried=$(printf 'a b\\0' | sort -zu | uniq -zu | cut -zb2- | cut -zd' ' -f2- | tr -d '\\0')
[ "$tried" = b ] || exit
list before && printf {NOTED.decode()}
"""
# The paths that are gone, or are of another kind now.
GONE = f"""{_LIST}
list now && cd {_LISTS} || exit
sort -z kinds-before kinds-now kinds-now | uniq -zu | cut -zb2-
"""
_ALL = (
    "--numeric-owner --acls --xattrs --xattrs-include=user.* --xattrs-include=security.capability"
)
# A status of 1: something that was left running has written meanwhile.
THERE = f"""cd {_LISTS} && LC_ALL=C && export LC_ALL || exit
sort -z what-before what-before what-now | uniq -zu | cut -zd' ' -f3- | sort -z >there
cd / && set -f
tar -c --format=posix --pax-option=delete=atime,delete=ctime {_ALL} --sparse --no-recursion \\
  --null -T {_LISTS}/there -f - || [ $? = 1 ]
"""
_USERS = "passwd group shadow gshadow"


def removing(busybox: str) -> str:
    """What removes in a guest the paths on its stdin. `busybox`: what calls its programs there,
    '' for the guest's own."""
    return f"cd / && {busybox} xargs -0 {busybox} rm -rf --"


def unpacking(busybox: str) -> str:
    """What unpacks in a guest the tar on its stdin. A user that only the guest has (its init
    system's, its sshd's) stays one, unless what lists them is no file any more: reading a FIFO, or
    what a link leads to, might have no end."""
    return f"""cd / && set -f || exit
kept=/run/distromatrix-users
{busybox} mkdir -p $kept
for one in {_USERS}; do
  [ ! -e etc/$one ] || {busybox} cp -p etc/$one $kept || exit
done
tar -xp {_ALL} -f - || exit
for one in {_USERS}; do
  [ -e $kept/$one ] && [ -f etc/$one ] && [ ! -L etc/$one ] || continue
  ! {busybox} cmp -s $kept/$one etc/$one || continue
  {busybox} awk -F: 'NR == FNR {{ there[$1] = 1; next }} !($1 in there)' \\
    etc/$one $kept/$one >$kept/more
  {busybox} cat $kept/more >>etc/$one
done
{busybox} rm -rf $kept
"""
