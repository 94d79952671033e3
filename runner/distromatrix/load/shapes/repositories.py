"""Repositories of packages beside those that images have: what a distro's file offers, and what a
matrix asks for."""

from __future__ import annotations

import stat
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import BeforeValidator, Discriminator, Tag, ValidationInfo, model_validator

from distromatrix.load.openpgp import fingerprints
from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import (
    Context,
    Flag,
    PackageName,
    Repository,
    matching,
    schema_of,
    text_of,
    wrong,
)
from distromatrix.load.shapes.host_fields import below_root
from distromatrix.wording import did_you_mean, listing, quoted

_LARGEST = 256 * 1024  # bytes of a key's file
_URL = r"(https?|ftp)://([^\s'\"$`\\/@]+@)?[A-Za-z0-9\[][^\s'\"$`\\]*"
_FINGERPRINT = r"([0-9A-Fa-f]{4} ?){10}|([0-9A-Fa-f]{4} ?){16}"
_PATH = r"(\./?|[A-Za-z0-9]([A-Za-z0-9._+/ -]|\{arch\})*)"
_PEM = "-----BEGIN PUBLIC KEY-----"  # as apk has it

EnabledName = Annotated[
    str, matching("the name of a repository that is in the image", r"[A-Za-z0-9][A-Za-z0-9._:-]*")
]


class ExtraRepositoryShape(Shape):
    """Repositories that go by one name. Where packages come from a mirror of the user's, that is
    `paths`, if there are any."""

    paths: tuple[Repository, ...] = ()
    """Below the distribution's mirror, written as in the file's `repositories`."""
    enable: tuple[EnabledName, ...] = ()
    """Those of the image that are off, by the names in its `.repo` files."""
    packages: tuple[PackageName, ...] = ()
    """Packages of the distribution's that bring them along: `epel-release`."""

    @model_validator(mode="after")
    def _says_something(self) -> ExtraRepositoryShape:
        if not (self.paths or self.enable or self.packages):
            raise wrong("expected at least one of `paths`, `enable` and `packages`")
        return self


def _key_file(value: object, info: ValidationInfo) -> str:
    text = text_of(value, "a file with a public key")
    path, mode = below_root(text, info)
    root = info.context.root if isinstance(info.context, Context) else path.parent
    if not path.is_relative_to(root.resolve()):
        raise wrong(f"{quoted(text)} leads out of the project")
    if not stat.S_ISREG(mode):
        raise wrong(f"no file {quoted(text)}", "a public key, by its path from the project's root")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1).decode()
    except OSError as error:
        raise wrong(f"{quoted(text)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        content = ""
    if len(content) > _LARGEST or not (fingerprints(content) or _PEM in content):
        hint = "`gpg --armor --export KEY` writes one; for apk, the PEM that abuild-keygen made"
        raise wrong(f"{quoted(text)} holds no public key as text", hint)
    return f"{path.name}\n{content}"


def _fingerprint(value: object) -> str:
    text = text_of(value, "a key's fingerprint")
    return "".join(text.split()).upper()


KeyFile = Annotated[str, BeforeValidator(_key_file), schema_of()]
Url = Annotated[
    str, matching("a URL such as `https://packages.example/debian`", _URL), schema_of(_URL)
]
Fingerprint = Annotated[
    str,
    matching("a fingerprint of 40 or 64 hexadecimal digits", _FINGERPRINT),
    BeforeValidator(_fingerprint),
    schema_of(_FINGERPRINT),
]
BelowUrl = Annotated[
    str, matching("a repository below the URL, such as `stable main`, or `./`", _PATH)
]


class OwnRepositoryShape(Shape):
    """A repository of one's own. Its packages are installed only where `key` has signed them, or
    the index that names them."""

    url: Url
    """Where it is."""
    paths: Annotated[tuple[BelowUrl, ...], MinLen(1)] | None = None
    """What to take below the URL: for apt a suite and its components (`stable main`), else paths
    (`{arch}`: the architecture). Default: the URL itself, for apt a flat repository (`./`)."""
    key: KeyFile | None = None
    """The file with the public key of who signs it, from the project's root: ASCII-armored; for
    apk the PEM, whose name is the one in the signatures."""
    fingerprint: Fingerprint | None = None
    """That key's, lest the file be another one."""
    signed: Flag = True
    """`false`, without a `key`: nobody signs it, and whoever can change it on its way is root in
    the machines."""

    @model_validator(mode="after")
    def _safe(self) -> OwnRepositoryShape:
        if self.signed and not self.key:
            hint = "name the file with its `key`, or say `signed: false` where nobody signs it"
            raise wrong(f"{quoted(self.url)} has no key, so that anybody may have made it", hint)
        if self.key and not self.signed:
            raise wrong("`signed: false` goes without a `key`", at="signed")
        if self.fingerprint:
            has = fingerprints(self.key or "")
            if self.fingerprint not in has:
                what = f"of {listing(has)}" if has else "of no OpenPGP key"
                raise wrong(f"the key's file is {what}", at="fingerprint")
        return self


def _kind(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return "<name>"
    return "<mapping>" if isinstance(value, dict) else None


def _known(value: object, info: ValidationInfo) -> str:
    text = text_of(value, "the name of a repository")
    known = info.context.repositories if isinstance(info.context, Context) else ()
    if text not in known:
        there = f"they know {listing(known)}" if known else "none of them knows any"
        hint = did_you_mean(text, known) or f"{there}; one of your own wants `url` and `key`"
        raise wrong(f"no distro of the matrix knows the repository {quoted(text)}", hint)
    return text


KnownRepository = Annotated[str, BeforeValidator(_known)]
Repositories = tuple[
    Annotated[
        Annotated[KnownRepository, Tag("<name>")] | Annotated[OwnRepositoryShape, Tag("<mapping>")],
        Discriminator(
            _kind,
            custom_error_type="expected",
            custom_error_message="expected a repository's name, or a mapping with its `url`",
        ),
    ],
    ...,
]
