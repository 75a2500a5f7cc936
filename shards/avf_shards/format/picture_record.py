"""The record of a face picture, `KEY.json` in a picture shard, beside `KEY.jpg` or `KEY.png`.

A picture is one frame: its key is that of the span [0, 1) of its id, so that the ledger, shards, takedowns and the
order of a stream count pictures as they count clips.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from avf_shards.errors import FaultError
from avf_shards.schema.clip_key import is_key, make_clip_key
from avf_shards.schema.clip_record import ClipRecord, read_check
from avf_shards.schema.fields import Fields
from avf_shards.schema.labels import Box4, Labels, read_box
from avf_shards.schema.ledger import Check
from avf_shards.schema.versions import check_version, parse_json, stamp
from avf_shards.timeline import Span

Subset = Literal["train", "validation", "test"]

PICTURE_EXTENSIONS = ("jpg", "png")
PICTURE_SPAN = Span(0, 1)
_ACTION_UNIT = re.compile(r"AU[0-9]{1,2}")
_SUBSETS: tuple[Subset, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class PictureRecord:
    """The metadata of a picture: for training, and to trace it back to the file that its owners distribute."""

    key: str  # of the picture; its form is that of `make_picture_key`
    source: str  # name of the corpus or folder that the picture belongs to
    picture_id: str  # unique within the source; the ledger has it as video_id
    group_id: str  # pictures of one person share it where the corpus names persons; else it is the picture's own
    path: str  # of the file, relative to its source's folder
    record: int | None  # key of the record in a packed file; None: the file is the picture
    identity: str | None  # id that the corpus gives the person; None where it does not
    subset: Subset | None  # of the owners' split; None: not split
    width_px: int  # of the stored picture
    height_px: int  # of the stored picture
    source_width_px: int  # of the owners' picture, upright
    source_height_px: int  # of the owners' picture, upright
    #: Part of the owners' picture that is stored, (left, top, right, bottom) in its pixels; it may reach over the
    #: border, and is black there. None: the owners' bytes are stored as they are.
    window_px: Box4 | None
    face_px: Box4 | None  # the face, in pixels of the owners' picture; None: no face was looked for
    input_sha256: str  # of the owners' bytes, in hexadecimal digits
    input_bytes: int  # number of the owners' bytes
    fingerprint: str  # of the run's settings
    backends: dict[str, str]  # stage -> backend
    checks: tuple[Check, ...]  # every comparison that the picture went through, in the order of the stages
    measurements: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # stage -> name -> value
    #: The owners' labels: `expression` in their spelling, `abaw_expression`, `valence`, `arousal`, `AU1` and so on.
    #: None: the corpus has no labels.
    labels: Labels | None = None

    @property
    def video_id(self) -> str:
        """The id by which the ledger and denylists know the picture."""
        return self.picture_id

    @property
    def span(self) -> Span:
        """The one frame that a picture is."""
        return PICTURE_SPAN

    @property
    def speaker(self) -> str | None:
        """The person, by the name that the ledger and denylists have for the person of a clip."""
        return self.identity

    @property
    def action_units(self) -> dict[str, int]:
        """Action unit, as AU12 -> 0 or 1, of those that are labelled. Raises FaultError for another value."""
        values = {} if self.labels is None else dict(self.labels.values)
        units = {name: value for name, value in values.items() if _ACTION_UNIT.fullmatch(name)}
        for name, value in units.items():
            if value not in ("0", "1"):
                raise FaultError(f"{self.key}: label {name} must be 0 or 1, and is {value[:40]!r}")
        return {name: int(value) for name, value in units.items()}

    def label(self, name: str) -> str | None:
        """Return a label as its owners spell it; None where the picture has none of this name."""
        return None if self.labels is None else self.labels.values.get(name)

    def number(self, name: str) -> float | None:
        """Return a label that is a number, as `valence`; None where the picture has none. Raises FaultError."""
        value = self.label(name)
        if value is None:
            return None
        try:
            return float(value)
        except ValueError:
            raise FaultError(f"{self.key}: label {name} must be a number, and is {value[:40]!r}") from None

    def to_json(self) -> bytes:
        """Return UTF-8 with sorted keys and one trailing newline: the same record gives the same bytes."""
        values = stamp(asdict(self), "picture record")
        del values["labels"]
        if self.labels is not None:
            values["labels"] = self.labels.to_json()
        values["measurements"] = {stage: dict(table) for stage, table in self.measurements.items()}
        values["checks"] = [asdict(check) | {"passed": check.passed} for check in self.checks]
        return (json.dumps(values, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "PictureRecord":
        """Return the record in `data`, as `to_json` wrote it.

        Args:
            where: Names the file for messages until the record's own key is known.

        Raises:
            FaultError: naming the key and the field that is missing or of another type.
            UserError: for a record of a newer version.
        """
        values = parse_json(data, None, f"{where}: the record")
        check_version(values, "picture record", where)
        fields = Fields(values, f"{where}: the record")
        key = fields.text("key")
        if not is_key(key):
            raise FaultError(f"{where}: the record's key {key[:80]!r} cannot be a picture's key")
        fields = Fields(values, f"{key}: the record")
        measurements = fields.table("measurements")
        return cls(
            key=key,
            source=fields.text("source"),
            picture_id=fields.text("picture_id"),
            group_id=fields.text("group_id"),
            path=fields.text("path"),
            record=None if values.get("record") is None else fields.integer("record"),
            identity=fields.optional_text("identity"),
            subset=read_subset(fields),
            width_px=fields.integer("width_px"),
            height_px=fields.integer("height_px"),
            source_width_px=fields.integer("source_width_px"),
            source_height_px=fields.integer("source_height_px"),
            window_px=read_box(fields, "window_px"),
            face_px=read_box(fields, "face_px"),
            input_sha256=fields.text("input_sha256"),
            input_bytes=fields.integer("input_bytes"),
            fingerprint=fields.text("fingerprint"),
            backends=fields.texts("backends"),
            checks=tuple(read_check(check, key) for check in fields.items("checks")),
            measurements={stage: dict(measurements.table(stage).values) for stage in measurements.values},
            labels=Labels.from_json(fields.table("labels")) if values.get("labels") is not None else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the values of the record as JSON has them."""
        values: dict[str, Any] = json.loads(self.to_json())
        return values


