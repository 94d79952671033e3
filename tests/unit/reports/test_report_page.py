"""The page of a run: whole, safe whatever products print, and readable without a script."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from report_pages import HOSTILE, leave, page
from report_samples import failed, result

from distromatrix.collect.facts import add_facts
from distromatrix.model import CaseCounts, CellRun, Facts, Flaky, Phase, Verdict
from distromatrix.record.events import (
    CellFinished,
    CellPhase,
    CellStarted,
    ImageProgress,
    RunFinished,
    RunStarted,
)
from distromatrix.reports.html.cases import as_script
from distromatrix.reports.html.logs import coloured
from distromatrix.reports.html.timeline import timeline_of

SOURCES = ("src", "href", "action", "data", "poster", "srcset")


@dataclass
class Seen(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # of style and script

    def __post_init__(self) -> None:
        super().__init__()
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = f"{tag} {dict(attrs).get('type') or ''}".strip()

    def handle_data(self, data: str) -> None:
        if self._in.startswith(("script", "style")):
            self.texts[self._in] = self.texts.get(self._in, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def look(text: str) -> Seen:
    seen = Seen()
    seen.feed(text)
    seen.close()
    return seen


def data_of(text: str) -> dict[str, Any]:
    return json.loads(look(text).texts["script application/json"])


def shown(text: str) -> str:
    """The text of a page, without its elements."""
    return unescape(re.sub(r"<[^>]*>", "", text))


def test_the_page_says_what_the_terminal_says(tmp_path: Path) -> None:
    cells = (
        failed("debian-12/unit", "t::a"),
        result("alpine-3.20/unit", cases=CaseCounts(passed=1234)),
        result("debian-12/doc", Verdict.XFAILED, reason="known to"),
        result("alpine-3.20/doc", Verdict.ERROR, phase=Phase.IMAGE, reason="no such image"),
    )
    said = re.sub(r"\s+", " ", shown(page(tmp_path, *cells)))
    for words in (
        "✗ failed 4 cells in 2.5 s",
        "fails only on debian-12",
        "unit t::a",
        "why t::a",
        "could not be tested: infrastructure failure, not a product failure",
        "no such image",
        "failed, as expected known to",
        "✓ passed 1,234",
        "Again: distromatrix run debian-12/unit",
    ):
        assert words in said, words


def test_it_asks_nobody_and_runs_nothing_but_its_own_script(tmp_path: Path) -> None:
    text = page(tmp_path, failed("debian-12/unit", *HOSTILE[:8], reason=HOSTILE[0]))
    seen = look(text)
    policy = next(m["content"] for m in seen.all("meta") if "http-equiv" in m) or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name, directive in (("script", "script-src"), ("style", "style-src")):
        digest = b64encode(sha256(seen.texts[name].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    found = [(t, k, v) for t, a in seen.elements for k, v in a.items() if k in SOURCES]
    assert not [one for one in found if re.match(r"[a-z]+:|//", one[2] or "", re.IGNORECASE)]
    assert "url(" not in seen.texts["style"]
    assert "@import" not in seen.texts["style"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:16])
def test_whatever_a_product_says_is_shown_and_nothing_else(tmp_path: Path, text: str) -> None:
    usual, hostile = (
        look(
            page(
                tmp_path / name,
                failed(
                    *("debian-12/unit", said),
                    reason=said,
                    tail=(said, "end"),
                    hints=(said,),
                    debug=(said,),
                    warnings=(said,),
                ),
                result("alpine-3.20/unit", Verdict.ERROR, phase=Phase.IMAGE, reason=said),
                result("rocky-9/unit", Verdict.SKIPPED, reason=said),
            )
        )
        for name, said in (("usual", "abc"), ("hostile", text))
    )
    names = [(tag, sorted(attributes)) for tag, attributes in usual.elements]
    assert [(tag, sorted(attributes)) for tag, attributes in hostile.elements] == names
    whole = (tmp_path / "hostile/report.html").read_text("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]", whole)
    assert "49" not in shown(whole).split()


@pytest.mark.parametrize("text", HOSTILE[:9], ids=lambda text: ascii(text)[:16])
def test_whatever_is_in_a_log_and_a_case_is_shown(tmp_path: Path, text: str) -> None:
    cell = "debian-12/unit"
    leave(tmp_path, cell, "log.txt", f"before\n{text}\nafter\n")
    escaped = "".join(f"&#{ord(c)};" if c > "\x1f" and c not in "\x7f" else "?" for c in text)
    case = f'<testcase name="{escaped}"><failure message="{escaped}"/></testcase>'
    leave(tmp_path, cell, "junit.xml", f"<testsuite>{case}</testsuite>")
    whole = page(tmp_path, failed(cell, "other"))
    assert look(whole).all("pre")
    assert "alert(1)" not in "".join(look(whole).texts[name] for name in ("script", "style"))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]", whole)
    ((_, name, letters, said),) = data_of(whole)["rows"]
    assert letters == "f"
    assert len(str(name)) <= 400
    assert max(map(len, said.values())) <= 300


def test_json_in_a_script_has_nothing_that_ends_it() -> None:
    data = {"</script>": ["<!--", "a & b", "\u2028", "]]>"]}
    text = as_script(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_a_log_has_its_own_colours_and_no_other_escape_sequence() -> None:
    line = b"\x1b[1;31mred\x1b[0m plain \x1b[38;5;46mgreen\x1b[39m\x1b[38;2;0;0;255;4mblue<\x1b[m\n"
    assert coloured(line, str) == (
        '<span class="bold c1">red</span> plain <span class="c10">green</span>'
        '<span class="c12 under">blue&lt;</span>\n'
    )
    assert coloured(b"10%\r50%\r100%\r\nx\x1b[2J\x1b]0;t\x07\n", str) == (
        "100%\nx\\x1b[2J\\x1b]0;t\\x07\n"
    )
    assert (
        coloured(b"\x1b[38;5m\x1b[38;2;1m\x1b[99999999999m\x1b[48;5;1mon\x1b[;;m\n", str) == "on\n"
    )


def test_secrets_are_masked_wherever_they_stand(tmp_path: Path) -> None:
    cell = "debian-12/unit"
    leave(tmp_path, cell, "log.txt", "it is s3cr3t\n")
    case = '<testcase name="s3cr3t"><failure message="s3cr3t"/></testcase>'
    leave(tmp_path, cell, "junit.xml", f"<testsuite>{case}</testsuite>")
    made = failed(cell, "has s3cr3t", tail=("s3cr3t",), reason="s3cr3t")
    assert "s3cr3t" not in page(tmp_path, made, mask=lambda text: text.replace("s3cr3t", "***"))


def test_a_cell_leads_to_its_log_and_its_files(tmp_path: Path) -> None:
    cell = "debian-12/unit"
    leave(tmp_path, cell, "log.txt", "first\n" + "x" * 70 * 1024 + "\nlast\n")
    leave(tmp_path, cell, "artifacts/a b/%41 #?.txt", "")
    (tmp_path / "cells" / cell / "artifacts/link").symlink_to("/etc/passwd")
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts/debian-12.json").write_text("{}")
    text = page(tmp_path, failed(cell))
    links = [a["href"] or "" for a in look(text).all("a")]
    files = [unquote(link) for link in links if "/" in link]
    assert f"cells/{cell}/artifacts/a b/%41 #?.txt" in files
    assert all((tmp_path / name).is_file() for name in files)
    assert not [name for name in files if "link" in name]
    assert "facts/debian-12.json" in files
    assert "last" in shown(text)
    assert "first\n" not in shown(text)


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for you\n")
    run = tmp_path / "run"
    leave(run, "debian-12/unit", "x", "")
    (run / "cells/debian-12/unit/log.txt").symlink_to(secret)
    assert "not for you" not in page(run, failed("debian-12/unit"))


def test_cases_are_rows_with_a_letter_for_each_distro(tmp_path: Path) -> None:
    ids = ("debian-12/unit", "alpine-3.20/unit")
    for cell, said in zip(ids, ("<failure message='no'/>", ""), strict=True):
        xml = f"<testcase name='a'/><testcase name='b' time='2'>{said}</testcase>"
        leave(tmp_path, cell, "junit.xml", f"<testsuite>{xml}</testsuite>")
    leave(tmp_path, ids[1], "junit.xml", "<testsuite><testcase name='b'/></testsuite>")
    text = page(tmp_path, failed(ids[0], "b"), result(ids[1]))
    data = data_of(text)
    assert data["distros"] == ["debian-12", "alpine-3.20"]
    assert data["rows"] == [[0, "b", "fp", {"0": "no"}], [0, "a", "p."]]
    assert re.search(r"<code>b</code>\s*<span class=\"dim\">debian-12/unit", text)


def test_a_case_that_passes_only_sometimes_is_flaky(tmp_path: Path) -> None:
    cell = "debian-12/unit"
    for number, said in ((1, ""), (2, "<failure message='no'/>"), (3, "")):
        xml = f"<testsuite><testcase name='a'>{said}</testcase></testsuite>"
        leave(tmp_path, cell, f"repeat-{number}/junit.xml", xml)
    runs = tuple(CellRun(verdict=Verdict.PASSED, repeat=n) for n in (1, 2, 3))
    one = Flaky(case="a", passed=2, failed=1, first=2, message="no")
    text = page(tmp_path, result(cell, Verdict.FAILED, runs=runs, flaky=(one,)))
    assert data_of(text)["rows"] == [[0, "a", "k", {"0": "no"}]]
    assert "passed 2, failed 1 of 3 runs" in shown(text)


def test_the_timeline_shows_what_was_done_when() -> None:
    at = 1000.0
    done = result("debian-12/unit")
    drawn = timeline_of(
        (
            RunStarted(time=at, run="r", cells=(done.id,), jobs=1, engine="docker"),
            ImageProgress(time=at, distro="debian-12", text="pulling"),
            ImageProgress(time=at + 4, distro="debian-12", text="ready in 4 s (base image)"),
            CellStarted(time=at + 4, cell=done.id),
            CellPhase(time=at + 5, cell=done.id, phase=Phase.SETUP),
            CellPhase(time=at + 7, cell=done.id, phase=Phase.RUN),
            CellPhase(time=at + 9, cell=done.id, phase=Phase.COLLECT),
            CellFinished(time=at + 10, result=done),
            RunFinished(time=at + 10, verdict=Verdict.PASSED, exit_code=0, seconds=10),
        )
    )
    assert drawn is not None
    assert drawn.totals == (("waiting", 1.0), ("image", 4.0), ("setup", 2.0), ("run", 3.0))
    assert [bar.look for bar in drawn.bars] == ["image", "waiting", "setup", "run passed"]
    assert drawn.lanes == 1
    assert drawn.verdicts == ()
    assert {text for _, text in drawn.ticks} >= {"0", "10 s"}
    assert timeline_of(()) is None


def test_the_timelines_colours_are_explained(tmp_path: Path) -> None:
    cells = (result("debian-12/unit"), failed("alpine-3.20/unit"))
    events = [
        event
        for start, cell in enumerate(cells)
        for event in (
            CellStarted(time=start, cell=cell.id),
            CellPhase(time=start + 1, cell=cell.id, phase=Phase.RUN),
            CellFinished(time=start + 2, result=cell),
        )
    ]
    text = shown(page(tmp_path, *cells, events=tuple(events)))
    assert "waiting 2.0 s · run 2.0 s · run that ended as failed" in re.sub(r"\s+", " ", text)


def test_times_of_a_journal_that_is_not_ours_do_no_harm(tmp_path: Path) -> None:
    cell = "debian-12/unit"
    times = (1e300, -1e300, 1e18, 0.0)
    events = [RunStarted(time=1e300, run="r", cells=(cell,), jobs=1, engine="docker")]
    for time in times:
        events.append(CellStarted(time=time, cell=cell))
        events.append(CellPhase(time=-time, cell=cell, phase=Phase.RUN))
        events.append(ImageProgress(time=time, distro="debian-12", text="pulling"))
        events.append(ImageProgress(time=-time, distro="debian-12", text="ready"))
    text = page(tmp_path, result(cell), events=tuple(events))
    widths = [float(a["width"] or 0) for a in look(text).all("rect")]
    assert all(0 <= width <= 1000 for width in widths)


def test_what_changed_since_the_run_before_is_told(tmp_path: Path) -> None:
    runs = tmp_path / ".distromatrix/runs"
    ids = ("debian-12/unit", "alpine-3.20/unit", "rocky-9/unit")
    page(
        *(runs / "20260101-000000-0001", failed(ids[0], "t::old", "t::both"), result(ids[1])),
        failed(ids[2]),
        root=tmp_path,
    )
    now = (failed(ids[0], "t::both", "t::new"), failed(ids[1]), failed(ids[2]))
    said = re.sub(r"\s+", " ", shown(page(runs / "20260102-000000-0002", *now, root=tmp_path)))
    assert "run 20260101-000000-0001: 2 new failing, 1 mended; 1 cell failing as before" in said
    assert f"New {ids[0]}::t::new{ids[1]} " in said
    assert f"Mended {ids[0]}::t::old " in said
    first = shown(page(runs / "20250101-000000-0001", *now, root=tmp_path))
    assert "Since the run before" not in first


def test_what_is_different_there_is_told_as_a_correlation(tmp_path: Path) -> None:
    ids = ("debian-12/unit", "alpine-3.20/unit")
    facts = {
        cell: Facts(arch="x86_64", manager="dpkg", packages={"frob": version})
        for cell, version in zip(ids, ("9.1", "8.32"), strict=True)
    }
    add_facts(tmp_path, facts)
    text = page(tmp_path, result(ids[0]), failed(ids[1], "t::a", tail=("frob: no",)))
    said = re.sub(r"\s+", " ", shown(text))
    assert "Different there (a correlation, not a proof) frob 8.32 here, ≥ 9.1 where" in said
    assert "facts/alpine-3.20.json" in [a["href"] for a in look(text).all("a")]


def test_headings_tables_and_landmarks_are_real(tmp_path: Path) -> None:
    seen = look(page(tmp_path, failed("debian-12/unit", "a"), result("alpine-3.20/unit")))
    assert len(seen.all("h1")) == len(seen.all("main")) == len(seen.all("nav")) == 1
    assert {a["scope"] for a in seen.all("th")} == {"row", "col"}
    ids = [a["id"] for _, a in seen.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    inner = [a["href"] or "" for a in seen.all("a") if (a["href"] or "").startswith("#")]
    assert {link[1:] for link in inner} <= set(ids)
