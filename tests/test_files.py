"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import platform
import pwd
import re
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from filelock import lock_descriptor
from users import ANN, BOB, TOGETHER, acting_as, without_the_rights_of_root

from mnist_arch import files
from mnist_arch.errors import NotAllowed, RunLocked, StorageError
from mnist_arch.files import (
    append_line,
    expanded,
    hold,
    is_folder,
    is_held,
    is_there,
    make_folder,
    names_in,
    now,
    read,
    remove_unfinished,
    shown,
    storage_errors,
    to_json,
    user_name,
    write_whole,
)


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in (b"first", b"second, and longer", b""):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_may_be_written_by_a_function(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", lambda file: file.write(b"x" * 10))
    assert (tmp_path / "a").read_bytes() == b"x" * 10


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_where_the_disk_is_full_the_old_file_stays_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "result.json"
    write_whole(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, name, full)
        with pytest.raises(StorageError) as caught:
            write_whole(path, b"new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert caught.value.hint == "free some space, or choose another folder"
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
    monkeypatch.setattr(files.os, "fsync", full)
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


def test_json_has_what_was_no_text_in_the_encoding_of_the_system() -> None:
    in_ascii = "größe".encode().decode("ascii", "surrogateescape")
    text = to_json({"a": in_ascii, "b": os.fsdecode(b'r\xff"')})
    assert json.loads(text.encode()) == {"a": "größe", "b": 'r\\xff"'}


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


# ----------------------------------------------------------------------------------------- looking


def loop(folder: Path) -> Path:
    (folder / "round").symlink_to(folder / "round")
    return folder / "round" / "a"


def dangling(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "gone")
    return folder / "link" / "a"


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "a"


def of_somebody_else(folder: Path) -> Path:
    (folder / "theirs").mkdir(mode=0o000)
    return folder / "theirs" / "a"


@dataclass(frozen=True)
class Kind:
    """A kind of path that the system refuses."""

    make: Callable[[Path], Path]
    reason: str
    hint: str


KINDS = {
    "long name": Kind(lambda it: it / ("n" * 256), "File name too long", "at most 255 bytes"),
    "long path": Kind(lambda it: it / ("n/" * 2_100), "File name too long", "a path 4,095"),
    "file as a folder": Kind(below_a_file, "Not a directory", "/file is a file, not a folder"),
    "loop": Kind(loop, "Too many levels of symbolic links", "leads back to itself"),
    "not to be entered": Kind(of_somebody_else, "Permission denied", "/theirs belongs to "),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", [is_there, is_folder, read, names_in])
def test_where_nobody_can_tell_the_reason_and_the_way_out_are_given(
    open_folder: Path, kind: str, look: Callable[[Path], object]
) -> None:
    path = KINDS[kind].make(open_folder)
    with without_the_rights_of_root(), pytest.raises(StorageError) as caught:
        look(path)
    assert str(caught.value) == f"cannot read {path}: {KINDS[kind].reason}"
    assert KINDS[kind].hint in caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "write", [make_folder, lambda path: write_whole(path, b""), lambda path: append_line(path, "")]
)
def test_where_nothing_can_be_written_the_reason_and_the_way_out_are_given(
    open_folder: Path, kind: str, write: Callable[[Path], object]
) -> None:
    path = KINDS[kind].make(open_folder)
    with without_the_rights_of_root(), pytest.raises(StorageError) as caught:
        write(path)
    assert str(caught.value) == f"cannot write {path}: {KINDS[kind].reason}"
    assert KINDS[kind].hint in caught.value.hint


def test_a_link_to_nothing_is_there_and_is_named(tmp_path: Path) -> None:
    path = dangling(tmp_path).parent
    assert is_there(path)
    with pytest.raises(StorageError, match="No such file") as caught:
        read(path)
    assert caught.value.hint == f"{path} is a link to {tmp_path / 'gone'}, which is not there"
    with pytest.raises(StorageError, match="File exists") as caught:
        make_folder(path)
    assert caught.value.hint == f"{path} is a link to {tmp_path / 'gone'}, which is not there"


def test_what_is_not_there_is_not_there(tmp_path: Path) -> None:
    assert not is_there(tmp_path / "a/b")
    assert not is_folder(tmp_path / "a/b")
    assert names_in(tmp_path / "a/b") == []
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert names_in(tmp_path) == ["a", "b"]
    assert not is_folder(tmp_path / "a")


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        is_there(Path(path))


REASONS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "your quota there is used up",
    errno.EROFS: "mounted read-only",
    errno.EIO: "the disk, or the way to it, fails",
    errno.ESTALE: "the disk, or the way to it, fails",
    errno.EMFILE: "ulimit -n",
    errno.ENOLCK: "on another file system",
    errno.EOPNOTSUPP: "on another file system",
    errno.EISDIR: "is a folder: name a file",
    errno.EBUSY: "choose another folder",
}


@pytest.mark.parametrize("number", REASONS)
def test_space_is_to_be_freed_only_where_the_disk_is_full(tmp_path: Path, number: int) -> None:
    error = OSError(number, os.strerror(number))
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path):
        raise error
    assert str(caught.value) == f"cannot write {tmp_path}: {os.strerror(number)}"
    assert REASONS[number] in caught.value.hint
    assert ("free some space" in caught.value.hint) == (number == errno.ENOSPC)
    assert isinstance(caught.value, NotAllowed) == (number == errno.EROFS)


def test_a_path_is_shown_whatever_its_bytes_are() -> None:
    assert shown(os.fsdecode(b"a\xff.yaml")) == "a\\xff.yaml"
    assert shown(Path("網.yaml")) == "網.yaml"


