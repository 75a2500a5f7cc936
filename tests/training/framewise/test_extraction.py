"""Extractors with tiny random weights write tracks of labelled clips, go on after a stop, and name what is wrong."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import soundfile
import torch
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.cli import logging_setup
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.framewise.models.checkpoint_names import export_tensors
from avf_training.framewise.models.image_vit import ImageFeatureModel, ImageViTConfig
from avf_training.framewise.models.speech_encoder import SpeechEncoderConfig, SpeechModel, build_speech_encoder
from avf_training.framewise.models.speech_heads import SpeechHead
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.vggish import VGGish, Whitening
from avf_training.framewise.tracks import speech_extractors
from avf_training.framewise.tracks.clips_of_people import clip_inputs
from avf_training.framewise.tracks.extraction import TrackExtraction
from avf_training.framewise.tracks.extractor_names import EXTRACTORS
from avf_training.framewise.tracks.feature_track import read_track
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.picture_folders import decode_picture
from avf_training.framewise.tracks.sound_files import decode_sound
from avf_training.framewise.tracks.speech_extractors import SpeechExtractor
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.tasks.labelled_shards import LabelledShards
from PIL import Image
from safetensors.torch import save_file
from support.labelled import FRAMES, make_label_rows, make_labelled_shards
from support.models import save_pretrained_model
from torchvision.transforms.functional import to_tensor

CONVOLUTIONS = ((8, 10, 5), *4 * ((8, 3, 2),), *2 * ((8, 2, 2),))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of 64 frames, each of a video of its own."""
    folder = tmp_path_factory.mktemp("extraction")
    make_labelled_shards(folder, {"lab": make_label_rows(2, 1)})
    return folder / "shards"


def speech_config(stable_norm: bool) -> SpeechEncoderConfig:
    """Sizes of a tiny encoder on the clock of the published ones."""
    return SpeechEncoderConfig(
        stable_norm=stable_norm, width=32, layers=2, heads=2, ffn_width=16, convolutions=CONVOLUTIONS,
        position_kernel=4, position_groups=2,
    )  # fmt: skip


def save_huggingface(folder: Path, tensors: dict[str, torch.Tensor], config: SpeechEncoderConfig) -> Path:
    """Write tensors and config.json as Hugging Face does."""
    folder.mkdir()
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    channels, kernels, strides = zip(*config.convolutions, strict=True)
    sizes = {
        "do_stable_layer_norm": config.stable_norm, "hidden_size": config.width, "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads, "intermediate_size": config.ffn_width, "conv_dim": channels,
        "conv_kernel": kernels, "conv_stride": strides, "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


def huggingface_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return an encoder's tensors as a HuBERT of Hugging Face calls them, with one that is not used."""
    renamed = {"hubert.masked_spec_embed": torch.zeros(32)}
    for name, value in tensors.items():
        theirs = name.replace("encoder.feature_projection.", "feature_projection.")
        theirs = theirs.replace("encoder.transformer.", "encoder.")
        renamed[f"hubert.{theirs}"] = value
    return renamed


def save_hubert(folder: Path) -> Path:
    torch.manual_seed(1)
    config = speech_config(stable_norm=False)
    return save_huggingface(folder, huggingface_names(build_speech_encoder(config).state_dict()), config)


def save_pdem(folder: Path, version: str) -> Path:
    torch.manual_seed(2)
    config = speech_config(stable_norm=True)
    head = SpeechHead("va", "recurrent" if version == "pdem_v1" else "attention", width=config.width)
    tensors = export_tensors(SpeechModel(build_speech_encoder(config), head))
    return save_huggingface(folder, {name: value.clone() for name, value in tensors.items()}, config)


def save_vggish(path: Path, whitened: bool) -> Path:
    torch.manual_seed(3)
    tensors = VGGish((2, 2, 2, 2, 2, 2), (8, 8, 5)).state_dict()
    if whitened:
        tensors |= {f"pproc.{name}": value for name, value in Whitening(5).state_dict().items()}
    save_file(tensors, path)
    return path


def save_vit(folder: Path, **sizes: Any) -> Path:
    torch.manual_seed(4)
    config = ImageViTConfig(width=24, depth=2, heads=3, patch_px=8, size_px=32, **sizes)
    folder.mkdir()
    save_file(ImageFeatureModel(config, 8).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 3}))
    return folder


