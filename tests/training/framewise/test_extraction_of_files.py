"""`avf-train extract --pictures` and `--sound`: numbered pictures and whole files, on the frames that labels count."""

import re
import struct
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import soundfile
import torch
from avf_shards.errors import FaultError
from avf_training.cli.main import main
from avf_training.framewise.labels.trained_videos import TrainedVideo, TrainedVideos, read_trained_videos
from avf_training.framewise.tracks import picture_folders, sound_decoder
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.picture_folders import decode_picture
from avf_training.framewise.tracks.sound_decoder import DecodingLimits, decode_sound
from avf_training.framewise.tracks.track_folder import TrackFolder
from PIL import Image
from support.damaged_pictures import DAMAGES, damaged_picture
from support.tiny_extractors import save_vggish, save_vit, tiny_vit
from torchvision.transforms.functional import to_tensor


def write_pictures(folder: Path, numbers: Sequence[int], size: tuple[int, int] = (40, 40)) -> None:
    """Write a JPEG of noise for each frame, named by its number."""
    folder.mkdir(parents=True)
    for number in numbers:
        picture = np.random.default_rng(number).integers(0, 255, (*size, 3)).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{number:05d}.jpg"), picture)


def extract_pictures(tmp_path: Path, *words: str) -> int:
    argv = ["extract", str(tmp_path / "cropped"), "--pictures", "aff_wild2", "--extractor", "vit"]
    return main([*argv, "--weights", str(tmp_path / "vit"), "--out", str(tmp_path / "tracks"), *words])


def test_numbered_pictures_keep_the_numbers_of_their_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vit(tmp_path / "vit")
    numbers = [*range(3, 40), 55, 100]
    write_pictures(tmp_path / "cropped/1", numbers[:-1])
    bgr = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "cropped/1/00100.png"), bgr)
    write_pictures(tmp_path / "cropped/10-60-1280x720_right", [1, 2], size=(40, 30))
    (tmp_path / "cropped/1/.DS_Store").write_bytes(b"")
    (tmp_path / "cropped/1/notes.txt").write_text("no picture")
    (tmp_path / "fps.csv").write_text("video,fps\n1,23.976\n10-60-1280x720_right,30\n")
    assert extract_pictures(tmp_path, "--fps", str(tmp_path / "fps.csv")) == 0
    assert "2 tracks written (41 vectors), 0 tracks there already" in capsys.readouterr().out
    folder = TrackFolder(tmp_path / "tracks")
    track = folder.read("vit", TrackSubject(source="aff_wild2", video_id="1"), width=24)
    assert track.frames_N.tolist() == numbers
    assert track.fps == 23.976
    assert track.times_s_N == pytest.approx((np.array(numbers) - 1) / 23.976)
    resized = to_tensor(Image.fromarray(bgr[..., ::-1].copy()).resize((32, 32), Image.Resampling.BILINEAR))[None]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = tiny_vit().features((resized - mean) / std)[0]
    assert track.vectors_ND[-1] == pytest.approx(expected.numpy(), abs=1e-4)
    assert extract_pictures(tmp_path, "--fps", str(tmp_path / "fps.csv")) == 0
    assert "0 tracks written (0 vectors), 2 tracks there already" in capsys.readouterr().out
    assert extract_pictures(tmp_path, "--fps", "25") == 2
    lines = capsys.readouterr().err.splitlines()
    assert (
        "was extracted from another input of aff_wild2/1 (with --fps 23.976, and now --fps 25); name that" in lines[0]
    )
    assert lines[1:] == ["  2 tracks of 2 cannot be extracted here; nothing was written"]
    (tmp_path / "cropped/1/00101.png").write_bytes((tmp_path / "cropped/1/00100.png").read_bytes())
    assert extract_pictures(tmp_path, "--fps", str(tmp_path / "fps.csv")) == 2
    printed = capsys.readouterr().err
    assert "aff_wild2/1 (its pictures have other names or sizes now); name that input, remove the track" in printed
    assert "cannot be extracted here" not in printed, "one refusal needs no sum"


