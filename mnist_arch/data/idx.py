"""Files in the IDX format of MNIST, plain or compressed, read and checked."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.data.catalog import INFO, DataFile, all_files, whose_mean
from mnist_arch.errors import DataUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DATA_VARIABLE: Final = "MNIST_ARCH_DATA"
"""The environment variable that names a data folder."""

ANOTHER_FOLDER: Final = (
    f"name a folder that has it with data_dir= or ${DATA_VARIABLE}; "
    "dataset='mnist-5k' needs no download"
)

_GZIP: Final = b"\x1f\x8b"


def read(file: DataFile, path: Path) -> NDArray[Any]:
    """The array of `file` that lies at `path`, checked.

    Raises DataUnavailable that names a file that is corrupt, or of another dataset or split.
    """
    content = _read_bytes(path, limit=file.size + 1)
    head, size = len(file.header), len(content)
    start = content[:head].tobytes()
    if start[:4] != file.header[: min(4, size)]:
        raise corrupt(path, f"it does not begin as an IDX file of {len(file.shape)} dimensions")
    if size >= head and start != file.header:
        raise _of_another_size(file, path, start)
    if size < file.size:
        raise corrupt(path, f"it ends after {size:,} of {file.size:,} bytes")
    if size > file.size:
        raise corrupt(path, f"it is longer than {file.size:,} bytes")
    check_sha256(file, path, content.data)
    return content[head:].view(file.dtype).reshape(file.shape)


def check_sha256(file: DataFile, path: Path, *content: bytes | memoryview) -> None:
    """Raises DataUnavailable unless the bytes are those of the uncompressed IDX file.

    Where these are not known here, they are at least not those of another file of the family.
    """
    if not any(other.sha256 for other in all_files() if other.header == file.header):
        return
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    if (sha256 := digest.hexdigest()) == file.sha256:
        return
    if (other := _known(sha256)) is not None:
        raise of_another(file, path, f"it has {other}")
    if not file.sha256:
        return
    if (file.split, file.part) == ("train", "images"):
        mean = _mean(b"".join(content)[len(file.header) :])
        if file.dataset not in (whose := whose_mean(file, mean)) and whose:
            raise of_another_mean(file, path, mean)
    raise corrupt(path, "its SHA-256 is not the known one")


def _mean(pixels: bytes) -> float:
    import numpy as np

    return float(np.frombuffer(pixels, dtype=np.uint8).mean()) / 255


def _known(sha256: str) -> DataFile | None:
    return next((file for file in all_files() if file.sha256 == sha256), None)


def corrupt(path: Path, what: str) -> DataUnavailable:
    """The error for a file that is not what it should be."""
    hint = "delete this file, and it is downloaded again; or name another folder with data_dir="
    return DataUnavailable(f"{path} is corrupt: {what}", hint=hint)


def of_another(file: DataFile, path: Path, what: str) -> DataUnavailable:
    """The error for a file that is whole, and of another dataset or split."""
    hint = f"put {file} there, or name another folder with data_dir= or ${DATA_VARIABLE}"
    return DataUnavailable(f"{path} is not {file}: {what}", hint=hint)


def of_another_mean(file: DataFile, path: Path, mean: float) -> DataUnavailable:
    """The error for training images whose pixels, in [0, 1], have the mean of another dataset."""
    whose = " and ".join(whose_mean(file, mean))
    like = f", as those of {whose}" if whose else ""
    own = INFO[file.dataset].mean
    return of_another(file, path, f"its pixels have the mean {mean:.4f}{like}, and not {own:.4f}")


def _of_another_size(file: DataFile, path: Path, header: bytes) -> DataUnavailable:
    """The error for a file whose header has another shape; says whose shape it is."""
    same = [other for other in all_files() if other.header == header]
    if not same:
        shape = struct.unpack(f">{len(file.shape)}I", header[4:])
        return corrupt(path, f"its header says {shape} instead of {file.shape}")
    content = _read_bytes(path, limit=same[0].size + 1)
    if (known := _known(hashlib.sha256(content.data).hexdigest())) is not None:
        return of_another(file, path, f"it has {known}")
    own = [other for other in same if other.dataset == file.dataset]
    names = " or ".join(map(str, own or same))
    return of_another(file, path, f"it has the size of {names}")


def _read_bytes(path: Path, *, limit: int) -> NDArray[np.uint8]:
    """At most `limit` bytes, decompressed, in memory that may be written, as torch wants it.

    Whether a file is compressed is seen in its content: its name may say otherwise.
    """
    import numpy as np

    try:
        with path.open("rb") as stream:
            compressed = stream.read(2) == _GZIP
            stream.seek(0)
            if not compressed:
                return np.fromfile(stream, dtype=np.uint8, count=limit)
            with gzip.GzipFile(fileobj=stream) as content:
                return np.frombuffer(bytearray(content.read(limit)), dtype=np.uint8)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise corrupt(path, f"it cannot be decompressed ({error})") from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataUnavailable:
    """The error for a file that the system does not let us read."""
    message = f"{path} cannot be read: {error.strerror or error}"
    return DataUnavailable(message, hint=ANOTHER_FOLDER)
