"""JavaScript packages with a test script of their own."""

from __future__ import annotations

import re

from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder, table

_JUNIT = '"$DISTROMATRIX_JUNIT"'
# Tools that write JUnit XML without a plugin, and what `npm test --` must hand to them.
_REPORTERS = {
    "mocha": f"--reporter xunit --reporter-option output={_JUNIT}",
    "vitest": f"--reporter=default --reporter=junit --outputFile.junit={_JUNIT}",
}


def look(folder: ScannedFolder) -> Finding | None:
    """A package.json whose scripts have a `test`, or None."""
    package = folder.json("package.json")
    script = table(package, "scripts").get("test")
    if not isinstance(script, str) or not script.strip():
        return None
    if "no test specified" in script:  # what `npm init` writes
        return Finding(source="package.json", what="no test script but the one npm init writes")
    needs = any(table(package, key) for key in ("dependencies", "devDependencies"))
    locked = folder.has("package-lock.json") or folder.has("npm-shrinkwrap.json")
    about = ["package.json: npm test"]
    other = next((f for f in ("yarn.lock", "pnpm-lock.yaml", "bun.lock") if folder.has(f)), "")
    if other:
        about.append(f"{other} is not npm's: what npm installs may be newer.")
    words = script.split()
    tool = words[0] if not re.search(r"[&|;]", script) else ""
    if tool == "node" and "--test" in words:
        about.append("From Node 21 on, --test-reporter=junit makes it write a JUnit report.")
    handed = f" -- {_REPORTERS[tool]}" if tool in _REPORTERS else ""
    draft = Draft(
        name="npm",
        about=tuple(about),
        packages=("nodejs", "npm", *(("git",) if needs else ())),  # npm calls it for some
        setup=("npm ci" if locked else "npm install") if needs else "",
        run=f"npm test{handed}",
    )
    return Finding(source="package.json", what="npm test", drafts=(draft,))
