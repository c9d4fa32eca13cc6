"""Fetches the files of a dataset: with timeouts, verified, whole or not at all, once for all.

torchvision knows the addresses and the MD5s, and is imported here only.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from mnist_arch.data import idx
from mnist_arch.data.catalog import DataFile, DatasetName
from mnist_arch.data.folders import stored
from mnist_arch.data.transfer import TransferFailed, transfer
from mnist_arch.errors import DataUnavailable, StorageError

LIMIT_BYTES: Final = 1 << 30
"""Longest download that is accepted; the largest is EMNIST's archive, of 0.56 GB."""

_UNFINISHED: Final = ".mnist-arch-download-"
"""What the names of folders begin with in which downloads are not complete yet."""

_STORAGE_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_FORMAT_ERRORS: Final = (gzip.BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile, KeyError)


@dataclass(frozen=True)
class RemoteFile:
    """Something to download: a `.gz`, or a zip archive of several."""

    urls: tuple[str, ...]
    """Addresses of the same content, in the order in which they are tried."""
    md5: str
    archive: bool = False


def fetch(name: DatasetName, wanted: Sequence[DataFile], folder: Path, *, hint: str) -> None:
    """Downloads those files of `wanted` that are not in `folder`, once for all processes that ask.

    Raises DataUnavailable where no address serves them or the folder cannot be written, and
    StorageError where the disk is full. Only whole, verified files are ever seen under their names,
    and the folder is made when the first of them is there.
    """
    sources: dict[str, RemoteFile] = {}
    with _writing(name, folder, hint):
        while True:
            base = _nearest(folder)
            with _alone_in(base) as alone:
                missing = [file for file in wanted if stored(folder, file) is None]
                if not missing:
                    return
                if _nearest(folder) != base:
                    continue  # another process has made the folder, and locks that one from now on
                if alone:  # then what is there now is of a process that was killed
                    for leftover in base.glob(f"{_UNFINISHED}*"):
                        shutil.rmtree(leftover, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=base) as temporary:
                    sources = sources or sources_of(name, hint)
                    source = sources[missing[0].name]
                    files = [file for file in missing if sources[file.name] == source]
                    _obtain(name, source, files, Path(temporary), hint)
                    folder.mkdir(parents=True, exist_ok=True)
                    for file in files:
                        (Path(temporary) / file.name).replace(folder / file.name)


def _nearest(folder: Path) -> Path:
    """The folder itself, or else the nearest one around it that there is."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Waits until no other process downloads into `folder`; False where there are no such locks.

    The folder itself is locked: no file has to be written for that, nor left behind, and one user's
    lock does not shut out another.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            alone = True
        except OSError:  # not on every network file system; files are renamed whole all the same
            alone = False
        yield alone
    finally:
        os.close(handle)


def _obtain(
    name: DatasetName, source: RemoteFile, files: Sequence[DataFile], folder: Path, hint: str
) -> None:
    """Leaves `files` of `source` in `folder`, checked, from the first address that serves them."""
    failures = []
    limit = LIMIT_BYTES if source.archive else sum(file.size for file in files) + (1 << 20)
    for url in acceptable_urls(source.urls):
        try:
            transfer(url, folder / "download", md5=source.md5, limit=limit)
            for file in files:
                _unpack(folder / "download", folder / file.name, archive=source.archive)
                idx.read(file, folder / file.name)
            return
        except TransferFailed as failure:
            failures.append(f"{url}: {failure}")
        except DataUnavailable:  # the MD5 was right, and the content is not
            failures.append(f"{url}: what it serves is not {name}")
    message = f"{name} cannot be downloaded: {'; '.join(failures)}"
    raise DataUnavailable(message, hint=hint)


def acceptable_urls(urls: tuple[str, ...]) -> list[str]:
    """The addresses without plain http, unless it is this machine or all there is.

    Then the MD5 protects.
    """
    safe = [url for url in urls if url.startswith("https:") or _is_local(url)]
    return safe or list(urls)


def _is_local(url: str) -> bool:
    return urllib.parse.urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


@contextlib.contextmanager
def _writing(name: DatasetName, folder: Path, hint: str) -> Iterator[None]:
    """Says what an operating system's refusal to write means; network errors never come here."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _STORAGE_ERRORS:
            message = f"{name} cannot be stored in {folder}: {reason}"
            raise StorageError(message, hint="free some space, or " + hint) from error
        message = f"{name} cannot be downloaded: {folder} cannot be written: {reason}"
        raise DataUnavailable(message, hint=hint) from error


def _unpack(packed: Path, target: Path, *, archive: bool) -> None:
    """Decompresses a `.gz`, or the member of an archive that is the `.gz` of `target`."""
    try:
        with contextlib.ExitStack() as stack:
            zipped: IO[bytes] = stack.enter_context(packed.open("rb"))
            if archive:
                members = stack.enter_context(zipfile.ZipFile(zipped))
                zipped = stack.enter_context(members.open(f"gzip/{target.name}.gz"))
            content = stack.enter_context(gzip.GzipFile(fileobj=zipped))
            shutil.copyfileobj(content, stack.enter_context(target.open("wb")), 1 << 20)
    except _FORMAT_ERRORS as error:
        raise TransferFailed(f"what it serves cannot be decompressed ({error})") from None


# ------------------------------------------------------------------------------------ the addresses


def sources_of(name: DatasetName, hint: str) -> dict[str, RemoteFile]:
    """Where each file is available, by the name of the uncompressed file."""
    try:
        from torchvision import datasets
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch, usually
        message = f"{name} cannot be downloaded: torchvision cannot be imported: {error}"
        raise DataUnavailable(message, hint=hint) from None
    match name:
        case "mnist":
            return _mirrored(datasets.MNIST)
        case "fashion-mnist":
            return _mirrored(datasets.FashionMNIST)
        case "kmnist":
            return _mirrored(datasets.KMNIST)
        case "qmnist":
            parts = [*datasets.QMNIST.resources["train"], *datasets.QMNIST.resources["test"]]
            return {_stem(url): RemoteFile((url,), md5) for url, md5 in parts}
        case "emnist-digits" | "emnist-letters" | "emnist-balanced":
            whole = RemoteFile((datasets.EMNIST.url,), datasets.EMNIST.md5, archive=True)
            kinds = [
                f"{part}-{kind}-ubyte"
                for part in ("train", "test")
                for kind in ("images-idx3", "labels-idx1")
            ]
            return {f"{name}-{kind}": whole for kind in kinds}
        case "mnist-5k":
            raise AssertionError("the embedded sample is never downloaded")


def _mirrored(dataset: Any) -> dict[str, RemoteFile]:
    return {
        _stem(file): RemoteFile(tuple(f"{mirror}{file}" for mirror in dataset.mirrors), md5)
        for file, md5 in dataset.resources
    }


def _stem(url: str) -> str:
    return url.rpartition("/")[2].removesuffix(".gz")
