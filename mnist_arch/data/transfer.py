"""From an address to a file: with timeouts, a limit, a checksum, by https where it is available.
available.

The transfer is our own. torchvision's has no timeout; requests, and so pooch, gives each address of
a host a timeout of its own, has no limit of bytes, and follows https to plain http.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, Final

CONNECT_SECONDS: float = 10
"""Longest wait for a connection to a host, all its addresses together; for TLS, as long again."""

STALL_SECONDS: float = 30
"""Longest wait for the next byte."""

# ValueError is what urllib raises for a bad address.
_NETWORK_ERRORS: Final = (OSError, http.client.HTTPException, ValueError)


class TransferFailed(Exception):
    """One address did not serve what it should; the next may."""


def transfer(url: str, target: Path, *, md5: str, limit: int) -> None:
    """Writes what `url` serves to `target`; raises TransferFailed unless it has this MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with target.open("wb") as file, contextlib.closing(_chunks(url)) as chunks:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TransferFailed(f"it serves more than {limit:,} bytes")
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != md5:
        raise TransferFailed(f"what it serves ({size:,} bytes) does not have the right MD5")


def _chunks(url: str) -> Generator[bytes]:
    """The body of an answer; whatever the network does is raised as TransferFailed."""
    opener = urllib.request.build_opener(_Http, _Https, _SafeRedirects)
    opener.addheaders = [("User-Agent", "mnist-arch")]
    try:
        with opener.open(url) as answer:
            while chunk := answer.read(1 << 16):
                yield chunk
    except _NETWORK_ERRORS as error:
        raise TransferFailed(reason_of(error)) from None


def reason_of(error: BaseException) -> str:
    """Why something could not be transferred, in a line."""
    match error:
        case urllib.error.HTTPError():
            error.close()
            return f"HTTP {error.code} {error.reason}"
        case urllib.error.URLError(reason=BaseException() as cause):
            return reason_of(cause)
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


def dial(
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
        self._create_connection = dial  # the place that http.client leaves for it
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
