"""apk, of Alpine Linux: `apk --root`."""

from __future__ import annotations

import shlex

from distromatrix.images.base.bootstrap.base import BootstrapJob, Tool, Work, pattern
from distromatrix.images.base.bootstrap.tree import tree_work
from distromatrix.images.packages.apk import APK

# As apk-tools 2.14 prints it; the rest is read as in a cell.
_FAILURES = (pattern("other", r"^(\d+ errors?;.*)$"),)


def _work(job: BootstrapJob) -> Work:
    repositories = "".join(f"{url}\n" for url in job.repositories)
    keys = {key.name: key.read_bytes() for key in job.keys}
    apk = shlex.join(
        (
            *("apk", f"--root={job.root}", f"--arch={job.arch}", "--no-progress"),
            *(
                f"--keys-dir={job.folder}/keys",
                f"--repositories-file={job.folder}/repositories",
            ),
            *(() if job.keys else ("--allow-untrusted",)),
            *job.options,
        )
    )
    packages = shlex.join(job.source.packages)
    return tree_work(
        job,
        # A repository that cannot be had would only be warned of by `add`.
        f"{apk} --initdb add\n{apk} update\n{apk} add {packages}\n",
        files={
            "repositories": repositories,
            "keys/.keep": "",
            **{f"keys/{name}": content for name, content in keys.items()},
        },
        image={
            "etc/apk/repositories": repositories,
            **{f"etc/apk/keys/{name}": content for name, content in keys.items()},
        },
        without=("var/cache/apk/*",),
    )


TOOL = Tool(
    name="apk",
    programs=(("apk", "put apk.static of Alpine's package apk-tools-static on your PATH, as apk"),),
    work=_work,
    failures=_FAILURES,
    reads=APK,
    key_folders=("/usr/share/apk/keys", "/etc/apk/keys"),
)
