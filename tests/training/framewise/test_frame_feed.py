"""Pictures that threads prepare ahead: the same bytes for any number of threads, and nothing lost or left behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import FaultError
from avf_training.cli.main import main
from avf_training.framewise.tracks.extraction import TrackExtraction
from avf_training.framewise.tracks.extractor import PictureFormat
from avf_training.framewise.tracks.footage import BATCH_PICTURES, PreparePictures
from avf_training.framewise.tracks.frame_feed import FrameFeed
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.picture_folders import FittedPictures, PictureFootage, picture_inputs
from avf_training.framewise.tracks.track_input import FootageStretch, TrackInput
from PIL import Image
from support.tiny_extractors import save_vit

COUNTS = {"a": 3, "b": 2 * BATCH_PICTURES + 5, "c": 70, "d": BATCH_PICTURES}  # pictures of each video
INPUT = PictureFormat(size_px=8, device=torch.device("cpu"))


def write_video(folder: Path, count: int) -> None:
    """Write numbered pictures of noise."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        noise = np.random.default_rng((number, count)).integers(0, 255, (40, 30, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{number:05d}.jpg")


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prepare_threads() -> list[threading.Thread]:
    """Return the threads of feeds."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]


def test_tracks_have_the_same_bytes_and_faults_for_any_number_of_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in COUNTS.items():
        write_video(tmp_path / "cropped" / name, count)
    (tmp_path / "cropped/c/00040.jpg").write_bytes(b"no picture")
    weights = save_vit(tmp_path / "vit")
    argv = ["extract", str(tmp_path / "cropped"), "--pictures", "lab", "--extractor", "vit", "--weights", str(weights)]
    for workers in (0, 1, 3):
        assert main([*argv, "--workers", str(workers), "--out", str(tmp_path / f"tracks{workers}")]) == 1
        printed = capsys.readouterr()
        assert f"3 tracks written ({3 + 69 + 32} vectors)" in printed.out
        assert printed.err.count("c/00040.jpg: is neither JPEG nor PNG") == 1
        assert not prepare_threads()
    expected = read_files(tmp_path / "tracks0")
    assert len(expected) == 3
    assert read_files(tmp_path / "tracks1") == expected
    assert read_files(tmp_path / "tracks3") == expected


def test_clips_of_shards_have_the_same_bytes_for_any_number_of_workers(shards: Path, tmp_path: Path) -> None:
    argv = ["extract", str(shards), "--extractor", "vit", "--weights", str(save_vit(tmp_path / "vit"))]
    for workers in (0, 3):
        assert main([*argv, "--workers", str(workers), "--out", str(tmp_path / f"tracks{workers}")]) == 0
    assert len(read_files(tmp_path / "tracks0")) == 4
    assert read_files(tmp_path / "tracks3") == read_files(tmp_path / "tracks0")


def test_a_picture_is_to_the_bit_its_bytes_over_255_normalized(tmp_path: Path) -> None:
    write_video(tmp_path / "v", 3)
    for number in range(1, 4):
        Image.open(tmp_path / f"v/{number:05d}.jpg").convert("RGB").resize((8, 8)).save(tmp_path / f"v/{number}.png")
    files = tuple(tmp_path / f"v/{number}.png" for number in range(1, 4))
    (batch,) = PictureFootage(files=files, fps=25.0).pictures(8, torch.device("cpu"))
    bytes_BPP3 = np.stack([np.asarray(Image.open(file)) for file in files])
    pixels_B3PP = torch.from_numpy(bytes_BPP3).float().div(255).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.equal(batch, (pixels_B3PP - mean) / std)


class CountedFootage(PictureFootage):
    """Footage that counts what was asked of it, and whose pictures are plain."""

    def preparations(self, size_px: int, *, pinned: bool) -> Iterator[PreparePictures]:
        for number in range(100):
            asked.append(number)
            yield lambda: FittedPictures(pictures_BPP3=torch.zeros(1, size_px, size_px, 3, dtype=torch.uint8))


asked: list[int] = []


def counted_input(name: str) -> TrackInput:
    """Return an input with one stretch of 100 batches."""

    def read() -> Iterator[FootageStretch]:
        rows = np.arange(100)
        yield FootageStretch(footage=CountedFootage(files=(), fps=25.0), frames_N=rows + 1, times_s_N=rows / 25)

    return TrackInput(subject=TrackSubject(source="lab", video_id=name), fps=25.0, inputs_sha256="", read=read)


def test_what_is_ahead_is_bounded_and_what_is_left_is_dropped() -> None:
    asked.clear()
    with FrameFeed(INPUT, 2) as feed:
        for number, (_, stretches) in enumerate(feed.tracks([counted_input("a"), counted_input("b")])):
            pictures = next(stretches).footage.pictures(8, INPUT.device)
            next(pictures)
            assert number * 100 < len(asked) + number * 100 <= number * 100 + 10, "the rest of a track is not begun"
            if number == 0:
                asked.clear()
    assert not prepare_threads()


def test_errors_of_reading_are_raised_where_their_track_is_taken(tmp_path: Path) -> None:
    def fail() -> Iterator[FootageStretch]:
        raise FaultError("the second input cannot be read")
        yield

    bad = TrackInput(subject=TrackSubject(source="lab", video_id="b"), fps=25.0, inputs_sha256="", read=fail)
    taken = []
    with FrameFeed(INPUT, 3) as feed:
        for each, stretches in feed.tracks([counted_input("a"), bad, counted_input("c")]):
            try:
                taken.append(sum(1 for stretch in stretches for _ in stretch.footage.pictures(8, INPUT.device)))
            except FaultError as error:
                taken.append(str(error))
            assert each.subject.video_id == "abc"[len(taken) - 1]
    assert taken == [100, "the second input cannot be read", 100]


def test_a_stop_in_the_middle_leaves_whole_tracks_and_no_thread(tmp_path: Path) -> None:
    for name, count in COUNTS.items():
        write_video(tmp_path / "cropped" / name, count)
    extractor = load_extractor("vit", save_vit(tmp_path / "vit"))
    inputs = list(picture_inputs(tmp_path / "cropped", "lab", lambda video: 25.0, print))

    def stop(subject: TrackSubject, number: int, total: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TrackExtraction(extractor, tmp_path / "stopped", workers=3).run(inputs, stop)
    assert not prepare_threads()
    assert len(read_files(tmp_path / "stopped")) == 2
    report = TrackExtraction(extractor, tmp_path / "stopped", workers=3).run(inputs, lambda *_: None)
    assert (report.written, report.skipped) == (2, 2)
    TrackExtraction(extractor, tmp_path / "whole").run(inputs, lambda *_: None)
    assert read_files(tmp_path / "stopped") == read_files(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command(tmp_path: Path, number: signal.Signals) -> None:
    """The signal comes while threads prepare the second video."""
    write_video(tmp_path / "cropped/a", 3)
    write_video(tmp_path / "cropped/b", BATCH_PICTURES)
    weights = save_vit(tmp_path / "vit")
    program = (
        "import os, signal, sys\n"
        "from avf_training.cli.main import main\n"
        "from avf_training.framewise.tracks import extraction\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background ignores it\n"
        "write = extraction.write_track\n"
        "def write_and_signal(path, track):\n"
        "    write(path, track)\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "extraction.write_track = write_and_signal\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    argv = ["extract", str(tmp_path / "cropped"), "--pictures", "lab", "--extractor", "vit", "--weights", str(weights)]
    argv += ["--workers", "2", "--out", str(tmp_path / "tracks"), "--device", "cpu"]
    ended = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, timeout=600, env=os.environ)
    assert ended.returncode in (130, -number, 128 + number), ended.stderr
    assert [Path(name).name for name in read_files(tmp_path / "tracks")] == ["a.parquet"]


@pytest.mark.parametrize("workers", ["-1", "1000"])
def test_a_number_of_workers_that_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    write_video(tmp_path / "cropped/a", 1)
    argv = ["extract", str(tmp_path / "cropped"), "--pictures", "lab", "--extractor", "vit", "--workers", workers]
    assert main([*argv, "--weights", str(save_vit(tmp_path / "vit")), "--out", str(tmp_path / "tracks")]) == 2
    assert f"--workers {workers}: is 0 to 256" in capsys.readouterr().err
