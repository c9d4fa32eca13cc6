"""The checkpoint of a run, and the point from which a process resumes it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from mnist_arch.errors import START_ANEW, RunCorrupt
from mnist_arch.files import write_whole


def checkpoint_bytes(state: dict[str, Any]) -> bytes:
    """The state of a training, as a file has it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save_checkpoint(path: Path, state: dict[str, Any] | bytes) -> None:
    """Writes the state of a training, or its bytes. Raises StorageError."""
    write_whole(path, state if isinstance(state, bytes) else checkpoint_bytes(state))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. Raises RunCorrupt."""
    try:
        # torch.save writes a zip archive with the checksums of its members; torch.load skips them.
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} differs")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # neither has one kind of error for files that are damaged
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunCorrupt(
            f"the checkpoint {path} cannot be read: {reason}", hint=START_ANEW
        ) from None
    return state
