"""Nodes of a Ray cluster as `ray start` starts them, on this machine, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from processes import send

SMALL = ("--num-cpus", "1", "--object-store-memory", "80000000", "--disable-usage-stats")
HEAD = ("--head", "--include-dashboard", "false")


class Machines:
    """A home, with programs, and whatever was started from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home, programs = folder / "home", folder / "bin"
        for made in (home, programs):
            made.mkdir()
        for name, module in (("ray", "ray.scripts.scripts"), ("mnist-arch", "mnist_arch")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            program.chmod(0o755)
        unset = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in unset},
            "HOME": str(home),
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "RAY_TMPDIR": str(folder),  # by which its processes are known, too
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def run(self, command: str, *, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """A line of a shell; its output goes to files, which what it has started may keep open."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
            code = subprocess.run(
                ["bash", "-c", command],
                cwd=cwd,
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said,
            ).returncode
            for file in (out, said):
                file.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), said.read())

    def start(self, *arguments: str, **more: str) -> None:
        """A node, which goes on by itself."""
        line = " ".join(["ray", "start", *arguments, *SMALL])
        result = self.run(line, cwd=self.folder, **more)
        assert result.returncode == 0, result.stdout + result.stderr

    def processes(self) -> list[psutil.Process]:
        """What was started here and lives."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("RAY_TMPDIR") == str(self.folder):
                    found.append(process)
        return found

    def end(self) -> None:
        """Ends all of it; `ray stop` would end the clusters of others, too."""
        while living := self.processes():
            send(signal.SIGKILL, *living)
            psutil.wait_procs(living, timeout=10)


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    """For paths of sockets, which have to be short, in no folder of pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    here = Machines(folder)
    try:
        yield here
    finally:
        here.end()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
