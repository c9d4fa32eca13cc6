"""Files that are written whole or not at all; the folder lock; the time now.

What the system refuses is a StorageError with the system's own reason, the path, and the way out.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from mnist_arch.errors import NotAllowed, PathError, RunLocked, StorageError

_BYTES: Final = re.compile("[\udc80-\udcff]+")
"""How Python carries bytes that are no text in the encoding of the system."""
_LOCK: Final = ".lock"
_UNFINISHED: Final = ".unfinished"
_ANOTHER: Final = "choose another folder"
_NO_PATH: Final = (
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
)
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.05


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def to_json(value: Any) -> str:
    """JSON as this program writes it: sorted keys, indented, finite numbers, a final newline.

    Bytes of an argument or of a path that Python could not read as text are text where they are
    UTF-8, and else written out, such as `\\xff`.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    quoted = _BYTES.sub(
        lambda found: json.dumps(_as_text(found[0]), ensure_ascii=False)[1:-1], text
    )
    return quoted + "\n"


def _as_text(escaped: str) -> str:
    r"""Bytes that Python carries in a text, as the UTF-8 that they are, or else as `\xff`."""
    return escaped.encode("ascii", "surrogateescape").decode("utf-8", "backslashreplace")


# ----------------------------------------------------------------------------------------- looking


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path, with `~` or `~user` at its start replaced. Raises PathError without a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        message = f"{shown(path)}: it is not known which folder {Path(path).parts[0]} is"
        raise PathError(message, hint="write the folder out, or set HOME") from None


def shown(path: str | os.PathLike[str]) -> str:
    r"""The path as text for any screen and any file: a byte that is not UTF-8 becomes `\xff`."""
    text = _BYTES.sub(lambda found: _as_text(found[0]), os.fspath(path))
    return text.encode("utf-8", "backslashreplace").decode()


def is_there(path: Path) -> bool:
    """Whether there is a file or folder, or a link. Raises StorageError where nobody can tell."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise refusal(error, path, doing="read") from error
    return True


def is_folder(path: Path) -> bool:
    """Whether there is a folder. Raises StorageError where nobody can tell."""
    if not is_there(path):
        return False
    with storage_errors(path, doing="read"):
        return stat.S_ISDIR(os.stat(path).st_mode)


def is_file(path: Path) -> bool:
    """Whether there is a file. Raises StorageError where nobody can tell."""
    if not is_there(path):
        return False
    with storage_errors(path, doing="read"):
        return stat.S_ISREG(os.stat(path).st_mode)


def read(path: Path) -> bytes:
    """The content of a file. Raises StorageError."""
    with storage_errors(path, doing="read"):
        return path.read_bytes()


def names_in(folder: Path) -> list[str]:
    """Sorted names of what is in a folder; none where it is not there. Raises StorageError."""
    if not is_there(folder):
        return []
    with storage_errors(folder, doing="read"):
        return sorted(os.listdir(folder))


# ---------------------------------------------------------------------------------------- refusals


@contextlib.contextmanager
def storage_errors(path: Path, *, doing: str = "write") -> Iterator[None]:
    """Turns the system's refusal to read or write at `path` into a StorageError."""
    try:
        yield
    except OSError as error:
        raise refusal(error, path, doing=doing) from error


def refusal(error: OSError | ValueError, path: Path, *, doing: str) -> StorageError:
    """The system's reason, the path and the way out, as the error that it is."""
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error)
    kind: type[StorageError] = StorageError
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        kind = NotAllowed
    elif number in (errno.EEXIST, errno.ENOTDIR) or (
        doing == "read" and number in (None, *_NO_PATH)
    ):
        kind = PathError
    return kind(f"cannot {doing} {shown(path)}: {reason}", hint=way_out(error, path, doing=doing))


