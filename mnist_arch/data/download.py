"""Fetches the files of a dataset: with timeouts, verified, whole or not at all, once for all.

torchvision knows the addresses and the MD5s, and is imported here only. The transfer is our own,
since torchvision's has no timeout, falls back to plain http and leaves half a file behind.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from mnist_arch.data import idx
from mnist_arch.data.catalog import DataFile, DatasetName
from mnist_arch.data.folders import stored
from mnist_arch.errors import DataUnavailable, StorageError

CONNECT_SECONDS: float = 10
"""Longest wait for a connection to a host, all its addresses together; for TLS, as long again."""

STALL_SECONDS: float = 30
"""Longest wait for the next byte."""

LIMIT_BYTES: Final = 1 << 30
"""Longest download that is accepted; the largest is EMNIST's archive, of 0.56 GB."""

_UNFINISHED: Final = ".mnist-arch-download-"
"""What the names of folders begin with in which downloads are not complete yet."""

_STORAGE_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# ValueError is what urllib raises for a bad address.
_NETWORK_ERRORS: Final = (OSError, http.client.HTTPException, ValueError)
_FORMAT_ERRORS: Final = (gzip.BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile, KeyError)


@dataclass(frozen=True)
class Source:
    """Something to download: a `.gz`, or a zip archive of several."""

    urls: tuple[str, ...]
    """Addresses of the same content, in the order in which they are tried."""
    md5: str
    archive: bool = False


class _Failed(Exception):
    """One address did not serve what it should; the next may."""


def fetch(name: DatasetName, wanted: Sequence[DataFile], folder: Path, *, hint: str) -> None:
    """Downloads those files of `wanted` that are not in `folder`, once for all processes that ask.

    Raises DataUnavailable where no address serves them or the folder cannot be written, and
    StorageError where the disk is full. Only whole, verified files are ever seen under their names,
    and the folder is made when the first of them is there.
    """
    sources: dict[str, Source] = {}
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
                    sources = sources or _sources(name, hint)
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
    name: DatasetName, source: Source, files: Sequence[DataFile], folder: Path, hint: str
) -> None:
    """Leaves `files` of `source` in `folder`, checked, from the first address that serves them."""
    failures = []
    limit = LIMIT_BYTES if source.archive else sum(file.size for file in files) + (1 << 20)
    for url in _acceptable(source.urls):
        try:
            _transfer(url, folder / "download", md5=source.md5, limit=limit)
            for file in files:
                _unpack(folder / "download", folder / file.name, archive=source.archive)
                idx.read(file, folder / file.name)
            return
        except _Failed as failure:
            failures.append(f"{url}: {failure}")
        except DataUnavailable:  # the MD5 was right, and the content is not
            failures.append(f"{url}: what it serves is not {name}")
    message = f"{name} cannot be downloaded: {'; '.join(failures)}"
    raise DataUnavailable(message, hint=hint)


def _acceptable(urls: tuple[str, ...]) -> list[str]:
    """Without plain http, unless it is this machine or all there is: then the MD5 protects."""
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
        raise _Failed(f"what it serves cannot be decompressed ({error})") from None


# ------------------------------------------------------------------------------------ the addresses


def _sources(name: DatasetName, hint: str) -> dict[str, Source]:
    """Where each file is to be had, by the name of the uncompressed file."""
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
            return {_stem(url): Source((url,), md5) for url, md5 in parts}
        case "emnist-digits" | "emnist-letters" | "emnist-balanced":
            whole = Source((datasets.EMNIST.url,), datasets.EMNIST.md5, archive=True)
            kinds = [
                f"{part}-{kind}-ubyte"
                for part in ("train", "test")
                for kind in ("images-idx3", "labels-idx1")
            ]
            return {f"{name}-{kind}": whole for kind in kinds}
        case "mnist-5k":
            raise AssertionError("the embedded sample is never downloaded")


def _mirrored(dataset: Any) -> dict[str, Source]:
    return {
        _stem(file): Source(tuple(f"{mirror}{file}" for mirror in dataset.mirrors), md5)
        for file, md5 in dataset.resources
    }


def _stem(url: str) -> str:
    return url.rpartition("/")[2].removesuffix(".gz")


# ------------------------------------------------------------------------------------- the transfer


def _transfer(url: str, target: Path, *, md5: str, limit: int) -> None:
    """Writes what `url` serves to `target`; raises _Failed unless it has this MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with target.open("wb") as file, contextlib.closing(_chunks(url)) as chunks:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise _Failed(f"it serves more than {limit:,} bytes")
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != md5:
        raise _Failed(f"what it serves ({size:,} bytes) does not have the right MD5")


def _chunks(url: str) -> Generator[bytes]:
    """The body of an answer; whatever the network does is raised as _Failed."""
    opener = urllib.request.build_opener(_Http, _Https, _SafeRedirects)
    opener.addheaders = [("User-Agent", "mnist-arch")]
    try:
        with opener.open(url) as answer:
            while chunk := answer.read(1 << 16):
                yield chunk
    except _NETWORK_ERRORS as error:
        raise _Failed(_why(error)) from None


def _why(error: BaseException) -> str:
    match error:
        case urllib.error.HTTPError():
            error.close()
            return f"HTTP {error.code} {error.reason}"
        case urllib.error.URLError(reason=BaseException() as cause):
            return _why(cause)
        case _NoConnection():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case TimeoutError():
            return f"not a byte for {STALL_SECONDS:g} s"
        case OSError(strerror=str() as text) if text:
            return text
        case _:
            return str(error) or type(error).__name__


class _NoConnection(TimeoutError):
    """No address of a host answered in time."""


def _dial(
    address: tuple[str, int], timeout: object = None, source_address: object = None
) -> socket.socket:
    """As socket.create_connection, with one deadline for all addresses of a host together.

    Of the time left each address gets an equal share, so that one that swallows packets leaves time
    for the next. The default, a timeout for each, adds up to minutes at hosts with many addresses.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    for tried, (*_, place) in enumerate(places):
        share = max(deadline - time.monotonic(), 0.01) / (len(places) - tried)
        try:
            connection = socket.create_connection((str(place[0]), int(place[1])), timeout=share)
        except TimeoutError:
            failure: OSError = _NoConnection()
        except OSError as error:
            failure = error
        else:
            connection.settimeout(CONNECT_SECONDS)
            return connection
    raise failure


class _HttpConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self._create_connection = _dial  # the place that http.client leaves for it
        super().connect()
        self.sock.settimeout(STALL_SECONDS)


class _HttpsConnection(_HttpConnection, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:"):
            raise urllib.error.URLError("it redirects to plain http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
