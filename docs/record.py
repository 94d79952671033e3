"""Records `make demo` as docs/demo.svg, the picture on top of README.

`python docs/record.py` needs a container engine. Run `make demo` once before, so that no image has
to be made. It runs the demo on a terminal of its own, takes the screen at a few moments, and lets
rich draw each; the picture shows one after the other, and stays at the last.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/demo.svg"
COLUMNS = 112
MOMENTS = 5  # before the end
SECONDS = 1.2  # for each of them
COMMAND = [sys.executable, "-m", "distromatrix", "run", "-C", "examples/logtally"]
# What the board does with the cursor: it goes up and erases what it has written.
_CONTROL = re.compile(r"\x1b\[(?:\?25[lh]|2K|1A)|\r|\n")
_STYLE = """<style>
.moment {{ visibility: hidden; animation: {seconds}s step-end moment }}
.last {{ animation: {wait}s step-end wait }}
@keyframes moment {{ 0% {{ visibility: visible }} 100% {{ visibility: hidden }} }}
@keyframes wait {{ 0% {{ visibility: hidden }} 100% {{ visibility: visible }} }}
@media (prefers-reduced-motion: reduce) {{ .moment, .last {{ animation: none }} }}
</style>"""


def record() -> list[str]:
    """What the screen showed, moment after moment, as text with its styles."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        os.execvp(COMMAND[0], COMMAND)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    screen, screens = Screen(), []
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        screen.write(data)
        screens.append(screen.text())
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(screens[-1])
    return screens


class Screen:
    """The lines of a terminal that knows no more than what the board uses."""

    def __init__(self) -> None:
        self.lines, self.row, self.rest = [""], 0, b""

    def write(self, data: bytes) -> None:
        whole, _, self.rest = (self.rest + data).rpartition(b"\n")
        text = (whole + b"\n").decode() if whole else ""
        at = 0
        for found in _CONTROL.finditer(text):
            self.lines[self.row] += text[at : found.start()]
            at = found.end()
            if found[0] == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif found[0].endswith("1A"):
                self.row = max(0, self.row - 1)
            elif found[0].endswith("2K"):
                self.lines[self.row] = ""

    def text(self) -> str:
        return "\n".join(self.lines).rstrip()


def draw(screens: list[str]) -> str:
    """One picture of all, each in its time."""
    texts = [Text.from_ansi(f"\x1b[1m$ make demo\x1b[0m\n{screen}") for screen in screens]
    height = max(len(text.plain.splitlines()) for text in texts)
    frames = []
    for number, text in enumerate(texts):
        text.append("\n" * (height - len(text.plain.splitlines())))
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
        console.print(text, soft_wrap=True)
        svg = console.export_svg(title="distromatrix", theme=MONOKAI, unique_id=f"at{number}")
        last = number == len(texts) - 1
        begin = f"animation-delay: {number * SECONDS:.1f}s" if not last else ""
        frames.append(f'<g class="{"last" if last else "moment"}" style="{begin}">{svg}</g>')
    box = re.search(r'viewBox="([^"]+)"', frames[0])
    assert box
    style = _STYLE.format(seconds=SECONDS, wait=SECONDS * (len(texts) - 1))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box[1]}">'
    whole = f"{head}{style}{''.join(frames)}</svg>"
    # A picture in a page loads nothing from elsewhere.
    return re.sub(r"\s*@font-face \{[^}]*\}", "", whole) + "\n"


def main() -> None:
    """Record, and write the picture."""
    screens = record()
    boards = [screen for screen in screens if "waiting" in screen]
    step = len(boards) / MOMENTS
    chosen = [boards[int(step * number)] for number in range(MOMENTS)]
    PICTURE.write_text(draw([*chosen, screens[-1]]), "utf-8")


if __name__ == "__main__":
    main()
