"""`avf-train frechet` shows each protocol's input to its detector, streams, and refuses what cannot be compared."""

import json
import re
import struct
import warnings
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from avf_training.cli.main import main
from avf_training.frechet.detector_input import crop_short_side, resize_clean, squash, to_video
from avf_training.frechet.distance import frechet_distance, kernel_distance
from avf_training.frechet.moments import FeatureMoments
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import PRESETS
from PIL import Image
from support.labelled import make_label_rows, make_labelled_shards
from support.toy_detectors import ToyI3D, ToyInception, save_toy

GREYS = (40, 90, 140, 190)


@pytest.mark.real
def test_the_detectors_see_what_the_field_shows_them(shared: Path) -> None:
    with np.load(shared / "oracles/applications/detector_inputs.npz") as oracle:
        cropped = crop_short_side(torch.from_numpy(oracle["video"]) * 255)
        assert cropped.shape == (3, 2, 224, 224)
        np.testing.assert_allclose(cropped[..., ::37, ::37], oracle["styleganv_at_step_37"], atol=1e-6)
        mean_std = [float(cropped.mean()), float(cropped.std(correction=0))]
        np.testing.assert_allclose(mean_std, oracle["styleganv_mean_std"], atol=1e-6)
        squashed = squash(to_video(oracle["video_u8"][0]))
        np.testing.assert_allclose(squashed[..., ::37, ::37], oracle["squash_at_step_37"], atol=1e-6)
        resized = resize_clean(oracle["image_u8"]).permute(1, 2, 0)
        np.testing.assert_allclose(resized[::23, ::23], oracle["clean_at_step_23"], atol=1e-6)


def write_video(path: Path, grey: int, frames: int = 20, width: int = 96) -> None:
    """Write a lossless video whose frames have one colour that rises by one a frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 64, "bgr0"
        for number in range(frames):
            picture = np.full((64, width, 3), grey + number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders with four videos each; one of the second is wider."""
    folder = tmp_path_factory.mktemp("videos")
    for name, shift in (("real", 0), ("fake", 9)):
        (folder / name).mkdir()
        for number, grey in enumerate(GREYS):
            width = 128 if name == "fake" and number == 1 else 96
            write_video(folder / name / f"{number}.mkv", grey + shift * (number + 1), width=width)
    save_toy(ToyI3D(), folder / "i3d.pt")
    save_toy(ToyInception(), folder / "inception.pt")
    torch.save({"weight": torch.zeros(2)}, folder / "other.pt")
    return folder


def run(videos: Path, protocol: str, detector: str, *options: str) -> list[str]:
    words = ["frechet", str(videos / "real"), str(videos / "fake"), "--protocol", protocol]
    return [*words, "--detector", str(videos / detector), *options]


def answer_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    assert main([*argv, "--json", "-"]) == 0
    values: dict[str, float] = json.loads(capsys.readouterr().out)
    return values


@pytest.mark.parametrize(("protocol", "ddof", "scale"), [("styleganv", 0, 1.0), ("common", 1, 2 / 255)])
def test_fvd_is_the_distance_of_the_features_of_the_first_windows(
    videos: Path, protocol: str, ddof: int, scale: float, capsys: pytest.CaptureFixture[str]
) -> None:
    values = answer_of(run(videos, protocol, "i3d.pt"), capsys)
    means = [np.array([grey + shift * (n + 1) + 7.5 for n, grey in enumerate(GREYS)]) for shift in (0, 9)]
    moments = [FeatureMoments.of(np.repeat(scale * each[:, None], 3, 1)) for each in means]
    assert values["frechet"] == pytest.approx(frechet_distance(moments[0], moments[1], ddof), rel=1e-4)
    assert (values["samples"], values["features"], values["ddof"], values["frames"]) == (4, 6, ddof, 16)


