"""A web server of this machine that answers requests for ranges of bytes, and can cut connections."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """Serves a folder by ranges. drop_every: the connection of every so manieth request is cut in the middle."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.drop_every, self.ranges = folder, 0, True
        self.asked: Counter[str] = Counter()
        self.dropped, self._lock = 0, threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def drops(self, name: str) -> bool:
        """Note a request; whether to cut it."""
        with self._lock:
            self.asked[name] += 1
            cut = self.drop_every > 0 and self.asked.total() % self.drop_every == 0
            self.dropped += cut
        return cut

    def handle_error(self, request: object, client_address: object) -> None:
        """A cut connection is what we are here for."""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        name = Path(self.path).name
        cut = self.server.drops(name) and body
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data, status = path.read_bytes(), 200
        byte_range = self.headers.get("Range")
        if byte_range and self.server.ranges:
            first, last = byte_range.removeprefix("bytes=").split("-")
            data, status = data[int(first) : int(last) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at `asked`."""


@contextmanager
def serve_ranges(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder while the block runs."""
    serving = RangeServer(folder)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()
