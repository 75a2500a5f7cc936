"""PQ, HLG and wide gamut become BT.709 as the formulas of BT.2100 and BT.2390 say, in every reader alike."""

import io
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.tone_mapping import hlg_to_scene, is_convertible, pq_to_nits, roll_off
from avf_curation.stages import scenes
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.media
PQ, HLG, BT2020, P3 = 16, 18, 9, 12
SIZE = (256, 16)


def video_frame(rgb_HWC: np.ndarray, transfer: int, primaries: int, matrix: int = 9) -> av.VideoFrame:
    """Return a 10-bit 4:4:4 frame of nonlinear RGB of 0 to 1, with the tags."""
    kr, kb = {9: (0.2627, 0.0593), 1: (0.2126, 0.0722)}[matrix]
    red, green, blue = np.moveaxis(rgb_HWC, 2, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    frame = av.VideoFrame(rgb_HWC.shape[1], rgb_HWC.shape[0], "yuv444p10le")
    planes = 64 + 876 * luma, 512 + 896 * chroma[0], 512 + 896 * chroma[1]
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((rgb_HWC.shape[0], plane.line_size // 2), np.uint16)
        rows[:, : rgb_HWC.shape[1]] = np.round(values)
        plane.update(rows.tobytes())
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, primaries, matrix, 1
    return frame


def ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 1, SIZE[0])[None, :, None], (SIZE[1], 1, 3))


def convert(frame: av.VideoFrame, pixels: str = "bgr24") -> np.ndarray:
    return FrameConverter().array(frame, *SIZE, pixels)[0].astype(int)


def reference_roll_off(nits: float) -> float:
    """The EETF of BT.2390 from 1000 to 203 cd/m2, one value at a time, by the inverse of `pq_to_nits`."""
    codes = np.linspace(0, 1, 2_000_001)
    light = pq_to_nits(codes)

    def pq(value: float) -> float:
        return float(np.interp(value, light, codes))

    e1, maximum = pq(nits) / pq(1000), pq(203) / pq(1000)
    knee = 1.5 * maximum - 0.5
    if e1 >= knee:
        t = (e1 - knee) / (1 - knee)
        e1 = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * maximum
    return float(np.interp(e1 * pq(1000), codes, light))


def test_the_curves_are_those_of_the_recommendations() -> None:
    """BT.2100: PQ 0.5081 is 100 cd/m2, HLG 0.75 is diffuse white of 203 cd/m2 on a display of 1000."""
    np.testing.assert_allclose(
        pq_to_nits(np.array([0.0, 0.50808, 0.58069, 0.75183, 1.0])), [0, 100, 203, 1000, 10_000], rtol=2e-4
    )
    np.testing.assert_allclose(hlg_to_scene(np.array([0.0, 0.5, 1.0])), [0, 1 / 12, 1], atol=1e-6)
    assert 1000 * hlg_to_scene(np.array([0.75]))[0] ** 1.2 == pytest.approx(203, abs=1)
    for nits in (1.0, 50.0, 85.0, 120.0, 203.0, 500.0, 999.0):
        assert roll_off(np.array([nits]))[0] == pytest.approx(reference_roll_off(nits), rel=1e-3)
    assert roll_off(np.array([50.0]))[0] == pytest.approx(50, rel=1e-6), "faces in the shade keep their light"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_a_grey_ramp_follows_the_formula(transfer: int) -> None:
    code = ramp()[0, :, 0]
    nits = pq_to_nits(code) if transfer == PQ else 1000 * hlg_to_scene(code) ** 1.2
    expected = 255 * (roll_off(np.minimum(nits, 1000)) / 203).clip(0, 1) ** (1 / 2.4)
    picture = convert(video_frame(ramp(), transfer, BT2020))
    assert np.abs(picture - expected[:, None]).max() <= 2.5  # of which one level is that of 10-bit luma
    assert np.abs(convert(video_frame(ramp(), transfer, BT2020), "gray") - expected).max() <= 2.5


@pytest.mark.parametrize(
    ("transfer", "primaries", "matrix"), [(PQ, BT2020, 9), (HLG, BT2020, 9), (1, P3, 1), (14, BT2020, 9)]
)
def test_the_colour_of_skin_survives(transfer: int, primaries: int, matrix: int) -> None:
    """Skin of known BT.709 colour is written in the wide space by the inverse formulas and read back."""
    skin = np.array([205, 150, 125]) / 255
    to_709 = {
        BT2020: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
        P3: [[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0197, -0.0786, 1.0983]],
    }[primaries]
    light = np.linalg.solve(np.array(to_709), skin**2.4)  # 1.0 is diffuse white
    codes = np.linspace(0, 1, 100_001)
    if transfer == PQ:
        dim = light * 0.4  # below the knee
        code, expected = np.interp(dim * 203, pq_to_nits(codes), codes), 255 * (0.4 * skin**2.4) ** (1 / 2.4)
    elif transfer == HLG:
        dim = light * 0.4 * 203 / 1000
        luminance = np.dot([0.2627, 0.6780, 0.0593], dim)
        code = np.interp(dim * luminance ** (1 / 1.2 - 1), hlg_to_scene(codes), codes)
        expected = 255 * (0.4 * skin**2.4) ** (1 / 2.4)
    else:
        code, expected = light ** (1 / 2.4), 255 * skin
    picture = convert(video_frame(np.tile(code, (SIZE[1], SIZE[0], 1)), transfer, primaries, matrix))
    assert np.abs(picture[3][::-1] - expected).max() <= 2


def test_the_system_gamma_of_hlg_acts_on_the_luminance_of_colours() -> None:
    """BT.2100 table 5: E_D = a * Y_S ** 0.2 * E_S. zscale raises each channel to 1.2: the same for grey only."""
    code = np.random.default_rng(0).uniform(0.1, 0.5, (SIZE[1], SIZE[0], 3))
    scene = hlg_to_scene(code)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    to_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    light = (scene * luminance[..., None] ** 0.2 * 1000 / 203) @ to_709.T
    expected = 255 * light.clip(0, 1) ** (1 / 2.4)
    picture = FrameConverter().array(video_frame(code, HLG, BT2020), *SIZE, "bgr24")[..., ::-1]
    assert np.abs(picture - expected).mean() < 1
    each_channel = 255 * ((scene**1.2 * 1000 / 203) @ to_709.T).clip(0, 1) ** (1 / 2.4)
    assert np.abs(each_channel - expected).mean() > 3


def encode_hdr(frames: int = 30) -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = PQ, BT2020, 9, 1
        for index in range(frames):
            frame = video_frame(ramp(), PQ, BT2020).reformat(format="yuv420p10le")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()


def test_an_hdr_film_is_converted_and_says_so(tmp_path: Path) -> None:
    path, converter = tmp_path / "film.mkv", FrameConverter()
    path.write_bytes(encode_hdr())
    with MediaFile(path, CONFIG) as media:
        first = [converter.array(entry.frame, *SIZE, "bgr24") for entry in media.frames()]
        assert media.video_track is not None
        for index, frame in enumerate(media.read(Span(11, 30)), 11):
            np.testing.assert_array_equal(converter.array(frame, *SIZE, "bgr24"), first[index])
        assert media.video_track.pictures[0].colors == "PQ"
        measured = scenes.measure(Span(0, 30), media.video_track, None)
    assert measured.record()["oddities"] == ["The colours are PQ, converted to BT.709."]
    assert np.abs(first[3][8].astype(int) - convert(video_frame(ramp(), PQ, BT2020))).mean() < 2


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="compares with the ffmpeg program, which is not installed")
@pytest.mark.parametrize(("transfer", "name"), [(PQ, "smpte2084"), (HLG, "arib-std-b67")])
def test_dark_and_middle_tones_are_those_of_zscale(transfer: int, name: str) -> None:
    frame = video_frame(ramp() * (0.48 if transfer == PQ else 0.55), transfer, BT2020)
    tags = f"setparams=color_primaries=bt2020:color_trc={name}:colorspace=bt2020nc:range=tv"
    linear = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=clip"
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv444p10le", "-s", f"{SIZE[0]}x{SIZE[1]}"]
    command += ["-i", "-", "-vf", f"{tags},{linear},zscale=t=bt709:m=gbr:r=pc,format=gbrp"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = b"".join(bytes(plane) for plane in frame.planes)
    answer = subprocess.run(command, input=data, capture_output=True, check=False)
    if b"No such filter" in answer.stderr:
        pytest.skip("this ffmpeg has no zscale")
    expected = np.frombuffer(answer.stdout, np.uint8).reshape(SIZE[1], SIZE[0], 3)[0].astype(int)
    assert np.abs(convert(frame) - expected).max() <= 2


def test_colours_that_cannot_be_converted_are_refused() -> None:
    frame = video_frame(ramp(), PQ, BT2020)
    assert is_convertible(frame)
    frame.colorspace = 14  # ICtCp
    assert not is_convertible(frame)