def test_fid_and_kid_are_of_every_nth_frame(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = answer_of(run(videos, "clean", "inception.pt", "--every", "10", "--kernel"), capsys)
    features = []
    for shift in (0, 9):
        greys = np.array([grey + shift * (n + 1) + frame for n, grey in enumerate(GREYS) for frame in (0, 10)])
        features.append(np.repeat((greys[:, None] - 128) / 128, 6, 1))
    expected = frechet_distance(*map(FeatureMoments.of, features))
    assert values["frechet"] == pytest.approx(expected, rel=1e-5)
    assert values["kernel"] == pytest.approx(kernel_distance(*features), rel=1e-5)
    assert values["samples"] == 8


def test_pictures_in_folders_are_samples(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shift in (("a", 0), ("b", 30)):
        (tmp_path / name / "deep").mkdir(parents=True)
        for number, grey in enumerate(GREYS):
            picture = Image.new("RGB", (20 + number, 30), (grey + shift, grey, grey))
            picture.save(tmp_path / name / "deep" / f"{number}.png")
    argv = ["frechet", str(tmp_path / "a"), str(tmp_path / "b"), "--protocol", "clean"]
    values = answer_of([*argv, "--detector", str(videos / "inception.pt")], capsys)
    assert values["frechet"] == pytest.approx(2 * (30 / 128) ** 2, rel=1e-4), (
        "red alone is shifted: its mean, its maximum"
    )


def test_all_windows_lie_side_by_side(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = answer_of(run(videos, "common", "i3d.pt", "--windows", "all", "--frames", "10"), capsys)
    assert values["samples"] == 8, "two windows of ten in twenty frames"
    assert main(run(videos, "common", "i3d.pt", "--windows", "all", "--frames", "10")) == 0
    out = capsys.readouterr().out
    assert "FVD (common): " in out
    assert "8 samples of 10 frames of each set, 6 features, covariance over N - 1" in out


def test_a_detector_is_kept_with_its_origin(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "I3D"
    pull = ["weights", "pull", "i3d_torchscript", "--from", str(videos / "i3d.pt"), "--out", str(out)]
    assert main(pull) == 0
    assert "i3d_torchscript.pt as it is" in capsys.readouterr().out
    card = json.loads((out / "detector.json").read_text())
    direct = answer_of(run(videos, "common", "i3d.pt"), capsys)
    assert answer_of(run(videos, "common", str(out)), capsys) == direct
    assert card["sha256"] == direct["detector"]
    assert main(run(videos, "clean", str(out))) == 2
    assert "holds no inception-2015-12-05.pt, which this protocol needs" in capsys.readouterr().err
    assert main(["weights", "pull", "i3d_torchscript", "--out", str(tmp_path / "other")]) == 2
    assert "save the file, then add --from FILE" in capsys.readouterr().err


def test_few_samples_are_said(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(run(videos, "styleganv", "i3d.pt", "--limit", "3")) == 0
    assert "fewer samples than features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("styleganv", "i3d.pt", ["--frames", "21"]), "0.mkv: has 20 frames and a window has 21"),
        (("styleganv", "i3d.pt", ["--frames", "9"]), "--frames 9 must be at least 10"),
        (("styleganv", "i3d.pt", ["--limit", "5"]), "has 4 samples; 5 are needed"),
        (("styleganv", "i3d.pt", ["--limit", "1"]), "--limit 1 must be at least 2"),
        (("styleganv", "inception.pt", []), "does not take the input of protocol styleganv"),
        (("clean", "i3d.pt", []), "does not take the input of protocol clean"),
        (("clean", "nothing.pt", []), "no such file; protocol clean needs inception-2015-12-05.pt"),
        (("clean", "real/0.mkv", []), "is no TorchScript file"),
        (("videogpt", "real/0.mkv", []), "is no file of weights such as i3d_pretrained_400.pt"),
        (("cdfvd", "other.pt", []), "does not have the weights of i3d_pretrained_400.pt"),
        (("avf", "i3d.pt", []), "--protocol avf: needs an encoder, --model"),
        (("clean", "inception.pt", ["--every", "0"]), "--every 0 must be at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    videos: Path, words: tuple[str, str, list[str]], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol, detector, options = words
    assert main(run(videos, protocol, detector, *options)) == 2
    assert message in capsys.readouterr().err


def test_sets_of_different_sizes_and_damaged_files_are_refused(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}.mkv", 50)
    tail = ["--protocol", "common", "--detector", str(videos / "i3d.pt")]
    assert main(["frechet", str(videos / "real"), str(tmp_path), *tail]) == 2
    assert "take as many of each: --limit 3" in capsys.readouterr().err
    assert main(["frechet", str(videos / "real"), str(tmp_path), *tail, "--limit", "3"]) == 0
    (tmp_path / "0.mkv").write_bytes(b"no video")
    assert main(["frechet", str(videos / "real"), str(tmp_path), *tail, "--limit", "3"]) == 1
    assert "does not decode as a video" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["frechet", str(videos / "real"), str(tmp_path / "empty"), *tail]) == 2
    assert "holds no file that ends in" in capsys.readouterr().err


def test_a_detector_with_other_features_is_refused(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Doubled(ToyI3D):
        def forward(
            self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
        ) -> torch.Tensor:
            return torch.cat([x.mean((2, 3, 4)), x.mean((2, 3, 4))], 0)

    save_toy(Doubled(), videos / "doubled.pt")
    assert main(run(videos, "common", "doubled.pt", "--limit", "2")) == 2
    assert "gives features of shape (4, 3) for 2 samples" in capsys.readouterr().err


def test_our_own_encoder_needs_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, first in (("a", 0), ("b", 2)):
        make_labelled_shards(tmp_path / name, {"lab": make_label_rows(2, 1, first=first)})
    MaskedAutoencoder(PRESETS["nano"]).save_pretrained(tmp_path / "model")
    argv = ["frechet", str(tmp_path / "a/shards"), str(tmp_path / "b/shards"), "--protocol", "avf"]
    values = answer_of([*argv, "--model", str(tmp_path / "model"), "--kernel"], capsys)
    assert (values["samples"], values["frames"]) == (4, None)
    assert values["frechet"] > 0
    assert values["features"] > 16
    digest = values["detector"]
    MaskedAutoencoder(PRESETS["nano"]).save_pretrained(tmp_path / "other")
    assert len(str(digest)) == 64
    assert answer_of([*argv, "--model", str(tmp_path / "other")], capsys)["detector"] != digest


@pytest.mark.parametrize("content", [b"", b"\x80\x02"])
def test_files_of_weights_that_are_cut_off_are_refused(
    videos: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "i3d_pretrained_400.pt"
    path.write_bytes(content)
    argv = ["frechet", str(videos / "real"), str(videos / "fake"), "--protocol", "videogpt", "--detector", str(path)]
    assert main(argv) == 2
    assert "is no file of weights such as i3d_pretrained_400.pt" in capsys.readouterr().err


def test_weights_run_no_code_of_their_file(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"weight": Hostile()}, tmp_path / "hostile.pt")
    argv = ["frechet", str(videos / "real"), str(videos / "fake"), "--detector", str(tmp_path / "hostile.pt")]
    for protocol in ("videogpt", "styleganv", "clean"):
        assert main([*argv, "--protocol", protocol]) == 2
        assert "hostile.pt: is no " in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_networks_that_give_no_features_are_refused(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Pair(ToyI3D):
        # It returns what it must not; TorchScript takes no second comment beside the mark.
        def forward(  # type: ignore[override]
            self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    class Endless(ToyI3D):
        def forward(
            self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
        ) -> torch.Tensor:
            return x.mean((2, 3, 4)) / 0

    save_toy(Pair(), videos / "pair.pt")
    save_toy(Endless(), videos / "endless.pt")
    for name, message in (("pair", "gives a tuple and no tensor"), ("endless", "gives features that are no numbers")):
        assert main(run(videos, "common", f"{name}.pt")) == 2
        error = capsys.readouterr().err
        assert f"{name}.pt: {message}; is it i3d_torchscript.pt?" in error


def test_sets_of_different_sizes_are_refused_before_anything_is_decoded(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.mkv").write_bytes(b"no video")
    tail = ["--protocol", "common", "--detector", str(videos / "i3d.pt")]
    assert main(["frechet", str(tmp_path), str(videos / "real"), *tail]) == 2
    assert f"{tmp_path}: has 3 samples and {videos / 'real'} 4" in capsys.readouterr().err


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_picture_of_too_many_pixels_is_a_fault_of_its_file(
    videos: Path,
    tmp_path: Path,
    side: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)  # Pillow's own, which curation takes away
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    argv = ["frechet", str(tmp_path), str(videos / "real"), "--protocol", "clean"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        assert main([*argv, "--detector", str(videos / "inception.pt")]) == 1
    assert re.search(r"large\.png: has .*more (pixels )?than any", capsys.readouterr().err)
