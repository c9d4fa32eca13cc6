"""Finds the packages. The folder cli/ is installed under a name that no other package has."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["mnist_arch", "mnist_arch.*"]),
        *(f"mnist_arch_{name}" for name in find_namespace_packages(include=["cli", "cli.*"])),
    ],
    package_dir={"mnist_arch_cli": "cli"},
)
