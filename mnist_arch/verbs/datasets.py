"""What is said of datasets: what `auto` means here, and which folder a download has made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from mnist_arch.data.catalog import DatasetName
from mnist_arch.data.folders import check_named_folder, named_folder, on_disk


def dataset_now(name: DatasetName | Literal["auto"], data_dir: Path | None) -> DatasetName:
    """What a name means by what is on this machine, where nothing is downloaded.

    Raises SpecError where `data_dir` cannot be meant.
    """
    if name == "auto":
        return "mnist" if on_disk("mnist", data_dir) else "mnist-5k"
    check_named_folder(name, data_dir)
    return name


def auto_text(name: DatasetName) -> str:
    """What `auto` means, in a sentence."""
    if name != "mnist-5k":
        return f"auto, which is {name} here"
    return (
        "auto, which is mnist-5k here, the embedded sample: MNIST is not on this machine, and is "
        "downloaded first where that is possible"
    )


@contextlib.contextmanager
def noting_new_folder(data_dir: Path | None, note: Callable[[str], None]) -> Iterator[None]:
    """Says so where the data folder is made by what happens inside."""
    folder = named_folder(data_dir)
    is_new = folder is not None and not os.path.exists(folder)
    try:
        yield
    finally:
        if folder is not None and is_new and os.path.exists(folder):
            note(f"{folder} was made for the images that were downloaded")
