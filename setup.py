"""Finds the packages, and builds the native library.

The folder cli/ is installed under a name that no other package has. The library is no module of
Python: it goes with any version of it, and an installation without it, or without a compiler, is a
whole one.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform import machine

from setuptools import Extension, find_namespace_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent

sys.path.insert(0, str(ROOT))  # of which nothing needs what is not installed yet
from mnist_arch.native.compiling import (  # noqa: E402
    NoLibrary,
    compile_library,
    find_compiler,
    library_name,
    vectors_for,
)

sys.path.remove(str(ROOT))

PACKAGE = "mnist_arch.native"


class BuildLibraries(build_ext):
    """A native library for each kind of vectors, as far as there is a compiler for it."""

    def get_ext_filename(self, fullname: str) -> str:
        *packages, vectors = fullname.split(".")
        return os.path.join(*packages, library_name(vectors))

    def build_extensions(self) -> None:
        for ext in self.extensions:
            folder = Path(self.get_ext_fullpath(ext.name)).parent
            folder.mkdir(parents=True, exist_ok=True)
            _clear(folder)
        with ThreadPoolExecutor(len(self.extensions)) as pool:
            built = list(pool.map(self._is_built, self.extensions))
        # From here on the others are none.
        self.extensions = [ext for ext, there in zip(self.extensions, built, strict=True) if there]

    def _is_built(self, ext: Extension) -> bool:
        target = Path(self.get_ext_fullpath(ext.name))
        try:
            with tempfile.TemporaryDirectory() as folder:
                made = Path(folder, "library.so")
                compile_library(find_compiler(), ext.name.rpartition(".")[2], made)
                self.copy_file(made, target)
        except (NoLibrary, OSError) as error:  # such as of a full disk
            self.warn(f"{target.name} is left out: {error}")
            return False
        return True

    def copy_extensions_to_source(self) -> None:
        _clear(ROOT.joinpath(*PACKAGE.split(".")))
        super().copy_extensions_to_source()


def _clear(folder: Path) -> None:
    """Removes libraries, which may be of other sources."""
    for library in folder.glob("*.so"):
        library.unlink()


class Wheel(bdist_wheel):
    """For any Python, and for one kind of machine if there is a library in it."""

    def get_tag(self) -> tuple[str, str, str]:
        has_library = bool(self.get_finalized_command("build_ext").extensions)
        return ("py3", "none", super().get_tag()[2] if has_library else "any")


setup(
    packages=[
        *find_namespace_packages(include=["mnist_arch", "mnist_arch.*"]),
        *(f"mnist_arch_{name}" for name in find_namespace_packages(include=["cli", "cli.*"])),
    ],
    package_dir={"mnist_arch_cli": "cli"},
    ext_modules=[
        Extension(f"{PACKAGE}.{vectors}", sources=[]) for vectors in vectors_for(machine())
    ],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": Wheel},
)
