"""Stored clips are decoded by a fast and a full method, aligned with their audio."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile
import torch
from avf_curation.media.encode import encode_packed_jpeg
from avf_curation.recipe import load_recipe
from avf_shards.errors import FaultError
from avf_training.data.decode import StoredAudio, decode_frames, decode_jpeg_planes, decode_planes
from avf_training.data.transforms import crop_pixels
from avf_training.data.windows import segment_frames, spread_frames, window_frames
from support.clips import SIZE_PX, encode_flashing_clip


@pytest.fixture(scope="module")
def clip() -> dict[str, bytes]:
    return encode_flashing_clip(130, 3)


def decode_every_frame(mp4: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(mp4)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.parametrize("start", [0, 4, 28, 32, 36, 64])
def test_fast_decoding_gives_the_bytes_of_full_decoding(clip: dict[str, bytes], start: int) -> None:
    all_frames, frames = decode_every_frame(clip["mp4"]), window_frames(start, 16, 130)
    assert (decode_planes(clip["mp4"], frames) == np.stack([all_frames[n] for n in frames])).all()


@pytest.mark.parametrize("frames", [[1, 5, 9], [3], [0, 7, 8, 100], [129], [2, 2, 3]])
def test_frames_off_the_stride_use_full_decoding(clip: dict[str, bytes], frames: list[int]) -> None:
    all_frames = decode_every_frame(clip["mp4"])
    assert (decode_planes(clip["mp4"], frames) == np.stack([all_frames[n] for n in frames])).all()


def test_indices_on_the_stride_decode_reference_frames_only(clip: dict[str, bytes]) -> None:
    """A quarter of the frames comes out of the decoder when all indices are multiples of 4, else every frame."""
    reference_only = []

    def decoder(mp4: bytes, indices: Sequence[int], references: bool) -> dict[int, av.VideoFrame]:
        reference_only.append(references)
        return decode_frames(mp4, indices, references)

    decode_planes(clip["mp4"], window_frames(32, 16, 130), decoder=decoder)
    decode_planes(clip["mp4"], [1, 2], decoder=decoder)
    assert reference_only == [True, False]


def test_a_clip_with_another_gop_length_is_decoded() -> None:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"x264-params": "bframes=5:b-pyramid=normal:keyint=250"})
        stream.width = stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        for t in range(100):
            picture = np.random.default_rng(t).integers(0, 255, (SIZE_PX, SIZE_PX, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    all_frames, frames = decode_every_frame(sink.getvalue()), window_frames(8, 16, 100)
    assert (decode_planes(sink.getvalue(), frames) == np.stack([all_frames[n] for n in frames])).all()


def test_video_and_audio_are_aligned_to_the_sample(clip: dict[str, bytes]) -> None:
    for start in (0, 4, 8, 20, 44):
        frames = window_frames(start, 16, 130)
        white = decode_planes(clip["mp4"], frames)[:, SIZE_PX // 2, SIZE_PX // 2] > 180
        heard = StoredAudio(clip["flac"]).read(start, 64)
        clicks = np.flatnonzero(heard == 20_000).reshape(-1, 4)[:, 0]
        flashes = [4 * 640 * n for n in range(16) if white[n]]
        assert flashes == [int(click) for click in clicks]
        assert len(heard) == 40_960


def test_short_clips_repeat_their_last_frame_on_the_stride() -> None:
    assert window_frames(0, 16, 10) == [0, 4] + [8] * 14
    assert window_frames(0, 16, 40)[-7:] == [36] * 7
    assert window_frames(12, 16, 80) == [*range(12, 76, 4)]
    short = encode_flashing_clip(40, 1)
    assert StoredAudio(short["flac"]).frames == 40
    assert len(StoredAudio(short["flac"]).read(0, 64)) == 40 * 640
    assert decode_planes(short["mp4"], window_frames(0, 16, 40)).shape == (16, SIZE_PX * 3 // 2, SIZE_PX)


def test_damaged_files_raise_clip_faults(clip: dict[str, bytes]) -> None:
    for data in (b"", b"no video", clip["mp4"][:200], clip["flac"]):
        with pytest.raises(FaultError):
            decode_planes(data, [0, 4])
    for data in (b"", b"no sound", clip["flac"][:20], clip["mp4"]):
        with pytest.raises(FaultError):
            StoredAudio(data).read(0, 64)
    with pytest.raises(FaultError, match="has no frames"):
        decode_planes(clip["mp4"], [0, 400])


def to_rgb(planes_BTQW: torch.Tensor, full_range: bool) -> torch.Tensor:
    """RGB from 0 to 255 at the stored size."""
    width = planes_BTQW.shape[-1]
    box = torch.tensor([[0, 0, width, width]])
    return crop_pixels(planes_BTQW, torch.tensor([full_range]), box, width) * 255


def pack_images(pictures: list[np.ndarray], quality: int = 95) -> bytes:
    return encode_packed_jpeg(pictures, replace(load_recipe().defaults.clip, jpeg_quality=quality))


def test_packed_jpeg_gives_the_requested_frames() -> None:
    from torchvision.io import decode_jpeg

    random = np.random.default_rng(0)
    smooth = [cv2.resize(random.integers(0, 255, (3, 3, 3), np.uint8), (64, 64)) for _ in range(9)]
    data = pack_images(smooth)
    planes = decode_jpeg_planes(data, [0, 4, 8, 8])
    assert planes.shape == (4, 96, 64)
    assert (planes[2] == planes[3]).all()
    rgb = to_rgb(torch.from_numpy(planes)[None], True)[0]
    offsets = np.frombuffer(data[8:48], "<u4")
    for row, n in enumerate((0, 4, 8)):
        theirs = decode_jpeg(torch.frombuffer(bytearray(data[offsets[n] : offsets[n + 1]]), dtype=torch.uint8))
        assert (rgb[:, row] - theirs).abs().mean() < 3  # chroma is not smoothed between its samples
        assert (rgb[:, row] - torch.from_numpy(smooth[n][..., ::-1].copy()).permute(2, 0, 1)).abs().mean() < 6


def test_damaged_packed_jpeg_raises_a_clip_fault() -> None:
    data = pack_images([np.full((64, 64, 3), n, np.uint8) for n in range(5)])
    table = bytearray(data)
    table[12:16] = (2**31).to_bytes(4, "little")
    count = bytearray(data)
    count[4:8] = (2**32 - 1).to_bytes(4, "little")
    body = bytearray(data)
    body[-300:] = bytes(300)
    for bad in (b"", b"AVFJ", b"AVFJ\0\0\0\0", data[:20], data[:-1], bytes(table), bytes(count), bytes(body)):
        with pytest.raises(FaultError):
            decode_jpeg_planes(bad, [0, 4])
    with pytest.raises(FaultError, match="has no frames"):
        decode_jpeg_planes(data, [0, 8])


def test_frames_of_more_pixels_than_clips_have_are_not_decoded(
    clip: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack_images([np.full((64, 64, 3), 9, np.uint8)])
    assert len(decode_jpeg_planes(packed, [0])) == len(decode_planes(clip["mp4"], [0])) == 1
    monkeypatch.setattr("avf_training.data.decode._MAX_PIXELS", 1000)
    with pytest.raises(FaultError, match="the video does not decode"):
        decode_jpeg_planes(packed, [0])
    with pytest.raises(FaultError, match="the video does not decode"):
        decode_planes(clip["mp4"], [0])


def test_the_sound_of_a_clip_is_flac_alone() -> None:
    wav = io.BytesIO()
    soundfile.write(wav, np.zeros(6400, np.int16), 16000, format="WAV")
    with pytest.raises(FaultError, match="the audio is no FLAC"):
        StoredAudio(wav.getvalue())


def test_frame_indices_equal_those_of_the_authors_code(oracles: Path) -> None:
    oracle = json.loads((oracles / "optim_and_sampling.json").read_text())
    for total, expected in oracle["finetune_frame_idx"].items():
        start = expected["train_seed0"][0]
        assert spread_frames(start, 16, int(total)) == expected["train_seed0"]
        assert segment_frames(16, int(total), 2) == expected["test_segments"]
    for total, expected in oracle["pretrain_frame_idx"].items():
        assert window_frames(expected["frames"][0], 16, int(total)) == expected["frames"]


def test_frame_indices_stay_inside_clips_of_every_length() -> None:
    for total in range(1, 140):
        for start in range(max(1, total - 63)):
            for frames in (window_frames(start, 16, total), spread_frames(start, 16, total)):
                assert len(frames) == 16
                assert frames == sorted(frames)
                assert 0 <= frames[0] <= frames[-1] < total
        for frames in segment_frames(16, total, 3):
            assert len(frames) == 16
            assert frames[-1] < total
    with pytest.raises(ValueError, match="segments 0"):
        segment_frames(16, 100, 0)


def test_colours_equal_those_of_swscale() -> None:
    colours = np.array([[[200, 30, 40], [20, 180, 60]], [[40, 50, 210], [128, 128, 128]]])
    picture = np.kron(colours, np.ones((16, 16, 1)))
    frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24").reformat(format="yuv420p")
    ours = to_rgb(torch.from_numpy(frame.to_ndarray())[None, None], False)[0, :, 0].permute(1, 2, 0)
    assert ours.shape == (32, 32, 3)
    inside = np.ix_(*[[n for n in range(32) if 4 <= n % 16 < 12]] * 2)  # chroma is shared across the edges
    np.testing.assert_allclose(ours.numpy()[inside], picture[inside], atol=1.5)
