"""How the terminal starts."""

from __future__ import annotations

import gc
from collections.abc import Iterator

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
def test_it_is_collected_again_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError, match=r"^nothing$"), heavy_imports():
        raise ImportError("nothing")
    assert gc.isenabled()
