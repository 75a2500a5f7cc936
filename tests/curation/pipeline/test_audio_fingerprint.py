"""Audio fingerprints match a recording after another cut and codec, and do not match other speech."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.demo.speech import speak
from avf_curation.media.audio import read_audio
from avf_curation.media.types import Samples
from avf_curation.pipeline.audio_fingerprint import compute_fingerprint
from avf_shards.packing.near_duplicates import NearDuplicateConfig, NearDuplicateIndex
from support.curation_runs import make_recipe


def re_encode(samples: Samples, bits_per_s: int = 32_000) -> Samples:
    """Through AAC and back."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=16_000, layout="mono")
        stream.bit_rate = bits_per_s
        for offset in range(0, len(samples) - 1023, 1024):
            piece = (samples[None, offset : offset + 1024] / 32768).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
            frame.sample_rate, frame.pts = 16_000, offset
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    sink.seek(0)
    with av.open(sink) as container:
        loud = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return (loud[: len(loud) // 640 * 640] * 32767 * 0.6).astype(np.int16)


def match_fingerprints(originals: dict[str, Samples], copies: dict[str, Samples]) -> dict[str, str | None]:
    """Return copy -> the original that the index names for it."""
    sounds = originals | copies
    fingerprints = {name: compute_fingerprint(samples) for name, samples in sounds.items()}
    index = NearDuplicateIndex(fingerprints, {name: name for name in fingerprints}, NearDuplicateConfig(), 0)
    return {name: match.duplicate_of if (match := index.find(name, set(originals))) else None for name in copies}


def test_a_fingerprint_has_one_word_per_frame() -> None:
    assert len(compute_fingerprint(np.zeros(6400, np.int16))) == 10
    assert compute_fingerprint(np.zeros(0, np.int16)).dtype == np.dtype("<u4")


def test_synthetic_speech_is_matched_after_another_cut_and_codec() -> None:
    takes = {f"take-{n}": (speak(150, 110 + 7 * n, n).samples * 20_000).astype(np.int16) for n in range(12)}
    cuts = {f"cut-{n}": re_encode(takes[f"take-{n}"][777 * n :]) for n in range(12)}
    matches = match_fingerprints(takes, cuts)
    assert sum(matches[f"cut-{n}"] == f"take-{n}" for n in range(12)) >= 11
    assert all(of in (None, f"take-{name.split('-')[1]}") for name, of in matches.items())


@pytest.mark.real
def test_real_speech_is_matched_and_other_speech_is_not(shared: Path) -> None:
    config = make_recipe().defaults.media
    takes: dict[str, Samples] = {}
    for path in sorted((shared / "assets/video").iterdir()):
        if path.name.startswith("syncnet_example_offset"):
            continue  # the same recording as syncnet_example on purpose
        sound = read_audio(path, config, 0.0, None, None)
        if sound is not None and len(sound.samples) >= 4 * 16_000:
            takes[f"take-{path.name}"] = sound.samples[: 12 * 16_000]
    assert len(takes) > 10
    cuts = {name.replace("take-", "cut-"): re_encode(samples[9000:]) for name, samples in takes.items()}
    matches = match_fingerprints(takes, cuts)
    right = sum(of == name.replace("cut-", "take-") for name, of in matches.items())
    wrong = {name: of for name, of in matches.items() if of not in (None, name.replace("cut-", "take-"))}
    assert not wrong
    assert right >= 0.9 * len(takes)
