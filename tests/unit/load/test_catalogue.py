"""The distros there are: what ships, and what a project lays over it."""

import shutil
from base64 import b64decode
from datetime import date
from pathlib import Path

import pytest
import yaml
from loading import SMALL, Project, place

from distromatrix.errors import InputError
from distromatrix.load import catalogue, load_distros
from distromatrix.load.read import read_document
from distromatrix.model import Archive, Bootstrap, Containerfile, Distro, Pull

WHOLE = """\
title: Mine
family: other
package_manager: none
libc: musl
image: [{pull: "example.org/mine:1"}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write(SMALL)
    return project


def by_name(root: Path | None = None) -> dict[str, Distro]:
    return {distro.name: distro for distro in load_distros(root)}


WANTED = """
    alpine-3.20 alpine-3.22 alpine-3.23 alpine-3.24 alpine-edge almalinux-8 almalinux-9
    almalinux-10 amazonlinux-2023 archlinux centos-stream-9 centos-stream-10 debian-11 debian-12
    debian-13 debian-sid debian-testing fedora-43 fedora-44 fedora-45 fedora-rawhide kali-rolling
    opensuse-leap-16.0 opensuse-tumbleweed oraclelinux-8 oraclelinux-9 rocky-8 rocky-9 rocky-10
    ubuntu-22.04 ubuntu-24.04 ubuntu-26.04 void void-musl