def save_static(path: Path) -> Path:
    torch.manual_seed(5)
    save_file(StaticNet("efficientnet_b1").state_dict(), path)
    return path


MAKERS: dict[str, tuple[Callable[[Path], Path], int, list[int]]] = {
    "vit": (save_vit, 24, [*range(1, 65)]),
    "saved_model": (lambda path: save_pretrained_model(path, 0), 96, [*range(1, 65, 8)]),
    "wav2vec2": (save_hubert, 32, [*range(1, 65)]),
    "hubert": (save_hubert, 32, [*range(1, 65)]),
    "vggish": (lambda path: save_vggish(path, False), 5, [*range(1, 65)]),
    "pdem_v1": (lambda path: save_pdem(path, "pdem_v1"), 256, [*range(1, 65, 5)]),
    "pdem_v2": (lambda path: save_pdem(path, "pdem_v2"), 32, [*range(1, 65, 5)]),
    "pdem_v3": (lambda path: save_pdem(path, "pdem_v3"), 32, [*range(1, 65, 5)]),
}
"""Extractor -> (writer of tiny weights, values of a vector, frames that have one)."""


@pytest.mark.parametrize("name", MAKERS)
def test_each_extractor_writes_a_track_of_every_video(
    name: str,
    shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging_setup, "draws_progress", lambda: True)
    save, width, frames = MAKERS[name]
    weights = save(tmp_path / "weights.safetensors")
    out = tmp_path / "tracks"
    argv = ["extract", str(shards), "--extractor", name, "--weights", str(weights), "--out", str(out)]
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert f"{name}: 4 tracks written ({4 * len(frames)} vectors), 0 tracks there already" in printed.out
    assert "track 4 of 4" in printed.err
    files = TrackFolder(out).files()
    assert len(files) == 4
    tracks = [read_track(path, width=width) for path in files]
    for track in tracks:
        assert track.frames_N.tolist() == frames
        assert track.times_s_N == pytest.approx((np.array(frames) - 1) / 25)
        assert track.extractor == load_extractor(name, weights).identity
    assert not np.array_equal(tracks[0].vectors_ND, tracks[1].vectors_ND), "left and right look and sound different"
    before = {path: path.stat().st_mtime_ns for path in files}
    assert main(argv) == 0
    assert "0 tracks written (0 vectors), 4 tracks there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert main(["tracks", str(out), "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["extractors"]
    assert (row["extractor"], row["tracks"], row["width"], row["frames"]) == (name, 4, width, 4 * len(frames))


def test_an_embedding_of_sun_has_256_values_within_1(shards: Path, tmp_path: Path) -> None:
    extractor = load_extractor("efficientnet_b1", save_static(tmp_path / "b1.safetensors"))
    clip = first_clip(shards)

    class TwoPictures:
        def pictures(self, size_px: int, device: torch.device) -> list[torch.Tensor]:
            assert size_px == 240
            return [next(clip.pictures(size_px, device))[:2]]

    vectors = extractor.extract(TwoPictures()).vectors_RD  # type: ignore[arg-type]  # has no sound
    assert vectors.shape == (2, 256)
    assert 0 < np.abs(vectors).max() <= 1


def test_whitened_sound_is_in_255ths(shards: Path, tmp_path: Path) -> None:
    vectors = load_extractor("vggish", save_vggish(tmp_path / "v.safetensors", True)).extract(first_clip(shards))
    levels = vectors.vectors_RD * 255
    assert levels == pytest.approx(levels.round(), abs=1e-4)
    assert vectors.vectors_RD.min() >= 0


def test_every_extractor_is_tried_or_shares_its_code_with_one_that_is() -> None:
    assert EXTRACTORS.keys() == MAKERS.keys() | {"efficientnet_b1", "efficientnet_b4", "vit_b_16"}


def first_clip(shards: Path) -> ClipFootage:
    """The first clip of shards."""
    return ClipFootage(files=LabelledShards([shards], StorageConfig()).read(0))


