"""How long the page of a run takes to be written, and to open in a browser.

`python benchmarks/page.py [--cases 25000]`: so many cases on each of four distros, one of a
thousand failing; medians of five. Opening, until the table is there, and filtering it need
playwright (`pip install -e '.[browser]'`) and a Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from distromatrix.model import Case, Cell, CellResult, Phase, Plan, Product, RunResult, Verdict
from distromatrix.plan.file import store_plan

DISTROS = ("debian-11", "debian-12", "rocky-9", "alpine-3.20")
TIMES = 5


def make_run(folder: Path, cases: int) -> tuple[Plan, RunResult]:
    """A run of one suite on all distros, as its folder would be."""
    cells, results = [], []
    for turn, distro in enumerate(DISTROS):
        name = f"{distro}/unit"
        cells.append(
            Cell(id=name, distro=distro, suite="unit", engine="docker", reason="", run="true")
        )
        own = folder / "cells" / name
        own.mkdir(parents=True)
        with (own / "junit.xml").open("w") as file:
            file.write("<testsuite>")
            for n in range(cases):
                bad = "<failure message='assert 1 == 2'/>" if n % 1000 == turn else ""
                where = f"classname='tests.test_module_{n // 100}' name='test_case_{n}'"
                file.write(f"<testcase {where} time='0.{n % 7}'>{bad}</testcase>\n")
            file.write("</testsuite>")
        (own / "log.txt").write_text("\x1b[32ma line\x1b[0m of a log\n" * 100_000)
        failing = (Case(name="a", status="failed"),)
        results.append(
            CellResult(id=name, verdict=Verdict.FAILED, phase=Phase.RUN, failing=failing)
        )
    plan = Plan(
        matrix=folder / "matrix/default.yaml",
        root=folder,
        product=Product(path=folder),
        cells=tuple(cells),
    )
    store_plan(plan, folder / "plan.json")
    result = RunResult(
        run="r", folder=folder, verdict=Verdict.FAILED, exit_code=1, cells=tuple(results)
    )
    return plan, result


def time_browser(page: Path) -> tuple[float, float]:
    """Seconds until the page is there, and until it is filtered."""
    from playwright.sync_api import sync_playwright

    opens, filters = [], []
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(TIMES):
            shown = browser.new_page()
            start = perf_counter()
            shown.goto(page.as_uri())
            shown.locator("#table tbody tr").first.wait_for()
            opened = perf_counter()
            shown.get_by_label("Name").fill("case_7777")
            shown.locator("#count", has_text="1 of").wait_for()
            opens.append(opened - start)
            filters.append(perf_counter() - opened)
            shown.close()
        browser.close()
    return median(opens), median(filters)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=25_000)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as name:
        plan, result = make_run(Path(name), cases)
        start = perf_counter()
        from distromatrix.reports.html.page import write_page

        print(f"import  {perf_counter() - start:6.3f} s")
        writes = []
        for _ in range(TIMES):
            start = perf_counter()
            page = write_page(Path(name), plan, result)
            writes.append(perf_counter() - start)
        print(f"write   {median(writes):6.3f} s  ({page.stat().st_size / 1e6:.1f} MB)")
        opened, filtered = time_browser(page)
        print(f"open    {opened:6.3f} s\nfilter  {filtered:6.3f} s  (of which 0.12 s are waited)")


if __name__ == "__main__":
    main()
