"""What an interpreter asks of whoever knows the libraries that code uses."""

from __future__ import annotations

from typing import Any, Protocol

from mnist_arch.convert.interpreter.values import Unknown
from mnist_arch.errors import Origin


class Library(Protocol):
    """What the names of libraries mean."""

    def call(
        self, name: str, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any: ...

    def method(
        self,
        receiver: Any,
        name: str,
        arguments: list[Any],
        keywords: dict[str, Any],
        place: Origin,
    ) -> Any: ...

    def invoke(
        self, called: Any, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any: ...

    def not_known(self, what: str, arguments: list[Any], place: Origin) -> Any: ...

    def known(self, called: Any, arguments: list[Any], place: Origin) -> Any: ...

    def attribute(self, receiver: Any, name: str, place: Origin) -> Any: ...

    def combine(self, sign: str, left: Any, right: Any, place: Origin) -> Any: ...

    def item(self, receiver: Any, key: Any, place: Origin) -> Any: ...

    def lose(self, receiver: Any, why: Unknown) -> None: ...

    def items(self, receiver: Any) -> list[Any] | None: ...

    def star(self, module: str, name: str) -> bool: ...
