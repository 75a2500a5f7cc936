"""The record of a clip, `KEY.json` in a shard: where the clip comes from, and every score that it passed."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from avf_shards.errors import FaultError
from avf_shards.schema.clip_key import is_key
from avf_shards.schema.fields import Fields
from avf_shards.schema.labels import Box4, Labels, Origin, read_box
from avf_shards.schema.ledger import Check
from avf_shards.schema.measurements import Measurements
from avf_shards.schema.versions import check_version, stamp
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, Span

_NUMBERS = (int, float)


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """The metadata of a clip: for training, and to trace the clip back to its input file."""

    key: str  # of the clip; its form is that of `clip_key`
    source: str  # name of the corpus or folder that the video belongs to
    video_id: str  # unique within the source
    group_id: str  # videos of one recording share it
    path: str  # of the input, relative to its source's folder
    span: Span  # on the 25 fps timeline of the video
    track: int  # number of the person: 0 is the one with the largest face
    speaker: str | None  # as the corpus names the person; None where it does not
    language: str | None  # as the source says; None where it does not
    window_px: float  # side of the face crop, in pixels of the source
    size_px: int  # side of the stored video
    av_offset_ms: int  # shift already applied to the stored sound (positive: moved later); readers never apply it
    input_sha256: str  # of the input file, in hexadecimal digits
    input_bytes: int  # size of the input file
    fingerprint: str  # of the run's settings
    backends: dict[str, str]  # stage -> backend
    checks: tuple[Check, ...]  # every comparison that the span went through, in the order of the stages
    measurements: Measurements = field(default_factory=Measurements)  # empty where no stage measured
    start_s: float | None = None  # of the video in its file, where it is a part of one
    origin: Origin | None = None  # what the owners of the corpus say of where the video was cut from
    labels: Labels | None = None  # None: the corpus has no labels
    file_sha256: str | None = None  # of the files without the range, where the video is a range of them
    # Of the sound as it came: base64 of 32-bit words, little endian, one a frame at 25 fps. None: not known, as in
    # records of earlier versions.
    audio_fingerprint: str | None = None
    # Part of the source's picture (left, top, right, bottom, in pixels) that holds the crop in every frame. None: not
    # known, as in records of earlier versions.
    crop_px: Box4 | None = None

    def to_json(self) -> bytes:
        """Return UTF-8 with sorted keys and one trailing newline: the same record gives the same bytes."""
        values = stamp(asdict(self), "clip record")
        del values["labels"]
        if self.labels is not None:  # most clips have none
            values["labels"] = self.labels.to_json()
        for name in ("audio_fingerprint", "crop_px", "file_sha256"):
            if values[name] is None:
                del values[name]
        values["measurements"] = self.measurements.to_json()
        values["checks"] = [asdict(check) | {"passed": check.passed} for check in self.checks]
        values["fps"], values["sample_rate_hz"] = FRAMES_PER_SECOND, SAMPLE_RATE_HZ
        values["seconds"] = self.span.seconds
        return (json.dumps(values, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "ClipRecord":
        """Return the record in `data`, as `to_json` wrote it.

        Args:
            where: Names the file for messages until the record's own key is known.

        Raises:
            FaultError: naming the key and the field that is missing or of another type.
            UserError: for a record of a newer version.
        """
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FaultError(f"{where}: the record is not JSON ({error})") from None
        fields = Fields.from_value(values, f"{where}: the record")
        check_version(values, "clip record", where)
        key = fields.text("key")
        if not is_key(key):
            raise FaultError(f"{where}: the record's key {key[:80]!r} cannot be a clip's key")
        fields = Fields(values, f"{key}: the record")
        has_origin, has_labels = (values.get(name) is not None for name in ("origin", "labels"))
        return cls(
            key=key,
            source=fields.text("source"),
            video_id=fields.text("video_id"),
            group_id=fields.text("group_id"),
            path=fields.text("path"),
            span=_span(fields.table("span")),
            track=fields.integer("track"),
            speaker=fields.optional_text("speaker"),
            language=fields.optional_text("language"),
            window_px=fields.number("window_px"),
            size_px=fields.integer("size_px"),
            av_offset_ms=fields.integer("av_offset_ms"),
            input_sha256=fields.text("input_sha256"),
            input_bytes=fields.integer("input_bytes"),
            fingerprint=fields.text("fingerprint"),
            backends=fields.texts("backends"),
            checks=tuple(read_check(check, key) for check in fields.items("checks")),
            measurements=Measurements.from_json(fields.table("measurements")),
            start_s=fields.optional_number("start_s"),
            origin=Origin.from_json(fields.table("origin")) if has_origin else None,
            labels=Labels.from_json(fields.table("labels")) if has_labels else None,
            audio_fingerprint=fields.optional_text("audio_fingerprint"),
            crop_px=read_box(fields, "crop_px"),
            file_sha256=fields.optional_text("file_sha256"),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the values of the record as JSON has them."""
        values: dict[str, Any] = json.loads(self.to_json())
        return values


def _span(fields: Fields) -> Span:
    start, stop = fields.integer("start_frame"), fields.integer("stop_frame")
    if not 0 <= start <= stop:
        raise FaultError(f"{fields.where}: [{start}, {stop}) is no range of frames")
    return Span(start, stop)


def read_check(values: Any, key: str) -> Check:
    """Return one comparison of a record; `key` names the record in messages. Raises FaultError."""
    # A record has some twenty checks and is read for each training sample: look at each value once, and go through
    # `Fields` only to name the field that is wrong.
    if isinstance(values, dict):
        stage, reason, operator = values.get("stage"), values.get("reason"), values.get("operator")
        score: Any = values.get("score")
        threshold: Any = values.get("threshold")
        setting = values.get("setting")
        if (
            type(stage) is type(reason) is str
            and (score is None or type(score) in _NUMBERS)
            and (operator == "<=" or operator == ">=")
            and type(threshold) in _NUMBERS
            and (setting is None or type(setting) is str)
        ):
            return Check(
                stage=stage, reason=reason, score=score, operator=operator, threshold=threshold, setting=setting
            )
    fields = Fields.from_value(values, f"{key}: checks")
    for name in ("stage", "reason", "operator"):
        fields.text(name)
    fields.number("threshold")
    fields.optional_number("score")
    fields.optional_text("setting")
    raise FaultError(f"{fields.where}: operator {values['operator']!r} is none of <=, >=")
