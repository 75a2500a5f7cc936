"""Files of features in time for all inputs of a command; those that stand there already are left."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from avf_shards.errors import FaultError, UserError
from avf_shards.system import durable_io
from torch import Tensor

from avf_training.timed_features.audio_frames import AudioFrames
from avf_training.timed_features.frame_file import (
    ENDING,
    FrameFeatures,
    FrameHeader,
    read_frame_features,
    write_frame_features,
)
from avf_training.timed_features.inputs import FrameInput
from avf_training.timed_features.video_frames import VideoFrames

log = logging.getLogger(__name__)
OnInput = Callable[[str, int, int], None]
"""Function that is told the name of an input, its number from 1, and the number of inputs."""


@dataclass(kw_only=True)
class FrameFilesReport:
    """What became of each input."""

    written: int = 0  # files
    skipped: int = 0  # files that stood there already, of the same model, settings and input
    frames: int = 0  # in the files that were written
    faults: list[str] = field(default_factory=list)  # a sentence for each input without a file


@dataclass(frozen=True, kw_only=True)
class FrameExtraction:
    """What is asked of each input, and where the answers go."""

    audio: AudioFrames | None  # None: nothing is heard
    video: VideoFrames | None  # None: nothing is seen
    model_sha256: str  # of the model's files
    values: str  # float32 or float16
    folder: Path  # of the files

    def run(self, inputs: Sequence[FrameInput], on_input: OnInput) -> FrameFilesReport:
        """Write the files that are missing, and return what became of all.

        Raises UserError, before anything is computed, where a file of this name is another's or of other settings.
        """
        report = FrameFilesReport()
        waiting = [each for each in inputs if not self._stands(each)]
        report.skipped = len(inputs) - len(waiting)
        for number, each in enumerate(waiting, 1):
            on_input(each.input, number, len(waiting))
            try:
                features = self._compute(each)
                write_frame_features(self._path(each), features)
            except (FaultError, UserError) as error:
                sentence = str(error)
                report.faults.append(sentence if each.input in sentence else f"{each.input}: {sentence}")
                continue
            report.written += 1
            report.frames += features.frames
        return report

    def _path(self, each: FrameInput) -> Path:
        return self.folder / f"{each.name}{ENDING}"

    def _header(self, each: FrameInput) -> FrameHeader:
        asked = next(ask for ask in (self.audio, self.video) if ask is not None)
        return FrameHeader(
            input=each.input,
            input_sha256=each.input_sha256,
            start_s=each.start_s,
            model_sha256=self.model_sha256,
            fps=asked.fps,
            context=asked.context,
            bands="mean" if self.audio is None else self.audio.bands,
            audio_layers=() if self.audio is None else self.audio.layers,
            video_layers=() if self.video is None else self.video.layers,
            values=self.values,
        )

    def _stands(self, each: FrameInput) -> bool:
        """Return whether the file of an input is there; a damaged one is removed. Raises UserError for another's."""
        path = self._path(each)
        if not path.exists():
            return False
        try:
            header = read_frame_features(path).header
        except FaultError as error:
            log.warning("%s", error)
            durable_io.remove(path)
            return False
        new = self._header(each)
        for item in fields(FrameHeader):
            before, now = getattr(header, item.name), getattr(new, item.name)
            if before != now:
                subject = item.name.removesuffix("_sha256").replace("_", " ")
                raise UserError(
                    f"{path}: is there already with another {subject} ({_short(before)}, and now {_short(now)}); "
                    "name another folder with --out, or move it away"
                )
        return True

    def _compute(self, each: FrameInput) -> FrameFeatures:
        recording = each.read()
        audio_NLD: Tensor | None = None
        video_NLD: Tensor | None = None
        if self.audio is not None:
            audio_NLD = self.audio.of(torch.from_numpy(recording.wave_S)).vectors_NLD
        if self.video is not None:
            if recording.clip is None:
                raise FaultError(f"{each.input}: is no clip with a face")
            video_NLD = self.video.of_clip(recording.clip).vectors_NLD
        return FrameFeatures(header=self._header(each), audio_NLD=audio_NLD, video_NLD=video_NLD)


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
