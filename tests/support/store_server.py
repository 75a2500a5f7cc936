"""An S3 server of this machine, in a process of its own, that can be told to fail.

moto answers, one request at a time, so that a conditional write is one step. `python -m support.store_server FOLDER`
writes the address to FOLDER/address, and each request to FOLDER/requests as a line METHOD PATH; FOLDER/faults.json says
what goes wrong.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from avf_shards.stores.addresses import MIRRORS
from avf_shards.system.mirror_registry import forget_mirrors

_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>told to fail</Message></Error>'

_CONDITION = b"<Condition>If-None-Match</Condition>"


@dataclass(frozen=True, kw_only=True)
class StoreFaults:
    """What goes wrong at the store."""

    slow_down_every: int = 0  # every so manieth request is answered with 503 SlowDown
    cut_every: int = 0  # of every so manieth write the store takes the half of the bytes, and the connection ends
    lose_answer_every: int = 0  # every so manieth write is done, and its answer is an error of the server
    clock_ahead_s: int = 0  # of the clock that stamps objects, in answers of this moment
    passes_over_conditions: bool = False  # a write with If-None-Match is done whatever stands there
    names_no_condition: bool = False  # the refusal of such a write does not say which condition, as Ceph's does not
    expires_after_writes: int | None = None  # later requests are answered with 400 ExpiredToken


class FaultyApplication:
    """The WSGI application of the server."""

    def __init__(self, application: Callable[..., Iterable[bytes]], folder: Path) -> None:
        self._application, self._folder = application, folder
        self._lock, self._requests, self._writes = threading.Lock(), 0, 0  # counted since the faults changed
        self._faults_text = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            faults = self._read_faults()
            method = environ["REQUEST_METHOD"]
            with open(self._folder / "requests", "a") as file:
                file.write(f"{method} {environ['PATH_INFO']}\n")
            self._requests += 1
            self._writes += method == "PUT"
            if faults.expires_after_writes is not None and self._writes > faults.expires_after_writes:
                return self._refuse(environ, start_response, "400 Bad Request", "ExpiredToken")
            if faults.slow_down_every and self._requests % faults.slow_down_every == 0:
                return self._refuse(environ, start_response, "503 Slow Down", "SlowDown")
            if faults.passes_over_conditions:
                environ.pop("HTTP_IF_NONE_MATCH", None)
            if method == "PUT" and faults.cut_every and self._writes % faults.cut_every == 0:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
                self._hang_up(environ)
            answer = list(self._application(environ, _shifted(start_response, faults.clock_ahead_s)))
            answer = [_shift_listing(part, faults.clock_ahead_s) for part in answer]
            if faults.names_no_condition:
                answer = [part.replace(_CONDITION, b" " * len(_CONDITION)) for part in answer]
            if method == "PUT" and faults.lose_answer_every and self._writes % faults.lose_answer_every == 0:
                self._hang_up(environ)
            return answer

    def _hang_up(self, environ: dict[str, Any]) -> NoReturn:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    def _read_faults(self) -> StoreFaults:
        try:
            text = (self._folder / "faults.json").read_text()
        except FileNotFoundError:
            return StoreFaults()
        if text != self._faults_text:
            self._faults_text, self._requests, self._writes = text, 0, 0
        return StoreFaults(**json.loads(text))

    def _refuse(
        self, environ: dict[str, Any], start_response: Callable[..., Any], status: str, code: str
    ) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else _XML.format(code=code).encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


def _shifted(start_response: Callable[..., Any], ahead_s: int) -> Callable[..., Any]:
    """Return `start_response` with another Last-Modified, and no length of what may change too."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        if ahead_s:
            moved = [
                (name, formatdate(parsedate_to_datetime(value).timestamp() + ahead_s, usegmt=True))
                if name.lower() == "last-modified"
                else (name, value)
                for name, value in headers
            ]
            return start_response(status, moved, *rest)
        return start_response(status, headers, *rest)

    return start


def _shift_listing(part: bytes, ahead_s: int) -> bytes:
    """Return the bytes of a listing with other times, which are as long as they were."""
    if not ahead_s or b"<LastModified>" not in part:
        return part

    def shift(match: re.Match[bytes]) -> bytes:
        moment = datetime.fromisoformat(match[1].decode()) + timedelta(seconds=ahead_s)
        return f"<LastModified>{moment.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}<".encode()

    return re.sub(rb"<LastModified>([^<]+)<", shift, part)


@dataclass(frozen=True, kw_only=True)
class StoreServer:
    """A server that runs."""

    folder: Path  # of its files
    address: str  # http://127.0.0.1:PORT

    @property
    def environment(self) -> dict[str, str]:
        """Return what tells clients to use this server."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def set_faults(self, faults: StoreFaults) -> None:
        """Let these things go wrong from now on."""
        temporary = self.folder / "faults.new"
        temporary.write_text(json.dumps(asdict(faults)))
        os.replace(temporary, self.folder / "faults.json")

    def take_request_lines(self) -> list[str]:
        """Return the requests since the last call, as METHOD PATH."""
        path = self.folder / "requests"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def take_requests(self) -> Counter[str]:
        """Return how many requests of each method came since the last call."""
        return Counter(line.split()[0] for line in self.take_request_lines())


@contextmanager
def serve_store(folder: Path, bucket: str) -> Iterator[StoreServer]:
    """Run a server with one bucket while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.store_server", str(folder)],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    try:
        while not (folder / "address").exists():
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        server = StoreServer(folder=folder, address=(folder / "address").read_text())
        _make_bucket(server.address, bucket)
        yield server
    finally:
        process.kill()
        process.wait()


def client_of(server: StoreServer, mirrors: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process and its children use the server while a fixture yields."""
    for name, value in (server.environment | {MIRRORS: str(mirrors)}).items():
        monkeypatch.setenv(name, value)
    server.set_faults(StoreFaults())
    yield
    server.set_faults(StoreFaults())
    forget_mirrors()


def _make_bucket(address: str, bucket: str) -> None:
    """Make a bucket without the client under test, whose threads a fork of this process would not have."""
    from urllib.request import Request, urlopen

    with urlopen(Request(f"{address}/{bucket}", method="PUT", data=b"")) as answer:
        assert answer.status == 200


def main(folder: Path) -> None:
    """Serve until the process is killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    application = FaultyApplication(DomainDispatcherApplication(create_backend_app), folder)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    (folder / "address.new").write_text(f"http://127.0.0.1:{server.server_port}")
    os.replace(folder / "address.new", folder / "address")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
