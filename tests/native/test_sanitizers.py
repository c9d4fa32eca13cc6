"""The kernels under the address and undefined-behaviour sanitizers, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_arch.native.compiling import NoLibrary, find_compiler
from mnist_arch.native.library import build, vectors_here

DRIVER = Path(__file__).parents[1] / "support" / "sanitized_native.py"
FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0")
"""Any optimisation takes twice as long to compile as it saves later."""


@pytest.mark.gate
def test_no_byte_is_touched_that_is_not_ours(tmp_path: Path) -> None:
    try:
        compiler = find_compiler()
        library = build(compiler, vectors_here(), cache=tmp_path, flags=FLAGS).path
    except NoLibrary as error:
        pytest.skip(str(error))
    runtime = subprocess.run(
        [*compiler.call, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("the compiler has no runtime of the sanitizers")
    environment = {**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    result = subprocess.run(
        [sys.executable, str(DRIVER), str(library)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
