"""A store that is away is asked again by its client alone, which says so: not by each reader of a file once more."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from avf_shards.stores import fsspec_store
from avf_shards.stores.fsspec_store import FsspecStore, RefusedError, StoreError
from avf_shards.system import storage_faults
from avf_shards.system.storage_faults import retry_read


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (StoreError(5, "out of reach", "s3://bucket/a.mp4"), 1),
        (RefusedError(13, "the store does not allow this", "s3://bucket/a.mp4"), 1),
        (OSError(5, "Input/output error"), 4),
    ],
)
def test_only_errors_of_disks_are_read_again(error: OSError, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_faults, "RETRY_PAUSES_S", (0.0, 0.0, 0.0))
    asked = []

    def read() -> bytes:
        asked.append("once")
        raise error

    with pytest.raises(type(error), match=r"out of reach|does not allow|Input") as raised:
        retry_read(read, Path("a.mp4"))
    assert raised.value is error
    assert len(asked) == tries


class _Answers(BaseHTTPRequestHandler):
    """Answers each request with the status that the path names."""

    def do_GET(self) -> None:
        self.send_error(int(self.path.strip("/")))

    do_HEAD = do_GET


@pytest.mark.parametrize(("status", "is_missing"), [(404, True), (500, False), (503, False), (429, False)])
def test_a_web_server_that_fails_is_no_missing_file(
    status: int, is_missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsspec_store, "_FIRST_WAIT_S", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = FsspecStore(f"http://127.0.0.1:{server.server_port}")
        if is_missing:
            assert store.look_up(str(status)) is None
        else:
            with pytest.raises(StoreError, match=f"out of reach after 7 tries.*{status}"):
                store.look_up(str(status))
        server.shutdown()


def test_a_web_server_that_is_away_is_no_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec_store, "_FIRST_WAIT_S", 0.0)
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(StoreError, match=r"out of reach after 7 tries.*Cannot connect"):
            FsspecStore(f"http://127.0.0.1:{taken.getsockname()[1]}").look_up("a.pth")
