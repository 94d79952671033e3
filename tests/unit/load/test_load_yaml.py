"""Files that are no usable YAML, or YAML that is more than data."""

from pathlib import Path

import pytest
from loading import SMALL, Project, place


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_syntax_error_is_one_fault_at_its_place(project: Project) -> None:
    fault = project.fault("distros: [debian-12\nsuites: {unit: {run: x}}\n")
    assert "not valid YAML" in fault.message
    assert fault.line == 2


def test_a_tab_as_indentation_is_answered_with_a_hint(project: Project) -> None:
    assert "tabs" in project.fault("suites:\n\tunit: x\n").hint


def test_not_utf8_is_told_at_its_place(project: Project) -> None:
    fault = project.fault(b"distros: [debian-12]\nenv: {A: \xff}\n")
    assert "not UTF-8" in fault.message
    assert place(fault) == (2, 10)


def test_a_byte_order_mark_does_no_harm(project: Project) -> None:
    project.file.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert project.load().suites[0].name == "unit"


def test_control_characters_are_told_by_number(project: Project) -> None:
    fault = project.fault(b"distros: [debian-12]\nenv: {A: \x1b[31m}\n")
    assert "U+001B" in fault.message
    assert place(fault) == (2, 10)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_a_fault(project: Project, text: str) -> None:
    assert project.fault(text).message == "is empty"


@pytest.mark.parametrize("text", ["just text\n", "[a, list]\n"])
def test_what_is_no_mapping_is_a_fault(project: Project, text: str) -> None:
    assert "expected a mapping" in project.fault(text).message


def test_a_folder_is_a_fault(project: Project) -> None:
    project.file.mkdir()
    assert "is a folder" in project.fault().message


def test_a_missing_file_is_a_fault(project: Project) -> None:
    assert "No such file" in project.fault().message


def test_a_pipe_is_a_fault_and_not_waited_for(project: Project) -> None:
    import os

    os.mkfifo(project.file)
    assert "not a regular file" in project.fault().message


def test_a_huge_file_is_refused(project: Project) -> None:
    assert "larger than 1 MiB" in project.fault(SMALL + "#" * (1 << 20)).message


def test_a_second_document_is_refused(project: Project) -> None:
    fault = project.fault(SMALL + "---\na: b\n")
    assert "second document" in fault.message
    assert fault.line == 4


def test_tags_are_refused_and_make_nothing(project: Project, tmp_path: Path) -> None:
    made = tmp_path / "made"
    fault = project.fault(f"{SMALL}env:\n  A: !!python/object/apply:os.mkdir [{made}]\n"[:-1])
    assert not made.exists()
    assert "!!python/object/apply:os.mkdir" in fault.message


def test_even_a_harmless_explicit_tag_is_refused(project: Project) -> None:
    fault = project.fault(SMALL + "env: {A: !!str 1}\n")
    assert "!!str" in fault.message
    assert place(fault) == (4, 10)


def test_a_duplicate_key_is_told_with_both_places(project: Project) -> None:
    fault = project.fault(SMALL + "env: {A: x}\nenv: {B: y}\n")
    assert "duplicate key `env`" in fault.message
    assert place(fault) == (5, 1)
    assert "4:1" in fault.hint


def test_merge_keys_are_refused_with_what_to_do_instead(project: Project) -> None:
    fault = project.fault(
        "distros: [debian-12]\nenv: &e {A: b}\nsuites: {unit: {run: x, <<: *e}}\n"
    )
    assert "merge keys" in fault.message
    assert "defaults" in fault.hint


def test_a_key_that_is_no_text_is_refused(project: Project) -> None:
    assert "a key must be plain text" in project.fault(SMALL + "env: {[a]: b}\n").message


def test_aliases_repeat_a_value(project: Project) -> None:
    matrix = project.load(
        """\
        distros: [debian-12]
        env: &e {A: b}
        suites:
          unit: {run: x, env: *e}
        """
    )
    assert matrix.env == matrix.suites[0].env == {"A": "b"}


def test_a_fault_inside_an_alias_is_told_where_it_stands(project: Project) -> None:
    fault = project.fault("env: &e {1A: b}\n" + SMALL)
    assert place(fault) == (1, 10)


def test_an_alias_without_anchor_or_inside_its_own_is_a_fault(project: Project) -> None:
    assert "*nope" in project.fault("env: *nope\n").message
    assert "*e" in project.fault("env: &e {A: *e}\n").message


def test_billion_laughs_are_refused_before_they_grow(project: Project) -> None:
    lines = ["env:", "  a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"  b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 19)
    ]  # 9**19 values
    fault = project.fault("\n".join(lines) + "\n")
    assert "once aliases are followed" in fault.message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(project: Project, opening: str) -> None:
    assert "nested deeper" in project.fault("env: \n " + opening * 500).message
    # PyYAML has a bound of its own from 6.0.4 on, and may come to it first.
    fault = project.fault("env: \n " + opening * 5000)
    assert "nested deeper" in fault.message or "maximum nesting depth" in fault.message


def test_deep_nesting_through_aliases_is_refused(project: Project) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 30)]
    assert "nested deeper" in project.fault("\n".join(lines)).message


def test_scalars_stay_the_text_that_was_written(project: Project) -> None:
    matrix = project.load(
        SMALL + "env: {A: 1.10, B: on, C: 1:30, D: 0o7, E: null, F: 2027-01-01}\n"
    )
    assert matrix.env == {
        "A": "1.10",
        "B": "on",
        "C": "1:30",
        "D": "0o7",
        "E": "null",
        "F": "2027-01-01",
    }


def test_columns_count_characters_and_not_bytes(project: Project) -> None:
    assert place(project.fault(SMALL + "env: {Ä: b}\n")) == (4, 7)
    assert place(project.fault(SMALL + "env: {A: ääää, 1: b}\n")) == (4, 16)


def test_the_pure_python_parser_says_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    from distromatrix.load import read

    text = SMALL + "env: {A: !!int 1, A: b, 1: c}\n"
    fast = project.faults(text)
    monkeypatch.setattr(read, "_Loader", yaml.BaseLoader)
    assert project.faults(text) == fast