# ---------------------------------------------------------------------------------------- the home


def test_a_home_is_filled_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~") == tmp_path
    assert expanded("~/a/~b") == tmp_path / "a/~b"
    assert expanded(Path("a/~")) == Path("a/~")
    root = pwd.getpwuid(0)
    assert expanded(f"~{root.pw_name}/a") == Path(root.pw_dir) / "a"


def test_a_home_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"~nobody-is-called-so/a: .* which folder ~nobody-"):
        expanded("~nobody-is-called-so/a")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: ANN)  # who has no entry among the users
    with pytest.raises(StorageError, match="which folder ~ is") as caught:
        expanded("~/a")
    assert "set HOME" in caught.value.hint


# -------------------------------------------------------------------------------- a shared folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode"),
    [(0o700, 0o640), (0o755, 0o640), (0o775, 0o660), (0o777, 0o666), (0o1777, 0o640)],
)
def test_who_may_write_in_a_folder_may_write_its_files(
    tmp_path: Path, folder_mode: int, file_mode: int
) -> None:
    tmp_path.chmod(folder_mode)
    kept = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"")
        append_line(tmp_path / "b", "")
        with hold(tmp_path):
            pass
    finally:
        os.umask(kept)
    assert [mode(tmp_path / name) for name in ("a", "b", ".lock")] == [file_mode] * 3


@pytest.mark.slow
@pytest.mark.parametrize("folder_mode", [0o777, 0o1777, 0o2775])
def test_the_lock_of_one_user_does_not_shut_out_another(
    open_folder: Path, folder_mode: int
) -> None:
    if os.geteuid() == 0:
        os.chown(open_folder, -1, TOGETHER)
    open_folder.chmod(folder_mode)
    for user in (ANN, BOB, ANN):
        with acting_as(user, group=TOGETHER), hold(open_folder):
            assert is_held(open_folder)
            with pytest.raises(RunLocked, match="another process is working"), hold(open_folder):
                pass
    assert not is_held(open_folder)


@pytest.mark.slow
def test_a_lock_that_only_its_owner_may_write_does_not_shut_out_another(open_folder: Path) -> None:
    (open_folder / ".lock").touch(mode=0o644)
    for user in (ANN, BOB):
        with acting_as(user), hold(open_folder):
            assert is_held(open_folder)
            with pytest.raises(RunLocked, match=r"is working in [^:]+$"), hold(open_folder):
                pass


def test_a_lock_that_only_its_owner_may_read_is_named(open_folder: Path) -> None:
    (open_folder / ".lock").touch(mode=0o600)
    with acting_as(BOB), pytest.raises(NotAllowed, match=r"\.lock: Permission denied") as caught:
        with hold(open_folder):
            pass
    assert "/.lock belongs to root (-rw-------), and this is user 12346" in caught.value.hint


def test_what_another_user_left_unfinished_does_not_shut_out_anybody(open_folder: Path) -> None:
    (open_folder / ".result.json.1234.unfinished").touch()
    open_folder.chmod(0o1777)
    with acting_as(BOB):
        remove_unfinished(open_folder)
    assert len(os.listdir(open_folder)) == 1


# ---------------------------------------------------------------------------------------- the lock


def test_looking_at_a_lock_writes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "nowhere")
    assert not is_held(tmp_path)
    assert os.listdir(tmp_path) == []
    with hold(tmp_path):
        assert is_held(tmp_path)
    before = (tmp_path / ".lock").stat()
    assert not is_held(tmp_path)
    assert (tmp_path / ".lock").stat() == before


def test_a_lock_says_whose_it_is_and_since_when(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(RunLocked) as caught, hold(tmp_path):
        pass
    whose = rf"process {os.getpid()} of {re.escape(user_name())}"
    since = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(rf"another process is working in .*: {whose}, {since}", str(caught.value))
    assert caught.value.hint.startswith("wait for it or end it")


def test_a_lock_of_another_machine_says_how_to_clear_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "elsewhere")
        first = hold(tmp_path)
        first.__enter__()
    with pytest.raises(RunLocked, match=r" on the machine elsewhere, since ") as caught:
        with hold(tmp_path):
            pass
    lock = tmp_path / ".lock"
    hint = f"wait for it or end it there; where it runs no more, remove {lock}"
    assert caught.value.hint == hint
    lock.unlink()
    with hold(tmp_path), pytest.raises(RunLocked), hold(tmp_path):
        pass
    first.__exit__(None, None, None)


@pytest.mark.slow
def test_a_name_in_a_lock_that_nobody_holds_any_more_is_not_believed(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / ".lock").write_text(json.dumps([platform.node(), ended.pid, "ann", now()]))
    descriptor = os.open(tmp_path / ".lock", os.O_RDONLY)
    lock_descriptor(descriptor, blocking=False)
    with pytest.raises(RunLocked, match=r"another process is working in [^:]+$"), hold(tmp_path):
        pass
    os.close(descriptor)
    with hold(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StorageError) as caught, hold(tmp_path):
        pass
    assert str(caught.value) == f"cannot lock {tmp_path / '.lock'}: {os.strerror(number)}"
    assert caught.value.hint.endswith("choose another folder, on another file system")


@pytest.mark.parametrize("name", ["fsync", "fchmod", "fchown"])
def test_a_file_system_without_modes_or_syncing_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    tmp_path.chmod(0o775)
    monkeypatch.setattr(files.os, name, refuse)
    write_whole(tmp_path / "a", b"a")
    append_line(tmp_path / "b", "b")
    assert (tmp_path / "a").read_bytes() == b"a"
    assert (tmp_path / "b").read_bytes() == b"b\n"
