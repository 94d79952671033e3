"""mmdebstrap, of Debian and what comes from it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from distromatrix.images.base.bootstrap.base import BootstrapJob, Tool, Work, pattern

# As in Docker's own Debian images: no translated lists, no flush of each unpacked file.
_LIKE_OFFICIAL = ('--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io")
_FAILURES = (
    pattern("expired", r"Release file for (\S+) is expired"),
    pattern(
        "unreachable",
        r"((?:Could not resolve|Temporary failure resolving|Could not connect to"
        r"|Unable to connect|Cannot initiate the connection|Connection failed"
        r"|Connection timed out).*)",
    ),
    pattern("signature", r"^(.*NO_PUBKEY.*)$"),
    pattern("not-found", r"^E: (Unable to locate package .*)$"),
    pattern("other", r"^E: (?!mmdebstrap failed|apt-get .* failed$)(.*)"),
)

_OWN = re.compile(r"\$mirror\s*+= '(https?://[^']++)'")


def own_mirrors() -> tuple[str, ...]:
    """Those that the tool itself takes, by the suite: as its text has them. None where it is not
    installed, or is another than is known here."""
    try:
        text = Path(shutil.which(TOOL.name) or "").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(dict.fromkeys(_OWN.findall(text)))


def _work(job: BootstrapJob) -> Work:
    """Without a mirror the tool takes the distribution's own."""
    source = job.source
    include = (f"--include={','.join(source.packages)}",) if source.packages else ()
    tool = ("mmdebstrap", "--variant=minbase", "--format=tar", *_LIKE_OFFICIAL, *include)
    mirror = (job.mirror,) if job.mirror else ()
    command = (*tool, *source.options, source.suite, str(job.target), *mirror)
    return Work(script=f"exec {shlex.join(command)}\n")


TOOL = Tool(
    name="mmdebstrap",
    programs=(("mmdebstrap", "apt-get install mmdebstrap"),),
    work=_work,
    failures=_FAILURES,
    builds_tree=False,
)
