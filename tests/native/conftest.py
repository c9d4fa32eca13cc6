"""One library for all tests of the native engine, kept from run to run."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from mnist_arch.native.library import NoLibrary, build, find_compiler, load, vectors_here


@pytest.fixture(scope="session")
def library(request: pytest.FixtureRequest) -> ctypes.CDLL:
    cache = request.config.cache
    folder = Path(cache.mkdir("native")) if cache else Path(".native")
    try:
        return load(build(find_compiler(), vectors_here(), cache=folder))
    except NoLibrary as error:
        pytest.skip(str(error))
