"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mnist_arch import files as storage
from mnist_arch.errors import StorageError
from mnist_arch.files import append_line, make_folder, remove_unfinished, to_json, write_whole


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in (b"first", b"second, and longer", b""):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_may_be_written_by_a_function(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", lambda file: file.write(b"x" * 10))
    assert (tmp_path / "a").read_bytes() == b"x" * 10


@pytest.mark.parametrize("name", ["fsync", "replace", "chmod"])
def test_where_the_disk_is_full_the_old_file_stays_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "result.json"
    write_whole(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, name, full)
        with pytest.raises(StorageError) as caught:
            write_whole(path, b"new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert caught.value.hint == "free some space, or choose another folder with --out"
    assert os.listdir(tmp_path) == ["result.json"]
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_whatever_is_raised_while_writing_the_old_file_stays(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a"
    write_whole(path, b"old")

    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, half)
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [".lock", ".result.json.swp", "checkpoint", "notes.unfinished"]
    for name in [*kept, ".checkpoint.k3j2h1gf.unfinished", ".result.json.abcdefgh.unfinished"]:
        (tmp_path / name).write_bytes(b"x")
    remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_line(path, '{"a": 1}')
    append_line(path, "β")
    assert path.read_text("utf-8") == '{"a": 1}\nβ\n'


def test_a_line_that_does_not_fit_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    append_line(path, "first")
    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(StorageError, match=r"metrics\.jsonl: No space left on device"):
        append_line(path, "second")
    assert path.read_text() == "first\n"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    make_folder(tmp_path / "a/b/c")
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    for path in (tmp_path / "file", tmp_path / "file/a", tmp_path / ("x" * 300)):
        with pytest.raises(StorageError, match="cannot write"):
            make_folder(path)
    with pytest.raises(StorageError, match="No such file or directory"):
        write_whole(tmp_path / "nowhere/a", b"")


def test_json_is_sorted_strict_and_readable() -> None:
    text = to_json({"b": [1, 2.5, None], "a": "±", "c": 0.1 + 0.2})
    lines = ["{", '  "a": "±",', '  "b": [', "    1,", "    2.5,", "    null", "  ],"]
    assert text == "\n".join([*lines, '  "c": 0.30000000000000004', "}", ""])
    assert json.loads(text)["c"] == 0.1 + 0.2
    with pytest.raises(ValueError, match="JSON"):
        to_json({"a": float("nan")})


def test_on_a_disk_that_is_really_full_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "checkpoint"
    write_whole(path, b"1" * 90_000)
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 80_000)
    with pytest.raises(StorageError, match="No space left on device"):
        write_whole(path, b"2" * 90_000)
    assert sorted(os.listdir(small_disk)) == ["checkpoint", "filler"]
    assert path.read_bytes() == b"1" * 90_000
    filler.unlink()
    write_whole(path, b"2" * 90_000)
    assert path.read_bytes() == b"2" * 90_000


def test_on_a_disk_that_is_really_full_no_part_of_a_line_stays(small_disk: Path) -> None:
    path = small_disk / "metrics.jsonl"
    append_line(path, "1" * 1_000)
    with pytest.raises(StorageError, match="No space left on device"):
        append_line(path, "2" * 300_000)
    assert path.read_bytes() == b"1" * 1_000 + b"\n"
    append_line(path, "3")
    assert path.read_bytes().endswith(b"1\n3\n")
