"""Downloads of weights resume, leave no partial file under the final name, and check digests."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.detectors import weights
from avf_shards.errors import UserError

CONTENT = bytes(range(256)) * 4096


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; drops the connection after `drop` bytes while that is set."""

    drop = 0
    requested_ranges: list[str] = []  # noqa: RUF012  reset by the fixture

    def do_GET(self) -> None:
        start = 0
        header = self.headers.get("Range")
        Server.requested_ranges.append(header or "")
        if header:
            start = int(header.removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if header else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if Server.drop:
            self.wfile.write(body[: Server.drop])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.drop, Server.requested_ranges = 0, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/syncnet_v2.model"
    server.shutdown()


def test_a_download_resumes_after_a_dropped_connection(address: str, tmp_path: Path) -> None:
    Server.drop = 300_000
    with pytest.raises(UserError, match="the same command continues the download"):
        weights.pull_weights("syncnet", tmp_path, address=address)
    assert not (tmp_path / "syncnet_v2.model").exists()
    assert (tmp_path / "syncnet_v2.model.part").stat().st_size >= 1
    Server.drop = 0
    path = weights.pull_weights("syncnet", tmp_path, address=address)
    assert path.read_bytes() == CONTENT
    assert Server.requested_ranges[-1].startswith("bytes=")
    assert not (tmp_path / "syncnet_v2.model.part").exists()


def test_the_digest_of_the_first_download_is_locked(address: str, tmp_path: Path) -> None:
    path = weights.pull_weights("syncnet", tmp_path, address=address)
    assert weights.find_weight("syncnet", tmp_path)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UserError, match="recorded in"):
        weights.find_weight("syncnet", tmp_path)


def test_a_wrong_file_is_refused_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.pth").write_bytes(b"something else")
    folder = tmp_path / "weights"
    arguments = ["--weights", str(folder), "--from", str(tmp_path / "mine.pth")]
    assert main(["weights", "pull", "retinaface_mobilenet", *arguments]) == 2
    assert "was published: the file is damaged, or is another file" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_ls_lists_weights_and_unknown_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "ls", "--weights", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("not here") == 3
    assert "MIT" in out
    assert main(["weights", "pull", "resnet", "--weights", str(tmp_path)]) == 2
    assert "known are" in capsys.readouterr().err
    assert main(["weights", "pull", "syncnet", "--address", "file:///etc/passwd", "--weights", str(tmp_path)]) == 2


def test_an_unreachable_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        weights.pull_weights("syncnet", tmp_path, address="http://127.0.0.1:9/x")


@pytest.mark.real
def test_the_real_weights_have_the_published_digest(real_weights: Path) -> None:
    assert weights.find_weight("retinaface_mobilenet", real_weights)
