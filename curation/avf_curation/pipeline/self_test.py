"""The test that each worker makes of itself before its first unit: one tiny clip through every library."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from avf_shards.errors import UserError
from avf_shards.timeline import SAMPLES_PER_FRAME

from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.detectors.weights import ReplacedWeightsError
from avf_curation.media.crop import SPEAKER_SIDE_PX
from avf_curation.media.decode import MediaFile
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.pipeline.failures import InfrastructureError, OtherWeightsError
from avf_curation.pipeline.screening import screen_shots
from avf_curation.pipeline.shot_ends import ShotSearch
from avf_curation.recipe import SourceSettings

_FRAMES = 40  # a shot of 1.6 s, which is long enough for the search for faces
_SIDE_PX = 96


def load_detectors(backends: BackendSelection, device: str, digests: Mapping[str, str]) -> Detectors:
    """Load the detectors of a worker, whose weights must have the digests that the run's identity names.

    Raises OtherWeightsError where they have not, and InfrastructureError where a library is broken.
    """
    try:
        return Detectors(backends, device, digests)
    except ReplacedWeightsError as error:
        raise OtherWeightsError(str(error)) from None
    except UserError:
        raise
    except Exception as error:
        raise failed_test("loading the detectors", error) from error


def check_tools(detectors: Detectors, settings: SourceSettings) -> None:
    """Encode, decode and measure a tiny clip without a face.

    A broken library, an unwritable home or a missing weight then stops the worker, and fails no video.

    Raises InfrastructureError, which names the step, the error and what to mend.
    """
    step = "making a temporary folder"
    try:
        with tempfile.TemporaryDirectory(prefix="avf-self-test-") as folder:
            step = "encoding a clip"
            path, sound_path = Path(folder, "clip.mp4"), Path(folder, "clip.flac")
            frame = np.broadcast_to(np.arange(_SIDE_PX, dtype=np.uint8)[:, None, None], (_SIDE_PX, _SIDE_PX, 3)).copy()
            path.write_bytes(
                encode_mp4((frame + np.uint8(n) for n in range(_FRAMES)), replace(settings.clip, size_px=_SIDE_PX))
            )
            tone = 9999 * np.sin(np.arange(_FRAMES * SAMPLES_PER_FRAME) / 5)
            sound_path.write_bytes(encode_flac(tone.astype(np.int16)))
            step = "decoding a clip and searching it for cuts and faces"
            with MediaFile(path, settings.media, sound_path) as media:
                track, _ = screen_shots(
                    media,
                    settings.scenes,
                    settings.faces,
                    detectors.face_finder,
                    search=ShotSearch(network=detectors.shot_network),
                )
                step = "decoding its sound"
                audio_track = media.audio(track.frames)
            if track.decoded_frames != _FRAMES or audio_track is None:
                raise RuntimeError(f"{track.decoded_frames} of {_FRAMES} frames came back")
            step = "searching its sound for silence"
            split_silence(audio_track.samples, settings.silence)
            step = "searching its sound for speech"
            if detectors.find_speech is not None:
                detectors.find_speech(audio_track.samples)
            step = "asking who speaks"
            if detectors.lr_asd is not None:
                face_THW = np.zeros((2, SPEAKER_SIDE_PX, SPEAKER_SIDE_PX), np.uint8)
                detectors.lr_asd.score(face_THW, audio_track.samples[: 2 * SAMPLES_PER_FRAME])
            step = "asking who a face is"
            if detectors.face_embedder is not None:
                detectors.face_embedder.embed([frame])
            step = "searching a frame for faces"
            detectors.faces([frame], 1.0, settings.track)
    except Exception as error:
        raise failed_test(step, error) from error


def failed_test(step: str, error: Exception) -> InfrastructureError:
    """Return the error of a worker that failed a step of its self-test."""
    return InfrastructureError(
        f"a worker failed its self-test, {step}: {type(error).__name__}: {error}; mend the installation, the home "
        "or the temporary folder of that machine, then the same command continues"
    )
