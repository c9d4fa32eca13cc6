"""What the tests of the data share: small datasets, and a web server that can misbehave."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Behaviour = Literal["serve", "wrong", "missing", "short", "endless", "silent", "stall"]
"""As it should; other bytes; 404; cut short; without end; no answer; half of one, then silence."""


def idx(array: NDArray[Any]) -> bytes:
    """An array as an IDX file: uint8, or else big-endian int32."""
    kind = 8 if array.dtype == np.uint8 else 12
    header = bytes((0, 0, kind, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
    return header + (array if kind == 8 else array.astype(">i4")).tobytes()


def digits(count: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Random images, and labels that go through the ten classes in turn."""
    images = np.random.RandomState(seed).randint(0, 256, (count, 28, 28)).astype(np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


def small_mnist() -> dict[str, bytes]:
    """The four files of a dataset with 30 training and 10 test images, by their names."""
    files = {}
    for prefix, count in (("train", 30), ("t10k", 10)):
        images, labels = digits(count, seed=count)
        files[f"{prefix}-images-idx3-ubyte"] = idx(images)
        files[f"{prefix}-labels-idx1-ubyte"] = idx(labels)
    return files


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def zipped(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def closed_port() -> str:
    """The address of a mirror that refuses every connection."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


class Mirror:
    """A web server on this machine, for as long as the `with` block; counts what is asked for."""

    def __init__(self, files: Mapping[str, bytes], behaviour: Behaviour = "serve") -> None:
        self.files = files
        self.behaviour = behaviour
        self.requests: list[str] = []
        self.done = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.mirror = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    mirror: Mirror

    def handle_error(self, *_: object) -> None:
        pass  # the client went away, which is what these tests are about


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        mirror = self.server.mirror
        mirror.requests.append(self.path.removeprefix("/"))
        content = mirror.files.get(self.path.removeprefix("/"))
        match mirror.behaviour:
            case "silent":
                mirror.done.wait()
            case "missing":
                self.send_error(404)
            case _ if content is None:
                self.send_error(404)
            case "serve":
                self._send(content, length=len(content))
            case "wrong":
                self._send(b"<html>Please log in to this network.</html>")
            case "short":
                self._send(content[:-5], length=len(content))
            case "endless":
                self._send(content)
                while not mirror.done.is_set():
                    self.wfile.write(bytes(1 << 16))
            case "stall":
                self._send(content[: len(content) // 2], length=len(content))
                mirror.done.wait()

    def _send(self, content: bytes, *, length: int | None = None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
