"""What a model was trained on: trained_videos.json beside its predictions, so that no learned one is scored as new.

Extractors that learned from frames or sound of labelled videos have it beside their weights and their tracks.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.versions import stamp
from avf_shards.settings.config import bind
from avf_shards.system.durable_io import make_folder, replace_file
from avf_shards.text import count_noun

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.json_records import bind_json_record
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.tracks.identity import TRAINED_VIDEOS, TrackSubject
from avf_training.models.saved_config import WEIGHTS
from avf_training.trainer.run_folder import MODEL

FILE = TRAINED_VIDEOS
log = log_of_rank_0(__name__)
_BEST = "best"  # folder in a run with the models of its best epochs
_REMEDY = "run the command that wrote these predictions, tracks or weights again, which writes this file anew"


@dataclass(frozen=True, kw_only=True, order=True)
class TrainedVideo:
    """A person of a video whose labels a model has learned."""

    source: str
    video: str
    person: int = 0  # number in the video
    group: str = ""  # what stays together in folds: media file or person
    name: str | None = None  # of the person; null: nobody is named

    @classmethod
    def from_labels(cls, labels: LabelTrack) -> "TrainedVideo":
        """Return the entry of a label track."""
        subject = labels.subject
        return cls(
            source=subject.source,
            video=subject.video_id,
            person=subject.person,
            group=labels.group,
            name=labels.person,
        )

    @property
    def subject(self) -> TrackSubject:
        """Return whose track it is."""
        return TrackSubject(source=self.source, video_id=self.video, person=self.person)


@dataclass(frozen=True, kw_only=True)
class TrainedVideos:
    """What a model was trained on."""

    train_on: str  # sets: `train`, or `all`, which is training and validation; `ensemble`: of its members
    fold: int | None = None  # that was held out; null: the owners' sets
    fold_seed: int | None = None  # that folds were drawn by
    videos: tuple[TrainedVideo, ...] = ()  # sorted; also those that the models behind its tracks were trained on

    def has(self, subject: TrackSubject) -> bool:
        """Return whether the model was trained on a person of a video."""
        return any(each.subject == subject for each in self.videos)

    def related(self, subject: TrackSubject, labels: LabelTrack | None) -> bool:
        """Return whether the model was trained on another video of the same person or media file, as labels name it."""
        if labels is None or self.has(subject):
            return False
        return any(
            each.source == subject.source
            and (each.group == labels.group or (each.name is not None and each.name == labels.person))
            for each in self.videos
        )

    def add(self, videos: Iterable[TrainedVideo]) -> "TrainedVideos":
        """Return the record with more videos."""
        every = tuple(sorted({*self.videos, *videos}, key=lambda each: (each.subject, each.group, each.name or "")))
        return TrainedVideos(train_on=self.train_on, fold=self.fold, fold_seed=self.fold_seed, videos=every)

    def to_json(self) -> dict[str, Any]:
        """Return the values of the file."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]  # a dataclass is an object of JSON

    def write(self, folder: Path) -> None:
        """Write FOLDER/trained_videos.json."""
        make_folder(folder)
        text = json.dumps(stamp(self.to_json(), "trained videos"), indent=1, sort_keys=True) + "\n"
        replace_file(folder / FILE, text.encode())


def renew_record(before: TrainedVideos | None, now: TrainedVideos, file: Path) -> TrainedVideos:
    """Return the record of a run that was started before, with what its file and the new start name; warn of new ones.

    The models or tracks that a run reads may have got their own record since then, as those of earlier versions do.

    Args:
        before: record in the file; None: it has none.
        now: record by what the run reads now.
        file: that the record is written to, for the message.
    """
    if before is None:
        before = TrainedVideos(train_on=now.train_on)
    new = len({*now.videos} - {*before.videos})
    if new:
        log.warning(
            "%s: names %s more that this model, or one that it starts from or reads tracks of, was trained on; run "
            "again what was made with it (extract, predict-frames and what follows), which takes the record over",
            file,
            count_noun(new, "video"),
        )
    return now.add(before.videos)


def bind_trained_videos(values: Any, where: str) -> TrainedVideos:
    """Return the record in the values of a file. Raises UserError for others."""
    try:
        return bind(TrainedVideos, values)
    except UserError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None


def read_trained_videos(folder: Path) -> TrainedVideos | None:
    """Return the record beside predictions; None where there is none, as of predictions of earlier versions.

    Raises UserError.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    return bind_json_record(TrainedVideos, path, "trained videos", _REMEDY)


def find_trained_videos(weights: Path) -> TrainedVideos | None:
    """Return what weights were trained on, by the record in their folder or in that of their run; None without one.

    Args:
        weights: a run, the folder of a model in it or moved away from it, or the file in such a folder.

    Raises UserError.
    """
    folder = weights.absolute() if weights.is_dir() else weights.absolute().parent
    if not weights.is_dir() and weights.name != WEIGHTS:  # a file of others, in a folder of others
        return None
    candidates = [folder]
    if folder.name == MODEL:
        candidates.append(folder.parent)
    if folder.parent.name == _BEST:
        candidates.append(folder.parent.parent)
    return next((read_trained_videos(each) for each in candidates if (each / FILE).is_file()), None)


def copy_trained_videos(run: Path, model: Path) -> None:
    """Copy the record of a run, where it has one, beside a saved model, so that the model can be moved away from it."""
    if (run / FILE).is_file():
        replace_file(model / FILE, (run / FILE).read_bytes())


def split_trained(
    record: TrainedVideos | None, subjects: Collection[TrackSubject]
) -> tuple[list[TrackSubject], list[TrackSubject]]:
    """Return the persons of videos that a model was trained on, and the others, in their order."""
    trained = set() if record is None else {each.subject for each in record.videos}
    return [each for each in subjects if each in trained], [each for each in subjects if each not in trained]