def test_a_picture_extractor_sees_the_pictures_one_by_one(shards: Path, tmp_path: Path) -> None:
    """Batches change nothing: each vector is that of its picture alone."""
    extractor = load_extractor("vit", save_vit(tmp_path / "vit"))
    clip = first_clip(shards)
    vectors = extractor.extract(clip).vectors_RD
    model = extractor._model  # type: ignore[attr-defined]  # the network itself
    pictures = torch.cat(list(clip.pictures(32, torch.device("cpu"))))
    assert pictures.shape == (FRAMES, 3, 32, 32)
    with torch.no_grad():
        single = torch.cat([model.features(picture[None]) for picture in pictures])
    assert vectors == pytest.approx(single.numpy(), abs=1e-5)


def test_long_sound_is_cut_into_chunks_that_stay_on_the_clock(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of half a second has 24 states, not 25; still no second lies elsewhere than the one before."""

    class Sound:
        fps, frames = 25.0, 250

        def wave(self) -> np.ndarray[Any, Any]:
            wave = np.zeros(160_000, np.float32)
            wave[80_000:] = np.random.default_rng(0).standard_normal(80_000)
            return wave

    extractor = load_extractor("hubert", save_hubert(tmp_path / "hubert"))
    assert isinstance(extractor, SpeechExtractor)
    monkeypatch.setattr(speech_extractors, "CHUNK_SAMPLES", 8_000)
    vectors = extractor.extract(Sound()).vectors_RD  # type: ignore[arg-type]  # has no pictures
    assert vectors.shape == (250, 32)
    seconds = vectors.reshape(10, 25, 32)
    assert seconds[1:5] == pytest.approx(np.repeat(seconds[:1], 4, 0), abs=1e-5), "seconds of silence are alike"
    assert np.abs(seconds[5] - seconds[4]).max(1).min() > 1e-3, "noise from second five on"


def test_sound_that_is_too_short_gives_zeros(tmp_path: Path) -> None:
    class Sound:
        fps, frames = 25.0, 3

        def wave(self) -> np.ndarray[Any, Any]:
            return np.zeros(300, np.float32)

    for name, save in (("hubert", save_hubert), ("vggish", lambda path: save_vggish(path, False))):
        extractor = load_extractor(name, save(tmp_path / f"{name}.safetensors"))
        vectors = extractor.extract(Sound()).vectors_RD  # type: ignore[arg-type]  # has no pictures
        assert vectors.shape[0] == 3
        assert not vectors.any()
    pdem = load_extractor("pdem_v3", save_pdem(tmp_path / "pdem", "pdem_v3"))
    assert pdem.extract(Sound()).rows_R.tolist() == [0]  # type: ignore[arg-type]  # has no pictures


def run_extract(shards: Path, tmp_path: Path, *words: str) -> list[str]:
    return ["extract", str(shards), "--out", str(tmp_path / "tracks"), *words]


def test_other_weights_are_refused_and_nothing_changes(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = save_vggish(tmp_path / "a.safetensors", True), save_vggish(tmp_path / "b.safetensors", False)
    assert main(run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(first))) == 0
    before = {path: path.read_bytes() for path in TrackFolder(tmp_path / "tracks").files()}
    assert main(run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(second))) == 2
    assert "is of other weights of vggish" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in TrackFolder(tmp_path / "tracks").files()} == before


def test_a_stopped_extraction_goes_on_and_a_damaged_track_is_made_new(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_vggish(tmp_path / "a.safetensors", True)
    argv = run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(weights))
    assert main(argv) == 0
    files = TrackFolder(tmp_path / "tracks").files()
    complete = {path: path.read_bytes() for path in files}
    files[0].unlink()
    files[1].write_bytes(complete[files[1]][:100])
    (files[2].parent / f".{files[2].name}.999").write_bytes(b"what a killed process left")
    capsys.readouterr()
    assert main(["tracks", str(tmp_path / "tracks")]) == 1
    assert "1 file cannot be used" in capsys.readouterr().out
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert "2 tracks written (128 vectors), 2 tracks there already" in printed.out
    assert "remove it and extract it again" in printed.err
    assert {path: path.read_bytes() for path in files} == complete


def test_a_damaged_clip_costs_its_video_alone(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    tar = next(copy.glob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[data.index(b"fLaC") + 200] ^= 0xFF
    tar.write_bytes(data)
    weights = save_vggish(tmp_path / "a.safetensors", True)
    argv = run_extract(copy, tmp_path, "--extractor", "vggish", "--weights", str(weights))
    assert main(argv) == 1
    printed = capsys.readouterr()
    assert "3 tracks written" in printed.out
    assert "1 input without a track; the same command tries them again" in printed.out
    assert len([line for line in printed.err.splitlines() if "lab/00" in line and "is damaged" in line]) == 1
    assert len(TrackFolder(tmp_path / "tracks").files()) == 3


def test_a_track_that_another_process_wrote_first_stays(shards: Path, tmp_path: Path) -> None:
    extractor = load_extractor("vggish", save_vggish(tmp_path / "a.safetensors", True))
    late = TrackExtraction(extractor, tmp_path / "tracks")

    def overtake(subject: TrackSubject, number: int, videos: int) -> None:
        if number == 1:
            first = TrackExtraction(extractor, tmp_path / "tracks")
            assert first.run(clip_inputs(str(shards), pytest.fail), lambda *_: None).written == 4

    report = late.run(clip_inputs(str(shards), pytest.fail), overtake)
    assert (report.written, report.skipped, report.faults) == (0, 4, [])


def test_vectors_that_are_no_numbers_are_told_and_not_written(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = VGGish((2, 2, 2, 2, 2, 2), (8, 8, 5)).state_dict()
    tensors["embeddings.4.bias"] += float("inf")
    save_file(tensors, tmp_path / "inf.safetensors")
    argv = run_extract(shards, tmp_path, "--extractor", "vggish", "--weights", str(tmp_path / "inf.safetensors"))
    assert main(argv) == 1
    assert "64 vectors hold nan or infinity, the first at frame 1" in capsys.readouterr().err
    assert not (tmp_path / "tracks").exists()


def test_half_precision_takes_half_the_space(shards: Path, tmp_path: Path) -> None:
    weights = save_vit(tmp_path / "vit")
    argv = run_extract(shards, tmp_path, "--extractor", "vit", "--weights", str(weights), "--values", "float16")
    assert main(argv) == 0
    subject = TrackSubject(source="lab", video_id=LabelledShards([shards], StorageConfig()).clips()[0].video_id)
    half = TrackFolder(tmp_path / "tracks").read("vit", subject, width=24)
    assert half.vectors_ND.dtype == np.float16
    exact = load_extractor("vit", weights).extract(first_clip(shards)).vectors_RD
    assert half.vectors_ND == pytest.approx(exact, abs=2e-3)


def test_wrong_words_and_weights_are_one_sentence(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vit = save_vit(tmp_path / "vit")
    (vit / "config.json").unlink()
    hubert = save_hubert(tmp_path / "hubert")
    sizes = json.loads((hubert / "config.json").read_text())
    (hubert / "config.json").write_text(json.dumps(sizes | {"conv_stride": [5, 2, 2, 2, 2, 2, 1]}))
    cases = [
        ("vitt", vit, "--extractor vitt: no such extractor; the extractors are vit, "),
        ("vit", tmp_path / "no", f"{tmp_path / 'no'}: no such file"),
        ("vit", vit, "a ViT of width 24 and depth 2 is none of ViT-B, L and H; name a folder whose config.json"),
        ("vit", save_vggish(tmp_path / "a.safetensors", True), "has no patch_embed.proj.weight and pos_embed"),
        ("vggish", vit, "has no features.0.weight, as VGGish has"),
        ("hubert", hubert, "conv_kernel and conv_stride must give a state for 400 samples every 320"),
        ("pdem_v3", save_pdem(tmp_path / "v1", "pdem_v1"), "the file's tensors are not those of the model"),
        ("saved_model", vit, "holds no saved model and no finished run"),
    ]
    for name, weights, message in cases:
        assert main(run_extract(shards, tmp_path, "--extractor", name, "--weights", str(weights))) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    assert main(["tracks", str(tmp_path / "no")]) == 2
    with pytest.raises(UserError, match="no such extractor"):
        load_extractor("x", vit)


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
    model = load_extractor("vit", tmp_path / "vit")._model  # type: ignore[attr-defined]  # the network itself
    resized = to_tensor(Image.fromarray(bgr[..., ::-1].copy()).resize((32, 32), Image.Resampling.BILINEAR))[None]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = model.features((resized - mean) / std)[0]
    assert track.vectors_ND[-1] == pytest.approx(expected.numpy(), abs=1e-4)
    assert extract_pictures(tmp_path, "--fps", str(tmp_path / "fps.csv")) == 0
    assert "0 tracks written (0 vectors), 2 tracks there already" in capsys.readouterr().out
    assert extract_pictures(tmp_path, "--fps", "25") == 2
    assert "was extracted from another input of aff_wild2/1; remove it" in capsys.readouterr().err


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
    assert "6 inputs without a track" in printed.out
    for message in (
        "cut/00002.jpg: does not decode",
        "huge/00002.jpg: does not decode",
        "2.png: is frame 2, as 00002.jpg is",
        "zero/00000.jpg: is frame 0; they begin at 1",
        "text/00002.jpg: is neither JPEG nor PNG",
        "empty: holds no picture with a number for its name, as 00001.jpg",
    ):
        assert len([line for line in printed.err.splitlines() if message in line]) == 1, message
    assert [path.name for path in TrackFolder(tmp_path / "tracks").files()] == ["good.parquet"]


def test_wrong_words_for_pictures_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_vit(tmp_path / "vit")
    write_pictures(tmp_path / "cropped/1", [1])
    table = tmp_path / "fps.csv"
    for text, message in (
        ("name,rate\n1,25\n", "line 2: has no video and fps; the header is video,fps"),
        ("video,fps\n1,fast\n", "line 2: has no video and fps"),
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


def test_the_sound_of_whole_files_is_on_the_frames_of_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "batch1").mkdir()
    write_sound_file(tmp_path / "batch1/10-60-1280x720.mkv", 1.99)
    soundfile.write(tmp_path / "video5.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (88_200, 2)), 44_100)
    (tmp_path / "z").mkdir()
    soundfile.write(tmp_path / "z/video5.flac", np.zeros(100), 16_000)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
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
        "broken.mp4: its sound does not decode",
        "mute.mkv: has no sound",
        "video5.flac: is the video video5, as ",
    ):
        assert len([line for line in printed.err.splitlines() if message in line]) == 1, message
    for video in ("10-60-1280x720", "video5"):
        track = TrackFolder(tmp_path / "tracks").read("vggish", TrackSubject(source="aff_wild2", video_id=video))
        assert track.frames_N.tolist() == list(range(1, 61))
        assert track.times_s_N == pytest.approx(np.arange(60) / 29.97)
    assert main([*argv[:-4], "--extractor", "vit", "--weights", str(weights), "--out", str(tmp_path / "t")]) == 2
    assert "--extractor vit: does not work with --sound, which is for wav2vec2, " in capsys.readouterr().err


@pytest.mark.slow
def test_people_of_raw_videos_have_tracks_and_a_video_without_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    shots = (ShotScript(frames=50, speakers=(501, 502), seed=4, face_px=140),)
    (videos / "two.mp4").write_bytes(encode_video(VideoScript(shots=shots)))
    (videos / "wall.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=()),))))
    weights = save_vit(tmp_path / "vit")
    argv = ["extract", str(videos), "--extractor", "vit", "--weights", str(weights), "--out", str(tmp_path / "tracks")]
    argv += ["--keep-clips", str(tmp_path / "clips")]
    for count in ("2 tracks written (100 vectors), 0", "0 tracks written (0 vectors), 2"):
        assert main(argv) == 1
        printed = capsys.readouterr()
        assert count in printed.out
        assert "1 input without a track" in printed.out
        assert len([line for line in printed.err.splitlines() if "wall.mp4: no clip can be cut from it" in line]) == 1
    files = TrackFolder(tmp_path / "tracks").files()
    assert [path.name for path in files] == ["two.mp4.parquet", "two.mp4@1.parquet"]
    assert [read_track(path).subject.person for path in files] == [0, 1]