"""
# Past their end of life and kept: people ship for them.
ENDED = {"alpine-3.20", "debian-11", "opensuse-leap-15.6"}
WRITTEN = date(2026, 11, 24)  # the day that the facts were looked up
CATALOGUE = load_distros(None)


def test_what_people_ship_for_is_there_in_natural_order() -> None:
    names = [distro.name for distro in CATALOGUE]
    assert set(WANTED.split()) <= set(names)
    assert len(names) >= 30
    assert names == sorted(names, key=catalogue.natural)


def test_what_ships_says_where_an_end_of_life_and_a_verification_are_known() -> None:
    distros = by_name()
    assert distros["debian-11"].eol == date(2026, 8, 31)
    assert distros["debian-testing"].eol is None  # not inherited through `like:`
    assert distros["ubuntu-24.04"].verified is None
    assert distros["debian-sid"].verified is not None


@pytest.mark.parametrize("distro", CATALOGUE, ids=lambda d: d.name)
def test_the_facts_of_what_ships_fit_together(distro: Distro) -> None:
    assert (distro.eol is not None and distro.eol < WRITTEN) is (distro.name in ENDED)
    assert distro.verified is None or date(2026, 11, 1) <= distro.verified
    assert {"x86_64"} <= set(distro.arch)
    pulls = [source.ref for source in distro.image if isinstance(source, Pull)]
    assert isinstance(distro.image[0], Pull)  # a registry first: quickest, and what others test
    for ref in pulls:
        host, _, rest = ref.partition("/")
        assert "." in host, f"{ref} does not name its registry"
        assert "/" in rest or host != "docker.io", f"{ref} leaves out `library/`"
        assert ":" in rest, f"{ref} has no tag"


@pytest.mark.parametrize("distro", CATALOGUE, ids=lambda d: d.name)
def test_an_end_of_life_that_is_not_known_says_why(distro: Distro) -> None:
    text = distro.file.read_text("utf-8")
    assert distro.eol or "# eol: " in text or distro.like in ("debian-13", "debian-testing")


@pytest.mark.parametrize("distro", CATALOGUE, ids=lambda d: d.name)
def test_a_bootstrap_has_what_its_tool_asks_for(distro: Distro) -> None:
    tools = {"apt": "mmdebstrap", "xbps": None}
    for source in distro.image:
        if isinstance(source, Bootstrap):
            assert source.tool == tools.get(distro.package_manager, distro.package_manager)
            assert source.tool == "mmdebstrap" or distro.repositories
    for line in distro.repositories:
        assert (" " in line) is (distro.package_manager == "apt"), line


def test_no_two_distros_have_the_same_title_or_image() -> None:
    titles = [distro.title for distro in CATALOGUE]
    pulls = [s.ref for distro in CATALOGUE for s in distro.image if isinstance(s, Pull)]
    assert sorted(titles) == sorted(set(titles))
    assert sorted(pulls) == sorted(set(pulls))


@pytest.mark.parametrize("distro", CATALOGUE, ids=lambda d: d.name)
def test_what_differs_from_release_to_release_is_not_taken_over(distro: Distro) -> None:
    said = yaml.safe_load(distro.file.read_text("utf-8"))
    assert {"title", "image", "repositories"} <= set(said)
    a_variant = distro.like is not None and distro.name.startswith(f"{distro.like}-")
    assert not (distro.guest and distro.guest.box) or "guest" in said or a_variant


def test_debian_can_be_bootstrapped_and_alpine_unpacked() -> None:
    distros = by_name()
    for name, suite in (("debian-11", "bullseye"), ("debian-testing", "forky")):
        pull, bootstrap = distros[name].image
        assert isinstance(pull, Pull)
        assert isinstance(bootstrap, Bootstrap)
        assert (bootstrap.tool, bootstrap.suite) == ("mmdebstrap", suite)
    archive = distros["alpine-3.20"].image[1]
    assert isinstance(archive, Archive)
    assert len(archive.sha256) == 64


@pytest.mark.parametrize("distro", CATALOGUE, ids=lambda d: d.name)
def test_every_distro_that_ships_has_the_common_package_names(distro: Distro) -> None:
    common = """python python-dev pip pytest compiler c++ make git bash curl ca-certificates"""
    assert set(common.split()) <= set(distro.packages)
    assert all(distro.packages.values())


def test_a_project_adds_a_distro_with_one_file(project: Project) -> None:
    path = project.distro("mine-1", WHOLE)
    mine = by_name(project.root)["mine-1"]
    assert mine.file == path
    assert mine.image == (Pull(ref="example.org/mine:1"),)


def test_a_project_overrides_a_built_in_distro_by_name(project: Project) -> None:
    project.distro("debian-12", WHOLE)
    assert by_name(project.root)["debian-12"].title == "Mine"
    assert by_name(project.root)["debian-11"].family == "debian"  # its parent is the built-in


def test_a_project_can_start_from_the_built_in_distro_of_the_same_name(project: Project) -> None:
    project.distro("debian-12", "like: debian-12\nimage: [{pull: 'example.org/d:12'}]\n")
    mine, built_in = by_name(project.root)["debian-12"], by_name()["debian-12"]
    assert mine.image == (Pull(ref="example.org/d:12"),)
    assert (mine.title, mine.eol, mine.packages) == (
        built_in.title,
        built_in.eol,
        built_in.packages,
    )
    assert mine.verified is None


def test_like_merges_packages_by_name_and_replaces_all_else(project: Project) -> None:
    project.distro("base", WHOLE + "packages: {a: [x], b: [y]}\narch: [riscv64]\n")
    project.distro("derived", "like: base\nlibc: glibc\npackages: {b: [z], c: [w]}\n")
    derived = by_name(project.root)["derived"]
    assert derived.packages == {"a": ("x",), "b": ("z",), "c": ("w",)}
    assert (derived.libc, derived.family, derived.arch) == ("glibc", "other", ("riscv64",))
    assert derived.like == "base"


def test_like_in_a_circle_is_told_of_each_file_in_it(project: Project) -> None:
    project.distro("a", "like: b\n")
    project.distro("b", "like: a\n")
    faults = project.faults()
    assert [Path(f.file).name for f in faults] == ["a.yaml", "b.yaml"]
    assert all("in a circle" in f.message and place(f) == (1, 7) for f in faults)


def test_like_itself_needs_a_built_in_distro_of_that_name(project: Project) -> None:
    project.distro("a", "like: a\n")
    assert project.fault().message == "no built-in distro `a`"


def test_like_nothing_is_a_fault_with_a_near_name(project: Project) -> None:
    project.distro("a", "title: A\nlike: debian-112\n")
    fault = project.fault()
    assert "no distro `debian-112`" in fault.message
    assert "did you mean `debian-1" in fault.hint
    assert place(fault) == (2, 7)


def test_what_like_does_not_bring_must_be_there(project: Project) -> None:
    project.distro("a", "title: A\nfamily: other\n")
    messages = [fault.message for fault in project.faults()]
    assert messages == ["`image` is missing", "`libc` is missing", "`package_manager` is missing"]


KINDS = "one of `pull`, `bootstrap`, `archive` and `containerfile`"


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("packge_manager: apt", "unknown key `packge_manager`", "did you mean `package_manager`?"),
        ("package_manager: atp", "expected `apt`", "did you mean `apt`?"),
        ("family: debain", "expected `debian`", "did you mean `debian`?"),
        ("libc: bionic", "expected `glibc` or `musl`", ""),
        ("eol: soon", "expected a date", ""),
        ("eol: 2026-02-30", "expected a date", ""),
        ("image: []", "at least one", ""),
        ("image: debian", "expected a list", ""),
        ("image: [debian]", KINDS, ""),
        ("image: [{pul: x}]", KINDS, ""),
        ("image: [{pull: x, archive: {}}]", KINDS, ""),
        ("image: [{pull: 'a b'}]", "expected an image reference", ""),
        ("image: [{pull: x, refresh: 7}]", "expected a duration", "`7s`"),
        ("image: [{pull: x, suite: y}]", "unknown key `suite`", ""),
        ("image: [{bootstrap: {suite: x}}]", "`tool` is missing", ""),
        ("image: [{bootstrap: {tool: debstrap, suite: x}}]", "expected `mmdebstrap`", ""),
        ("image: [{archive: {file: ../x, sha256: a}}]", "without folders", ""),
        ("image: [{archive: {file: x, sha256: a}}]", "64 hexadecimal digits", ""),
        ("guest: {}", "at least one of `bootstrap`", ""),
        ("guest: {box: a, vagrantfile: b}", "one of `box` and `vagrantfile`", ""),
        ("guest: {box: a, provider: virtualbux}", "virtualbux", "did you mean `virtualbox`?"),
        ("guest: {box: a, provider: hyperv, keep_ready: true}", "`keep_ready` is for guests", ""),
        (
            "guest: {bootstrap: {kernel: a}, provider: hyperv}",
            "guests of the provider hyperv need a `box` or a `vagrantfile`",
            "",
        ),
        ("guest: {box: a, machine: b}", "`machine` belongs to `vagrantfile`", ""),
        ("guest: {vagrantfile: a, version: b}", "`version` belongs to `box`", ""),
        ("guest: {bootstrap: {system: [a]}}", "`kernel` is missing", ""),
        ("packages: {python: python3}", "expected a list", "write [python3]"),
        ("packages: {python: [a b]}", "expected a package name", ""),
        ("packages: {python: [-y]}", "expected a package name", ""),
        ("packages: {python: [/../x]}", "expected a package name", ""),
    ],
)
def test_a_slip_in_a_distro_file_is_told(
    project: Project, line: str, message: str, hint: str
) -> None:
    key = line.split(":", maxsplit=1)[0]
    kept = "".join(f"{text}\n" for text in WHOLE.splitlines() if not text.startswith(key))
    path = project.distro("mine", kept + line + "\n")
    faults = project.faults()
    text = "\n".join(map(str, faults))
    assert faults[0].line == len(path.read_text().splitlines())
    assert message in text
    assert hint in text


def test_a_broken_distro_file_is_not_also_told_as_unknown(project: Project) -> None:
    project.distro("mine", "title: [\n")
    fault = project.fault("distros: [mine]\nsuites: {u: {run: x}}\n")
    assert "not valid YAML" in fault.message


@pytest.mark.parametrize("name", ["My Distro", "a..b", "UPPER"])
def test_a_file_whose_name_is_no_name_is_a_fault(project: Project, name: str) -> None:
    project.distro(name, WHOLE)
    assert "a distro's file is named" in project.fault().message


def test_a_yml_file_is_not_silently_ignored(project: Project) -> None:
    path = project.distro("mine", WHOLE)
    path.rename(path.with_suffix(".yml"))
    assert "is ignored" in project.fault().message


def test_an_archive_is_found_beside_the_file_that_declares_it(project: Project) -> None:
    source = f"image: [{{archive: {{file: r.tar.gz, sha256: '{'0' * 64}'}}}}]\n"
    project.distro("base", WHOLE.rpartition("image:")[0] + source)
    project.distro("derived", "like: base\n")
    (project.root / "distros" / "r.tar.gz").write_bytes(b"")
    (archive,) = by_name(project.root)["derived"].image
    assert archive == Archive(file=str(project.root / "distros" / "r.tar.gz"), sha256="0" * 64)


def test_a_file_added_to_the_built_in_folder_counts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "distros"
    shutil.copytree(catalogue.builtin_folder(), folder)
    monkeypatch.setattr(catalogue, "builtin_folder", lambda: folder)
    (folder / "new-1.yaml").write_text(WHOLE)
    assert "new-1" in by_name()
    assert "new-1" in by_name(tmp_path)  # the same folder twice is one layer


def test_a_folder_without_distros_changes_nothing(tmp_path: Path) -> None:
    assert load_distros(tmp_path) == load_distros(None)


def test_faults_of_distros_alone_raise_too(project: Project) -> None:
    project.distro("mine", "libc: x\n")
    with pytest.raises(InputError, match="expected `glibc` or `musl`"):
        load_distros(project.root)


def test_of_the_built_in_distros_only_those_that_are_named_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def counted(path: Path, root: Path | None) -> catalogue.Document:
        read.append(path.stem)
        return read_document(path, root)

    monkeypatch.setattr(catalogue, "read_document", counted)
    found = catalogue.Catalogue.read(None, ["debian-12"])
    assert found.distros == (next(d for d in CATALOGUE if d.name == "debian-12"),)
    assert found.names == tuple(d.name for d in CATALOGUE)
    assert read == ["debian-12"]


BUILT = WHOLE.replace('{pull: "example.org/mine:1"}', "{containerfile: images/a/Containerfile}")


def put(project: Project, name: str, text: str) -> None:
    path = project.root / "distros/images/a" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_containerfile_is_read_with_what_lies_beside_it(project: Project) -> None:
    project.distro("mine", BUILT)
    put(project, "Containerfile", "FROM x")
    put(project, "more/y", "y")
    (source,) = by_name(project.root)["mine"].image
    assert isinstance(source, Containerfile)
    assert source.path == "images/a/Containerfile"
    assert [(name, b64decode(text)) for name, text, _ in source.files] == [
        ("Containerfile", b"FROM x"),
        ("more/y", b"y"),
    ]


def test_what_a_build_cannot_take_is_told_at_its_place(project: Project) -> None:
    project.distro("mine", BUILT)
    folder = project.root / "distros/images/a"

    def told() -> str:
        with pytest.raises(InputError) as caught:
            load_distros(project.root)
        (fault,) = caught.value.faults
        assert (fault.line, fault.file.endswith("mine.yaml")) == (5, True)
        return str(fault)

    assert "No such file or directory" in told()
    put(project, "Other", "FROM x")
    assert "no file `images/a/Containerfile`" in told()
    put(project, "Containerfile", "FROM x")
    (folder / "big").write_bytes(bytes(1024**2))
    assert "holds more than 1 MiB" in told()
    (folder / "big").unlink()
    (folder / "link").symlink_to("/etc/passwd")
    assert "is no plain file" in told()
    (folder / "link").unlink()
    folder.rename(project.root / "elsewhere")
    folder.symlink_to(project.root / "elsewhere")
    assert "images/a" in told()