def way_out(error: OSError | ValueError, path: Path, *, doing: str) -> str:
    """What to do where the system refuses a path."""
    end = _end_of(path)
    another = "name another" if doing == "read" else _ANOTHER
    match getattr(error, "errno", None):
        case errno.ENOSPC:
            return f"free some space, or {another}"
        case errno.EDQUOT:
            return f"your quota there is used up: remove what is not needed, or {another}"
        case errno.EROFS:
            return f"its file system is mounted read-only: {another}"
        case errno.EACCES | errno.EPERM:
            return (
                f"{_whose(end)}, and this is {user_name()}: ask for the right to it, or {another}"
            )
        case errno.ENAMETOOLONG:
            return "a name has at most 255 bytes, and a path 4,095: choose a shorter one"
        case errno.ENOENT | errno.EEXIST if end.is_symlink():
            return f"{shown(end)} is a link to {shown(os.readlink(end))}, which is not there"
        case errno.ENOENT:
            return f"there is no {shown(end)}"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{shown(end)} is a file, not a folder: {another}"
        case errno.EISDIR:
            return f"{shown(end)} is a folder: name a file"
        case errno.ELOOP:
            return f"{shown(end)} is a link that leads back to itself"
        case errno.EMFILE | errno.ENFILE:
            return "close other files, or raise the limit with ulimit -n"
        case errno.EIO | errno.ESTALE | errno.ENODEV | errno.ENXIO:
            return f"the disk, or the way to it, fails: ask the system's log, or {another}"
        case errno.ENOLCK | errno.ENOSYS | errno.EOPNOTSUPP:
            return f"its file system cannot do that: {another}, on another file system"
        case None:
            return "no file can be called so"
        case _:
            return another


def _end_of(path: Path) -> Path:
    """How far down the path one comes: the path itself, or the part of it that is the trouble."""
    last = path
    for part in (*reversed(path.parents), path):
        try:
            mode = os.stat(part).st_mode
        except PermissionError:
            return last
        except (OSError, ValueError):
            return part
        if part != path and not stat.S_ISDIR(mode):
            return part
        last = part
    return path


def _whose(path: Path) -> str:
    """To whom a path belongs, or the folder of what is not there or could be written itself."""
    with contextlib.suppress(OSError):
        path = path if os.path.lexists(path) else path.parent
        ours = {"effective_ids": os.access in os.supports_effective_ids}
        if path.is_file() and os.access(path, os.R_OK | os.W_OK, **ours):
            path = path.parent
        found = path.stat()
        name = shown(path.absolute() if path == Path() else path)
        return f"{name} belongs to {user_name(found.st_uid)} ({stat.filemode(found.st_mode)})"
    return f"{shown(path)} belongs to somebody else"


def user_name(uid: int | None = None) -> str:
    """The name of a user, of this process unless one is given; its number where it has no name."""
    try:
        import pwd  # which Windows has not, nor users by number
    except ImportError:
        import getpass

        return getpass.getuser()
    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


# ----------------------------------------------------------------------------------------- writing


def make_folder(path: Path) -> None:
    """Makes a folder and its parents. Raises StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def check_folder(path: Path) -> None:
    """Raises StorageError where a folder could not be made, or nothing written into it.

    Nothing is made or written, so that some reasons show only later.
    """
    with storage_errors(path):
        for place in (path, *path.parents):
            with contextlib.suppress(FileNotFoundError):
                os.lstat(place)
                break
        if not stat.S_ISDIR(os.stat(place).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes a file beside `path`, syncs it, renames it. Raises StorageError, leaving nothing."""
    unfinished = path.with_name(f".{secrets.token_hex(4)}{_UNFINISHED}")
    with storage_errors(path):
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _share(descriptor, path.parent)
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                _sync(descriptor)
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise


def remove_unfinished(folder: Path) -> None:
    """Removes what `write_whole` left where its process was killed, as far as that is allowed."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            path.unlink()


def append_line(path: Path, line: str) -> None:
    """Appends one line and syncs it. Raises StorageError, leaving nothing of the line."""
    content = line.encode() + b"\n"
    with storage_errors(path), path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if end == 0:
                _share(file.fileno(), path.parent)
            if file.write(content) != len(content):  # a disk that is nearly full takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _sync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def _sync(descriptor: int) -> None:
    """Waits until the disk has the file, where the file system can say so."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def _share(descriptor: int, folder: Path) -> None:
    """Lets those write a new file who may write, and so replace, anything in its folder."""
    with contextlib.suppress(OSError):  # not every file system has modes
        shared = os.stat(folder)
        writers = shared.st_mode & 0o022
        if os.name != "posix" or not writers or shared.st_mode & stat.S_ISVTX:
            return  # where each has files of their own
        if os.fstat(descriptor).st_gid != shared.st_gid:
            os.fchown(descriptor, -1, shared.st_gid)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.fchmod(descriptor, mode | writers | writers << 1)


