"""How the terminal starts."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_arch_cli import heavy_imports


@pytest.fixture
def _thawed() -> Iterator[None]:
    """Leaves the garbage of this process to be collected as before."""
    assert gc.isenabled()
    gc.unfreeze()
    yield
    gc.unfreeze()
    assert gc.isenabled()


@pytest.mark.usefixtures("_thawed")
def test_no_garbage_is_collected_during_heavy_imports() -> None:
    with heavy_imports():
        assert not gc.isenabled()
        kept = [[] for _ in range(100)]  # type: ignore[var-annotated]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)


@pytest.mark.usefixtures("_thawed")
def test_heavy_imports_inside_others_leave_them_alone() -> None:
    with heavy_imports():
        with heavy_imports():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.slow
def test_a_start_collects_almost_no_garbage(tmp_path: Path) -> None:
    script = (
        "import gc, sys; begun = []\n"
        "gc.callbacks.append(lambda phase, _: begun.append(phase) if phase == 'start' else None)\n"
        "from mnist_arch_cli.app import app\n"
        "try: app(['summary'])\n"
        "finally: print(len(begun), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(found.stderr) < 50


@pytest.mark.usefixtures("_thawed")
def test_it_is_collected_again_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError, match=r"^nothing$"), heavy_imports():
        raise ImportError("nothing")
    assert gc.isenabled()
