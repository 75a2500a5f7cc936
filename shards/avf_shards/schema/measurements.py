"""The measurements of the curation stages on the span of a clip, as the clip's record stores them.

A stage that the recipe skipped has no table. A number is None where the stage could not measure it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesMeasurements:
    """The shot that the clip lies in."""

    length_s: float  # of the shot, in seconds
    cut_off_s: float  # declared by the input, but not decodable
    no_picture_s: float  # seconds of the shot without picture
    no_sound_s: float  # seconds of the shot without sound
    oddities: tuple[str, ...] = ()  # what is unusual about the shot's picture or sound, and how it was converted
    audio_tracks: int | None = None  # sound tracks of the input
    audio_track: int | None = None  # position of the one that was read, from 0; None where there is none
    one_channel_s: float | None = None  # of the input: seconds that one of two channels in antiphase stands for
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class FacesMeasurements:
    """Faces in sampled frames of the shot; sizes and shapes are those of the largest face of each frame."""

    faces_per_frame: Mapping[str, int]  # number of faces, as text -> sampled frames with so many
    frames: int  # sampled
    face_px: float | None  # median width, in pixels of the source
    size_ratio: float | None  # largest area over smallest area
    inside: float | None  # smallest share of a face's box inside the picture
    aspect_low: float | None  # narrowest width over height
    aspect_high: float | None  # widest width over height
    turned_share: float | None = None  # share of sampled frames whose face is upside down or lies on its side
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceMeasurements:
    """Sound of the stretch that the clip is."""

    speech: bool  # whether there is sound above the limits
    level_dbfs: float  # mean level
    speech_share: float | None = None  # share of the frames in which somebody speaks
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackMeasurements:
    """The track of the largest face."""

    window_px: float  # side of the crop, in pixels of the source
    face_px: float  # median width of the face, in pixels of the source
    detections: int  # frames in which the detector ran
    tracks: int  # number of tracks in the shot
    blend: float = 0.0  # share of a change of the face that a mixture of two faces explains; 0: no such change
    identity_jump: float | None = None  # largest jump of the face's embedding that stays; None: not measured
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerMeasurements:
    """Whether the face speaks. Curves (schema/curve.py) have a value for each frame; None: not measured."""

    backend: str  # "lr-asd", or "none": not measured
    face: int | None  # number of the face that speaks most, 0 = the largest
    faces: int  # number of faces that were asked
    speaking_share: float | None  # share of the frames in which that face speaks
    mean_score: float | None  # of the network over the frames; above zero speaks
    other_share: float | None  # share of the frames in which another face is the speaker; None: each has its clip
    speaking_curve: str | None = None  # the network's score, in steps of 0.1
    mouth_curve: str | None = None  # change of the mouth's picture since the frame before, in steps of 0.5 grey levels
    sound_curve: str | None = None  # level of the sound, in dBFS
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMeasurements:
    """Synchrony of lips and sound."""

    backend: str  # "syncnet", "learned" or "envelope"
    offset_frames: int | None  # of the sound against the picture, as stages/sync defines its sign
    confidence: float | None  # of SyncNet (median distance minus least), of the envelopes or of a learned network
    distance: float | None  # SyncNet's least distance; None of the envelopes
    length_s: float  # of the stretch compared, in seconds: confidence depends on it
    mouth_motion: float | None  # how much the mouth opens and shuts, over the contrast of its picture
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityMeasurements:
    """Quality of the face crop. All but the pooled watermark are None where the recipe skips the stage."""

    #: Median variance of the Laplacian on the grey face, 64 pixels wide; of pictures, and up to version 0.2.0, on the
    #: crop that is stored.
    sharpness: float | None = None
    frozen_s: float | None = None  # longest run of frames without any change, in seconds
    black_share: float | None = None  # of the frames
    bars: float | None = None  # share of the crop covered by bars, black or of another colour
    overlay_px: float | None = None  # edge pixels of a watermark in this span
    overlay_pooled_px: float | None = None  # the same over all spans of the group
    subtitle_px: float | None = None  # edge pixels of the largest line of text that comes or goes
    ticker_share: float | None = None  # of the time, in which a strip moves along its rows and the scene does not
    still_letters: float | None = None  # of the longest row of text that stays in a corner or at a border
    would_reject: tuple[str, ...] = ()  # reasons of failed checks, where the recipe only measures the stage


StageMeasurements = (
    ScenesMeasurements
    | FacesMeasurements
    | SilenceMeasurements
    | TrackMeasurements
    | SpeakerMeasurements
    | SyncMeasurements
    | QualityMeasurements
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Measurements of all stages; None for a stage that the recipe skipped."""

    scenes: ScenesMeasurements | None = None  # shot boundaries, missing picture and sound
    faces: FacesMeasurements | None = None  # number and size of faces
    silence: SilenceMeasurements | None = None  # speech and level
    track: TrackMeasurements | None = None  # the face over time
    speaker: SpeakerMeasurements | None = None  # whether the face speaks
    sync: SyncMeasurements | None = None  # lips against sound
    quality: QualityMeasurements | None = None  # sharpness, frozen and black frames, bars, watermark, text
    #: Stages that installed packages added to the run -> name -> number, text, True, False, None, or a list of them.
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_stages(cls, stages: Mapping[str, Mapping[str, Any]]) -> "Measurements":
        """Return the measurements that the pipeline collected, stage -> name -> value.

        Raises TypeError for a name of one of our stages that this schema does not have: add it here first.
        """
        tables: dict[str, Any] = {
            stage: _KINDS[stage](**_with_tuple(table)) for stage, table in stages.items() if stage in _KINDS
        }
        return cls(**tables, added={stage: dict(table) for stage, table in stages.items() if stage not in _KINDS})

    @classmethod
    def from_json(cls, values: Fields) -> "Measurements":
        """Return the measurements in a record. Names of a later version are ignored. Raises FaultError."""
        tables: dict[str, Any] = {
            stage: _read(_KINDS[stage], values.table(stage)) for stage in values.values if stage in _KINDS
        }
        others = {stage: table for stage, table in values.values.items() if stage not in _KINDS}
        added = {stage: _plain_values(table) for stage, table in others.items() if isinstance(table, Mapping)}
        return cls(**tables, added=added)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return stage -> name -> value for the record; a stage that was skipped is left out."""
        tables: dict[str, dict[str, Any]] = {}
        for stage in _KINDS:
            measured = getattr(self, stage)
            if measured is not None:
                tables[stage] = {name: getattr(measured, name) for name in _NAMES[type(measured)]}
                for name in _TUPLES & tables[stage].keys():
                    if not tables[stage][name]:
                        del tables[stage][name]
        return tables | {stage: dict(table) for stage, table in sorted(self.added.items())}


_KINDS: Mapping[str, type[StageMeasurements]] = {
    "scenes": ScenesMeasurements,
    "faces": FacesMeasurements,
    "silence": SilenceMeasurements,
    "track": TrackMeasurements,
    "speaker": SpeakerMeasurements,
    "sync": SyncMeasurements,
    "quality": QualityMeasurements,
}
_TUPLES = {"would_reject", "oddities"}  # left out of a record where they are empty
_NAMES = {kind: tuple(item.name for item in fields(kind)) for kind in _KINDS.values()}
_OPTIONAL = {
    kind: {item.name for item in fields(kind) if item.type in (float | None, int | None)} for kind in _KINDS.values()
}


def _with_tuple(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if name in _TUPLES else value for name, value in table.items()}


def _read(kind: type[StageMeasurements], values: Fields) -> StageMeasurements:
    """Return one stage's measurements from its table in a record. Raises FaultError."""
    table: dict[str, Any] = {}
    for name in _NAMES[kind]:
        if name in _TUPLES:
            table[name] = tuple(map(str, values.items(name))) if name in values.values else ()
        elif name == "faces_per_frame":
            table[name] = values.integers(name)
        elif name.endswith("_curve"):
            table[name] = values.optional_text(name)
        elif name == "backend":
            table[name] = values.text(name)
        elif name == "speech":
            table[name] = _flag(values, name)
        else:
            table[name] = values.optional_number(name) if name in _OPTIONAL[kind] else values.number(name)
    return kind(**table)


def _plain_values(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of the table of a stage that this program does not know: a package's, or a later one."""
    return {
        str(name): value
        for name, value in table.items()
        if all(
            item is None or isinstance(item, bool | int | float | str)
            for item in (value if isinstance(value, list) else (value,))
        )
    }


def _flag(values: Fields, name: str) -> bool:
    value = values.values.get(name)
    if not isinstance(value, bool):
        raise FaultError(f"{values.where}: {name} must be true or false")
    return value