# ---------------------------------------------------------------------------------------- the lock


class _Holder(NamedTuple):
    """Who holds a lock, as its file says."""

    host: str
    pid: int
    user: str
    since: str
    """UTC, ISO 8601."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds a folder, which is made if needed, against every other process that asks for it.

    The system frees the lock of a process that has died, so that none is ever stale. Raises
    RunLocked where another process has the folder, and StorageError.
    """
    make_folder(folder)
    descriptor = _locked(folder)
    try:
        _sign(descriptor)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether some process holds the folder, as far as one may know. Nothing is written."""
    from filelock import lock_descriptor

    with contextlib.suppress(OSError):
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
        try:
            return not lock_descriptor(descriptor, blocking=False)
        finally:
            os.close(descriptor)
    return False


def _locked(folder: Path) -> int:
    """The open and locked file of a folder."""
    path, tries = folder / _LOCK, 0
    while True:
        descriptor, refused = _open_lock(path)
        with contextlib.ExitStack() as on_error:
            on_error.callback(os.close, descriptor)
            is_ours = _lock(descriptor, path, refused)
            if is_ours and _is_at(path, descriptor):
                on_error.pop_all()
                return descriptor
        if is_ours:  # but the file has been removed, and another may be in its place
            continue
        tries += 1
        if (holder := _holder(path)) or tries > _TRIES:
            raise _in_use(folder, holder)
        time.sleep(_PAUSE_SECONDS)  # without a name it is of somebody who only looks


def _lock(descriptor: int, path: Path, refused: OSError | None) -> bool:
    """Whether the lock was taken; without the right to write, not every file system gives it."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if refused is not None:
            raise refusal(refused, path, doing="write") from error
        raise refusal(error, path, doing="lock") from error


def _open_lock(path: Path) -> tuple[int, OSError | None]:
    """The file, made if needed, and the refusal where it is somebody else's and can only be read.

    Reading is enough for a lock on a local disk. One that is there is never opened to be made:
    in a folder like /tmp the system refuses that for files of others.
    """
    with storage_errors(path):
        while True:
            with contextlib.suppress(FileNotFoundError):
                try:
                    return os.open(path, os.O_RDWR), None
                except PermissionError as error:
                    if not is_there(path):
                        raise
                    refused = error
                try:
                    return os.open(path, os.O_RDONLY), refused
                except PermissionError:
                    raise refused from None
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
                _share(descriptor, path.parent)
                return descriptor, None


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one that has this path."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False


def _sign(descriptor: int) -> None:
    """Writes who holds the lock, where that can be written."""
    holder = _Holder(platform.node(), os.getpid(), user_name(), now())
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{json.dumps(holder)}\n".encode())


def _holder(path: Path) -> _Holder | None:
    """Who wrote that they hold the lock; None where nobody did, or one who has died since."""
    import psutil

    with contextlib.suppress(OSError, ValueError, TypeError):
        host, pid, user, since = json.loads(path.read_bytes())
        if host != platform.node() or psutil.pid_exists(int(pid)):
            return _Holder(str(host), int(pid), str(user), str(since))
    return None


def _in_use(folder: Path, holder: _Holder | None) -> RunLocked:
    message = f"another process is working in {shown(folder)}"
    if holder is None:
        return RunLocked(message, hint=f"wait for it, or {_ANOTHER} with out=")
    message += f": process {holder.pid} of {holder.user}"
    since = f", since {holder.since[:19].replace('T', ' ')} UTC"
    if holder.host == platform.node():
        return RunLocked(message + since, hint=f"wait for it or end it, or {_ANOTHER} with out=")
    if_gone = f"where it runs no more, remove {shown(folder / _LOCK)}"
    message += f" on the machine {holder.host}{since}"
    return RunLocked(message, hint=f"wait for it or end it there; {if_gone}")
