"""A face picture of a corpus, known by name and size before it is decoded."""

from dataclasses import dataclass, field

from avf_shards.format.picture_record import Subset
from avf_shards.schema.labels import Box4, Labels

from avf_curation.sources.types import OwnersFaces, PictureInput, RecordPosition, Video


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture: a file, or a record of a packed file."""

    picture_id: str  # unique inside its source
    path: str  # below the source's folder
    size_bytes: int  # of the picture
    mtime_ns: int  # of the file
    packed: RecordPosition | None = None  # None: `path` is the picture
    identity: str | None = None  # id that the corpus gives the person
    subset: Subset | None = None  # of the owners' split
    box_px: Box4 | None = None  # the owners' face as (left, top, right, bottom)
    labels: Labels | None = None  # of a labelled corpus
    owners_faces: OwnersFaces | None = None  # what the owners' detector saw

    def to_input(self, source: str) -> Video:
        """Return the picture as an input of a run. Pictures of one person are a group, and so share a unit."""
        return Video(
            source=source,
            video_id=self.picture_id,
            group_id=self.identity or self.picture_id,
            path=self.path,
            size_bytes=self.size_bytes,
            mtime_ns=self.mtime_ns,
            speaker=self.identity,
            labels=self.labels,
            picture=PictureInput(
                packed=self.packed, subset=self.subset, box_px=self.box_px, owners_faces=self.owners_faces
            ),
        )


@dataclass(kw_only=True)
class PictureCounts:
    """Counts of the pictures of a source. Nothing is kept of a picture: a corpus may hold forty million."""

    pictures: int = 0
    bytes: int = 0
    subsets: dict[str, int] = field(default_factory=dict)  # subset -> pictures
    labels: dict[str, dict[str, int]] = field(default_factory=dict)  # label of few values -> value -> pictures
    numbers: dict[str, int] = field(default_factory=dict)  # label that is a number -> pictures that have it
    identities: set[str] = field(default_factory=set)

    def add(self, picture: Picture) -> None:
        """Count a picture."""
        self.pictures += 1
        self.bytes += picture.size_bytes
        if picture.identity is not None:
            self.identities.add(picture.identity)
        if picture.subset is not None:
            self.subsets[picture.subset] = self.subsets.get(picture.subset, 0) + 1
        faces = picture.owners_faces
        for name, score in (("face score", faces and faces.score), ("second face score", faces and faces.second_score)):
            if score is not None:
                self.numbers[name] = self.numbers.get(name, 0) + 1
        for name, value in picture.labels.values.items() if picture.labels else ():
            if name in ("valence", "arousal"):
                self.numbers[name] = self.numbers.get(name, 0) + 1
            else:
                values = self.labels.setdefault(name, {})
                values[value] = values.get(value, 0) + 1
