"""A small server of one page, on this machine alone."""

import http.server
from pathlib import Path

from embrl.core.errors import EmbrlError, SettingError

HOST = "127.0.0.1"


def server_of(page: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server that answers with a page, whatever path is asked for.

    Args:
        page: the file.
        port: 0 takes a free one.

    Raises:
        EmbrlError: the port is taken, or out of range.
    """
    if not 0 <= port < 2**16:
        raise SettingError("--port", "0 to 65535", port)
    data = page.read_bytes()

    class PageHandler(http.server.BaseHTTPRequestHandler):
        """Answers of one page."""

        def do_GET(self) -> None:  # the name that http.server calls
            """Send the page."""
            found = self.path.partition("?")[0] in ("/", f"/{page.name}")
            body = data if found else b"no such page\n"
            self.send_response(200 if found else 404)
            kind = "text/html; charset=utf-8" if found else "text/plain"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    try:
        return http.server.ThreadingHTTPServer((HOST, port), PageHandler)
    except OSError as error:
        raise EmbrlError(f"--port {port}: {error.strerror or error}") from error
