"""`add-distro`: a file to edit, which loads at once or says what is to be filled in."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distromatrix.cli import main
from distromatrix.errors import InputError
from distromatrix.load import catalogue, load_distros
from distromatrix.load.template import Given, from_nothing, like_another
from distromatrix.model import Archive, Distro

NAMES = [distro.name for distro in load_distros(None)]
Add = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Add]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    before = signal.getsignal(signal.SIGTERM)

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*args])
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    yield call
    signal.signal(signal.SIGTERM, before)


def loaded(root: Path) -> dict[str, Distro]:
    return {distro.name: distro for distro in load_distros(root)}


def written(root: Path, text: str, name: str = "new-1") -> Distro:
    (root / "distros").mkdir(exist_ok=True)
    (root / "distros" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return loaded(root)[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_like_any_distro_loads_at_once_and_as_that_one(tmp_path: Path, name: str) -> None:
    other = loaded(tmp_path)[name]
    mine = written(tmp_path, like_another(Given(name="new-1"), other))
    assert (mine.title, mine.like, mine.eol, mine.verified) == ("new-1", name, None, None)
    keys = ("family", "package_manager", "libc", "arch", "guest", "packages", "repositories")
    for key in (*keys, "extra_repositories"):
        assert getattr(mine, key) == getattr(other, key), key
    known = [s for s in mine.image if not isinstance(s, Archive)]
    assert known == [s for s in other.image if not isinstance(s, Archive)]
    assert len(mine.image) == len(other.image)


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_comments_is_right_when_they_are_taken_away(
    tmp_path: Path, name: str
) -> None:
    other = loaded(tmp_path)[name]
    text = like_another(Given(name="new-1"), other)
    said, _, commented = text.partition(f"# Taken over from {name}.")
    bare = [line.removeprefix("# ") for line in commented.splitlines()[1:]]
    eol = said.replace("# eol:", "eol:").replace("# verified:", "verified:")
    mine = written(tmp_path, eol + "\n".join(bare) + "\n")
    assert mine.packages == other.packages
    assert mine.eol is not None
    assert mine.verified is not None


def test_what_is_given_is_in_it_and_no_image_of_the_other_stands_in(tmp_path: Path) -> None:
    given = Given(
        name="new-1", title="New: 1 # odd", pull="quay.io/x/new:1", eol="2031-01-02", libc="musl"
    )
    text = like_another(given, loaded(tmp_path)["debian-12"])
    mine = written(tmp_path, text)
    assert (mine.title, str(mine.eol), mine.libc) == ("New: 1 # odd", "2031-01-02", "musl")
    assert [s.kind for s in mine.image] == ["pull"]
    assert "# - bootstrap:" in text
    assert "# Change first: repositories, extra_repositories.\n" in text


def test_a_file_from_nothing_is_told_of_in_a_line_for_each_blank(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        written(tmp_path, from_nothing(Given(name="new-1")))
    faults = [str(fault) for fault in caught.value.faults]
    assert len(faults) == 5
    text = (tmp_path / "distros/new-1.yaml").read_text().splitlines()
    for fault in caught.value.faults:
        assert "FILL IN" in text[fault.line - 1]
        assert "got nothing" in fault.message


def test_a_file_from_nothing_with_its_blanks_given_loads(tmp_path: Path) -> None:
    given = Given(
        name="new-1",
        title="New",
        pull="quay.io/x/new:1",
        family="other",
        package_manager="none",
        libc="musl",
    )
    mine = written(tmp_path, from_nothing(given))
    assert (mine.title, mine.family, mine.libc) == ("New", "other", "musl")
    assert [s.kind for s in mine.image] == ["pull"]


@pytest.mark.parametrize("like", [None, "debian-12"])
def test_every_key_of_a_distro_file_is_in_it(tmp_path: Path, like: str | None) -> None:
    from distromatrix.load.shapes.distro import DistroShape

    given = Given(name="new-1")
    text = like_another(given, loaded(tmp_path)[like]) if like else from_nothing(given)
    assert all(f"{key}:" in text for key in DistroShape.model_fields)


def test_it_is_written_below_the_project_and_what_to_type_next_is_said(
    cli: Add, tmp_path: Path
) -> None:
    (tmp_path / "a project").mkdir()
    code, out, err = cli("add-distro", "new-1", "--like", "debian-12", "-C", "a project")
    assert (code, err) == (0, "")
    assert out.startswith("wrote a project/distros/new-1.yaml\n")
    assert "distromatrix run new-1 -C 'a project'\n" in out
    assert "add it to `distros:` in a project/matrix/default.yaml" in out
    assert "new-1" in loaded(tmp_path / "a project")


def test_without_a_project_it_goes_to_the_working_folder(cli: Add, tmp_path: Path) -> None:
    code, out, _ = cli("add-distro", "new-1", "--like", "alpine-3.20")
    assert code == 0
    assert out.startswith("wrote distros/new-1.yaml\n")
    code, out, _ = cli("distros", "new-1", "--json")
    (listed,) = json.loads(out)
    assert (listed["like"], listed["verified"]) == ("alpine-3.20", None)


def test_a_matrix_whose_globs_have_it_already_is_not_to_be_edited(cli: Add, tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    matrix = "product: .\ndistros: [debian-*]\nsuites: {u: {run: x}}\n"
    (tmp_path / "matrix/default.yaml").write_text(matrix)
    _, out, _ = cli("add-distro", "debian-next", "--like", "debian-12")
    assert "add it to `distros:`" not in out
    _, out, _ = cli("add-distro", "other-1", "--like", "debian-12")
    assert "add it to `distros:`" in out
    (tmp_path / "matrix/all.yaml").write_text(matrix.replace("debian-*", "'*'"))
    _, out, _ = cli("add-distro", "other-2", "--like", "debian-12")
    assert "add it to `distros:`" not in out
    assert "distromatrix run other-2 -m matrix/all.yaml\n" in out


@pytest.mark.parametrize(
    "more", [["--like", "alpine-3.20"], ["--family=alpine", "--package-manager=apk", "--libc=musl"]]
)
def test_an_archive_is_named_with_its_sha256_and_where_to_keep_it_is_said(
    cli: Add, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/root.tar.gz").write_bytes(b"a root")
    args = ("--title", "New", "--archive", "elsewhere/root.tar.gz", *more)
    code, out, err = cli("add-distro", "new-1", *args)
    assert (code, err) == (0, "")
    assert f"export DISTROMATRIX_ARCHIVES={tmp_path}/elsewhere\n" in out
    sha256 = hashlib.sha256(b"a root").hexdigest()
    assert loaded(tmp_path)["new-1"].image == (Archive(file="root.tar.gz", sha256=sha256),)
    (tmp_path / "distros/root.tar.gz").write_bytes(b"a root")
    code, out, _ = cli("add-distro", "new-2", *args[:3], "distros/root.tar.gz", *more)
    assert (code, "DISTROMATRIX_ARCHIVES" in out) == (0, False)


@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_a_file_that_is_there_is_left_as_it_is(cli: Add, tmp_path: Path, ending: str) -> None:
    (tmp_path / "distros").mkdir()
    file = tmp_path / f"distros/new-1.{ending}"
    file.write_text("mine")
    code, out, err = cli("add-distro", "new-1", "--like", "debian-12")
    assert (code, out) == (2, "")
    assert err == f"distros/new-1.{ending}: already exists\n"
    assert file.read_text() == "mine"
    assert [p.name for p in (tmp_path / "distros").iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["New 1", "--like", "debian-12"], "use lower-case letters, digits"),
        (["../new", "--like", "debian-12"], "invalid distro name"),
        (["new", "--like", "debian-112"], "no distro `debian-112` (did you mean `debian-1"),
        (["new", "--like", "zzz"], "no distro `zzz` (`distromatrix distros` lists all)"),
        (["new", "-C", "nowhere"], "nowhere: is not a folder"),
        (["new", "--pull", "a b"], "expected an image reference"),
        (["new", "--eol", "soon"], "expected a date"),
        (["new", "--libc", "bionic"], "'glibc', 'musl'"),
        (["new", "--archive", "none.tar"], "none.tar: cannot be read: No such file"),
        (["new", "--archive", "/dev/null"], "/dev/null: is not a regular file"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    cli: Add, tmp_path: Path, args: list[str], words: str
) -> None:
    code, out, err = cli("add-distro", *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "distros").exists()


def test_a_projects_own_version_of_a_built_in_distro_is_like_the_built_in(
    cli: Add, tmp_path: Path
) -> None:
    assert cli("add-distro", "debian-12", "--like", "debian-12", "--title", "Ours")[0] == 0
    assert loaded(tmp_path)["debian-12"].title == "Ours"


def test_editors_are_told_of_the_schema_only_where_it_is(
    cli: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: Callable[[str], Any] = lambda n: (tmp_path / f"distros/{n}.yaml").read_text().split()[1]  # noqa: E731
    cli("add-distro", "new-1", "--like", "debian-12")
    assert first("new-1") == "Starts"
    (tmp_path / "distros/distro.schema.json").write_text("{}")
    cli("add-distro", "new-2", "--like", "debian-12")
    assert first("new-2") == "yaml-language-server:"


def test_in_a_checkout_of_ours_it_goes_into_the_catalogue(
    cli: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(catalogue.builtin_folder(), tmp_path / "distros")
    monkeypatch.setattr(catalogue, "builtin_folder", lambda: tmp_path / "distros")
    assert cli("add-distro", "new-1", "--like", "debian-12")[0] == 0
    assert loaded(tmp_path)["new-1"].file == tmp_path / "distros/new-1.yaml"
