"""The live page of a run: a local web server that answers with the state of now, for a browser on this machine."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from avf_shards.errors import FaultError, UserError
from avf_shards.format.content import format_amount, input_noun
from avf_shards.format.run_folder import RunFolder
from avf_shards.text import format_wait

from avf_curation.reports.html import render_page
from avf_curation.runs.live_summary import LiveReader, LiveSummary

HOST = "127.0.0.1"  # never another address: the page shows names of videos to whoever can connect
REFRESH_S = 3.0
_LOG = logging.getLogger(__name__)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, kw_only=True)
class LivePage:
    """A server that is ready; `serve` answers requests until `stop`."""

    url: str
    serve: Callable[[], None]
    stop: Callable[[], None]


@contextmanager
def open_live_page(run: RunFolder, port: int = 0) -> Iterator[LivePage]:
    """Open the server of a run's page on the loopback address.

    Args:
        run: a run that has a plan.
        port: TCP port; 0 takes a free one.

    Raises:
        UserError: the port is taken or may not be used, or nothing is planned in the run.
    """
    reader = _CachedReader(run)
    reader.summary()  # a run without a plan is refused before the server starts

    class Handler(_RequestHandler):
        summaries = reader

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--serve {port}: the port cannot be used ({error}); name another, or 0 for a free one"
        ) from None
    server.daemon_threads = True
    try:
        yield LivePage(
            url=f"http://{HOST}:{server.server_address[1]}/", serve=server.serve_forever, stop=server.shutdown
        )
    finally:
        server.server_close()


def _content_policy(nonce: str) -> str:
    """Return the policy under which a browser runs the page's own script alone, and loads nothing from elsewhere."""
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def render_live_page(summary: LiveSummary, name: str, nonce: str = "") -> str:
    """Return the page's HTML. `nonce` is the word by which the content policy knows the page's script."""
    return render_page(
        "live.html",
        name=name,
        summary=summary,
        status=summary.status,
        progress=summary.status.progress,
        now=time.time(),
        clock=time.strftime("%H:%M:%S"),
        refresh_s=REFRESH_S,
        nonce=nonce,
        format_wait=format_wait,
        noun=input_noun(summary.status.progress.content),
        amount=partial(format_amount, content=summary.status.progress.content),
    )


class _CachedReader:
    """Reads a run at most once a second, however many browsers ask."""

    def __init__(self, run: RunFolder) -> None:
        self.name = run.plan_summary().name if run.attempts() else run.root.name
        self._reader = LiveReader(run)
        self._lock = threading.Lock()
        self._summary: LiveSummary | None = None
        self._read_s = 0.0

    def summary(self) -> LiveSummary:
        with self._lock:
            if self._summary is None or time.monotonic() - self._read_s > 1.0:
                self._summary = self._reader.summary()
                self._read_s = time.monotonic()
            return self._summary


class _RequestHandler(BaseHTTPRequestHandler):
    """Answers / with the page and /status.json with the values of `avf-curate status --json`."""

    summaries: _CachedReader  # of the run; set by open_live_page
    server_version = "avf-curate"
    sys_version = ""
    timeout = 30.0  # seconds without a byte after which a connection is closed

    def do_GET(self) -> None:
        """Send the page or the JSON, or 404."""
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        # A page of another site that a name server points to 127.0.0.1 must not read this one.
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "open the address that avf-curate printed\n")
            return
        try:
            if self.path == "/":
                nonce = secrets.token_urlsafe(16)
                page = render_live_page(self.summaries.summary(), self.summaries.name, nonce)
                self._send(HTTPStatus.OK, "text/html", page, nonce)
            elif self.path == "/status.json":
                self._send(HTTPStatus.OK, "application/json", json.dumps(self.summaries.summary().status.as_json()))
            else:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", "there are / and /status.json\n")
        except (UserError, FaultError, OSError) as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n")

    do_HEAD = do_GET

    def _send(self, status: HTTPStatus, kind: str, text: str, nonce: str = "") -> None:
        data = text.encode()
        try:
            self.send_response(status)
            for header, value in _HEADERS.items():
                self.send_header(header, value)
            self.send_header("Content-Security-Policy", _content_policy(nonce))
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the browser went away

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests for --verbose only."""
        _LOG.debug(format, *args)
