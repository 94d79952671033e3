"""What a command prints in a machine, kept for the test that ran it."""

from __future__ import annotations

from distromatrix.errors import InfrastructureError

MOST_PRINTED = 256 * 1024**2  # bytes of one command


class Printed:
    """What a test's command prints, whole: InfrastructureError, which ends it, where that is
    too much."""

    def __init__(self, where: str) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._where = where

    def out(self, piece: bytes) -> None:
        """Hear its standard output."""
        self._keep(self.stdout, piece)

    def err(self, piece: bytes) -> None:
        """Hear its standard error."""
        self._keep(self.stderr, piece)

    def _keep(self, kept: bytearray, piece: bytes) -> None:
        if len(self.stdout) + len(self.stderr) + len(piece) > MOST_PRINTED:
            most = MOST_PRINTED // 1024**2
            raise InfrastructureError(
                f"{self._where}: a command printed more than {most} MiB and was stopped; redirect "
                "its output to a file",
                transient=False,
            )
        kept += piece