def test_colours_of_a_jpeg_are_right(tmp_path: Path) -> None:
    for number, rgb in enumerate(((250, 10, 20), (5, 240, 30), (20, 30, 200), (255, 255, 255), (0, 0, 0))):
        path = tmp_path / f"{number}.jpg"
        assert cv2.imwrite(str(path), np.full((24, 16, 3), rgb[::-1], np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 100])
        picture = decode_picture(path)
        assert picture.shape == (24, 16, 3)
        assert np.abs(picture.astype(int) - rgb).max() <= 3, rgb


def test_bad_pictures_cost_their_video_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vit(tmp_path / "vit")
    for name in ("good", "cut", "huge", "twice", "zero", "text"):
        write_pictures(tmp_path / "cropped" / name, [1, 2])
    cropped = tmp_path / "cropped"
    (cropped / "empty").mkdir()
    for name in ("named/frame_1.jpg", "good/frame_3.jpg", "good/x.PNG"):
        (cropped / name).parent.mkdir(exist_ok=True)
        (cropped / name).write_bytes(b"")
    (cropped / "cut/00002.jpg").write_bytes((cropped / "cut/00002.jpg").read_bytes()[:60])
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (cropped / "huge/00002.jpg").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    (cropped / "twice/2.png").write_bytes(b"")
    (cropped / "zero/00000.jpg").write_bytes(b"")
    (cropped / "text/00002.jpg").write_text("no picture")
    assert extract_pictures(tmp_path) == 1
    printed = capsys.readouterr()
    assert "1 track written (2 vectors)" in printed.out
    assert "7 inputs without a track" in printed.out
    assert "Errno" not in printed.err
    assert "avcodec" not in printed.err
    for message in (
        "cut/00002.jpg: does not decode (its data are damaged or cut off)",
        "huge/00002.jpg: declares 60,000 x 60,000 pixels, more than the 67,108,864 that are read; scale it down",
        "2.png: is frame 2, as 00002.jpg is",
        "zero/00000.jpg: is frame 0; they begin at 1",
        "text/00002.jpg: is neither JPEG nor PNG",
        "empty: holds no picture with a number for its name, as 00001.jpg",
        "named: holds no picture with a number for its name, as 00001.jpg; the name of 'frame_1.jpg' is none",
        "good: 2 pictures left out, as their names are no numbers of frames, as in 00001.jpg: frame_3.jpg, x.PNG",
    ):
        assert len([line for line in printed.err.splitlines() if message in line]) == 1, message
    assert [path.name for path in TrackFolder(tmp_path / "tracks").files()] == ["good.parquet"]


def test_pictures_that_are_damaged_inside_cost_their_video_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_vit(tmp_path / "vit")
    for name in ("good", *DAMAGES):
        write_pictures(tmp_path / "cropped" / name, [1, 2, 3])
    for name in DAMAGES:
        (tmp_path / f"cropped/{name}/00002.jpg").write_bytes(damaged_picture(name))
    assert extract_pictures(tmp_path) == 1
    printed = capsys.readouterr()
    assert "1 track written (3 vectors)" in printed.out
    assert f"{len(DAMAGES)} inputs without a track" in printed.out
    for name in DAMAGES:
        (line,) = (line for line in printed.err.splitlines() if f"{name}/00002.jpg: " in line)
        assert "does not decode" in line or "is damaged inside" in line
    assert [path.name for path in TrackFolder(tmp_path / "tracks").files()] == ["good.parquet"]


def test_a_link_that_leads_nowhere_costs_its_video_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vit(tmp_path / "vit")
    for name in ("a", "b"):
        write_pictures(tmp_path / "cropped" / name, [1, 2])
    (tmp_path / "cropped/a/00003.jpg").symlink_to(tmp_path / "gone.jpg")
    assert extract_pictures(tmp_path) == 1
    printed = capsys.readouterr()
    assert "a/00003.jpg: cannot be read (No such file or directory)" in printed.err
    assert "1 track written (2 vectors)" in printed.out


