"""A console that shows text from elsewhere, and obeys none of it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from distromatrix.collect.text import fit


class FitConsole(Console):
    """Styles, and what moves the cursor on the board, are put around the text after this."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What rich makes of it, each text fit for a terminal."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(fit(text, lines=True), style)
