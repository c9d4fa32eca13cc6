"""One library for all tests of the native engine: as installed, or kept from run to run."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from mnist_arch.native.compiling import NoLibrary, find_compiler
from mnist_arch.native.library import build, installed_path, load, vectors_here


@pytest.fixture(scope="session")
def library(request: pytest.FixtureRequest) -> ctypes.CDLL:
    cache, vectors = request.config.cache, vectors_here()
    if (path := installed_path(vectors)).exists():
        return load(path)
    folder = Path(cache.mkdir("native")) if cache else Path(".native")
    try:
        return load(build(find_compiler(), vectors, cache=folder).path)
    except NoLibrary as error:
        pytest.skip(str(error))
