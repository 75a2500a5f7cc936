"""Labelled pictures of any origin under one numbering: what fine-tuning trains on and is scored on.

Shapes: N pictures, K values of a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from avf_shards.format.corpus import Corpus
from avf_shards.format.picture_record import Subset

from avf_training.framewise.labels.tasks import FrameLabelTask
from avf_training.framewise.labels.trained_videos import TrainedVideo
from avf_training.framewise.pictures.shards import LABELS
from avf_training.tasks.labelled_shards import concat_corpora

Values = npt.NDArray[np.float32]


class PictureSource(Protocol):
    """Encoded pictures by number: those of shards, or of folders of frames."""

    @property
    def corpus(self) -> Corpus: ...

    def key(self, clip: int) -> str:
        """Return the key of a picture. Raises FaultError."""

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the encoded picture. Raises FaultError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """A picture with a label of the task."""

    number: int  # in its source
    key: str
    group: str  # what stays in one set: the person where known, or the video
    subset: Subset | None  # set that the owners put it in; None: in none
    video: TrainedVideo | None = None  # video that it is a frame of; None: a single picture


class LabelledPictures:
    """Pictures with labels of one task, with the interface of a `ClipSource`: each read brings its label along."""

    def __init__(
        self, task: FrameLabelTask, source: PictureSource, pictures: Sequence[LabelledPicture], values_NK: Values
    ) -> None:
        """Take the pictures that have a label, each with its row of `values_NK`, nan where a value is not valid."""
        self.task, self.corpus, self.pictures, self.values_NK = task, source.corpus, tuple(pictures), values_NK
        self._sources, self._firsts = [source], np.zeros(1, np.int64)
        self._row_of = {picture.number: row for row, picture in enumerate(self.pictures)}

    @classmethod
    def join(cls, parts: Sequence["LabelledPictures"]) -> "LabelledPictures":
        """Return the pictures of several origins as one corpus."""
        joined, *others = parts
        if not others:
            return joined
        self = cls.__new__(cls)
        self.task, self.corpus = joined.task, concat_corpora([part.corpus for part in parts])
        self._sources = [source for part in parts for source in part._sources]
        self._firsts = np.cumsum([0, *(len(source.corpus) for source in self._sources[:-1])])
        starts = np.cumsum([0, *(len(part.corpus) for part in parts[:-1])]).tolist()
        self.pictures = tuple(
            replace(picture, number=picture.number + start)
            for part, start in zip(parts, starts, strict=True)
            for picture in part.pictures
        )
        self.values_NK = np.concatenate([part.values_NK for part in parts])
        self._row_of = {picture.number: row for row, picture in enumerate(self.pictures)}
        return self

    def key(self, clip: int) -> str:
        """Return the key of a picture. Raises FaultError."""
        source, number = self._locate(clip)
        return source.key(number)

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the encoded picture and its label. Raises FaultError."""
        source, number = self._locate(clip)
        return {**source.read(number), LABELS: self.values_NK[self._row_of[clip]].tobytes()}

    def _locate(self, clip: int) -> tuple[PictureSource, int]:
        source = int(np.searchsorted(self._firsts, clip, "right")) - 1
        return self._sources[source], clip - int(self._firsts[source])
