"""One page for the browsers of this machine, and nothing else."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

HERE: Final = "127.0.0.1"


class _Server(ThreadingHTTPServer):
    """Says nothing of browsers that have gone away in the middle of an answer."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def server_of(page: str) -> ThreadingHTTPServer:
    """A server of one page, at a free port of this machine; `serve_forever` starts it.

    It answers only to requests that name this machine, so that no page from elsewhere can read it.
    """
    content = page.encode()

    class Handler(BaseHTTPRequestHandler):
        """Answers with the page."""

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in (HERE, "localhost"):
                self._answer(HTTPStatus.FORBIDDEN, b"")
            elif self.path.partition("?")[0] != "/":
                self._answer(HTTPStatus.NOT_FOUND, b"")
            else:
                self._answer(HTTPStatus.OK, content)

        do_HEAD = do_GET

        def _answer(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: the terminal is the user's."""

    return _Server((HERE, 0), Handler)


def address_of(server: ThreadingHTTPServer) -> str:
    """Where a browser finds it."""
    return f"http://{HERE}:{server.server_port}/"
