"""What a result depends on besides its experiment: the checkout and the versions of packages."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from mnist_arch.runs.manifest import GitState

_VERSIONS_OF: Final = ("mnist-arch", "torch", "numpy", "safetensors")


@cache
def package_versions() -> dict[str, str]:
    """Of this program and of the packages that results depend on."""
    return {name: metadata.version(name) for name in _VERSIONS_OF}


@cache
def git_state() -> GitState | None:
    """The checkout that this package is tracked in; None where it is installed from elsewhere.

    As it was when this process first asked: the code that runs was imported before.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return GitState(
            commit=git("rev-parse", "HEAD"), changed=bool(git("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