def test_an_interrupted_extraction_says_what_its_weights_were_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "cropped/a", [1, 2])
    write_pictures(tmp_path / "cropped/b", [1, 2])
    save_vit(tmp_path / "vit")
    video = TrainedVideo(source="aff_wild2", video="a", group="a")
    TrainedVideos(train_on="train", videos=(video,)).write(tmp_path / "vit")
    decode = picture_folders.decode_picture

    def interrupt(file: Path) -> Any:
        if file.parent.name == "b":
            raise KeyboardInterrupt
        return decode(file)

    monkeypatch.setattr(picture_folders, "decode_picture", interrupt)
    with suppress(KeyboardInterrupt):
        assert extract_pictures(tmp_path, "--workers", "1") == 130
    assert [path.name for path in TrackFolder(tmp_path / "tracks").files()] == ["a.parquet"]
    record = read_trained_videos(tmp_path / "tracks/vit")
    assert record is not None
    assert record.videos == (video,)


def test_two_models_of_one_extractor_have_tracks_side_by_side(tmp_path: Path) -> None:
    write_pictures(tmp_path / "cropped/1", [1, 2])
    for name in ("aff2_va", "affn_expr"):
        save_vit(tmp_path / name)
        command = ["extract", str(tmp_path / "cropped"), "--pictures", "wild", "--extractor", "vit", "--name", name]
        assert main([*command, "--weights", str(tmp_path / name), "--out", str(tmp_path / "tracks")]) == 0
    tracks = TrackFolder(tmp_path / "tracks")
    assert tracks.extractors() == ["aff2_va", "affn_expr"]
    subject = TrackSubject(source="wild", video_id="1")
    assert tracks.read("affn_expr", subject).extractor.name == "affn_expr"


def test_wrong_words_for_pictures_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vit(tmp_path / "vit")
    write_pictures(tmp_path / "cropped/1", [1])
    table = tmp_path / "fps.csv"
    for text, message in (
        ("name,rate\n1,25\n", "line 1: no column video; the columns are video, fps"),
        ("video,fps\n1,fast\n", "line 2: fps 'fast' is no number"),
        ("video,fps\n1,-5\n", "line 2: -5 is no number of frames a second"),
        ("video,fps\n1,25\n1,30\n", "line 3: 1 has 25 fps in an earlier line"),
    ):
        table.write_text(text)
        assert extract_pictures(tmp_path, "--fps", str(table)) == 2
        assert message in capsys.readouterr().err
    table.write_text("video,fps\n2,25\n")
    assert extract_pictures(tmp_path, "--fps", str(table)) == 1
    assert "fps.csv: has no row of the video 1; add its frames a second" in capsys.readouterr().err
    assert extract_pictures(tmp_path, "--extractor", "hubert") == 2
    assert "--extractor hubert: does not work with --pictures, which is for vit, " in capsys.readouterr().err
    assert extract_pictures(tmp_path, "--pictures", "Aff Wild") == 2
    assert "source name 'Aff Wild': use" in capsys.readouterr().err
    argv = ["extract", str(tmp_path / "cropped/1"), "--pictures", "a", "--extractor", "vit"]
    assert main([*argv, "--weights", str(tmp_path / "vit"), "--out", str(tmp_path / "tracks")]) == 2
    assert "but pictures; name the folder above it" in capsys.readouterr().err


