"""Which sound of a file is read: the track that a player picks, and channels that do not cancel each other."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from avf_curation.audit.explain import input_notes
from avf_curation.media.audio import read_audio
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack, Samples
from avf_shards.schema.ledger import Decision
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

MEDIA = make_recipe().defaults.media
RATE = 48_000
DEFAULT_FLAG, COMMENT, VISUAL_IMPAIRED = 0x1, 0x8, 0x100


def write_tracks(path: Path, tracks: list[tuple[Samples, str, int]], layout: str = "") -> Path:
    """Write sound tracks (channels x samples, language, disposition) at 48 kHz into a Matroska file."""
    with av.open(str(path), "w", format="mov" if path.suffix == ".mov" else "matroska") as out:
        streams = []
        for samples_CS, language, disposition in tracks:
            usual = "stereo" if len(samples_CS) == 2 else "mono"
            stream = out.add_stream("pcm_s16le", rate=RATE, layout=layout or usual)
            stream.metadata["language"] = language
            stream.disposition = disposition
            streams.append(stream)
        for start in range(0, tracks[0][0].shape[1], 4800):
            for stream, (samples_CS, _, _) in zip(streams, tracks, strict=True):
                packed = np.ascontiguousarray(samples_CS[:, start : start + 4800].T).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed, "s16", stream.layout.name)
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


def tone(hz: float, seconds: float = 2.0, level: float = 0.3) -> Samples:
    return (32767 * level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def read(path: Path, frames: int = 50, **settings: Any) -> AudioTrack:
    track = read_audio(path, replace(MEDIA, **settings), 0.0, frames, None)
    assert track is not None
    return track


def pitch_hz(samples: Samples) -> int:
    spectrum = np.abs(np.fft.rfft(samples[8000:24000].astype(float)))
    return int(np.argmax(spectrum))


@pytest.mark.parametrize(
    ("flags", "languages", "index"),
    [
        ((0, DEFAULT_FLAG, 0), (), 1),
        ((0, 0, 0), (), 0),
        ((DEFAULT_FLAG, DEFAULT_FLAG, 0), (), 0),
        ((DEFAULT_FLAG, 0, 0), ("en",), 0),  # "en" is no code of this file
        ((DEFAULT_FLAG, 0, 0), ("ENG-us",), 1),
        ((DEFAULT_FLAG, 0, 0), ("fra", "fre", "eng"), 2),
        ((COMMENT | DEFAULT_FLAG, 0, 0), (), 1),
        ((VISUAL_IMPAIRED, COMMENT, 0), (), 2),
    ],
)
def test_the_track_is_the_one_a_player_picks(
    tmp_path: Path, flags: tuple[int, int, int], languages: tuple[str, ...], index: int
) -> None:
    tracks = [
        (tone(hz)[None], code, flag)
        for hz, code, flag in zip((300, 500, 700), ("deu", "eng", "fre"), flags, strict=True)
    ]
    track = read(write_tracks(tmp_path / "film.mkv", tracks), audio_languages=languages)
    assert track.stream is not None
    assert (track.stream.index, track.stream.count) == (index, 3)
    assert track.stream.language == ("deu", "eng", "fre")[index]
    assert pitch_hz(track.samples) == (300, 500, 700)[index]


def test_stereo_in_antiphase_is_no_silence(tmp_path: Path) -> None:
    left = tone(400)
    mono = read(write_tracks(tmp_path / "mono.mkv", [(left[None], "und", 0)]))
    turned = read(write_tracks(tmp_path / "turned.mkv", [(np.stack([left, -left]), "und", 0)]))
    assert np.array_equal(turned.samples, mono.samples)
    assert turned.one_channel_s == 2.0
    assert turned.covered == mono.covered
    louder_right = read(write_tracks(tmp_path / "right.mkv", [(np.stack([left // -2, left]), "und", 0)]))
    assert np.array_equal(louder_right.samples, mono.samples)


def test_only_the_seconds_in_antiphase_are_replaced(tmp_path: Path) -> None:
    left = tone(400, 4.0)
    right = left.copy()
    right[RATE : 2 * RATE] *= -1
    mono = read(write_tracks(tmp_path / "mono.mkv", [(left[None], "und", 0)]), 100)
    mixed = read(write_tracks(tmp_path / "mixed.mkv", [(np.stack([left, right]), "und", 0)]), 100)
    assert mixed.one_channel_s == 1.0
    difference = np.abs(mixed.samples.astype(int) - mono.samples)
    inside = np.ones(len(difference), bool)
    for edge in (16000, 32000):
        inside[edge - 400 : edge + 400] = False
    assert difference[inside].max() <= 1


@pytest.mark.parametrize("right", [0.0, 1.0, -0.4])
def test_other_stereo_stays_the_downmix(tmp_path: Path, right: float) -> None:
    left = tone(400)
    track = read(write_tracks(tmp_path / "film.mkv", [(np.stack([left, (right * left).astype(np.int16)]), "und", 0)]))
    assert track.one_channel_s == 0
    expected = read(write_tracks(tmp_path / "mono.mkv", [(left[None], "und", 0)])).samples * (1 + right) / 2
    assert np.abs(track.samples - expected).max() <= 2


@pytest.mark.parametrize("layout", ["3.0", "5.0", "5.1", "7.1"])
def test_a_voice_in_the_centre_is_as_loud_as_in_mono(tmp_path: Path, layout: str) -> None:
    voice = tone(400)
    mono = read(write_tracks(tmp_path / "mono.mkv", [(voice[None], "und", 0)])).samples
    alone_CS = channels_of(layout, FC=voice)
    # The channels of 7.1 in a MOV stand in the order of QuickTime, which PyAV alone reads into a double free.
    centre = read(write_tracks(tmp_path / "centre.mov", [(alone_CS, "und", 0)], layout)).samples
    assert np.abs(centre.astype(int) - mono).max() <= 1


def test_sums_that_are_too_loud_are_clipped(tmp_path: Path) -> None:
    voice = tone(400)
    mono = read(write_tracks(tmp_path / "mono.mkv", [(voice[None], "und", 0)])).samples
    loud = np.clip(voice.astype(int) * 4, -32768, 32767).astype(np.int16)
    everywhere_CS = channels_of("5.1", FC=loud, FL=loud, FR=loud, BL=loud, BR=loud)
    mixed = read(write_tracks(tmp_path / "loud.mov", [(everywhere_CS, "und", 0)], "5.1")).samples
    assert mixed.max() == 32767
    strong = np.abs(mono.astype(int)) > 1000
    assert np.array_equal(mixed[strong] > 0, mono[strong] > 0), "what is too loud does not wrap around"


def test_channels_that_a_file_lists_in_another_order_are_found_by_their_names(tmp_path: Path) -> None:
    voice = tone(400)
    mono = read(write_tracks(tmp_path / "mono.mkv", [(voice[None], "und", 0)])).samples
    # QuickTime's MPEG 5.1 D is C L R Ls Rs LFE, its A is L R C LFE Ls Rs: the first channel becomes the centre.
    film = write_tracks(tmp_path / "film.mov", [(channels_of("5.1(side)", FL=voice), "und", 0)], "5.1(side)")
    tag_a, tag_d = b"chan" + bytes(4) + b"\0\x79\0\6", b"chan" + bytes(4) + b"\0\x7c\0\6"
    assert film.read_bytes().count(tag_a) == 1
    film.write_bytes(film.read_bytes().replace(tag_a, tag_d))
    assert np.abs(read(film).samples.astype(int) - mono).max() <= 1


def channels_of(layout: str, **sounds: Samples) -> Samples:
    """Return the channels of a layout, (channels, samples), silent but for those that are given."""
    silent = np.zeros_like(next(iter(sounds.values())))
    return np.stack([sounds.get(channel.name, silent) for channel in av.AudioLayout(layout).channels])


def test_explain_tells_which_track_was_read() -> None:
    measurements = '{"scenes": {"audio_tracks": 2, "audio_track": 1, "one_channel_s": 3.0}}'
    decision = Decision(
        source="made",
        video_id="a.mkv",
        group_id="a.mkv",
        path="a.mkv",
        span=Span(0, 50),
        status="rejected",
        input_bytes=1,
        measurements=measurements,
    )
    track, channel = input_notes([decision])
    assert "2 sound tracks; track 2 was read" in track
    assert "3 s" in channel
    assert input_notes([replace(decision, measurements='{"scenes": {"audio_tracks": 1}}')]) == []


@pytest.mark.parametrize(
    ("with_gapless_info", "late_s", "longer_s"),
    [(True, 0.0, 0.0), (False, 1105 / RATE, 1920 / RATE)],
    ids=["gapless", "without gapless info"],
)
def test_mp3_is_in_step_where_it_says_what_its_encoder_put_before_the_sound(
    tmp_path: Path, with_gapless_info: bool, late_s: float, longer_s: float
) -> None:
    """Without that word the 1,105 samples of delay stay, in every player."""
    samples = tone(1000)
    samples[:RATE] = 0
    options = {"write_xing": str(int(with_gapless_info))}
    with av.open(str(tmp_path / "sound.mp3"), "w", format="mp3", options=options) as out:
        stream = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        for start in range(0, len(samples), 4800):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 4800], "s16p", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with MediaFile(tmp_path / "sound.mp3", MEDIA) as media:
        sound = media.audio(None)
    assert sound is not None
    begin_s = float(np.argmax(np.abs(sound.samples) > 4000)) / 16_000
    assert begin_s == pytest.approx(1 + late_s, abs=0.001)
    assert len(sound.samples) / 16_000 == pytest.approx(2 + longer_s, abs=0.001)


@pytest.mark.parametrize(
    ("codec", "delay_samples"), [("pcm_s16le", 0), ("mp2", 481), ("ac3", 256), ("libmp3lame", 1105)]
)
def test_sound_beside_h264_in_avi_is_as_late_as_ffmpeg_plays_it(tmp_path: Path, codec: str, delay_samples: int) -> None:
    """AVI has no field for the delay of an encoder, and MP3 in AVI no LAME header, so nobody can take it out."""
    path = tmp_path / "film.avi"
    samples = tone(1000)
    samples[:RATE] = 0
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=25, options={"bf": "2", "b_strategy": "0"})
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        sound = out.add_stream(codec, rate=RATE, layout="mono")
        for number in range(50):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(np.full((64, 64), number, np.uint8), format="gray")))
        out.mux(picture.encode(None))
        resampler = av.AudioResampler(format=sound.format.name, layout="mono", rate=RATE)
        for start in range(0, len(samples), 4800):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 4800], "s16p", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            for converted in resampler.resample(frame):
                out.mux(sound.encode(converted))
        out.mux(sound.encode(None))
    with av.open(str(path)) as container:  # FFmpeg's own decoding, from its first sample on
        played = np.concatenate([frame.to_ndarray().astype(float)[0] for frame in container.decode(audio=0)])
    played_begin_s = float(np.argmax(np.abs(played) > 0.25 * np.abs(played).max())) / RATE
    with MediaFile(path, MEDIA) as media:
        frames = sum(1 for _ in media.frames())
        track = media.audio(frames)
    assert track is not None
    begin_s = float(np.argmax(np.abs(track.samples) > 0.25 * np.abs(track.samples.astype(float)).max())) / 16_000
    assert begin_s == pytest.approx(played_begin_s, abs=0.0003)
    assert begin_s == pytest.approx(1 + delay_samples / RATE, abs=0.001)
