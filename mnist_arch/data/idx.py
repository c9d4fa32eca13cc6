"""Files in the IDX format of MNIST, read and checked."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mnist_arch.errors import DataUnavailable

DATA_VARIABLE: Final = "MNIST_ARCH_DATA"
"""The environment variable that names a data folder."""

ANOTHER_FOLDER: Final = (
    f"name a folder that has it with --data-dir or ${DATA_VARIABLE}; "
    "--dataset mnist-5k needs no download"
)


@dataclass(frozen=True)
class IdxFile:
    """An IDX file and what must be in it (format: http://yann.lecun.com/exdb/mnist)."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["u1", ">i4"] = "u1"
    sha256: str = ""
    """Of the uncompressed bytes; empty where it is not known."""

    @property
    def header(self) -> bytes:
        kind = {"u1": 8, ">i4": 12}[self.dtype]
        return bytes((0, 0, kind, len(self.shape))) + np.array(self.shape, dtype=">u4").tobytes()

    @property
    def size(self) -> int:
        """Bytes of the uncompressed file."""
        return len(self.header) + math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def is_in(self, folder: Path) -> bool:
        return any(os.path.exists(path) for path in self._paths(folder))

    def read(self, folder: Path) -> NDArray[Any]:
        """The array in `folder`, checked; raises DataUnavailable that names a corrupt file."""
        plain, zipped = self._paths(folder)
        path = plain if os.path.exists(plain) else zipped
        try:
            content = read_bytes(path, limit=self.size + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise corrupt(path, f"it cannot be decompressed ({error})") from None
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror or error}"
            raise DataUnavailable(message, hint=ANOTHER_FOLDER) from None
        if wrong := self._what_is_wrong(content):
            raise corrupt(path, wrong)
        return content[len(self.header) :].view(self.dtype).reshape(self.shape)

    def _paths(self, folder: Path) -> tuple[Path, Path]:
        return folder / self.name, folder / f"{self.name}.gz"

    def _what_is_wrong(self, content: NDArray[np.uint8]) -> str:
        start = content[: len(self.header)].tobytes()
        if not self.header.startswith(start[:4]):
            return f"it does not begin as an IDX file of {len(self.shape)} dimensions"
        if len(start) == len(self.header) and start != self.header:
            shape = tuple(int(side) for side in np.frombuffer(start[4:], dtype=">u4"))
            return f"its header says {shape} instead of {self.shape}"
        if len(content) < self.size:
            return f"it ends after {len(content):,} of {self.size:,} bytes"
        if len(content) > self.size:
            return f"it is longer than {self.size:,} bytes"
        if self.sha256 and hashlib.sha256(content.data).hexdigest() != self.sha256:
            return "its SHA-256 is not the known one"
        return ""


def read_bytes(path: Path, *, limit: int) -> NDArray[np.uint8]:
    """At most `limit` bytes, decompressed, in memory that may be written, as torch wants it."""
    if path.suffix != ".gz":
        return np.fromfile(path, dtype=np.uint8, count=limit)
    with gzip.open(path) as stream:
        return np.frombuffer(bytearray(stream.read(limit)), dtype=np.uint8)


def corrupt(path: Path, what: str) -> DataUnavailable:
    """The error for a file that is not what it should be."""
    hint = "delete this file, and it is downloaded again; or name another folder with --data-dir"
    return DataUnavailable(f"{path} is corrupt: {what}", hint=hint)
