"""Files that people name for a spec: what is read, and what each that is none is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnist_arch.errors import Origin, Problem, SpecError
from mnist_arch.spec.loading import load
from mnist_arch.spec.reading import SMALLEST, read_file
from mnist_arch.spec.strict_yaml import MAX_BYTES

NETWORK = f"extends: s6\nname: café\n{SMALLEST}\n"


def refusal(path: Path, *, hint: str = "the way out") -> Problem:
    with pytest.raises(SpecError) as caught:
        read_file(path, hint=hint)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_ends_of_lines_are_those_of_any_editor(
    tmp_path: Path, mark: str, end: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes((mark + f"name: a\n{SMALLEST}\n".replace("\n", end)).encode())
    assert load(str(path)).experiment.name == "a"


def test_json_is_yaml(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n\t"name": "a",\n\t"blocks": [{"channels": [8], "reduce": 10}]\n}\n')
    assert load(str(path)).experiment.blocks[0].channels[0].out == 8


@pytest.mark.parametrize(
    ("encoding", "mark", "called"),
    [
        ("utf-16-le", "\ufeff", "UTF-16"),
        ("utf-16-be", "\ufeff", "UTF-16"),
        ("utf-16-le", "", "UTF-16LE"),
        ("utf-16-be", "", "UTF-16BE"),
        ("utf-32-le", "\ufeff", "UTF-32"),
        ("utf-32-be", "\ufeff", "UTF-32"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, mark: str, called: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes((mark + NETWORK).encode(encoding))
    problem = refusal(path)
    assert problem.message == f"{str(path)!r} cannot be read: its text is {called}, not UTF-8"
    assert f"`iconv -f {called} -t UTF-8 a.yaml > new.yaml`" in problem.hint
    assert problem.origin == str(path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_that_is_not_utf_8_is_shown_in_its_line(
    tmp_path: Path, encoding: str, mark: bytes
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(mark + NETWORK.encode(encoding))
    problem = refusal(path)
    byte = "é".encode(encoding)[0]
    start = len(mark) + NETWORK.index("é")
    assert f"byte {start} is not UTF-8 text" in problem.message
    assert isinstance(problem.origin, Origin)
    assert (problem.origin.line, problem.origin.column) == (2, 10)
    assert problem.origin.quoted == f"name: caf\\x{byte:02x}"


@pytest.mark.parametrize(
    ("name", "content", "called", "way_out"),
    [
        ("net.py", "import torch\n", "Python code", "describe the network in YAML"),
        ("net.ipynb", '{"cells": []}', "a Jupyter notebook", "describe the network in YAML"),
        ("NET.PY", "", "Python code", SMALLEST),
        ("weights.safetensors", "\0", "a file of weights", "`evaluate()`"),
        ("weights.pt", "PK\3\4", "a file of weights", "YAML"),
    ],
)
def test_what_is_no_spec_is_called_what_it_is(
    tmp_path: Path, name: str, content: str, called: str, way_out: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    problem = refusal(path)
    assert problem.message == f"{str(path)!r} is {called}, not a spec"
    assert way_out in problem.hint


def test_a_folder_is_told_what_it_has(tmp_path: Path) -> None:
    problem = refusal(tmp_path)
    assert problem.message == f"{str(tmp_path)!r} cannot be read: Is a directory"
    assert problem.hint == "the way out"
    (tmp_path / "b.yaml").write_text("")
    assert refusal(tmp_path).hint == f"name a file in it, such as {tmp_path / 'b.yaml'}"
    (tmp_path / "manifest.json").write_text("{}")
    assert f"train(resume={str(tmp_path)!r})" in refusal(tmp_path).hint


def test_a_file_of_nearly_the_same_name_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "mine.yml").hint == "the way out"
    (tmp_path / "mine.yaml").write_text("")
    assert refusal(tmp_path / "mine.yml").hint == f"did you mean `{tmp_path / 'mine.yaml'}`?"
    assert refusal(tmp_path / "nowhere" / "mine.yml").hint == "the way out"


def test_a_file_over_a_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert refusal(path).message == "the text is longer than 1,048,576 bytes"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("", "there is nothing in it, such as"),
        ("# nothing\n", "there is nothing in it"),
        ("- {channels: [8]}\n", "put the list under its key, such as `blocks: [{"),
        ("epochs:5\n", "each key has a colon and a space, such as `blocks: [{"),
    ],
)
def test_what_has_no_keys(tmp_path: Path, content: str, hint: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(SpecError, match="a spec is a mapping of keys to values") as caught:
        load(str(path))
    assert hint in caught.value.problems[0].hint
