"""A product that says its secrets in every spelling that masks know, wherever a suite can say
something: then no file of the run, and nothing on the terminal, has any of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

import pytest
from breaking_world import Project

from distromatrix.collect.spellings import spellings
from distromatrix.project.project import host_facts
from given import alpine_or_pulled, unobtainable

pytestmark = pytest.mark.engine
ENGINES = [
    "docker",
    pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.slow]),
    pytest.param("qemu", marks=[pytest.mark.guest, pytest.mark.slow]),
    pytest.param("vagrant", marks=[pytest.mark.guest, pytest.mark.slow]),
]
SECRETS = {
    "TOKEN": "Tr0ub4dor&3<x>'y\"/+z $é%\\",
    "KEY": "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEAx/Yz+w9\nQ0FB/Zm9v+ck8w7\n-----END KEY-----\n",
}
FORMS = sorted(form for secret in SECRETS.values() for form in spellings(secret))
TEXTS = [form.decode() for form in FORMS if b"\0" not in form]
# The checkout holds what is said, but in no spelling: its suites turn the eighth bit of each byte.
TURN = r"turn() { LC_ALL=C tr '\000-\377' '\200-\377\000-\177' <hidden/$1; }"
ARTIFACTS = '"$DISTROMATRIX_ARTIFACTS"'


def _turned(data: bytes) -> bytes:
    return bytes(byte ^ 0x80 for byte in data)


def _lines() -> bytes:
    return b"".join(b"[%d] %s\n" % (n, form) for n, form in enumerate(FORMS))


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _report(texts: list[str]) -> bytes:
    """JUnit with each text in the name of a case, its message, its text and its output."""
    cases = "".join(
        f'<testcase classname="{_attribute(text)}" name="n{number} {_attribute(text)}">'
        f'<failure message="{_attribute(text)}">{escape(text)}</failure>'
        f"<system-out>{escape(text)}</system-out></testcase>"
        for number, text in enumerate(texts)
    )
    return f'<testsuite name="s"><properties/>{cases}</testsuite>'.encode()


def _tap() -> bytes:
    lines = [text for text in TEXTS if "\n" not in text and "\r" not in text]
    cases = "".join(
        f"not ok {n} - {text}\n  ---\n  message: {json.dumps(text)}\n  ...\n# {text}\n"
        for n, text in enumerate(lines, 1)
    )
    return f"1..{len(lines)}\n{cases}".encode()


HIDDEN = {
    "binary-lines": _lines(),
    "text": "".join(f"{text}\n" for text in TEXTS).encode(),
    "wide": ("\ufeff" + "".join(f"{text}\n" for text in TEXTS)).encode("utf-16-le"),
    "report": _report(TEXTS),
    "tap": _tap(),
    **{f"binary-{n}": b"\0\xff".join(FORMS[n : n + 8]) for n in range(0, len(FORMS), 8)},
}
SUITES = {
    "streams": {
        "run": f"{TURN}; turn binary-lines; turn binary-lines >&2; exit 3",
        "debug": f"{TURN}; turn text",
    },
    "setup": {"setup": f"{TURN}; turn text; exit 3", "run": "true"},
    "report": f"{TURN}; turn report >$DISTROMATRIX_JUNIT; exit 1",
    "tap": {"run": f"{TURN}; turn tap", "report": "tap"},
    "skipped": {"run": f'{TURN}; turn text; printf %s "$TOKEN"; exit 77', "skip_status": 77},
    "artifacts": f"{TURN}; cd hidden; for file in *; do cd ..; turn $file >{ARTIFACTS}/$file\n"
    "cd hidden; done",
    "names": f'cd {ARTIFACTS}; touch a-$(printf %s "$TOKEN" | od -An -tx1 | tr -d " \\n")',
    "hung": {"run": 'sh -c "sleep 300; :" "$TOKEN" "$KEY"', "timeout": "4s"},
}


class Told:
    """What came of the run on one engine, and what the commands that show it say."""

    def __init__(self, engine: str, project: Project) -> None:
        self.engine, self.project = engine, project
        self.ended = project.call("run", "-j", "4", "--retries", "0", timeout=3000)
        assert project.journal(), self.ended.said
        self.results = project.results()
        self.output = self.ended.said + "".join(
            project.call(*words.split()).said
            for words in ("report", "report --summary", "report --json")
        )

    def artifacts(self, suite: str) -> Mapping[str, bytes]:
        folder = next(self.project.latest.glob(f"cells/*/{suite}/artifacts"))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module", params=ENGINES)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    engine = request.param
    made = Project(tmp_path_factory.mktemp("secrets") / "p", alpine_or_pulled().parent)
    keys = {"distros": [made.distro]}
    limits: dict[str, Any] = {"memory": "64M", "timeout": "1m", "network": False}
    if engine in ("qemu", "vagrant"):
        if why := host_facts().guests[engine]:
            unobtainable(why)
        keys = {"distros": ["debian-12"]}
        needs = ["own-kernel"] if engine == "qemu" else ["own-kernel", "init"]
        limits |= {"memory": "512M", "needs": needs}
    else:
        made.engine = engine
    (made.root / "hidden").mkdir()
    for name, data in HIDDEN.items():
        (made.root / "hidden" / name).write_bytes(_turned(data))
    made.suites(SUITES, **keys, pass_env=[*SECRETS], defaults=limits)
    made.environ = {**SECRETS, "GITHUB_ACTIONS": "true"}
    try:
        yield Told(engine, made)
    finally:
        made.clean()


def test_the_suites_said_what_they_had_to(told: Told) -> None:
    """Else nothing is proved."""
    verdicts = {name: cell["verdict"] for name, cell in told.results.items()}
    green = {"skipped": "skipped", "artifacts": "passed", "names": "passed"}
    assert verdicts == {name: green.get(name, "failed") for name in SUITES}, told.output
    log = next(told.project.latest.glob("cells/*/streams/log.txt")).read_bytes()
    for number in range(len(FORMS)):
        assert log.count(b"[%d] ***" % number) == 2, FORMS[number]
    assert told.results["report"]["cases"]["failed"] == len(TEXTS)
    assert set(told.artifacts("artifacts")) == set(HIDDEN)


def test_no_file_of_the_run_and_no_line_of_the_terminal_has_a_secret(told: Told) -> None:
    places = {
        str(path): path.read_bytes()
        for path in (told.project.root / ".distromatrix").rglob("*")
        if path.is_file() and not path.name.startswith("binary-")
    }
    places |= {f"the name {path}": path.encode() for path in places}
    places["the terminal"] = told.output.encode()
    found = {
        f"{form!r} in {place}" for place, data in places.items() for form in FORMS if form in data
    }
    assert found == set()


def test_what_is_binary_is_kept_and_told_of(told: Told) -> None:
    kept = {n: data for n, data in told.artifacts("artifacts").items() if n.startswith("binary-")}
    assert kept == {name: data for name, data in HIDDEN.items() if name.startswith("binary-")}
    (warning,) = told.results["artifacts"]["warnings"]
    assert f"and {len(kept) - 1} more hold a secret that was handed in" in warning
