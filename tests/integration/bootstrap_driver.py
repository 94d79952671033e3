"""Bootstraps from within the workshop's machine: runs there, on that machine's Python.

`python3 bootstrap_driver.py JOBS`: JOBS is a JSON list of mappings (`tool`, `mirror`,
`repositories`, `packages`, `options`, `folder`). Prints a line of JSON for each: `{"tar": path}`,
or `{"error": name of the class, "text": message, "log": output}`.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from distromatrix.errors import ImageError
from distromatrix.images.base.bootstrap import OutOfReachError, bootstrap
from distromatrix.model import Bootstrap, Distro


def run(tool, mirror, repositories, packages, options, folder) -> dict[str, str]:
    source = Bootstrap(tool=tool, packages=tuple(packages), options=tuple(options))
    distro = Distro(
        name="testix-1",
        title="Testix",
        family="other",
        package_manager="none",
        libc="musl",
        image=(source,),
        repositories=tuple(repositories),
        file=Path("/nowhere/testix-1.yaml"),
    )
    try:
        return {"tar": str(bootstrap(source, distro, mirror, Path(folder), threading.Event()))}
    except (ImageError, OutOfReachError) as error:
        log = getattr(error, "log", "")
        return {"error": type(error).__name__, "text": str(error), "log": log}


for job in json.loads(sys.argv[1]):
    print(json.dumps(run(**job)), flush=True)
