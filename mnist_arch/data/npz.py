"""Arrays in numpy's archives, as Keras and the makers of KMNIST give them away."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mnist_arch.data.catalog import DataFile
from mnist_arch.data.idx import check_sha256, corrupt, of_another, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def member(file: DataFile) -> tuple[str, str] | None:
    """The archive that may hold what `file` does, and the name of the array in it."""
    match file.dataset:
        case "mnist":
            return "mnist.npz", f"{'x' if file.part == 'images' else 'y'}_{file.split}"
        case "kmnist":
            part = "imgs" if file.part == "images" else "labels"
            return f"kmnist-{file.split}-{part}.npz", "arr_0"
        case _:
            return None


def read(file: DataFile, path: Path, key: str) -> NDArray[Any]:
    """The array `key` of the archive at `path`, checked as if it were the IDX file.

    Nothing is unpickled, and no more is read than the array is to have. Raises DataUnavailable.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
            shape, dtype = _header(stream)
            if shape != file.shape:
                raise of_another(file, path, f"its {key} has the shape {shape}, not {file.shape}")
            if dtype.kind not in "iu":
                raise corrupt(path, f"its {key} is of {dtype}, not of whole numbers")
            content = stream.read(math.prod(shape) * dtype.itemsize + 1)
    except KeyError:
        raise corrupt(path, f"it has no {key}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise corrupt(path, f"its {key} cannot be read ({error})") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise corrupt(path, f"its {key} has not the size that its header says")
    found = np.frombuffer(content, dtype=dtype).reshape(shape)
    array = found.astype(file.dtype)
    if not np.array_equal(array, found):
        raise corrupt(path, f"its {key} has values that {file.part} do not have")
    check_sha256(file, path, file.header, array.tobytes())
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that follows. Raises ValueError."""
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is not known")
    reads = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, fortran_order, dtype = reads[version](stream)
    if fortran_order:
        raise ValueError("its columns come first")
    return shape, dtype
