"""The page of a run in a real browser: what it does, and what nothing in it can make it do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_pages import HOSTILE, leave, page
from report_samples import failed, result

from distromatrix.model import Case, CaseCounts, Flaky, Phase, Verdict
from distromatrix.record.events import CellPhase, CellStarted, RunStarted
from given import unobtainable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

AXE = "axe-core@4.14.1"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
PHONE = {"width": 375, "height": 740}
DESKTOP = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unobtainable("playwright is not installed: pip install -e '.[browser]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        unobtainable("there is no Chromium (`make browser` installs it)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        unobtainable("there is no npm, which brings axe-core (`make browser` installs it)")
    subprocess.run([npm, "install", "--silent", "--prefix", folder, AXE], check=True)
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with something of everything, and one before it."""
    root = tmp_path_factory.mktemp("product")
    runs = root / ".distromatrix/runs"
    now = runs / "20260102-000000-0002"
    ids = [f"{d}/{s}" for d in ("debian-11", "debian-12", "alpine-3.20") for s in ("unit", "doc")]
    for cell in ids[::2]:
        bad = "<failure message='assert 1 == 2'/>" if cell.startswith("alpine") else ""
        cases = "".join(f"<testcase name='case {n}' time='0.{n % 7}'/>" for n in range(300))
        cases += f"<testcase classname='t' name='iconv'>{bad}</testcase>"
        cases += "<testcase name='unused'><skipped message='no'/></testcase>"
        leave(now, cell, "junit.xml", f"<testsuite>{cases}</testsuite>")
        colours = "".join(
            f"\x1b[{n}mcolour {n}\x1b[0m \x1b[1;9{n % 10}mbright\x1b[0m\n" for n in range(30, 38)
        )
        leave(now, cell, "log.txt", colours + "end\n")
        leave(now, cell, "artifacts/core.txt", "x")
    flaky = Flaky(case="case 3", passed=1, failed=1, first=1, message="timed out")
    unit, doc = ids[::2], ids[1::2]
    cells = (
        result(unit[0], cases=CaseCounts(passed=301), seconds=3.0, flaky=(flaky,)),
        result(doc[0], Verdict.XFAILED, reason="no sphinx there"),
        result(unit[1], Verdict.XPASSED, xpassed=(Case(name="t::iconv", status="xpassed"),)),
        result(doc[1], Verdict.SKIPPED, reason="needs more"),
        failed(unit[2], "t::iconv", tail=("the", "end"), hints=("install it",), debug=("free",)),
        result(doc[2], Verdict.ERROR, phase=Phase.IMAGE, reason="no such image", not_gating="new"),
    )
    page(runs / "20260101-000000-0001", failed(unit[0], "case 1"), root=root)
    events = [RunStarted(time=1000.0, run="r", cells=tuple(ids), jobs=2, engine="docker 20")]
    for number, cell in enumerate(ids):
        events.append(CellStarted(time=1001.0 + number, cell=cell))  # type: ignore[arg-type]
        events.append(CellPhase(time=1002.0 + number, cell=cell, phase=Phase.RUN))  # type: ignore[arg-type]
    page(now, *cells, events=tuple(events), root=root)
    return now / "report.html"


@dataclass
class Opened:
    """A page in the browser, and what it has asked for and complained of."""

    page: Page
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture
def show(browser: Browser) -> Iterator[Any]:
    contexts = []

    def show(path: Path, **how: Any) -> Opened:
        context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **how})
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("dialog", lambda dialog: opened.said.append(dialog.message))
        opened.page.goto(path.as_uri())
        return opened

    yield show
    for context in contexts:
        context.close()


def style(page: Page, selector: str, name: str) -> str:
    said = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{name}")
    return str(said)


def count(page: Page) -> str:
    return page.locator("#count").inner_text()


def test_it_loads_and_asks_for_nothing_else(show: Any, run: Path) -> None:
    opened = show(run)
    assert opened.page.title().startswith("✗ failed")
    assert opened.page.locator("h1").inner_text().startswith("✗ failed")
    assert opened.page.locator("#table tbody tr").count() == 100
    assert (opened.asked, opened.said) == ([run.as_uri()], [])


def test_cases_are_filtered_by_name_verdict_and_distro(show: Any, run: Path) -> None:
    page = show(run).page
    wait = page.locator("#count")
    assert count(page) == "302 of 302 cases"
    page.get_by_role("button", name="Show more").click()
    assert page.locator("#table tbody tr").count() == 302
    page.get_by_label("Name").fill("29 CASE")
    wait.filter(has_text="13 of 302").wait_for()
    page.get_by_label("Name").fill("")
    page.get_by_label("Verdict").select_option(label="failed")
    wait.filter(has_text="1 of 302").wait_for()
    assert page.locator("#table tbody th").inner_text().endswith("t::iconv")
    page.locator("#distro").select_option(label="debian-12")
    wait.filter(has_text="0 of 302").wait_for()
    page.get_by_label("Verdict").select_option(label="skipped")
    wait.filter(has_text="1 of 302").wait_for()
    assert page.locator("#count").get_attribute("aria-live") == "polite"


