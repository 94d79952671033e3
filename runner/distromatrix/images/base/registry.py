"""Asking registries: again where that can help, and never again what is out of reach."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import NoReturn, TypeVar

from distromatrix.engines.image_store import Image, ImageStore, Resolved
from distromatrix.errors import ImageError, PullError
from distromatrix.images.base.bootstrap import OutOfReachError

_ATTEMPTS = 3
_PATIENCE = 20.0  # seconds within which another attempt is begun
# That a name does not resolve, or that there is no way out at all, is not mended by waiting.
_NO_NETWORK = re.compile(
    r"no such host|server misbehaving|name resolution|name or service|not resolve"
    r"|network is unreachable|no route to host|lookup ",
    re.IGNORECASE,
)

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """The registries that an engine asks. `unreachable` remembers those that did not answer
    for the life of the process, so that the second distro does not wait for what the first
    one learned. All methods raise OutOfReachError or ImageError."""

    store: ImageStore
    cancelled: Event
    unreachable: dict[str, str] = field(default_factory=dict)

    def pull(self, ref: str, tag: str, say: Say) -> Image:
        """Pull `ref`, and tag it `tag` as well."""

        def pull() -> Image:
            return self.store.pull(ref, tag, lambda text: say(f"pulling {ref}: {text}"))

        return self._ask(ref, "pulling", say, pull)

    def resolve(self, ref: str, say: Say) -> Resolved:
        """What the registry has under `ref` now."""
        return self._ask(ref, "looking up", say, lambda: self.store.resolve(ref))

    def _ask(self, ref: str, doing: str, say: Say, ask: Callable[[], T]) -> T:
        registry = ref.partition("/")[0]
        if known := self.unreachable.get(registry):
            raise OutOfReachError(f"cannot pull {ref}: not tried again, as {known}")
        say(f"{doing} {ref}")
        began, tries = monotonic(), 0
        while True:
            tries += 1
            try:
                return ask()
            except PullError as error:
                if (
                    tries == _ATTEMPTS
                    or monotonic() - began > _PATIENCE
                    or not _worth_retrying(error)
                ):
                    self._give_up(registry, error, f" (tried {tries} times)" if tries > 1 else "")
                say(f"{doing} {ref}: trying again")
                # Who was refused with others comes back apart from them.
                self._pause(random.uniform(0, 0.5 * 2 ** (tries - 1)))  # noqa: S311

    def _give_up(self, registry: str, error: PullError, tried: str) -> NoReturn:
        if error.kind == "unreachable":
            self.unreachable[registry] = str(error)
            raise OutOfReachError(
                f"{error}{tried}: mend the network, or name a mirror in DISTROMATRIX_REGISTRY"
            ) from error
        if error.kind == "rate-limit":
            advice = "DISTROMATRIX_REGISTRY names a mirror"
            raise PullError(error.kind, f"{error}: {advice}") from error
        raise PullError(error.kind, f"{error}{tried}") from error

    def _pause(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise ImageError("cancelled")


def _worth_retrying(error: PullError) -> bool:
    return error.kind in ("unreachable", "other") and _NO_NETWORK.search(str(error)) is None