def write_sound_file(path: Path, seconds: float, delay_s: float = 0.0) -> None:
    """Write a video of two seconds whose sound, a tone in the left channel, begins later than its picture."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        audio = container.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        times = np.arange(round(seconds * 48_000)) / 48_000
        left = (16_000 * np.sin(2 * np.pi * 500 * times)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(np.stack([left, 0 * left], 1).reshape(1, -1), format="s16", layout="stereo")
        sound.sample_rate = 48_000
        sound.pts = round(delay_s * 48_000)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


@pytest.mark.parametrize("delay_s", [0.0, 0.48])
def test_sound_is_heard_from_the_first_picture_on(tmp_path: Path, delay_s: float) -> None:
    write_sound_file(tmp_path / "v.mkv", 1.5, delay_s)
    wave = decode_sound(tmp_path / "v.mkv")
    assert len(wave) == pytest.approx((1.5 + delay_s) * 16_000, abs=32)
    first = round(delay_s * 16_000)
    assert np.abs(wave[: max(0, first - 32)]).max(initial=0) < 1e-3
    times = np.arange(first + 800, len(wave) - 800) / 16_000 - delay_s
    expected = 0.5 * 16_000 / 32_768 * np.sin(2 * np.pi * 500 * times)
    assert wave[first + 800 : -800] == pytest.approx(expected, abs=0.02), "the mean of both channels, in time"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import time; time.sleep(600)", "v.wav: its sound takes more than 600 s of CPU time, 0.2 s, or 1,000 MB"),
        ("import sys; sys.stdout.buffer.write(b'\\x05\\0\\0\\0ab')", "v.wav: the process that decodes it ended with 0"),
        ("import sys; sys.exit(3)", "v.wav: the process that decodes it ended with 3"),
    ],
)
def test_a_process_that_hangs_or_ends_early_is_a_fault_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    monkeypatch.setattr(sound_decoder, "module_command", lambda *_: [sys.executable, "-c", program])
    limits = DecodingLimits(wall_s=0.2 if "sleep" in program else 600)
    with pytest.raises(FaultError, match=re.escape(message)):
        decode_sound(tmp_path / "v.wav", limits=limits)


@pytest.mark.parametrize(("suffix", "codec"), [("mov", "pcm_s16le"), ("mp4", "aac"), ("wav", "pcm_s16le")])
def test_eight_channels_are_averaged(tmp_path: Path, suffix: str, codec: str) -> None:
    # In a MOV they stand in QuickTime's order, which PyAV frees twice; in AAC they are planes, and it reads a ninth.
    tone = np.sin(2 * np.pi * 60 * np.arange(48_000) / 48_000)  # low: one of the eight is for low frequencies alone
    packed = np.round(8000 * tone).astype(np.int16).repeat(8)[None]
    with av.open(str(tmp_path / f"v.{suffix}"), "w") as out:
        stream = out.add_stream(codec, rate=48_000, layout="7.1")
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="7.1")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    wave = decode_sound(tmp_path / f"v.{suffix}")
    assert len(wave) == pytest.approx(16_000, abs=1100)
    assert np.abs(wave[2000:14_000]).max() == pytest.approx(8000 / 32_768, rel=0.1)


def test_sound_that_begins_before_the_picture_is_cut(tmp_path: Path) -> None:
    write_sound_file(tmp_path / "v.mkv", 1.5, -0.25)
    assert len(decode_sound(tmp_path / "v.mkv")) == pytest.approx(1.25 * 16_000, abs=32)
    assert len(decode_sound(tmp_path / "v.mkv", rate_hz=44_100)) == pytest.approx(1.25 * 44_100, abs=90)


def test_the_sound_of_whole_files_is_on_the_frames_of_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "batch1").mkdir()
    write_sound_file(tmp_path / "batch1/10-60-1280x720.mkv", 1.99)
    soundfile.write(tmp_path / "video5.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (88_200, 2)), 44_100)
    (tmp_path / "z").mkdir()
    soundfile.write(tmp_path / "z/video5.flac", np.zeros(100), 16_000)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "nothing.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "mute.mkv"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
        container.mux([*video.encode(frame), *video.encode(None)])
    weights = save_vggish(tmp_path / "vggish.safetensors", True)
    argv = ["extract", str(tmp_path), "--sound", "aff_wild2", "--extractor", "vggish", "--weights", str(weights)]
    assert main([*argv, "--out", str(tmp_path / "tracks"), "--fps", "29.97"]) == 1
    printed = capsys.readouterr()
    assert "2 tracks written (120 vectors)" in printed.out
    for message in (
        "broken.mp4: its sound does not decode (its data are damaged or cut off)",
        "mute.mkv: has no sound",
        "nothing.mp4: is empty",
        "video5.flac: is the video video5, as ",
    ):
        assert len([line for line in printed.err.splitlines() if message in line]) == 1, message
    for video in ("10-60-1280x720", "video5"):
        track = TrackFolder(tmp_path / "tracks").read("vggish", TrackSubject(source="aff_wild2", video_id=video))
        assert track.frames_N.tolist() == list(range(1, 61))
        assert track.times_s_N == pytest.approx(np.arange(60) / 29.97)
    assert main([*argv[:-4], "--extractor", "vit", "--weights", str(weights), "--out", str(tmp_path / "t")]) == 2
    assert "--extractor vit: does not work with --sound, which is for wav2vec2, " in capsys.readouterr().err