def test_all_of_it_can_be_reached_by_keyboard(show: Any, run: Path) -> None:
    page = show(run).page
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the answer"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # the grid's region, which can be scrolled
    page.keyboard.press("Tab")
    assert style(page, ":focus", "outlineStyle") == "solid"
    page.locator(".grid a", has_text="failed").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(":focus").evaluate("e => [e.tagName, e.parentNode.open]") == [
        "SUMMARY",
        True,
    ]
    page.keyboard.press("Enter")
    assert page.locator(":focus").evaluate("e => e.parentNode.open") is False


def test_it_is_light_or_dark_as_the_system_or_as_chosen(show: Any, run: Path) -> None:
    page = show(run, color_scheme="dark").page
    dark = style(page, "body", "backgroundColor")
    button = page.get_by_role("button", name="Theme")
    button.press("Enter")
    assert button.inner_text() == "Theme: light"
    assert style(page, "body", "backgroundColor") != dark
    button.click()
    assert style(page, "body", "backgroundColor") == dark
    button.click()
    page.emulate_media(color_scheme="light")
    assert style(page, "body", "backgroundColor") != dark


def test_it_is_printed_without_what_only_a_screen_can_use(show: Any, run: Path) -> None:
    page = show(run, color_scheme="dark").page
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("#filter").is_visible()
    assert page.locator(".grid").is_visible()
    assert page.pdf().startswith(b"%PDF")
    assert page.locator("article details").first.get_attribute("open") is not None


def test_it_fits_on_a_phone(show: Any, run: Path) -> None:
    page = show(run, viewport=PHONE).page
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_javascript_all_but_the_table_of_cases_is_there(show: Any, run: Path) -> None:
    page = show(run, java_script_enabled=False).page
    assert page.get_by_text("needs JavaScript").is_visible()
    assert page.locator(".grid a", has_text="passed").first.is_visible()
    assert page.locator("article").first.is_visible()
    page.locator(".cell summary").first.click()
    assert page.locator(".cell pre").first.is_visible()


@pytest.mark.parametrize("how", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=str)
def test_axe_finds_nothing(show: Any, run: Path, axe: str, how: dict[str, Any]) -> None:
    page = show(run, bypass_csp=True, **how).page
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_hostile_names_messages_and_logs_do_nothing(show: Any, tmp_path: Path) -> None:
    marked = [
        text.replace("alert(1)", "document.title='taken'") for text in (*HOSTILE[:4], *HOSTILE[5:9])
    ]
    cell = "debian-12/unit"
    escaped = [
        "".join(f"&#{ord(c)};" if c > "\x1f" else "?" for c in text).replace("&#127;", "")
        for text in marked
    ]
    cases = "".join(f"<testcase name='{e}'><failure message='{e}'/></testcase>" for e in escaped)
    leave(tmp_path, cell, "junit.xml", f"<testsuite>{cases}</testsuite>")
    leave(tmp_path, cell, "log.txt", "\n".join(marked))
    leave(tmp_path, cell, "artifacts/<img src=x onerror=alert(1)>", "x")
    all_of_it = " ".join(marked)
    page(
        tmp_path,
        failed(cell, *marked, tail=tuple(marked), reason=all_of_it, hints=tuple(marked)),
        result("rocky-9/unit", Verdict.ERROR, phase=Phase.IMAGE, reason=all_of_it),
    )
    opened = show(tmp_path / "report.html")
    shown = opened.page
    shown.locator("#table summary").evaluate_all("all => all.forEach((one) => one.click())")
    shown.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert "taken" not in shown.title()
    assert shown.locator("img, svg[onload], iframe, object").count() == 0
    assert shown.locator("#table tbody tr").count() == len(marked)
    assert "<script>document.title" in shown.locator(".cell pre").first.inner_text()
    assert (opened.asked, opened.said) == ([(tmp_path / "report.html").as_uri()], [])


@pytest.mark.parametrize(
    "attempt",
    [
        "const s = document.createElement('script'); s.textContent = 'x'; document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=x>')",
        "setTimeout('document.title = 1', 0)",
    ],
)
def test_the_browser_itself_refuses_what_is_not_the_pages_own(
    show: Any, run: Path, attempt: str
) -> None:
    taken = attempt.replace("'x'", "'document.title = 1'").replace("=x>", '="document.title=1">')
    opened = show(run)
    opened.page.evaluate(f"() => {{ try {{ {taken} }} catch {{}} }}")
    opened.page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    assert opened.page.title().startswith("✗ failed")


def test_of_many_cases_only_those_that_are_seen_are_made(show: Any, tmp_path: Path) -> None:
    cells = [f"{name}/unit" for name in ("debian-12", "alpine-3.20")]
    cases = "".join(f"<testcase name='case {n}'/>" for n in range(50_000))
    for cell in cells:
        leave(tmp_path, cell, "junit.xml", f"<testsuite>{cases}</testsuite>")
    page(tmp_path, *map(result, cells))
    shown = show(tmp_path / "report.html").page
    assert count(shown) == "50,000 of 50,000 cases"
    assert shown.locator("#table tbody tr").count() == 100
    shown.get_by_label("Name").fill("case 49999")
    shown.locator("#count").filter(has_text="1 of 50,000").wait_for()
