"""Other users of this machine: root may act as any of them, and everybody else as themselves."""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Iterator

import psutil  # imports more when it is first asked, which not every user may read
import pytest

psutil.pid_exists(os.getpid())
codecs.lookup("utf-8-sig")

ANN, BOB, NOBODY = 12_345, 12_346, 65_534
"""Users by number; the first two have no name and no home."""

TOGETHER = 12_300
"""A group of both."""


@contextlib.contextmanager
def acting_as(user: int, *, group: int | None = None) -> Iterator[None]:
    """This process, with the rights of another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as others")
    groups, own = os.getgroups(), os.getegid()
    os.setgroups([] if group is None else [group])
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own)
        os.setgroups(groups)


@contextlib.contextmanager
def without_the_rights_of_root() -> Iterator[None]:
    """This process as somebody whom the modes of files hold back."""
    with acting_as(NOBODY) if os.geteuid() == 0 else contextlib.nullcontext():
        yield