StoredRecord = ClipRecord | PictureRecord


def make_picture_key(source: str, picture_id: str) -> str:
    """Return the key of a picture, as `affectnet-0123456789abcdef0123456789abcdef-0000000-0000001-0`."""
    return make_clip_key(source, picture_id, PICTURE_SPAN, 0)


def is_picture_record(values: Mapping[str, Any]) -> bool:
    """Return whether the values of a `KEY.json` are the record of a picture, and not of a clip."""
    return "picture_id" in values


def read_stored_record(data: bytes, where: str) -> StoredRecord:
    """Return the record in a `KEY.json`, of a clip or of a picture. Raises as `PictureRecord.from_json`."""
    if b'"picture_id"' in data:  # most records are of clips, and none is parsed twice
        values = parse_json(data, None, f"{where}: the record")
        if is_picture_record(values):
            return PictureRecord.from_json(data, where)
    return ClipRecord.from_json(data, where)


@dataclass(frozen=True, kw_only=True)
class StoredPicture:
    """A picture of a shard: its record, and the encoded picture."""

    record: PictureRecord  # as stored
    data: bytes  # a JPEG or PNG file
    extension: str  # "jpg" or "png"


def read_stored_picture(files: Mapping[str, bytes], where: str) -> StoredPicture:
    """Return the picture in the files of a key, extension -> payload, as `ShardReader.clips` yields them.

    Raises FaultError where they are no picture's, and as `PictureRecord.from_json`.
    """
    extensions = [extension for extension in PICTURE_EXTENSIONS if extension in files]
    if len(extensions) != 1 or "json" not in files:
        raise FaultError(
            f"{where}: a picture has one .jpg or .png and a .json, and this has {', '.join(sorted(files))}"
        )
    record = PictureRecord.from_json(files["json"], where)
    return StoredPicture(record=record, data=files[extensions[0]], extension=extensions[0])


def read_subset(fields: Fields) -> Subset | None:
    """Return the field `subset` of an object. Raises FaultError."""
    text = fields.optional_text("subset")
    for subset in _SUBSETS:
        if text == subset:
            return subset
    if text is not None:
        raise FaultError(f"{fields.where}: subset must be one of {', '.join(_SUBSETS)}, and is {text[:40]!r}")
    return None
