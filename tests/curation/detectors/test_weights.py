"""Downloads of weights resume, leave no partial file under the final name, and check digests."""

import hashlib
import http.server
import os
import pickle
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avf_curation.cli.main import main
from avf_curation.detectors import weights
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.retinaface import RetinaFaceDetector
from avf_curation.detectors.sync_head_file import HEAD_FILE
from avf_curation.detectors.syncnet import SyncNetScorer
from avf_curation.detectors.weight_files import load_weights
from avf_shards.errors import UNREADABLE_TORCH_FILE, UserError
from avf_training.conversion.convert import read_authors_checkpoint
from support.curation_runs import make_recipe

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
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # CONTENT stands in for 54 MB of tensors.
    stand_in = replace(weights.KNOWN["syncnet"], sha256_prefix=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(weights.KNOWN, "syncnet", stand_in)
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


def test_each_load_checks_the_digest(address: str, tmp_path: Path) -> None:
    path = weights.pull_weights("syncnet", tmp_path, address=address)
    assert weights.find_weight("syncnet", tmp_path)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged, or is another file"):
        weights.find_weight("syncnet", tmp_path)
    with pytest.raises(UserError, match="cannot be reached"):
        weights.pull_weights("syncnet", tmp_path, address="http://127.0.0.1:9/x")
    assert path.exists(), "a file is replaced by the right one alone"
    assert weights.pull_weights("syncnet", tmp_path, address=address).read_bytes() == CONTENT


OK = b"HTTP/1.1 200 OK\r\n"
STRANGE_ANSWERS = {
    "a page of a captive portal": OK + b"Content-Length: 6\r\n\r\n<html>",
    "half a file without a length": OK + b"Connection: close\r\n\r\n" + CONTENT[:1000],
    "half a file in chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff\r\nabc",
    "a length that is no number": OK + b"Content-Length: abc\r\n\r\nxx",
    "a negative length": OK + b"Content-Length: -1\r\n\r\nxx",
    "a length beyond all files": OK + b"Content-Length: 99999999999\r\n\r\nxx",
    "no HTTP": b"GARBAGE\r\n\r\n",
    "nothing": b"",
    "a file of this machine": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "the end of another file": b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
    "a rest where none was asked for": b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\nxx",
}


@pytest.mark.parametrize("answer", STRANGE_ANSWERS)
@pytest.mark.parametrize("part", [None, b"left over from elsewhere"])
def test_a_strange_answer_is_one_sentence_and_the_next_download_succeeds(
    answer: str, part: bytes | None, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if part:
        (tmp_path / "syncnet_v2.model.part").write_bytes(part)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(STRANGE_ANSWERS[answer])

        thread = threading.Thread(target=answer_once)
        thread.start()
        strange = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        assert main(["weights", "pull", "syncnet", "--address", strange, "--weights", str(tmp_path)]) == 2
        thread.join()
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"avf-curate: {strange}: ")
    assert not (tmp_path / "syncnet_v2.model").exists()
    command = ["weights", "pull", "syncnet", "--address", address, "--weights", str(tmp_path)]
    # Bytes of another file before those of this one are noticed by the digest, and the download after that is whole.
    if (tmp_path / "syncnet_v2.model.part").exists() and part:
        assert main(command) == 2
    assert main(command) == 0
    assert (tmp_path / "syncnet_v2.model").read_bytes() == CONTENT


def test_a_wrong_file_is_refused_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.pth").write_bytes(b"something else")
    folder = tmp_path / "weights"
    arguments = ["--weights", str(folder), "--from", str(tmp_path / "mine.pth")]
    assert main(["weights", "pull", "retinaface_mobilenet", *arguments]) == 2
    assert "the file is damaged, or is another file" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_ls_lists_weights_and_unknown_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "ls", "--weights", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("not here") == len(weights.KNOWN)
    assert "MIT" in out
    assert main(["weights", "pull", "resnet", "--weights", str(tmp_path)]) == 2
    assert "known are" in capsys.readouterr().err
    assert main(["weights", "pull", "syncnet", "--address", "file:///etc/passwd", "--weights", str(tmp_path)]) == 2


def test_an_unreachable_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        weights.pull_weights("syncnet", tmp_path, address="http://127.0.0.1:9/x")


def save_weights(path: Path, tensors: object) -> Path:
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("load", [load_weights, read_authors_checkpoint])
@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04junk", pickle.dumps({"a": 3}), pickle.dumps(print)])
@pytest.mark.parametrize("name", ["x.pth", "x.zip"])
def test_a_file_of_anything_but_tensors_is_one_sentence(
    load: Callable[[Path], object], content: bytes, name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        load(path)
    assert str(refusal.value) == f"{path}: {UNREADABLE_TORCH_FILE}"
    assert not recwarn.list


@pytest.mark.parametrize("values", [{"state_dict": {"a": 3}}, [1], {"a": [torch.zeros(1)]}])
def test_weights_are_a_table_of_tensors(values: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.pth: not a file of torch, or it holds more than tensors"):
        load_weights(save_weights(tmp_path / "x.pth", values))


def test_the_weights_of_another_model_are_one_sentence(tmp_path: Path) -> None:
    path = save_weights(tmp_path / "x.pth", {"conv.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"x\.pth: holds the weights of another model \(Missing key"):
        SyncNetScorer.from_file(path)
    with pytest.raises(UserError, match=r"x\.pth: holds the weights of another model \(Missing key"):
        RetinaFaceDetector("mobilenet", load_weights(path), name=str(path))


@pytest.mark.real
def test_the_real_weights_have_the_published_digest(real_weights: Path) -> None:
    assert weights.find_weight("retinaface_mobilenet", real_weights)


def _make_folder(path: Path) -> None:
    path.mkdir()


def _make_broken_link(path: Path) -> None:
    path.symlink_to("gone")


def _make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_make_folder, "a folder"),
        (_make_broken_link, "a link that leads to no file"),
        (_make_loop, "a link that leads to no file"),
        (os.mkfifo, "no plain file"),
    ],
)
@pytest.mark.parametrize("file_name", [*(entry.file_name for entry in weights.KNOWN.values()), HEAD_FILE])
def test_what_is_no_file_is_not_passed_over(
    make: Callable[[Path], None], kind: str, file_name: str, tmp_path: Path
) -> None:
    make(tmp_path / file_name)
    settings = ("faces.backend=yunet",) if "yunet" in file_name else ()
    with pytest.raises(UserError, match=rf"{re.escape(file_name)}: is {kind}, and not the file with weights; move it"):
        resolve_backends(make_recipe("sync.backend=auto", *settings), tmp_path)


@pytest.mark.parametrize("file_name", ["x.pth", "x.zip"])
def test_the_bytes_that_were_hashed_are_loaded(file_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, values = save_weights(tmp_path / "x.pth", {"a": torch.arange(3.0)}), {"a": [0.0, 1.0, 2.0]}
    if file_name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / file_name, "w") as archive:
            archive.write(path, "x.pth")
        path = tmp_path / file_name
    digest = weights.short_digest(path)
    read = weights.read_bytes

    def read_and_replace(path: Path) -> bytes:
        data = read(path)
        path.write_bytes(b"other weights")
        return data

    monkeypatch.setattr(weights, "read_bytes", read_and_replace)
    assert {name: value.tolist() for name, value in load_weights(path, digest=digest).items()} == values
    with pytest.raises(weights.ReplacedWeightsError, match=digest):
        load_weights(path, digest=digest)


def test_opencv_opens_the_bytes_that_were_hashed(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(CONTENT)
    with weights.copy_weights(path, hashlib.sha256(CONTENT).hexdigest()) as copy:
        path.write_bytes(b"other weights")
        assert copy.read_bytes() == CONTENT
    assert not copy.exists()


def test_a_folder_is_not_pulled_over(tmp_path: Path) -> None:
    _make_folder(tmp_path / weights.KNOWN["yunet"].file_name)
    with pytest.raises(UserError, match="is a folder, and not the file with weights"):
        weights.pull_weights("yunet", tmp_path, address="http://127.0.0.1:9/x")
    assert len(list(tmp_path.iterdir())) == 1
